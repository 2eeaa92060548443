"""``/api/providers``: remote model providers. Knows their shapes; a key goes in and never comes out.

It does not know how a provider is called, or which addresses may be.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from feilun.gateway.door import Owner, StrictRoute
from feilun.gateway.endpoints.admin.forms import After, Limit
from feilun.gateway.shapes import Deleted, Page, Strict, cut, page
from feilun.gateway.state import Gateway, Here
from feilun.records import Provider, new_id
from feilun.store.access import providers
from feilun.wire import ensure_callable

router = APIRouter(prefix="/providers", tags=["providers"], route_class=StrictRoute)


class ProviderRequest(Strict):
    """A provider that is to be added or replaced."""

    api: Literal["openai", "anthropic"] = Field(default="openai", description="the API that it speaks")
    url: str = Field(max_length=2000, description="its base address, such as https://api.example.com/v1")
    key: str | None = Field(
        default=None,
        max_length=4096,
        description="its API key, kept encrypted; null leaves the earlier one, empty is none",
        json_schema_extra={"writeOnly": True},
    )


class ProviderObject(BaseModel):
    """A provider, without its key; ``hint`` shows people which key it is.

    ``state`` is whether it can be reached, found out now and then while an endpoint uses it.
    """

    id: str
    object: Literal["provider"] = "provider"
    name: str
    api: str
    url: str
    hint: str
    has_key: bool
    created_at: int
    state: Literal["unknown", "up", "down"]


@router.put("/{name}")
async def put_provider(name: str, given: ProviderRequest, here: Here, key: Owner) -> ProviderObject:
    """Add a provider, or replace the one of this name."""
    ensure_callable(given.url)
    wanted = Provider(new_id("provider"), key.workspace, name, given.api, given.url)
    kept = await asyncio.to_thread(providers.put, here.db, wanted, given.key)
    await here.snapshot.refresh(here.answering.prepare)
    return _shape(here, kept)


@router.get("")
async def list_providers(here: Here, key: Owner, after: After = None, limit: Limit = 100) -> Page[ProviderObject]:
    """List the providers of the workspace, by name."""
    shown, more = cut(await asyncio.to_thread(providers.find, here.db, key.workspace), after, limit)
    return Page[ProviderObject](**page([_shape(here, one) for one in shown], more))


@router.get("/{name}")
async def retrieve_provider(name: str, here: Here, key: Owner) -> ProviderObject:
    """Return one provider."""
    return _shape(here, await asyncio.to_thread(providers.get, here.db, key.workspace, name))


@router.delete("/{name}")
async def remove_provider(name: str, here: Here, key: Owner) -> Deleted:
    """Forget a provider and its key, unless an endpoint uses it."""
    known = await asyncio.to_thread(providers.get, here.db, key.workspace, name)
    await asyncio.to_thread(providers.remove, here.db, key.workspace, name)
    await here.snapshot.refresh(here.answering.prepare)
    return Deleted(id=known.id, object="provider")


def _shape(here: Gateway, one: Provider) -> ProviderObject:
    return ProviderObject(
        id=one.id,
        name=one.name,
        api=one.api,
        url=one.url,
        hint=one.hint,
        has_key=bool(one.sealed),
        created_at=int(one.created),
        state=here.health.state(one.workspace, one.name),
    )
