"""The groups of this room in one router. Does not know what they do."""

from __future__ import annotations

from fastapi import APIRouter

from feilun.gateway.endpoints.admin import endpoints, keys, limits, members, providers, usage

router = APIRouter(prefix="/api")
for group in (keys, members, providers, endpoints, limits, usage):
    router.include_router(group.router)
