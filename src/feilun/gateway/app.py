"""What the gateway is made of: endpoints behind one door, and what runs beside them from start to end.

This module puts the parts together. It does not know ports or signals, nor what any part does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from feilun import __version__
from feilun.gateway.answering import Answering
from feilun.gateway.background import Background, Wheels
from feilun.gateway.described import Described, document
from feilun.gateway.door import Door, cancelled, install
from feilun.gateway.endpoints import (
    admin,
    batches,
    chat,
    embeddings,
    eval_runs,
    evals,
    files,
    fine_tuning,
    health,
    messages,
    models,
    moderations,
    rerank,
    responses,
    wheel,
)
from feilun.gateway.endpoints.proof import insights, leaderboard, rollouts, turning
from feilun.gateway.health import ProviderHealth
from feilun.gateway.hot import Admission, bound, known
from feilun.gateway.hotpath import Hotpath
from feilun.gateway.hotpath.upstream import Upstreams
from feilun.gateway.observability import Watch, watching
from feilun.gateway.providing import Providing
from feilun.gateway.rollouts import Steering
from feilun.gateway.shapes import ErrorBody
from feilun.gateway.sitting import Sitter
from feilun.gateway.snapshot import Snapshot
from feilun.gateway.state import Gateway, HotHandler
from feilun.gateway.surface.batch_work import BatchWork
from feilun.gateway.writer import Writer
from feilun.serving.fleet import Fleet
from feilun.settings import Settings
from feilun.store import Database, Journal
from feilun.wire import Pool, Server, ServerLimits

_GROUPS = (
    health,
    models,
    responses,
    batches,
    files,
    fine_tuning,
    fine_tuning.graders,
    fine_tuning.exports,
    evals,
    eval_runs,
    wheel,
    insights,
    rollouts,
    turning,
    leaderboard,
    admin,
)
_HOT = (chat, messages, responses, embeddings, rerank, moderations)
_ERRORS = {
    400: "the request is wrong",
    401: "no key, or one that is not known",
    403: "the key's role or the data's permissions refuse it",
    404: "there is no such thing in this workspace",
    405: "the path does not take this method",
    408: "the request came too slowly",
    409: "it is already there, or already running",
    413: "the body is too large",
    429: "too many requests, or a budget is spent",
    500: "something unexpected",
    502: "the engine answered wrongly",
    503: "the engine is not ready",
    504: "the engine took too long",
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
                    operation["responses"] = errors | operation["responses"]
            schemas = found["components"]["schemas"]
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            whole = ErrorBody.model_json_schema(ref_template=_REF)
            schemas |= {**whole.pop("$defs"), "ErrorBody": whole}
            described: list[Described] = [each for group in _HOT for each in group.DESCRIBED]
            document(found, described, errors)
            self.openapi_schema = found
        return self.openapi_schema


async def _document(request: Request) -> Response:
    # Making it takes a moment, which other calls must not wait for.
    return JSONResponse(await asyncio.to_thread(request.app.openapi))


def create_app(settings: Settings, db: Database, fleet: Fleet | None = None) -> FastAPI:
    """Return the part of the gateway that is not calls to models, over an open database, which stays the caller's.

    ``fleet`` serves local models; without one a new one is made and ended with the application.
    """
    journal, snapshot = Journal(db), Snapshot(db)
    fleet = fleet or Fleet(settings, settings.root)
    answering = Answering(settings, db, snapshot, fleet)
    writer, pool = Writer(db, settings.root / "calls"), Pool()
    upstreams = Upstreams(fleet, pool, answering.local)
    latest = partial(snapshot.refresh, answering.prepare)
    hotpath = Hotpath(snapshot, upstreams, writer, answering.resolve, latest, settings.context)
    private = frozenset(host.strip().lower() for host in settings.private_hosts.split(",") if host.strip())
    provided = ProviderHealth(upstreams, hotpath.breakers)
    snapshot.heard += [Providing(private, upstreams, hotpath.ledger), provided]
    hotpath.metrics.gauges.append(provided.gauges)
    hotpath.allow(private)
    watch = hotpath.watch = watching(
        upstreams, settings.telemetry, calls=settings.log_calls, prompts=settings.log_prompts
    )

    sitter = Sitter(db, answering, hotpath, settings.batch)
    batch = BatchWork(db, journal, batches.asks(hotpath, db, settings))
    kinds = {
        fine_tuning.KIND: (fine_tuning.PREFIX, fine_tuning.Work(db, settings, hotpath).run),
        fine_tuning.exports.KIND: (fine_tuning.exports.PREFIX, fine_tuning.exports.ExportWork(db, settings).run),
        eval_runs.KIND: (eval_runs.PREFIX, sitter.sit),
        batches.KIND: (batches.PREFIX, batch.run),
    }
    steering = Steering(db, snapshot, answering.prepare, hotpath.fallen)
    background = Background(journal, db.root / "locks", kinds)
    gateway = Gateway(settings, db, journal, snapshot, fleet, answering, hotpath, writer, background, provided)
    app = _App(
        title="Feilun",
        version=__version__,
        description="Your own data, your own model, proven better: the OpenAI API, and what it has no name for.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_beside(gateway, steering, pool, watch),
    )
    app.state.gateway = gateway
    elsewhere: dict[str, set[str]] = {}
    for method, path in _hot():
        elsewhere.setdefault(path, set()).add(method)
    app.add_middleware(Door, caller=partial(known, snapshot), elsewhere=elsewhere)
    install(app)
    for group in _GROUPS:
        app.include_router(group.router)
    app.add_route("/openapi.json", _document, include_in_schema=False)
    return app


def create_server(app: FastAPI) -> Server:
    """Return the whole gateway, ready to serve on a socket; ``app`` is what :func:`create_app` made."""
    gateway: Gateway = app.state.gateway
    return Server(bound(gateway, _hot()), app, ServerLimits(), Admission(gateway.snapshot, _hot()))


def _hot() -> dict[tuple[str, str], HotHandler]:
    """Return what is answered without a web framework."""
    return {place: handler for group in _HOT for place, handler in group.HOT.items()}


def _beside(
    gateway: Gateway, steering: Steering, pool: Pool, watch: Watch | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await gateway.writer.flush()  # what an earlier process left behind, before budgets are counted
        await gateway.hotpath.open(gateway.db)
        await gateway.snapshot.refresh()
        writing = asyncio.create_task(gateway.writer.run())
        others = [
            asyncio.create_task(gateway.answering.run()),
            asyncio.create_task(gateway.snapshot.follow(gateway.answering.prepare)),
            asyncio.create_task(gateway.background.run()),
            asyncio.create_task(steering.run()),
            asyncio.create_task(files.expire(gateway.db)),
            asyncio.create_task(Wheels(gateway.db, gateway.settings).run()),
            asyncio.create_task(gateway.health.run()),
            asyncio.create_task(gateway.writer.follow()),
        ]
        try:
            yield
        finally:
            # Jobs stop where they are and go on at the next start; traces are all written.
            await cancelled(*others)
            await gateway.hotpath.close()
            await gateway.writer.close()
            await writing
            await gateway.writer.end()
            await gateway.fleet.close()
            await pool.close()
            if watch is not None:
                await asyncio.to_thread(watch.close)

    return lifespan
