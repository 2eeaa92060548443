"""``/api``: what the OpenAI API has no name for: feedback, lineage, impact, sources, verdicts, deployments.

This module knows the shapes of our own API. It does not know what is learned from feedback, or how a verdict is found.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AliasChoices, BaseModel, Field

from feilun import provenance
from feilun.errors import BadRequest, NotFound
from feilun.gateway.door import Annotator, Builder, Owner, StrictRoute, Viewer
from feilun.gateway.endpoints.files import Grants
from feilun.gateway.shapes import Page, Strict, cut, page
from feilun.gateway.state import Here, settled
from feilun.records import Deployment, Feedback, Source, Trace, new_id
from feilun.store import feedback, sources, traces, verdicts
from feilun.store.access import revoked

router = APIRouter(prefix="/api", tags=["wheel"], dependencies=[Depends(settled)], route_class=StrictRoute)
Limit = Annotated[int, Query(ge=1, le=1000)]
Basis = Annotated[
    Literal["own", "public", "contract", "consent"] | None, Query(description="on what ground they are used")
]
_LONGEST = 20_000


class FeedbackRequest(Strict):
    """A judgement about an answer: at least one of thumb, score, correction and comment."""

    trace: str = Field(validation_alias=AliasChoices("trace", "trace_id"))
    thumb: Literal[1, -1, "up", "down"] | None = None
    score: float | None = Field(default=None, ge=0, le=1)
    correction: str = Field(default="", max_length=_LONGEST, description="what would have been right")
    comment: str = Field(default="", max_length=_LONGEST)


class FeedbackObject(BaseModel):
    """A judgement, as kept."""

    id: str
    object: Literal["feedback"] = "feedback"
    trace: str
    thumb: int | None
    score: float | None
    correction: str
    comment: str
    created_at: int


class TraceObject(BaseModel):
    """One call: what was asked and answered, by what, at what cost."""

    id: str
    object: Literal["trace"] = "trace"
    created_at: float
    key: str
    endpoint: str
    model_version: str
    deployment: str
    messages: list[dict[str, Any]]
    answer: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    train: bool


class SourceObject(BaseModel):
    """A source, with the permissions in force for it."""

    id: str
    object: Literal["source"] = "source"
    name: str
    origin: str
    bytes: int
    created_at: int
    permissions: dict[str, Any]


class VerdictObject(BaseModel):
    """The decision on a candidate, with its reason in English and Chinese."""

    id: str
    object: Literal["verdict"] = "verdict"
    created_at: int
    candidate: str
    incumbent: str
    promoted: bool
    reason: dict[str, Any]
    own: dict[str, Any] | None
    general: dict[str, Any] | None


class DeploymentObject(BaseModel):
    """What an endpoint serves since when; ``current`` for the one that calls go to."""

    id: str
    object: Literal["deployment"] = "deployment"
    endpoint: str
    model_version: str
    verdict: str
    created_at: int
    current: bool


class Rollback(Strict):
    """Which earlier deployment is to serve again."""

    deployment: str


class Provenance(BaseModel):
    """What made an id (lineage), or what it touched (impact), in groups, each named, with the edges between them."""

    id: str
    about: dict[str, Any] | None
    sources: list[dict[str, Any]]
    datasets: list[dict[str, Any]]
    jobs: list[dict[str, Any]]
    models: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]
    deployments: list[dict[str, Any]]
    answers: list[dict[str, Any]]
    feedback: list[dict[str, Any]]
    edges: list[dict[str, Any]]
    records: list[dict[str, Any]] = []
    records_total: int = 0
    answers_total: int = 0


@router.post("/feedback", status_code=201)
async def create_feedback(given: FeedbackRequest, here: Here, key: Annotator) -> FeedbackObject:
    """Judge an answer. The next turn of the wheel learns from it, if the call permitted that."""
    words = (given.correction.strip(), given.comment.strip())
    if given.thumb is None and given.score is None and not any(words):
        raise BadRequest("This says nothing.", "Give a thumb, a score, a correction or a comment.")
    thumb = {"up": 1, "down": -1}.get(given.thumb) if isinstance(given.thumb, str) else given.thumb
    made = Feedback(new_id("feedback"), key.workspace, given.trace, thumb, given.score, *words)
    return _feedback(await asyncio.to_thread(feedback.add, here.db, made))


@router.get("/feedback")
async def list_feedback(here: Here, key: Viewer, after: str | None = None, limit: Limit = 100) -> Page[FeedbackObject]:
    """List the judgements of the workspace, oldest first."""
    shown, more = cut(await asyncio.to_thread(feedback.find, here.db, key.workspace), after, limit)
    return Page[FeedbackObject](**page([_feedback(one) for one in shown], more))


@router.get("/traces")
async def list_traces(
    here: Here,
    key: Builder,
    since: Annotated[float, Query(ge=0, le=1e12, allow_inf_nan=False)] = 0,
    limit: Limit = 100,
) -> Page[TraceObject]:
    """List calls made after ``since`` (seconds since 1970), oldest first."""
    found = await asyncio.to_thread(traces.find, here.db, key.workspace, since, limit + 1)
    return Page[TraceObject](**page([_trace(trace) for trace in found[:limit]], len(found) > limit))


@router.get("/traces/{trace_id}")
async def retrieve_trace(trace_id: str, here: Here, key: Builder) -> TraceObject:
    """Return one call."""
    return _trace(await asyncio.to_thread(traces.get, here.db, key.workspace, trace_id))


@router.get("/lineage/{node}")
async def retrieve_lineage(node: str, here: Here, key: Builder, limit: Limit = 20) -> Provenance:
    """Say what made this: deployment, model version, job, dataset version, records (at most ``limit``), sources."""
    return Provenance(**await asyncio.to_thread(provenance.explain, here.db, key.workspace, node, limit))


@router.get("/impact/{node:path}")
async def retrieve_impact(node: str, here: Here, key: Builder, limit: Limit = 100) -> Provenance:
    """Say what a source (an id, or a file's name) touched: dataset versions, model versions, deployments, answers."""
    return Provenance(**await asyncio.to_thread(provenance.impact, here.db, key.workspace, node, limit))


@router.get("/sources")
async def list_sources(
    here: Here, key: Builder, after: str | None = None, limit: Limit = 100, basis: Basis = None
) -> Page[SourceObject]:
    """List the sources of the workspace (of one basis), oldest first."""
    found = await asyncio.to_thread(sources.find, here.db, key.workspace)
    wanted = [one for one in found if basis in {None, one.permissions.basis}]
    shown, more = cut(wanted, after, limit)
    return Page[SourceObject](**page([_source(one) for one in shown], more))


@router.get("/sources/{source_id}")
async def retrieve_source(source_id: str, here: Here, key: Builder) -> SourceObject:
    """Return one source."""
    return _source(await asyncio.to_thread(sources.get, here.db, key.workspace, source_id))


@router.patch("/sources/{source_id}")
async def update_source(source_id: str, given: Grants, here: Here, key: Builder) -> SourceObject:
    """Set what a source and what came out of it may be used for, by every path; what is not named stays."""
    return _source((await asyncio.to_thread(provenance.permit, here.db, key.workspace, source_id, given.said()))[0])


@router.get("/verdicts")
async def list_verdicts(here: Here, key: Builder, after: str | None = None, limit: Limit = 100) -> Page[VerdictObject]:
    """List the verdicts of the workspace, oldest first."""
    shown, more = cut(await asyncio.to_thread(verdicts.find, here.db, key.workspace), after, limit)
    shapes = [
        VerdictObject(
            id=one.id,
            created_at=int(one.created),
            candidate=one.candidate,
            incumbent=one.incumbent,
            promoted=one.promoted,
            reason=one.reason,
            own=asdict(one.own) if one.own else None,
            general=asdict(one.general) if one.general else None,
        )
        for one in shown
    ]
    return Page[VerdictObject](**page(shapes, more))


@router.get("/deployments")
async def list_deployments(
    here: Here, key: Builder, after: str | None = None, limit: Limit = 100
) -> Page[DeploymentObject]:
    """List the deployments of the workspace in the order of their promotion."""
    found = await asyncio.to_thread(verdicts.deployments, here.db, key.workspace)
    shown, more = cut(found, after, limit)
    current = {each.endpoint: each.id for each in found}
    return Page[DeploymentObject](**page([_deployment(one, current) for one in shown], more))


@router.post("/deployments/rollback", status_code=201)
async def roll_back(given: Rollback, here: Here, key: Owner) -> DeploymentObject:
    """Let an endpoint serve again what an earlier deployment served; calls in flight end where they began."""
    found = await asyncio.to_thread(verdicts.deployments, here.db, key.workspace)
    earlier = next((one for one in found if one.id == given.deployment), None)
    if earlier is None:
        raise NotFound(
            f"There is no deployment {given.deployment[:100]!r} in this workspace.", "GET /api/deployments lists them."
        )
    await asyncio.to_thread(revoked.check, here.db, key.workspace, earlier.model)
    again = Deployment(new_id("deployment"), key.workspace, earlier.endpoint, earlier.model, earlier.verdict)
    await here.answering.prepare(again)
    again = await asyncio.to_thread(verdicts.promote, here.db, again)
    await here.snapshot.settled(here.answering.prepare)
    return _deployment(again, {again.endpoint: again.id})


def _feedback(one: Feedback) -> FeedbackObject:
    return FeedbackObject(
        id=one.id,
        trace=one.trace,
        thumb=one.thumb,
        score=one.score,
        correction=one.correction,
        comment=one.comment,
        created_at=int(one.created),
    )


def _trace(trace: Trace) -> TraceObject:
    return TraceObject(
        id=trace.id,
        created_at=trace.created,
        key=trace.key,
        endpoint=trace.endpoint,
        model_version=trace.model,
        deployment=trace.deployment,
        messages=list(trace.messages),
        answer=trace.answer,
        finish=trace.finish,
        prompt_tokens=trace.usage.prompt_tokens,
        completion_tokens=trace.usage.completion_tokens,
        seconds=trace.seconds,
        train=trace.permissions.train,
    )


def _source(one: Source) -> SourceObject:
    return SourceObject(
        id=one.id,
        name=one.name,
        origin=one.origin,
        bytes=one.size,
        created_at=int(one.created),
        permissions=asdict(one.permissions),
    )


def _deployment(one: Deployment, current: dict[str, str]) -> DeploymentObject:
    return DeploymentObject(
        id=one.id,
        endpoint=one.endpoint,
        model_version=one.model,
        verdict=one.verdict,
        created_at=int(one.created),
        current=current.get(one.endpoint) == one.id,
    )
