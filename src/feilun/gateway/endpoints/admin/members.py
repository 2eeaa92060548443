"""``/api/members``: the people of a workspace. Knows their shapes; does not know what a role may do."""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from feilun.gateway.door import Owner, StrictRoute
from feilun.gateway.endpoints.admin.forms import After, Limit, Name
from feilun.gateway.shapes import Deleted, Page, Strict, cut, page
from feilun.gateway.state import Here
from feilun.records import Member, Role
from feilun.store.access import members

router = APIRouter(prefix="/members", tags=["members"], route_class=StrictRoute)


class MemberRequest(Strict):
    """A person who is to be added; no key of theirs can have a higher role."""

    name: Name
    role: Role = "builder"


class MemberObject(BaseModel):
    """A person of the workspace; the keys of one who was removed are of no use."""

    id: str
    object: Literal["member"] = "member"
    name: str
    role: Role
    created_at: int
    removed: bool


@router.post("", status_code=201)
async def create_member(given: MemberRequest, here: Here, key: Owner) -> MemberObject:
    """Add a person to the workspace."""
    return _shape(await asyncio.to_thread(members.add, here.db, key.workspace, given.name, given.role))


@router.get("")
async def list_members(here: Here, key: Owner, after: After = None, limit: Limit = 100) -> Page[MemberObject]:
    """List the members of the workspace, removed ones too, oldest first."""
    shown, more = cut(await asyncio.to_thread(members.find, here.db, key.workspace), after, limit)
    return Page[MemberObject](**page([_shape(one) for one in shown], more))


@router.get("/{member_id}")
async def retrieve_member(member_id: str, here: Here, key: Owner) -> MemberObject:
    """Return one member."""
    return _shape(await asyncio.to_thread(members.get, here.db, key.workspace, member_id))


@router.delete("/{member_id}")
async def remove_member(member_id: str, here: Here, key: Owner) -> Deleted:
    """Remove a person: their keys are of no use from now on; what they used stays on record."""
    await asyncio.to_thread(members.remove, here.db, key.workspace, member_id)
    await here.snapshot.refresh(here.answering.prepare)
    return Deleted(id=member_id, object="member")


def _shape(one: Member) -> MemberObject:
    return MemberObject(id=one.id, name=one.name, role=one.role, created_at=int(one.created), removed=one.removed)
