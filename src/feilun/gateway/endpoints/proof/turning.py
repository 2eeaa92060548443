"""``/api/wheel``: whether the wheel turns by itself, by which rules, and what its turns did.

This module knows shapes. It does not know when a wheel is due, nor how it turns: that is another process's matter.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from feilun.gateway.door import Builder, Owner, StrictRoute
from feilun.gateway.shapes import Page, Strict, cut, page
from feilun.gateway.state import Here
from feilun.records import JSON
from feilun.store import wheel as kept
from feilun.store.wheel import Spin, Wheel

router = APIRouter(prefix="/api/wheel", tags=["wheel"], route_class=StrictRoute)
Limit = Annotated[int, Query(ge=1, le=1000)]
Amount = Annotated[float, Field(ge=0, le=1e6)]


class WheelRequest(Strict):
    """What is to change; what is not named stays."""

    on: bool | None = None
    paths: list[Annotated[str, Field(min_length=1, max_length=4096)]] | None = Field(default=None, max_length=100)
    corrections: int | None = Field(default=None, ge=0, le=1_000_000, description="0: never for that")
    source: bool | None = None
    drift: bool | None = None
    base: bool | None = None
    every_hours: Amount | None = Field(default=None, description="0: never for that")
    turn_minutes: Amount | None = Field(default=None, description="0 is no limit")
    day_minutes: Amount | None = Field(default=None, description="0 is no limit")
    turn_money: Amount | None = None
    day_money: Amount | None = None
    hour_price: Amount | None = Field(default=None, description="what an hour of this machine costs")


class WheelObject(BaseModel):
    """A workspace's wheel."""

    object: Literal["wheel"] = "wheel"
    on: bool
    rules: dict[str, Any]


class SpinObject(BaseModel):
    """One turn that the wheel took by itself, what triggered it, and what came of it."""

    id: str
    object: Literal["wheel.turn"] = "wheel.turn"
    why: dict[str, Any]
    status: str
    outcome: dict[str, Any]
    began_at: int
    ended_at: int | None


@router.get("")
async def retrieve_wheel(here: Here, key: Builder) -> WheelObject:
    """Say whether the wheel of the workspace turns by itself, and by which rules."""
    return _wheel(await asyncio.to_thread(kept.get, here.db, key.workspace))


@router.patch("")
async def update_wheel(given: WheelRequest, here: Here, key: Owner) -> WheelObject:
    """Turn the wheel on or off, or change its rules."""
    rules: JSON = {name: value for name, value in given.model_dump(exclude={"on"}).items() if value is not None}
    return _wheel(await asyncio.to_thread(kept.put, here.db, key.workspace, on=given.on, rules=rules))


@router.post("/run", status_code=202)
async def run_wheel(here: Here, key: Owner) -> WheelObject:
    """Ask for a turn now; a wheel that is on takes it at its next look, if anything is new."""
    await asyncio.to_thread(kept.asked, here.db, key.workspace)
    return _wheel(await asyncio.to_thread(kept.get, here.db, key.workspace))


@router.get("/turns")
async def list_wheel_turns(here: Here, key: Builder, after: str | None = None, limit: Limit = 100) -> Page[SpinObject]:
    """List the turns that the wheel took by itself, oldest first."""
    shown, more = cut(await asyncio.to_thread(kept.spins, here.db, key.workspace), after, limit)
    return Page[SpinObject](**page([_spin(one) for one in shown], more))


def _wheel(one: Wheel) -> WheelObject:
    return WheelObject(on=one.on, rules=asdict(one.rules))


def _spin(one: Spin) -> SpinObject:
    return SpinObject(
        id=one.id,
        why=one.why,
        status=one.status,
        outcome=one.outcome,
        began_at=int(one.began),
        ended_at=int(one.ended) if one.ended else None,
    )
