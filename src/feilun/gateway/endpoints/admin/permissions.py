"""``/api/permissions``: what the files of a workspace inherit. Does not know what was said about any of them."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from feilun.gateway.door import Builder, Owner, StrictRoute
from feilun.gateway.endpoints.files import Grants
from feilun.gateway.state import Here
from feilun.store import sources

router = APIRouter(prefix="/permissions", tags=["permissions"], route_class=StrictRoute)


class DefaultObject(BaseModel):
    """What a source may be used for where neither it nor its folder's rules say anything."""

    object: Literal["permissions"] = "permissions"
    train: bool
    retrieve: bool
    leave: bool
    mask: Literal["none", "pseudonymise"]
    until: str | None
    basis: Literal["own", "public", "contract", "consent"]
    encrypt: bool


@router.get("")
async def retrieve_permissions(here: Here, key: Builder) -> DefaultObject:
    """Return what the files of the workspace inherit."""
    return DefaultObject(**asdict(await asyncio.to_thread(sources.default, here.db, key.workspace)))


@router.patch("")
async def update_permissions(given: Grants, here: Here, key: Owner) -> DefaultObject:
    """Set what the files of the workspace inherit, from now on; what is not named stays."""
    held = await asyncio.to_thread(sources.set_default, here.db, key.workspace, given.said())
    await here.snapshot.refresh(here.answering.prepare)
    return DefaultObject(**asdict(held))
