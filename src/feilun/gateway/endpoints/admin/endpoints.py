"""``/api/endpoints``: task names and the deployments behind them. Knows their shapes; does not know how calls go."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from feilun.gateway.door import Builder, StrictRoute
from feilun.gateway.endpoints.admin.forms import After, Limit, Price
from feilun.gateway.shapes import Deleted, Page, Strict, cut, page
from feilun.gateway.state import Here
from feilun.records import Endpoint, Target, new_id
from feilun.store.access import endpoints, money

router = APIRouter(prefix="/endpoints", tags=["endpoints"], route_class=StrictRoute)
Seconds = Annotated[float, Field(gt=0, le=86400)]


class TargetRequest(Strict):
    """One deployment that may answer; its weight is its share, 0 is only when others fail."""

    model: str = Field(min_length=1, max_length=256)
    provider: str = Field(default="", max_length=63, description="its name; empty is a model that is served here")
    weight: float = Field(default=1.0, ge=0, le=1e6)
    price_in: Price = Field(default=0, validate_default=True)
    price_out: Price = Field(default=0, validate_default=True)
    context: int = Field(default=0, ge=0, le=10**9, description="its window in tokens; 0 is not known")
    images: bool = Field(default=False, description="whether it takes images")


class TimeoutsRequest(Strict):
    """Seconds that each phase of a call may take; what is not named is as it always is."""

    connect: Seconds | None = None
    first: Seconds | None = Field(default=None, description="until the first token")
    between: Seconds | None = Field(default=None, description="between two tokens")
    total: Annotated[float, Field(ge=0, le=86400)] | None = Field(default=None, description="0 is no limit")


class EndpointRequest(Strict):
    """An endpoint that is to be added or replaced as a whole."""

    targets: list[TargetRequest] = Field(min_length=1, max_length=32)
    fallback: list[str] = Field(
        default=[], max_length=8, description="endpoints that are tried, in this order, when no target answers"
    )
    sticky: Literal["", "conversation", "prefix"] = Field(default="", description="what stays on one target")
    policy: Literal["weighted", "cheapest"] = "weighted"
    exam: str = Field(default="", max_length=200, description="cheapest: the exam whose score counts")
    bar: float = Field(default=0.0, ge=0, le=1, description="cheapest: the score to reach (share, 0-1)")
    timeouts: TimeoutsRequest = TimeoutsRequest()
    retries: int = Field(default=2, ge=0, le=10)


class TargetObject(BaseModel):
    """One deployment; prices are money per million tokens."""

    model: str
    provider: str
    weight: float
    price_in: str
    price_out: str
    context: int
    images: bool


class EndpointObject(BaseModel):
    """A task name, and what answers to it."""

    id: str
    object: Literal["endpoint"] = "endpoint"
    name: str
    targets: list[TargetObject]
    fallback: list[str]
    sticky: str
    policy: str
    exam: str
    bar: float
    timeouts: dict[str, float]
    retries: int
    created_at: int


@router.put("/{name:path}")
async def put_endpoint(name: str, given: EndpointRequest, here: Here, key: Builder) -> EndpointObject:
    """Add an endpoint, or replace the one of this name; calls follow within a second."""
    wanted = Endpoint(
        new_id("endpoint"),
        key.workspace,
        name,
        tuple(_target(each) for each in given.targets),
        tuple(given.fallback),
        given.sticky,
        given.policy,
        given.exam,
        given.bar,
        given.timeouts.model_dump(exclude_none=True),
        given.retries,
    )
    kept = await asyncio.to_thread(endpoints.put, here.db, wanted)
    await here.snapshot.refresh(here.answering.prepare)
    return _shape(kept)


@router.get("")
async def list_endpoints(here: Here, key: Builder, after: After = None, limit: Limit = 100) -> Page[EndpointObject]:
    """List the endpoints that were set up in the workspace, by name."""
    shown, more = cut(await asyncio.to_thread(endpoints.find, here.db, key.workspace), after, limit)
    return Page[EndpointObject](**page([_shape(one) for one in shown], more))


@router.get("/{name:path}")
async def retrieve_endpoint(name: str, here: Here, key: Builder) -> EndpointObject:
    """Return one endpoint."""
    return _shape(await asyncio.to_thread(endpoints.get, here.db, key.workspace, name))


@router.delete("/{name:path}")
async def remove_endpoint(name: str, here: Here, key: Builder) -> Deleted:
    """Forget an endpoint; its name is no model any more."""
    known = await asyncio.to_thread(endpoints.get, here.db, key.workspace, name)
    await asyncio.to_thread(endpoints.remove, here.db, key.workspace, name)
    await here.snapshot.refresh(here.answering.prepare)
    return Deleted(id=known.id, object="endpoint")


def _target(given: TargetRequest) -> Target:
    return Target(
        given.model,
        given.provider,
        given.weight,
        money.nano_a_token(given.price_in, "price_in"),
        money.nano_a_token(given.price_out, "price_out"),
        given.context,
        given.images,
    )


def _shape(one: Endpoint) -> EndpointObject:
    targets = [
        TargetObject(
            **{**asdict(each), "price_in": money.price(each.price_in), "price_out": money.price(each.price_out)}
        )
        for each in one.targets
    ]
    return EndpointObject(
        id=one.id,
        name=one.name,
        targets=targets,
        fallback=list(one.fallback),
        sticky=one.sticky,
        policy=one.policy,
        exam=one.exam,
        bar=one.bar,
        timeouts=one.timeouts,
        retries=one.retries,
        created_at=int(one.created),
    )
