"""A fleet without processes: one engine, in this very process, behind the same face on a loopback port.

For trials and tests that hold the engine in their hands. It knows an engine and a port. It does not know memory,
crashes or restarts: what has a process of its own is the other fleet's matter.
"""

from __future__ import annotations

import asyncio
import secrets
import socket

from feilun.engines.embed import FakeEmbedder
from feilun.engines.fake import FakeEngine
from feilun.records import JSON, ModelVersion
from feilun.serving import embed_worker, face
from feilun.serving.fleet import Fleet
from feilun.serving.replica import Place
from feilun.settings import Settings
from feilun.wire import Server, ServerLimits


class IndoorFleet(Fleet):
    """Serves every version by one engine that lives here, and embeddings by rule."""

    def __init__(self, settings: Settings, engine: FakeEngine) -> None:
        """Keep the engine; nothing listens before it is called for."""
        super().__init__(settings, settings.root)
        self._engine = engine
        self._token = secrets.token_urlsafe(16)
        self._serving: dict[str, tuple[Server, asyncio.Task[None], Place]] = {}
        self._guard = asyncio.Lock()

    def ready(self, version_id: str) -> Place | None:
        """Return the place of a version that the engine has loaded."""
        found = self._serving.get("engine")
        return found[2] if found is not None and version_id in self._engine.loaded else None

    async def place(self, version: ModelVersion, base: ModelVersion) -> Place:
        """Load a version and return where the engine listens."""
        async with self._guard:
            await self._engine.load(version)
            if "engine" not in self._serving:
                shown = face.Face(self._engine, self._token, self._engine.context)
                await self._open("engine", Server(shown.handlers(), None, ServerLimits(), shown.admit), base.id)
            return self._serving["engine"][2]

    async def embedder(self, name: str) -> Place:
        """Return where vectors are made."""
        async with self._guard:
            if name not in self._serving:
                shown = embed_worker.Face(name, FakeEmbedder(), self._token)
                hot = {("POST", "/v1/embeddings"): shown.embeddings}
                await self._open(name, Server(hot, None, ServerLimits(), shown.admit), name)
            return self._serving[name][2]

    async def _open(self, key: str, server: Server, base: str) -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        place = Place("127.0.0.1", listener.getsockname()[1], f"Bearer {self._token}".encode(), base, 1)
        self._serving[key] = (server, asyncio.create_task(server.serve(listener)), place)

    def hold(self, place: Place) -> None:
        """Nothing is ever stopped for another."""

    def release(self, place: Place) -> None:
        """Nothing is ever stopped for another."""

    def fell(self, place: Place) -> None:
        """Nothing falls here alone."""

    async def unload(self, version_id: str) -> None:
        """Forget a version."""
        await self._engine.unload(version_id)

    async def engine(self, base: ModelVersion) -> FakeEngine:
        """Return the engine itself."""
        del base
        return self._engine

    def status(self) -> list[JSON]:
        """Say that it is there."""
        return [{"base": key, "name": key, "state": "ok", "error": ""} for key in self._serving]

    async def close(self) -> None:
        """End what listens."""
        for server, task, _ in self._serving.values():
            await server.close(1)
            await task
