"""``/api/keys``: API keys of a workspace. Knows their shapes; does not know what a role or scope may do."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from feilun.gateway.door import Owner, StrictRoute
from feilun.gateway.endpoints.admin.forms import After, Limit, Name
from feilun.gateway.shapes import Deleted, Page, Strict, cut, page
from feilun.gateway.state import Here
from feilun.records import Key, Role
from feilun.store import keys
from feilun.store.access import members

router = APIRouter(prefix="/keys", tags=["keys"], route_class=StrictRoute)
Scope = Literal["models", "data", "admin"]


class KeyRequest(Strict):
    """A key that is to be made."""

    name: Name = Field(default="key", description="what it is for")
    role: Role = "builder"
    member: str | None = Field(default=None, max_length=200, description="whose key it is: an id or a name")
    scopes: list[Scope] = Field(
        default=[], max_length=3, description="what it may be used for; empty: all that the role permits"
    )
    expires_at: Annotated[float, Field(gt=0, le=253402300799)] | None = Field(
        default=None, description="seconds since 1970 from when on it is of no use"
    )


class KeyObject(BaseModel):
    """A key, without its secret; ``hint`` shows people which it is."""

    id: str
    object: Literal["key"] = "key"
    name: str
    role: Role
    hint: str
    member: str
    scopes: list[str]
    created_at: int
    expires_at: float | None
    revoked: bool


class KeyMade(KeyObject):
    """A new key, with its secret, which is shown only now."""

    secret: str


@router.post("", status_code=201)
async def create_key(given: KeyRequest, here: Here, key: Owner) -> KeyMade:
    """Make a key. Its secret is in this answer and never to be had again."""
    whose = ""
    if given.member is not None:
        whose = (await asyncio.to_thread(members.resolve, here.db, key.workspace, given.member)).id
    made, secret = await asyncio.to_thread(
        keys.create, here.db, key.workspace, given.name, given.role, whose, given.expires_at, given.scopes
    )
    await here.snapshot.refresh(here.answering.prepare)
    return KeyMade(**_shape(made).model_dump(), secret=secret)


@router.get("")
async def list_keys(here: Here, key: Owner, after: After = None, limit: Limit = 100) -> Page[KeyObject]:
    """List the keys of the workspace, revoked ones too, oldest first."""
    shown, more = cut(await asyncio.to_thread(keys.find, here.db, key.workspace), after, limit)
    return Page[KeyObject](**page([_shape(one) for one in shown], more))


@router.get("/{key_id}")
async def retrieve_key(key_id: str, here: Here, key: Owner) -> KeyObject:
    """Return one key."""
    return _shape(await asyncio.to_thread(keys.get, here.db, key.workspace, key_id))


@router.delete("/{key_id}")
async def revoke_key(key_id: str, here: Here, key: Owner) -> Deleted:
    """Make a key useless for ever; what it was used for stays on record."""
    await asyncio.to_thread(keys.revoke, here.db, key.workspace, key_id)
    await here.snapshot.refresh(here.answering.prepare)
    return Deleted(id=key_id, object="key")


def _shape(one: Key) -> KeyObject:
    return KeyObject(
        id=one.id,
        name=one.name,
        role=one.role,
        hint=one.hint,
        member=one.member,
        scopes=list(one.scopes),
        created_at=int(one.created),
        expires_at=one.expires,
        revoked=one.revoked,
    )
