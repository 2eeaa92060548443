"""``/v1/files``: sources that come in by upload, each with its permissions.

This module knows uploads and their limits. It does not know what a file will be used for beyond its purpose.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, File, Form, Query, UploadFile
from pydantic import BaseModel, ConfigDict, StrictBool, TypeAdapter, ValidationError
from starlette.responses import Response

from feilun.compute import disk_errors, ensure_space
from feilun.errors import BadRequest, FeilunError, NotFound, TooLarge
from feilun.gateway.door import Builder, StrictRoute
from feilun.gateway.examples import check, read, records
from feilun.gateway.hot import LARGEST_FILE
from feilun.gateway.shapes import Deleted, Page, cut, page
from feilun.gateway.state import Gateway, Here
from feilun.records import Source, new_id
from feilun.store import Database, record_digests, sources, workspaces

router = APIRouter(tags=["files"], route_class=StrictRoute)
PURPOSES = ("fine-tune", "evals", "assistants", "batch", "user_data", "vision")
_PIECE = 1 << 20
_LONGEST_NAME = 255
SHORTEST, LONGEST = 3600, 30 * 24 * 3600  # seconds that a file may be kept for
LOOK_SECONDS = 300.0
_log = logging.getLogger(__name__)


class Grants(BaseModel):
    """What a source may be used for; what is not named stays as it is."""

    model_config = ConfigDict(extra="forbid")

    train: StrictBool | None = None
    retrieve: StrictBool | None = None
    leave: StrictBool | None = None
    mask: Literal["none", "pseudonymise"] | None = None
    until: str | None = None
    basis: Literal["own", "public", "contract", "consent"] | None = None
    encrypt: StrictBool | None = None

    def said(self) -> dict[str, Any]:
        """Return what was named; raise BadRequest for null where a date cannot be meant."""
        values = {name: getattr(self, name) for name in self.model_fields_set}
        if any(value is None for name, value in values.items() if name != "until"):
            raise BadRequest("permissions: only until may be null.", param="permissions")
        return values


@dataclass(frozen=True)
class Lifetime:
    """How long a file is kept, counted from when it came."""

    seconds: int


def _lifetime(
    anchor: Annotated[str | None, Form(alias="expires_after[anchor]")] = None,
    seconds: Annotated[int | None, Form(alias="expires_after[seconds]", ge=SHORTEST, le=LONGEST)] = None,
) -> Lifetime | None:
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at" or seconds is None:
        hint = "Send expires_after with the anchor created_at, and seconds."
        raise BadRequest("expires_after is not whole, or counts from something else.", hint, "expires_after")
    return Lifetime(seconds)


class FileObject(BaseModel):
    """A file that was uploaded, with the permissions in force for it."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"
    permissions: dict[str, Any]


@router.post("/v1/files")
async def create_file(
    here: Here,
    key: Builder,
    file: Annotated[UploadFile, File()],
    purpose: Annotated[str, Form(json_schema_extra={"enum": list(PURPOSES)})],
    permissions: Annotated[str | None, Form(description='JSON, such as {"train": false}')] = None,
    lifetime: Annotated[Lifetime | None, Depends(_lifetime)] = None,
) -> FileObject:
    """Take in a file of up to 512 MB. Lines of a fine-tune file are checked at once; errors name the line.

    With ``expires_after`` it is deleted so many seconds after it came.
    """
    if purpose not in PURPOSES:
        raise BadRequest(f"{purpose[:40]!r} is no purpose.", f"Choices: {', '.join(PURPOSES)}.", "purpose")
    if file.size is not None and file.size > LARGEST_FILE:
        raise TooLarge(f"The file is larger than {LARGEST_FILE >> 20} MB.", "Split it.", "file")
    said = _said(permissions)
    name = Path((file.filename or "").replace("\\", "/")).name[-_LONGEST_NAME:] or "upload"
    meta = {"purpose": purpose, **({"lifetime": lifetime.seconds} if lifetime else {})}
    source = Source(new_id("file"), key.workspace, name, "", 0, "upload", file.content_type or "", meta=meta)
    ensure_space(here.settings.root, 2 * (file.size or 0), "The upload")
    part = here.settings.root / "uploads" / f"{secrets.token_hex(8)}.part"
    try:
        await asyncio.to_thread(_copy, file, part)
        kept = await asyncio.to_thread(_keep, here, source, part, said)
    finally:
        await asyncio.to_thread(part.unlink, missing_ok=True)
    await here.snapshot.refresh(here.answering.prepare)  # from now on it, and what quotes it, stays inside
    return _shape(kept)


@router.get("/v1/files")
async def list_files(
    here: Here,
    key: Builder,
    purpose: str | None = None,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
) -> Page[FileObject]:
    """List the files of the workspace, newest first unless ``order`` is ``asc``."""
    found = await asyncio.to_thread(sources.find, here.db, key.workspace, "upload")
    wanted = [source for source in found if purpose in {None, source.meta.get("purpose")} and not _is_over(source)]
    shown, more = cut(wanted if order == "asc" else wanted[::-1], after, limit)
    return Page[FileObject](**page([_shape(source) for source in shown], more))


@router.get("/v1/files/{file_id}")
async def retrieve_file(file_id: str, here: Here, key: Builder) -> FileObject:
    """Return one file's description."""
    return _shape(await uploaded(here, key.workspace, file_id))


@router.get("/v1/files/{file_id}/content", response_class=Response)
async def retrieve_file_content(file_id: str, here: Here, key: Builder) -> Response:
    """Return one file's bytes."""
    await uploaded(here, key.workspace, file_id)
    data = await asyncio.to_thread(sources.content, here.db, key.workspace, file_id, "inspect")
    return Response(data, media_type="application/octet-stream", headers={"x-content-type-options": "nosniff"})


@router.delete("/v1/files/{file_id}")
async def delete_file(file_id: str, here: Here, key: Builder) -> Deleted:
    """Delete a file. What it forbade stays forbidden; what was made of it stays, and ``/api/impact`` names it."""
    await uploaded(here, key.workspace, file_id)
    await asyncio.to_thread(sources.delete, here.db, key.workspace, file_id)
    return Deleted(id=file_id, object="file")


async def uploaded(here: Gateway, ws: str, file_id: str, param: str | None = None) -> Source:
    """Return an uploaded file's source; raise NotFound, also for sources that were not uploaded."""
    missing = NotFound(f"There is no file {file_id[:100]!r} in this workspace.", "GET /v1/files lists them.", param)
    try:
        source = await asyncio.to_thread(sources.get, here.db, ws, file_id)
    except NotFound as error:
        raise missing from error
    if source.origin != "upload" or _is_over(source):
        raise missing
    return source


async def expire(db: Database) -> None:
    """Delete, for ever, files whose time has come; nobody finds them from that second on."""
    while True:
        try:
            await asyncio.to_thread(delete_expired, db)
        except FeilunError as error:
            _log.warning("files whose time has come cannot be deleted: %s", error.message)
        await asyncio.sleep(LOOK_SECONDS)


def delete_expired(db: Database) -> None:
    """Delete the files of all workspaces whose time has come."""
    for ws in workspaces.names(db):
        for source in filter(_is_over, sources.find(db, ws, "upload")):
            with suppress(NotFound):  # somebody deleted it just now
                sources.delete(db, ws, source.id)


def _until(source: Source) -> int | None:
    lifetime = source.meta.get("lifetime")
    return int(source.created) + int(lifetime) if lifetime else None


def _is_over(source: Source) -> bool:
    until = _until(source)
    return until is not None and until <= time.time()


def _said(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        return TypeAdapter(Grants).validate_json(text).said()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(["permissions", *(str(part) for part in first["loc"])])
        raise BadRequest(f"{name}: {first['msg']}.", 'Send JSON such as {"train": false}.', name) from error


def _copy(file: UploadFile, part: Path) -> None:
    with disk_errors():
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as out:
            while piece := file.file.read(_PIECE):
                out.write(piece)


def _keep(here: Gateway, source: Source, part: Path, said: dict[str, Any]) -> Source:
    if source.meta["purpose"] != "fine-tune":
        return sources.add(here.db, source, part, said)
    data = part.read_bytes()
    check(data, source.name)
    kept = sources.add(here.db, source, part, said)
    # Also of a file that may not be trained on: a copy of its texts elsewhere is then refused with it.
    found = records(read(data, kept.name, "file"), kept)
    digests = {digest for record in found for digest in record_digests(record)}
    sources.note_digests(here.db, kept.workspace, kept.id, digests)
    return kept


def _shape(source: Source) -> FileObject:
    return FileObject(
        id=source.id,
        bytes=source.size,
        created_at=int(source.created),
        expires_at=_until(source),
        filename=source.name,
        purpose=str(source.meta.get("purpose", "user_data")),
        permissions=asdict(source.permissions),
    )


def json_lines(data: bytes, name: str) -> list[dict[str, Any]]:
    """Return the objects of a JSON lines file; raise BadRequest that names the line."""
    found: list[dict[str, Any]] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"{name}, line {number}: this is not JSON.", "One JSON object per line.") from error
        if not isinstance(value, dict):
            raise BadRequest(f"{name}, line {number}: this is not a JSON object.", "One JSON object per line.")
        found.append(value)
    return found
