"""``/v1/batches``: many calls in a file, answered within a day by a durable job.

This module knows the OpenAI shapes of a batch. It does not know how its lines are answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from feilun.errors import BadRequest, Conflict, NotFound
from feilun.gateway.described import wrong
from feilun.gateway.door import Builder, StrictRoute
from feilun.gateway.endpoints import embeddings, moderations
from feilun.gateway.endpoints.files import uploaded
from feilun.gateway.endpoints.responses import respond
from feilun.gateway.hotpath import Hotpath
from feilun.gateway.shapes import Given, Page, page
from feilun.gateway.state import Gateway, Here
from feilun.gateway.surface.batch_work import WINDOW_SECONDS, Answers, Ask
from feilun.gateway.surface.requests import EmbeddingsRequest, ModerationRequest, ResponsesRequest
from feilun.records import JSON, Job, JobEvent, Key, derived_id, new_id
from feilun.settings import Settings
from feilun.store import Database

router = APIRouter(prefix="/v1/batches", tags=["batches"], route_class=StrictRoute)
KIND, PREFIX = "batch", "batch"
Path = Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/moderations"]
Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
Shape = TypeVar("Shape")


def asks(hotpath: Hotpath, db: Database, settings: Settings) -> dict[str, Ask]:
    """Return what answers a line of a batch, by the endpoint that it is for."""

    async def chat(key: Key, body: JSON, headers: Mapping[bytes, bytes]) -> JSON:
        return await hotpath.chat(key, body, headers=headers)

    async def complete(key: Key, body: JSON, headers: Mapping[bytes, bytes]) -> JSON:
        whole = {**body, "stream": False}
        return await hotpath.post(key, "/v1/completions", whole, kind="completion", headers=headers)

    async def embed(key: Key, body: JSON, headers: Mapping[bytes, bytes]) -> JSON:
        call = embeddings.to_call(_as(body, EmbeddingsRequest), settings.embedding)
        return await hotpath.post(key, embeddings.PATH, call, kind="embedding", headers=headers)

    async def answer(key: Key, body: JSON, headers: Mapping[bytes, bytes]) -> JSON:
        return await respond(hotpath, db, key, _as(body, ResponsesRequest), headers)

    async def moderate(key: Key, body: JSON, headers: Mapping[bytes, bytes]) -> JSON:
        del key, headers
        texts = moderations.texts_of(_as(body, ModerationRequest))
        return await asyncio.to_thread(moderations.moderated, texts)

    return {
        "/v1/chat/completions": chat,
        "/v1/completions": complete,
        "/v1/embeddings": embed,
        "/v1/responses": answer,
        "/v1/moderations": moderate,
    }


def _as(body: JSON, shape: type[Shape]) -> Shape:
    try:
        return msgspec.convert(body, shape)
    except msgspec.ValidationError as error:
        raise wrong(error) from error


class BatchRequest(Given):
    """A new batch."""

    input_file_id: str = Field(max_length=200)
    endpoint: Path
    completion_window: Literal["24h"]
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = Field(
        default=None, max_length=16
    )


class BatchError(BaseModel):
    """Why a batch failed."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class BatchErrors(BaseModel):
    """Why a batch failed, as a list."""

    object: Literal["list"] = "list"
    data: list[BatchError]


class RequestCounts(BaseModel):
    """How many requests there are, and how many were answered or failed."""

    total: int
    completed: int
    failed: int


class BatchObject(BaseModel):
    """A batch as it is now; times are seconds since the epoch."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None = None
    errors: BatchErrors | None = None
    input_file_id: str
    completion_window: str
    status: Status
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int
    in_progress_at: int | None = None
    expires_at: int
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts
    usage: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None


@router.post("")
async def create_batch(given: BatchRequest, here: Here, key: Builder) -> BatchObject:
    """Queue a batch. Its file is checked by the job; lines that are wrong go into the error file."""
    source = await uploaded(here, key.workspace, given.input_file_id, "input_file_id")
    if source.meta.get("purpose") != "batch":
        raise BadRequest("This file was not uploaded for batches.", "Upload it with purpose batch.", "input_file_id")
    spec = {**given.model_dump(), "key": key.id}
    job = await asyncio.to_thread(here.journal.create, Job(new_id(PREFIX), key.workspace, KIND, spec))
    here.background.wake(KIND)
    return await asyncio.to_thread(_shape, here, job)


@router.get("")
async def list_batches(
    here: Here, key: Builder, after: str | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Page[BatchObject]:
    """List the batches of the workspace, newest first."""

    def read() -> tuple[list[BatchObject], bool]:
        if after:
            _batch(here, key.workspace, after)
        found = here.journal.find(key.workspace, KIND, limit + 1, after or "")
        return [_shape(here, job) for job in found[:limit]], len(found) > limit

    return Page[BatchObject](**page(*await asyncio.to_thread(read)))


@router.get("/{batch_id}")
async def retrieve_batch(batch_id: str, here: Here, key: Builder) -> BatchObject:
    """Return a batch as it is now."""
    return await asyncio.to_thread(lambda: _shape(here, _batch(here, key.workspace, batch_id)))


@router.post("/{batch_id}/cancel")
async def cancel_batch(batch_id: str, here: Here, key: Builder) -> BatchObject:
    """Ask a batch to stop; what was answered stays, in its output file."""

    def cancel() -> BatchObject:
        job = _batch(here, key.workspace, batch_id)
        if job.status in {"succeeded", "failed"}:
            raise Conflict("This batch has ended; it cannot be cancelled any more.")
        here.journal.add_event(JobEvent(_cancelling(batch_id), batch_id, "cancelling"))
        here.journal.request_cancel(batch_id)
        return _shape(here, _batch(here, key.workspace, batch_id))

    return await asyncio.to_thread(cancel)


def _batch(here: Gateway, ws: str, batch_id: str) -> Job:
    missing = NotFound(f"There is no batch {batch_id[:100]!r} in this workspace.", "GET /v1/batches lists them.")
    try:
        job = here.journal.get(batch_id, ws)
    except NotFound as error:
        raise missing from error
    if job.kind != KIND:
        raise missing
    return job


def _cancelling(batch_id: str) -> str:
    return derived_id("event", batch_id, "cancelling")


def _shape(here: Gateway, job: Job) -> BatchObject:
    steps = {name: output for name, _, output in here.journal.steps(job.id)}
    validated, answered, written = (steps.get(name, {}) for name in ("validate", "answer", "write"))
    asked = {event.id: event.created for event in here.journal.events(job.id)}
    status = _status(job, steps, lambda: here.journal.cancel_requested(job.id))
    ended = int(job.finished) if job.finished else None
    counts = (written.get("completed"), written.get("failed"))
    if not written:
        counts = Answers(here.db.root / "batches", job.id).counts()
    error = job.error.get("error") if status == "failed" else None
    return BatchObject(
        id=job.id,
        endpoint=job.spec["endpoint"],
        model=validated.get("model"),
        errors=BatchErrors(data=[BatchError.model_validate(error)]) if error else None,
        input_file_id=job.spec["input_file_id"],
        completion_window=job.spec["completion_window"],
        status=status,
        output_file_id=written.get("output_file_id"),
        error_file_id=written.get("error_file_id"),
        created_at=int(job.created),
        expires_at=int(job.created + WINDOW_SECONDS),
        in_progress_at=_second(validated.get("at")),
        finalizing_at=_second(answered.get("at")),
        cancelling_at=_second(asked.get(_cancelling(job.id))),
        completed_at=ended if status == "completed" else None,
        failed_at=ended if status == "failed" else None,
        expired_at=ended if status == "expired" else None,
        cancelled_at=ended if status == "cancelled" else None,
        request_counts=RequestCounts(total=validated.get("total", 0), completed=counts[0] or 0, failed=counts[1] or 0),
        usage=written.get("usage"),
        metadata=job.spec["metadata"],
    )


def _status(job: Job, steps: JSON, cancelling: Callable[[], bool]) -> Status:
    if job.status == "succeeded":
        return "expired" if steps.get("write", {}).get("expired") else "completed"
    if job.status in {"failed", "cancelled"}:
        return "failed" if job.status == "failed" else "cancelled"
    if cancelling():
        return "cancelling"
    if "answer" in steps:
        return "finalizing"
    return "in_progress" if "validate" in steps else "validating"


def _second(moment: float | None) -> int | None:
    return None if moment is None else int(moment)
