"""From a model's public name to tokens: which version is meant, and an engine that holds it.

This module knows the engine seam, the base that it serves and the versions of each workspace. It does not know HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from feilun.engines.models import ensure_base, model_name, pulled
from feilun.engines.seam import Delta, Engine, Request
from feilun.errors import BadModel, EngineDown, FeilunError, ModelNotFound, NotFound
from feilun.gateway.snapshot import Snapshot
from feilun.records import Deployment, ModelVersion, derived_id
from feilun.serving import start_engine
from feilun.settings import Settings
from feilun.store import Database, models

Start = Callable[[Settings, Path], Awaitable[Engine]]
READY_SECONDS = 120.0
ATTEMPTS = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """What a call goes to: the public name, the version that answers, and the deployment if an endpoint was named."""

    endpoint: str
    version: ModelVersion
    deployment: str = ""


class Answering:
    """The engine, its base and its state: ``starting``, ``ok`` or ``failed``."""

    def __init__(self, settings: Settings, db: Database, snapshot: Snapshot, start: Start = start_engine) -> None:
        """Keep what is needed; :meth:`run` starts the engine."""
        self._settings, self._db, self._snapshot, self._start = settings, db, snapshot, start
        self._versions: dict[tuple[str, str], ModelVersion] = {}
        self._ready = asyncio.Event()
        self._engine: Engine | None = None
        self._base: ModelVersion | None = None
        self.status: Literal["starting", "ok", "failed"] = "starting"
        self.error: FeilunError | None = None
        self.base_name = model_name(settings.model)

    async def run(self) -> None:
        """Start the engine; where that fails, keep the reason and try again, ever more slowly."""
        pause = 2.0
        while self._engine is None:
            try:
                self._base = await asyncio.to_thread(_find_base, self._settings, self._db)
                self._engine = await self._start(self._settings, self._settings.root)
                await self._engine.load(self._base)
            except FeilunError as error:
                self.status, self.error = "failed", error
                _log.warning("the engine did not start: %s %s", error.message, error.hint)
                if self._engine is not None:
                    await self._engine.close()
                    self._engine = None
                self._ready.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 60.0)
        self.status, self.error = "ok", None
        self._ready.set()

    async def close(self) -> None:
        """End the engine."""
        if self._engine is not None:
            await self._engine.close()

    async def engine(self) -> Engine:
        """Return the engine once it is ready; raise EngineDown after a while, or what kept it from starting."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._ready.wait()
        except TimeoutError as error:
            raise EngineDown("The engine is still starting.", "Try again in a moment.") from error
        if self._engine is None:
            reason = self.error or EngineDown("The engine is still starting.", "Try again in a moment.")
            raise EngineDown(f"The engine did not start: {reason.message}", reason.hint)
        return self._engine

    async def base(self) -> ModelVersion:
        """Return the base that is served."""
        if self._base is None:
            await self.engine()
        if self._base is None:
            raise EngineDown("The base model is not ready.", "Try again in a moment.")
        return self._base

    async def route(self, ws: str, name: str) -> Route:
        """Return what a model's name means in a workspace: the base, an endpoint, or a version's id."""
        if name in {self.base_name, self._settings.model}:
            return Route(name, await self.base())
        deployment = self._snapshot.route(ws, name)
        if deployment is not None:
            return Route(name, await self._version(ws, deployment.model), deployment.id)
        if name == "own":
            raise ModelNotFound(
                "This workspace has no model of its own yet.", "Run feilun turn to make one.", param="model"
            )
        try:
            version = await self._version(ws, name)
        except NotFound as error:
            raise ModelNotFound(
                f"The model {name[:100]!r} does not exist in this workspace.", "GET /v1/models lists them.", "model"
            ) from error
        base = await self.base()
        if base.id not in {version.id, version.base}:
            raise BadModel(
                f"{version.id} needs another base than {self.base_name}, which is served here.",
                "Start the gateway with its base in the setting model.",
                "model",
            )
        return Route(name, version)

    async def _version(self, ws: str, model_id: str) -> ModelVersion:
        # Versions never change, so what was read once is still true.
        if (ws, model_id) not in self._versions:
            self._versions[ws, model_id] = await asyncio.to_thread(models.get, self._db, ws, model_id)
        return self._versions[ws, model_id]

    async def prepare(self, deployment: Deployment) -> None:
        """Load what a deployment serves, so that its first call does not wait."""
        if self._engine is None:
            raise EngineDown("The engine is still starting.", "Its first call will load the model.")
        await self._engine.load(await self._version(deployment.workspace, deployment.model))

    async def generate(self, version: ModelVersion, request: Request) -> AsyncGenerator[Delta, None]:
        """Answer a call; an engine that is down before the first piece is asked again once it is back."""
        engine = await self.engine()
        for attempt in range(1, ATTEMPTS + 1):
            begun, deltas = False, engine.generate(request)
            try:
                await engine.load(version)
                async for delta in deltas:
                    begun = True
                    yield delta
            except EngineDown:
                if begun or attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(0.5 * attempt)
            else:
                return
            finally:
                # At once, not when the collector comes: this is what tells the engine to stop.
                if isinstance(deltas, AsyncGenerator):
                    await deltas.aclose()


def _find_base(settings: Settings, db: Database) -> ModelVersion:
    name = model_name(settings.model)
    here = name in pulled(settings.root) or Path(settings.model).expanduser().exists()
    if settings.engine == "fake" and not here:
        # A trial without a model: nothing is fetched or converted.
        version = ModelVersion(derived_id("model", "fake", name), "", name, "base", "", "", {}, created=0.0)
    else:
        version = ensure_base(settings.root, settings.model, _log.info)
    return models.add(db, version)
