"""``/api/audit``: who saw, exported and changed what, and whether the log is as it was written. For owners only.

Knows the shapes of entries. Does not know what they are about, nor how they vouch for each other.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from feilun.errors import NotFound
from feilun.gateway.door import Owner, StrictRoute
from feilun.gateway.endpoints.admin.forms import After, Limit
from feilun.gateway.shapes import Page, Strict, page
from feilun.gateway.state import Here
from feilun.store import audit

router = APIRouter(prefix="/audit", tags=["audit"], route_class=StrictRoute)
Action = Annotated[str, Query(max_length=100, description="one action (source.read), or a kind of them (source)")]
Actor = Annotated[str, Query(max_length=200, description="a part of who it was: a key, a member, a job")]
About = Annotated[str, Query(max_length=200, description="the id of what it was about")]


class AuditEntry(BaseModel):
    """One entry: its number is its id; ``hash`` is over it and the hash of the entry before it."""

    id: str
    object: Literal["audit.entry"] = "audit.entry"
    created_at: float
    actor: str
    action: str
    about: str
    details: dict[str, Any]
    hash: str


class VerifyRequest(Strict):
    """What the log is to be compared with."""

    head: str = Field(default="", max_length=100, description="a head that was kept, NUMBER:HASH; empty: none")


class AuditBreak(BaseModel):
    """A place where the log is not as it was written, in English and Chinese."""

    number: int
    en: str
    zh: str


class Verification(BaseModel):
    """How many entries there are, where the log was tampered with, and its head, to be kept elsewhere."""

    object: Literal["audit.verification"] = "audit.verification"
    entries: int
    head: str
    breaks: list[AuditBreak]


@router.get("")
async def list_audit(
    here: Here,
    key: Owner,
    after: After = None,
    limit: Limit = 100,
    action: Action = "",
    actor: Actor = "",
    about: About = "",
) -> Page[AuditEntry]:
    """List what was done in the workspace, oldest first."""
    if after and not (after.isascii() and after.isdigit() and len(after) < 16):
        raise NotFound(f"There is no {after[:100]!r} in this list.", "after is the id of the last item seen.", "after")
    number = int(after or 0)
    found = await asyncio.to_thread(audit.entries, here.db, key.workspace, number, limit + 1, action, actor, about)
    shown = [
        AuditEntry(
            id=one.id,
            created_at=one.time,
            actor=one.actor,
            action=one.action,
            about=one.object,
            details=one.details,
            hash=one.hash,
        )
        for one in found[:limit]
    ]
    return Page[AuditEntry](**page(shown, len(found) > limit))


@router.post("/verify")
async def verify_audit(given: VerifyRequest, here: Here, key: Owner) -> Verification:
    """Look for entries that were changed, removed, inserted or put elsewhere."""
    found = await asyncio.to_thread(audit.verify, here.db, key.workspace, given.head)
    breaks = [AuditBreak(number=one.number, en=one.en, zh=one.zh) for one in found.breaks]
    return Verification(entries=found.entries, head=f"{found.entries}:{found.head}", breaks=breaks)
