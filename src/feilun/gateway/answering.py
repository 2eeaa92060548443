"""From a model's public name to what serves it here: which version is meant, its base, and an engine that holds it.

This module knows the engines of this machine and the versions of each workspace. It does not know HTTP or budgets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from feilun.engines.models import ensure_base, model_name, pulled
from feilun.engines.seam import Delta, Request
from feilun.errors import EngineDown, FeilunError, ModelNotFound, NotFound
from feilun.gateway.snapshot import Snapshot, implicit
from feilun.records import JSON, Deployment, Endpoint, ModelVersion, derived_id
from feilun.serving.fleet import Fleet
from feilun.settings import Settings
from feilun.store import Database, models

READY_SECONDS = 120.0
ATTEMPTS = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """What a name stands for: the version that answers, and the deployment if an endpoint was named."""

    endpoint: str
    version: ModelVersion
    deployment: str = ""


class Answering:
    """The models of this machine, and the state of the default base: ``starting``, ``ok`` or ``failed``."""

    def __init__(self, settings: Settings, db: Database, snapshot: Snapshot, fleet: Fleet) -> None:
        """Keep what is needed; :meth:`run` starts the default base."""
        self._settings, self._db, self._snapshot, self._fleet = settings, db, snapshot, fleet
        self._versions: dict[tuple[str, str], ModelVersion] = {}
        self._implicit: dict[tuple[str, str], tuple[Endpoint, bool]] = {}  # and whether it can be off
        self._tried = asyncio.Event()
        self._base: ModelVersion | None = None
        self.status: Literal["starting", "ok", "failed"] = "starting"
        self.error: FeilunError | None = None
        self.base_name = model_name(settings.model)

    async def run(self) -> None:
        """Start the default base; where that fails, keep the reason and try again, ever more slowly."""
        pause = 2.0
        while True:
            try:
                base = self._base
                if base is None:
                    base = self._base = await asyncio.to_thread(_find_base, self._settings, self._db)
                await self._fleet.place(base, base)
                break
            except FeilunError as error:
                self.status, self.error = "failed", error
                _log.warning("the engine did not start: %s %s", error.message, error.hint)
                self._tried.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 60.0)
        self.status, self.error = "ok", None
        self._tried.set()

    async def base(self) -> ModelVersion:
        """Return the default base; raise EngineDown, with the reason, while there is none."""
        if self._base is None:
            try:
                async with asyncio.timeout(READY_SECONDS):
                    await self._tried.wait()
            except TimeoutError as error:
                raise EngineDown("The base model is not ready.", "Try again in a moment.") from error
        if self._base is None:
            reason = self.error or EngineDown("The engine is still starting.", "Try again in a moment.")
            raise EngineDown(f"The engine did not start: {reason.message}", reason.hint)
        return self._base

    async def resolve(self, ws: str, name: str) -> tuple[Endpoint, str]:
        """Return the endpoint that a name stands for and its deployment; raise ModelNotFound, also for what is off."""
        found = self._snapshot.endpoint(ws, name)
        if found is not None:
            return found
        kept = self._implicit.get((ws, name))
        if kept is None:
            if name and name == self._settings.embedding:
                kept = implicit(ws, name, name), False
            else:
                version = (await self.route(ws, name)).version
                kept = implicit(ws, name, version.id), version.kind != "base"
            if len(self._implicit) > 100_000:
                self._implicit.clear()
            self._implicit[ws, name] = kept
        endpoint, switched = kept
        if switched and not self._snapshot.on(ws, name):
            await self._snapshot.refresh(self.prepare)  # it may have been turned on just now
            if not self._snapshot.on(ws, name):
                raise ModelNotFound(
                    f"The model {name[:100]!r} is off: no verdict has promoted it, and nobody has turned it on.",
                    f"Turn it on with POST /api/models/{name[:100]}/on, or feilun model on {name[:100]}.",
                    "model",
                )
        return endpoint, ""

    async def local(self, ws: str, model: str) -> tuple[ModelVersion, ModelVersion]:
        """Return a version that is served here, by its id or its base's name, and its base; raise ModelNotFound."""
        version = (await self.route(ws, model)).version
        if version.kind == "base":
            return version, version
        return version, await self._base_of(ws, version)

    async def route(self, ws: str, name: str) -> Route:
        """Return what a name means in a workspace: a base, a promoted endpoint, or a version's id."""
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
            return Route(name, await self._version(ws, name))
        except NotFound as error:
            if name in await asyncio.to_thread(pulled, self._settings.root):
                return Route(name, await self._pulled(name))
            raise ModelNotFound(
                f"The model {name[:100]!r} does not exist in this workspace.", "GET /v1/models lists them.", "model"
            ) from error

    async def _version(self, ws: str, model_id: str) -> ModelVersion:
        # Versions never change, so what was read once is still true.
        if (ws, model_id) not in self._versions:
            self._versions[ws, model_id] = await asyncio.to_thread(models.get, self._db, ws, model_id)
        return self._versions[ws, model_id]

    async def _pulled(self, name: str) -> ModelVersion:
        if ("", name) not in self._versions:
            version = await asyncio.to_thread(ensure_base, self._settings.root, name, _log.info)
            self._versions["", name] = await asyncio.to_thread(models.add, self._db, version)
        return self._versions["", name]

    async def _base_of(self, ws: str, version: ModelVersion) -> ModelVersion:
        base = await self.base()
        return base if version.base == base.id else await self._version(ws, version.base)

    async def prepare(self, deployment: Deployment) -> None:
        """Load what a deployment serves, so that its first call does not wait."""
        if self.status != "ok":
            raise EngineDown("The engine is still starting.", "Its first call will load the model.")
        await self._fleet.place(*await self.local(deployment.workspace, deployment.model))

    async def identity(self, ws: str, version: ModelVersion) -> JSON:
        """Return what the engine says it has loaded of a version; raise EngineDown."""
        base = version if version.kind == "base" else await self._base_of(ws, version)
        return await (await self._fleet.engine(base)).load(version)

    async def generate(self, ws: str, version: ModelVersion, request: Request) -> AsyncGenerator[Delta, None]:
        """Answer a question of an exam; an engine that is down before the first piece is asked again once it is up."""
        base = version if version.kind == "base" else await self._base_of(ws, version)
        engine = await self._fleet.engine(base)
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
