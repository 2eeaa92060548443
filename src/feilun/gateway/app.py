"""The application: endpoints behind one door, and what runs beside them from start to end.

This module knows what the gateway is made of. It does not know ports or signals.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from feilun import __version__
from feilun.compute import Context
from feilun.gateway.answering import Answering, Start
from feilun.gateway.background import Background
from feilun.gateway.door import Door, cancelled, install
from feilun.gateway.endpoints import chat, eval_runs, evals, files, fine_tuning, health, models, wheel
from feilun.gateway.shapes import ErrorBody
from feilun.gateway.sitting import Sitter
from feilun.gateway.snapshot import Snapshot
from feilun.gateway.state import Gateway
from feilun.gateway.writer import Writer
from feilun.records import JSON
from feilun.serving import start_engine
from feilun.settings import Settings
from feilun.store import Database, Journal
from feilun.training import run_training

_GROUPS = (health, models, chat, files, fine_tuning, evals, eval_runs, wheel)
_ERRORS = {
    400: "the request is wrong",
    401: "no key, or one that is not known",
    403: "the key's role or the data's permissions refuse it",
    404: "there is no such thing in this workspace",
    409: "it is already there, or already running",
    413: "the body is too large",
    500: "something unexpected",
    502: "the engine answered wrongly",
    503: "the engine is not ready",
    507: "no room left on the disk",
}
_REF = "#/components/schemas/{model}"


class _App(FastAPI):
    """A FastAPI whose document says which errors there are, and not 422, which we answer as 400."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            found = get_openapi(
                title=self.title, version=self.version, description=self.description, routes=self.routes
            )
            content = {"application/json": {"schema": {"$ref": _REF.format(model="ErrorBody")}}}
            errors = {str(status): {"description": text, "content": content} for status, text in _ERRORS.items()}
            for path in found["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
                    operation["responses"] |= errors
            schemas = found["components"]["schemas"]
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            whole = ErrorBody.model_json_schema(ref_template=_REF)
            schemas |= {**whole.pop("$defs"), "ErrorBody": whole}
            self.openapi_schema = found
        return self.openapi_schema


async def _document(request: Request) -> Response:
    # Making it takes a moment, which other calls must not wait for.
    return JSONResponse(await asyncio.to_thread(request.app.openapi))


def create_app(settings: Settings, db: Database, start: Start = start_engine) -> FastAPI:
    """Return the gateway over an open database, which stays the caller's; ``start`` makes the engine."""
    journal = Journal(db)
    snapshot = Snapshot(db)
    answering = Answering(settings, db, snapshot, start)
    sitter = Sitter(db, answering, settings.batch)

    async def train(context: Context) -> JSON:
        return await run_training(context, db, settings, context.job.spec["training"])

    kinds = {fine_tuning.KIND: (fine_tuning.PREFIX, train), eval_runs.KIND: (eval_runs.PREFIX, sitter.sit)}
    background = Background(journal, db.root / "locks", kinds)
    gateway = Gateway(settings, db, journal, snapshot, answering, Writer(db), background)
    app = _App(
        title="Feilun",
        version=__version__,
        description="Your own data, your own model, proven better: the OpenAI API, and what it has no name for.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=_beside(gateway),
    )
    app.state.gateway = gateway
    app.add_middleware(Door, snapshot=snapshot)
    install(app)
    for group in _GROUPS:
        app.include_router(group.router)
    app.add_route("/openapi.json", _document, include_in_schema=False)
    return app


def _beside(gateway: Gateway) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await gateway.snapshot.refresh()
        writing = asyncio.create_task(gateway.writer.run())
        others = [
            asyncio.create_task(gateway.answering.run()),
            asyncio.create_task(gateway.snapshot.follow(gateway.answering.prepare)),
            asyncio.create_task(gateway.background.run()),
        ]
        try:
            yield
        finally:
            # Jobs stop where they are and go on at the next start; traces are all written.
            await cancelled(*others)
            await gateway.writer.close()
            await writing
            await gateway.answering.close()

    return lifespan
