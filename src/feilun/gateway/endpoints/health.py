"""``/health``: is the gateway there, and can its engine answer? For probes; needs no key."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from feilun import __version__
from feilun.gateway.state import Here

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """``status``: the engine is ``starting``, ``ok``, or ``failed`` with the reason in ``error``."""

    status: Literal["starting", "ok", "failed"]
    engine: str
    model: str
    version: str
    error: str | None = None


@router.get("/health")
async def health(here: Here) -> Health:
    """Say how the gateway is; the status is 200 as soon as it listens."""
    error = here.answering.error
    return Health(
        status=here.answering.status,
        engine=here.settings.engine,
        model=here.answering.base_name,
        version=__version__,
        error=f"{error.message} {error.hint}".strip() if error else None,
    )
