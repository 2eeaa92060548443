"""``/api/rollouts``: versions that an endpoint tries on a share of its calls; begun, moved on, promoted, rolled back.

This module knows shapes. It does not know how calls are divided, nor when a version is worse.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from feilun.gateway.door import Owner, StrictRoute, Viewer
from feilun.gateway.shapes import Page, Strict, cut, page
from feilun.gateway.state import Gateway, Here, settled
from feilun.records import JSON
from feilun.store import rollouts
from feilun.store.rollouts import Rollout

router = APIRouter(prefix="/api/rollouts", tags=["rollouts"], dependencies=[Depends(settled)], route_class=StrictRoute)
Limit = Annotated[int, Query(ge=1, le=1000)]


class RolloutRequest(Strict):
    """Which version an endpoint is to try, and when a stage is over: what comes first."""

    model: str = Field(min_length=1, max_length=256, description="a version's id")
    endpoint: str = Field(default="own", min_length=1, max_length=63)
    rated: int = Field(default=rollouts.RULES.rated, ge=20, le=100_000, description="rated calls of the new version")
    calls: int = Field(default=rollouts.RULES.calls, ge=20, le=10_000_000, description="calls of the new version")
    days: float = Field(default=rollouts.RULES.days, gt=0, le=365)


class PromoteRequest(Strict):
    """How far: to the next stage, or to all calls."""

    to: Literal["next", "all"] = "next"


class ReasonRequest(Strict):
    """Why, for whoever reads it later."""

    reason: str = Field(default="", max_length=2000)


class RolloutObject(BaseModel):
    """A rollout: its share of the calls, what happened (in English and Chinese), and what each signal shows."""

    id: str
    object: Literal["rollout"] = "rollout"
    endpoint: str
    model_version: str
    incumbent: str
    verdict: str
    status: str
    share: float
    reason: dict[str, Any]
    history: list[dict[str, Any]]
    evidence: dict[str, Any]
    rules: dict[str, Any]
    created_at: int


@router.get("")
async def list_rollouts(
    here: Here, key: Viewer, endpoint: str = "", after: str | None = None, limit: Limit = 100
) -> Page[RolloutObject]:
    """List the rollouts of the workspace (of an endpoint), oldest first."""
    shown, more = cut(await asyncio.to_thread(rollouts.find, here.db, key.workspace, endpoint), after, limit)
    return Page[RolloutObject](**page([_shape(one) for one in shown], more))


@router.post("", status_code=201)
async def create_rollout(given: RolloutRequest, here: Here, key: Owner) -> RolloutObject:
    """Have an endpoint try a version: 5 % of its conversations first, then 50 %, then all, unless it does harm."""
    rules: JSON = {"rated": given.rated, "calls": given.calls, "days": given.days}
    made = await asyncio.to_thread(rollouts.begin, here.db, key.workspace, given.endpoint, given.model, rules)
    await here.snapshot.refresh(here.answering.prepare)
    return _shape(made)


@router.get("/{rollout_id}")
async def retrieve_rollout(rollout_id: str, here: Here, key: Viewer) -> RolloutObject:
    """Return one rollout."""
    return _shape(await asyncio.to_thread(rollouts.get, here.db, key.workspace, rollout_id))


@router.post("/{rollout_id}/promote")
async def promote_rollout(
    rollout_id: str, here: Here, key: Owner, given: PromoteRequest | None = None
) -> RolloutObject:
    """Let the new version have the next share of the calls, or all of them, without waiting for evidence."""
    whole = given is not None and given.to == "all"
    return await _changed(here, key.workspace, rollout_id, "all" if whole else "next", "")


@router.post("/{rollout_id}/rollback")
async def roll_back_rollout(
    rollout_id: str, here: Here, key: Owner, given: ReasonRequest | None = None
) -> RolloutObject:
    """Take all calls from the new version at once; one that was promoted gives its place back, too."""
    return await _changed(here, key.workspace, rollout_id, "back", given.reason if given else "")


async def _changed(
    here: Gateway, ws: str, rollout_id: str, to: Literal["next", "all", "back"], why: str
) -> RolloutObject:
    found = await asyncio.to_thread(rollouts.by_hand, here.db, ws, rollout_id, to, why)
    await here.snapshot.settled(here.answering.prepare)
    return _shape(found)


def _shape(one: Rollout) -> RolloutObject:
    return RolloutObject(
        id=one.id,
        endpoint=one.endpoint,
        model_version=one.model,
        incumbent=one.incumbent,
        verdict=one.verdict,
        status=one.status,
        share=one.share,
        reason=one.reason(),
        history=list(one.history),
        evidence=one.evidence,
        rules=one.rules,
        created_at=int(one.created),
    )
