"""``/api/models/{model}/export`` and ``/api/exports``: a version as files for other programs, made as a durable job.

This module knows exports as jobs, and where their files lie. It does not know what any form holds.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse

from feilun.compute import Command, Context, Process
from feilun.errors import BadModel, Conflict, NotFound
from feilun.gateway.door import Builder, StrictRoute
from feilun.gateway.shapes import Page, page
from feilun.gateway.state import Gateway, Here
from feilun.records import JSON, Job, new_id
from feilun.settings import Settings
from feilun.store import Database
from feilun.store.access import revoked

router = APIRouter(prefix="/api", tags=["models"], route_class=StrictRoute)
KIND, PREFIX = "export", "export"


class ExportRequest(BaseModel):
    """What to write: ``quantise`` is how weights are kept (merged: f32, bf16, f16; gguf: q8_0, q4_0, f16 …)."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    form: Literal["adapter", "merged", "gguf"] = Field(alias="as")
    quantise: Literal["", "f32", "bf16", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"] = ""


class Export(BaseModel):
    """An export; once it has succeeded each of ``files`` (name → bytes) can be fetched."""

    id: str
    object: Literal["export"] = "export"
    created_at: int
    model: str
    form: str = Field(serialization_alias="as")
    quantise: str
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    files: dict[str, int]
    error: dict[str, Any] | None = None


@router.post("/models/{model}/export")
async def create_export(model: str, given: ExportRequest, here: Here, key: Builder) -> Export:
    """Queue an export of a version. One that has learnt what was revoked since is refused."""
    version = (await here.answering.route(key.workspace, model)).version
    if version.kind != "base":
        await asyncio.to_thread(revoked.check, here.db, key.workspace, version.id)
    spec = {"model": version.id, "form": given.form, "kind": given.quantise}
    job = await asyncio.to_thread(here.journal.create, Job(new_id(PREFIX), key.workspace, KIND, spec))
    here.background.wake(KIND)
    return _shape(job)


@router.get("/exports")
async def list_exports(
    here: Here, key: Builder, after: str = "", limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Page[Export]:
    """List the exports of the workspace, newest first."""
    found = await asyncio.to_thread(here.journal.find, key.workspace, KIND, limit + 1, after)
    return Page[Export](**page([_shape(job) for job in found[:limit]], more=len(found) > limit))


@router.get("/exports/{export_id}")
async def retrieve_export(export_id: str, here: Here, key: Builder) -> Export:
    """Return an export as it is now."""
    return _shape(await _job(here, key.workspace, export_id))


@router.get("/exports/{export_id}/files/{part}", response_class=FileResponse)
async def retrieve_export_file(export_id: str, part: str, here: Here, key: Builder) -> FileResponse:
    """Return one file of an export, unless its model has learnt what was revoked since."""
    job = await _job(here, key.workspace, export_id)
    if job.status != "succeeded":
        raise Conflict(f"The export {export_id} is {job.status}.", "Wait until it has succeeded.")
    if part not in job.result["files"]:
        raise NotFound(f"The export has no file {part[:100]!r}.", f"It has {', '.join(job.result['files'])}.")
    await asyncio.to_thread(revoked.check, here.db, key.workspace, job.spec["model"])
    file = folder_of(here.db, job.id) / part
    if not file.is_file():
        raise NotFound(f"The files of the export {export_id} are gone.", "Export the model again.")
    return FileResponse(file, media_type="application/octet-stream", filename=part)


@router.delete("/exports/{export_id}")
async def delete_export(export_id: str, here: Here, key: Builder) -> Export:
    """Delete the files of an export; one that is not over is asked to stop."""
    job = await _job(here, key.workspace, export_id)
    await asyncio.to_thread(here.journal.request_cancel, job.id)
    await asyncio.to_thread(shutil.rmtree, folder_of(here.db, job.id), ignore_errors=True)
    return _shape(await _job(here, key.workspace, export_id))


def folder_of(db: Database, export_id: str) -> Path:
    """Return where the files of an export lie."""
    return db.root / "exports" / export_id


class ExportWork:
    """The work behind an export's job."""

    def __init__(self, db: Database, settings: Settings) -> None:
        """Keep the store."""
        self._db, self._settings = db, settings

    async def run(self, context: Context) -> JSON:
        """Write the files in a process of their own; return their names and sizes."""
        return await context.step("written", lambda: self._write(context))

    async def _write(self, context: Context) -> JSON:
        job, out = context.job, folder_of(self._db, context.job.id)
        await asyncio.to_thread(shutil.rmtree, out, ignore_errors=True)
        order = self._db.root / "jobs" / job.id / "order.json"
        await asyncio.to_thread(order.parent.mkdir, parents=True, exist_ok=True)
        told = {**job.spec, "home": str(self._settings.root), "workspace": job.workspace, "out": str(out)}
        await asyncio.to_thread(order.write_text, json.dumps(told), encoding="utf-8")
        last: JSON = {}
        command = Command(
            "the export",
            (sys.executable, "-m", "feilun.training.export.process", str(order)),
            self._db.root / "logs" / f"{job.id}.log",
            env={"FEILUN_EXPORT_DATABASE": self._settings.database},
            ready_seconds=0,
            background=True,
        )
        async with Process(command, on_message=last.update) as process:
            code = await process.wait()
        if code or not last.get("done"):
            raise BadModel(f"The export ended with code {code}.", f"Its last words are in {command.log}.")
        return {"files": last["files"], "kind": last["kind"]}


async def _job(here: Gateway, ws: str, export_id: str) -> Job:
    job = await asyncio.to_thread(here.journal.get, export_id, ws)
    if job.kind != KIND:
        raise NotFound(f"There is no export {export_id[:100]!r}.", "GET /api/exports lists them.")
    return job


def _shape(job: Job) -> Export:
    return Export(
        id=job.id,
        created_at=int(job.created),
        model=job.spec["model"],
        form=job.spec["form"],
        quantise=job.result.get("kind") or job.spec["kind"],
        status=job.status,
        files=job.result.get("files", {}),
        error=job.error.get("error") if job.status == "failed" else None,
    )
