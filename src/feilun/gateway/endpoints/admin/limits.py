"""``/api/limits``: what a workspace, member, key or endpoint may use. Does not know what was used."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from feilun.gateway.door import Owner, StrictRoute
from feilun.gateway.endpoints.admin.forms import After, Limit, Money
from feilun.gateway.shapes import Deleted, Page, Strict, cut, page
from feilun.gateway.state import Here
from feilun.records import Limit as LimitRecord
from feilun.records import LimitScope, new_id
from feilun.store.access import limits, members, money

router = APIRouter(prefix="/limits", tags=["limits"], route_class=StrictRoute)
Count = Annotated[int, Field(ge=0, le=2**53)]


class LimitRequest(Strict):
    """A limit that is to be set, in the place of the earlier one of its target; null is no limit, 0 is nothing."""

    scope: LimitScope
    target: str = Field(
        default="", max_length=200, description="a member's id or name, a key's id, an endpoint's name; else empty"
    )
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrent: Count | None = Field(default=None, description="calls at the same time")
    tokens_per_day: Count | None = None
    tokens_per_month: Count | None = None
    money_per_day: Money | None = None
    money_per_month: Money | None = None
    soft: float = Field(default=0.8, ge=0, le=1, description="share of a budget at which an alert is given")


class LimitObject(BaseModel):
    """A limit; days and months are those of UTC, money is a decimal."""

    id: str
    object: Literal["limit"] = "limit"
    scope: LimitScope
    target: str
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent: int | None
    tokens_per_day: int | None
    tokens_per_month: int | None
    money_per_day: str | None
    money_per_month: str | None
    soft: float
    created_at: int


@router.put("")
async def put_limit(given: LimitRequest, here: Here, key: Owner) -> LimitObject:
    """Set what a workspace, member, key or endpoint may use; calls follow within a second."""
    values = given.model_dump()
    for name in ("money_per_day", "money_per_month"):
        values[name] = None if values[name] is None else money.nano(values[name], name)
    if given.scope == "member":
        values["target"] = (await asyncio.to_thread(members.resolve, here.db, key.workspace, given.target)).id
    kept = await asyncio.to_thread(limits.put, here.db, LimitRecord(new_id("limit"), key.workspace, **values))
    await here.snapshot.refresh(here.answering.prepare)
    return _shape(kept)


@router.get("")
async def list_limits(here: Here, key: Owner, after: After = None, limit: Limit = 100) -> Page[LimitObject]:
    """List the limits of the workspace, oldest first."""
    shown, more = cut(await asyncio.to_thread(limits.find, here.db, key.workspace), after, limit)
    return Page[LimitObject](**page([_shape(one) for one in shown], more))


@router.get("/{limit_id}")
async def retrieve_limit(limit_id: str, here: Here, key: Owner) -> LimitObject:
    """Return one limit."""
    return _shape(await asyncio.to_thread(limits.get, here.db, key.workspace, limit_id))


@router.delete("/{limit_id}")
async def remove_limit(limit_id: str, here: Here, key: Owner) -> Deleted:
    """Lift a limit."""
    await asyncio.to_thread(limits.remove, here.db, key.workspace, limit_id)
    await here.snapshot.refresh(here.answering.prepare)
    return Deleted(id=limit_id, object="limit")


def _shape(one: LimitRecord) -> LimitObject:
    values = asdict(one)
    for name in ("money_per_day", "money_per_month"):
        values[name] = None if values[name] is None else money.amount(values[name])
    return LimitObject(**values, created_at=int(one.created))
