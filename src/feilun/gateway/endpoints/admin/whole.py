"""The groups of this room in one router. Does not know what they do."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from feilun.gateway.endpoints.admin import (
    audit,
    endpoints,
    keys,
    limits,
    members,
    permissions,
    providers,
    review,
    usage,
)
from feilun.gateway.state import settled

router = APIRouter(prefix="/api", dependencies=[Depends(settled)])
for group in (keys, members, providers, endpoints, limits, usage, review, permissions, audit):
    router.include_router(group.router)
