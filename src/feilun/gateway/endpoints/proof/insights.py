"""``/api/insights``: what goes wrong in use, named, with its evidence; accepted or dismissed by a person.

This module knows shapes. It does not know how an insight is found, nor what a decision writes.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from feilun.curation.mask import masked
from feilun.errors import NotFound
from feilun.feedback.insights import Given, accept, dismiss, encoder, examined, look
from feilun.feedback.insights.signs import questions
from feilun.gateway.door import Builder, StrictRoute
from feilun.gateway.shapes import Page, Strict, cut, page
from feilun.gateway.state import Here, settled
from feilun.store import Database, traces
from feilun.store.insights import Insight, kept
from feilun.store.insights.nouns import Proposal, State

router = APIRouter(prefix="/api/insights", tags=["insights"], dependencies=[Depends(settled)], route_class=StrictRoute)
Limit = Annotated[int, Query(ge=1, le=1000)]
_Text = Annotated[str, Field(max_length=20_000)]


class LookRequest(Strict):
    """Which calls to look through."""

    since: float = Field(default=0, ge=0, le=1e12, description="calls made after this (s since 1970)")


class AcceptRequest(Strict):
    """The yes of a person; with a right answer it teaches and examines, without one it is a note."""

    answers: list[_Text] = Field(default=[], max_length=8, description="what is right, one a language")
    accept: list[_Text] = Field(default=[], max_length=32, description="words that a right answer holds")
    note: _Text = ""
    kind: Proposal | None = Field(default=None, description="what to do instead of what is proposed")
    without: list[str] = Field(default=[], max_length=1000, description="calls (trace ids) that are something else")


class DismissRequest(Strict):
    """The no of a person."""

    reason: str = Field(min_length=1, max_length=2000)


class InsightObject(BaseModel):
    """Questions that go wrong again and again, in the users' words, without personal data."""

    id: str
    object: Literal["insight"] = "insight"
    name: str
    question: str
    terms: list[str]
    proposal: Proposal
    status: State
    size: int
    calls: int
    share: float
    reasons: dict[str, int]
    rated: dict[str, float]
    trend: dict[str, Any]
    evidence: list[dict[str, Any]]
    outcome: dict[str, Any]
    live: dict[str, Any]
    created_at: int
    updated_at: int


class InsightWhole(InsightObject):
    """An insight with what its calls asked, and how its questions went in the exams since it was accepted."""

    questions: list[dict[str, str]]
    examined: list[dict[str, Any]]


@router.get("")
async def list_insights(
    here: Here, key: Builder, status: State | None = None, after: str | None = None, limit: Limit = 100
) -> Page[InsightObject]:
    """List what was found when somebody last looked, those with the most evidence first."""
    found = await asyncio.to_thread(kept.find, here.db, key.workspace, status)
    shown, more = cut(found, after, limit)
    return Page[InsightObject](**page([InsightObject(**_fields(one)) for one in shown], more))


@router.post("", status_code=201)
async def look_for_insights(given: LookRequest, here: Here, key: Builder) -> Page[InsightObject]:
    """Look through the calls now. It takes some seconds for a thousand calls; the same calls give the same insights."""
    encode = encoder(here.settings.embedding)
    found = await asyncio.to_thread(look, here.db, key.workspace, masked, encode, given.since)
    return Page[InsightObject](**page([InsightObject(**_fields(one)) for one in found], False))


@router.get("/{insight_id}")
async def retrieve_insight(insight_id: str, here: Here, key: Builder) -> InsightWhole:
    """Return one insight with its evidence, and whether it shrank."""
    return await asyncio.to_thread(_whole, here.db, key.workspace, insight_id)


@router.post("/{insight_id}/accept")
async def accept_insight(insight_id: str, given: AcceptRequest, here: Here, key: Builder) -> InsightObject:
    """Accept it: the next turn trains on its corrections and asks the questions held back. Again changes nothing."""
    said = Given(tuple(given.answers), tuple(given.accept), given.note, given.kind, tuple(given.without))
    return InsightObject(**_fields(await asyncio.to_thread(accept, here.db, key.workspace, insight_id, said, masked)))


@router.post("/{insight_id}/dismiss")
async def dismiss_insight(insight_id: str, given: DismissRequest, here: Here, key: Builder) -> InsightObject:
    """Dismiss it with a reason; calls like its own do not bring it back."""
    return InsightObject(**_fields(await asyncio.to_thread(dismiss, here.db, key.workspace, insight_id, given.reason)))


def _whole(db: Database, ws: str, insight_id: str) -> InsightWhole:
    one = kept.get(db, ws, insight_id)
    asked: list[tuple[str, str]] = []
    for part in one.evidence:
        try:
            asked.append((str(part["trace"]), questions(traces.get(db, ws, str(part["trace"])))[-1]))
        except (NotFound, IndexError):
            continue
    shown = masked(text for _, text in asked)
    told = [{"trace": trace, "question": text} for (trace, _), text in zip(asked, shown, strict=True)]
    return InsightWhole(**_fields(one), questions=told, examined=examined(db, ws, one))


def _fields(one: Insight) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "question": one.question,
        "terms": list(one.terms),
        "proposal": one.proposal,
        "status": one.status,
        "size": len(one.evidence),
        "calls": one.calls,
        "share": one.share,
        "reasons": one.reasons,
        "rated": one.rated,
        "trend": one.trend,
        "evidence": list(one.evidence),
        "outcome": one.outcome,
        "live": one.live,
        "created_at": int(one.created),
        "updated_at": int(one.updated),
    }
