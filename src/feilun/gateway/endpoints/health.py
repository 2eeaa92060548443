"""``/health``, ``/ready`` and ``/metrics``: is the gateway there, can its engine answer, what has it done.

For probes and for Prometheus. This module knows states and figures. It does not know how they come about.
"""

from __future__ import annotations

import hmac
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from feilun import __version__
from feilun.errors import Forbidden
from feilun.gateway.hot import known, permit, secret_of
from feilun.gateway.state import Gateway, Here

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """``status``: the engine is ``starting``, ``ok``, or ``failed`` with the reason in ``error``."""

    status: Literal["starting", "ok", "failed"]
    engine: str
    model: str
    version: str
    error: str | None = None
    engines: list[dict[str, Any]] = []


def _health(here: Gateway) -> Health:
    error = here.answering.error
    return Health(
        status=here.answering.status,
        engine=here.settings.engine,
        model=here.answering.base_name,
        version=__version__,
        error=f"{error.message} {error.hint}".strip() if error else None,
        engines=[{"name": row.get("name"), "state": row.get("state")} for row in here.fleet.status()],
    )


@router.get("/health")
async def health(here: Here) -> Health:
    """Say how the gateway is; the status is 200 as soon as it listens."""
    return _health(here)


@router.get("/ready", response_model=Health, responses={503: {"model": Health, "description": "not ready"}})
async def ready(here: Here) -> Response:
    """Answer 200 when calls to the default model can be answered, else 503."""
    found = _health(here)
    return JSONResponse(found.model_dump(mode="json"), 200 if found.status == "ok" else 503)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request, here: Here) -> Response:
    """Return figures for Prometheus: of the key's workspace, or, with the setting metrics_token, of all."""
    headers = dict(request.scope["headers"])
    token = here.settings.metrics_token
    if token and hmac.compare_digest(secret_of(headers).encode(), token.encode()):
        return Response(here.hotpath.metrics.text(), media_type=CONTENT_TYPE_LATEST)
    key = known(here.snapshot, headers)
    permit(key, "/api")
    if key.role not in {"owner", "builder"}:
        raise Forbidden(f"This needs the role builder; the key's role is {key.role}.", "Use another key.")
    return Response(here.hotpath.metrics.text(key.workspace), media_type=CONTENT_TYPE_LATEST)
