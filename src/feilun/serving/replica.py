"""One engine process of the fleet: where it is reached, which versions it holds, who uses it, and its rising again.

It knows one process. It does not know the other ones, memory budgets, or what calls ask for.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from feilun.compute import Process, rss
from feilun.errors import EngineDown, FeilunError
from feilun.records import JSON, ModelVersion
from feilun.serving.client import ProcessEngine

ADAPTERS = 64  # versions that a process holds; beyond, the least recently used one is unloaded
EXAMINE_SECONDS = 10.0  # within which a process that somebody found dead must say that it lives
ATTEMPTS = 3
State = Literal["starting", "ok", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a version is served right now. ``generation`` is another one after every start of the process."""

    host: str
    port: int
    authorization: bytes
    base: str
    generation: int


class Replica:
    """A supervised engine process. ``place`` is None while it is not up; ``used`` maps its versions to last uses."""

    def __init__(self, key: str, name: str, engine: ProcessEngine, needs: int, generations: Iterator[int]) -> None:
        """Keep what is needed; :meth:`start` starts the process. ``needs`` is the memory set aside for it, in bytes."""
        self.key, self.name, self.engine, self.needs = key, name, engine, needs
        self.state: State = "starting"
        self.error: FeilunError | None = None
        self.place: Place | None = None
        self.used: dict[str, float] = {}
        self.calls = 0
        self._held: Counter[int] = Counter()  # generation -> calls in flight
        self.last_used = time.monotonic()
        self.idle = asyncio.Event()
        self.idle.set()
        self._generations = generations
        self._turned = asyncio.Event()  # the state is another than "starting"
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._examining: asyncio.Task[None] | None = None

    @property
    def process(self) -> Process:
        """The supervised process."""
        return self.engine.process

    async def start(self) -> None:
        """Start the process; raise what keeps it from starting."""
        try:
            await self.process.start()
            await self._rise()
        except BaseException as error:
            self._turn("failed", error if isinstance(error, FeilunError) else None)
            await self.engine.close()
            raise
        self._watch = asyncio.create_task(self._keep(), name=f"replica {self.name}")

    async def opened(self) -> Place:
        """Return the place once the process is up; raise what keeps it down."""
        await self._turned.wait()
        if self.place is None:
            raise self.error or EngineDown(f"{self.name} is being stopped.", "Try again in a moment.")
        return self.place

    async def serve(self, version: ModelVersion) -> Place:
        """Return the place of ``version`` once it is loaded there; wait through a crash."""
        for attempt in range(1, ATTEMPTS + 1):
            await self.opened()
            try:
                if version.id not in self.used:
                    await self._load(version)
            except EngineDown:
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(0.1 * attempt)  # its end is noticed a moment after its connections broke
            if version.id in self.used and self.place is not None:
                self.touch(version.id)
                return self.place
        raise EngineDown(f"{self.name} falls again and again.", f"Its log: {self.process.command.log}")

    async def unload(self, version_id: str) -> None:
        """Forget a version; its calls go on to their end."""
        if self.used.pop(version_id, None) is not None:
            with suppress(EngineDown):  # then it is forgotten, too
                await self.engine.unload(version_id)

    def touch(self, version_id: str) -> None:
        """Note that a version is used."""
        self.used[version_id] = self.last_used = time.monotonic()

    def hold(self, generation: int) -> None:
        """Count a call in flight."""
        self._held[generation] += 1
        self.calls += 1
        self.last_used = time.monotonic()
        self.idle.clear()

    def release(self, generation: int) -> None:
        """Count a call that is over; one that a predecessor of this replica held is none of ours."""
        if not self._held[generation]:
            return
        self._held[generation] -= 1
        self.calls -= 1
        self.last_used = time.monotonic()
        if self.calls == 0:
            self._held.clear()
            self.idle.set()

    def fell(self, place: Place) -> None:
        """Take somebody's word that ``place`` is dead until the process itself says otherwise."""
        if self.place == place:
            self._turn("starting")
            self._examining = asyncio.create_task(self._examine(place), name=f"examine {self.name}")

    def memory(self) -> int:
        """Return the bytes that it takes, or is expected to take."""
        return 0 if self.state == "failed" else max(self.needs, rss(self.process.pid) if self.process.pid else 0)

    def status(self) -> JSON:
        """Describe it for people."""
        return {
            "base": self.key,
            "name": self.name,
            "state": self.state,
            "error": self.error.message if self.error else "",
            "memory": rss(self.process.pid) if self.process.pid else 0,
            "versions": sorted(self.used),
            "calls": self.calls,
            "restarts": max(0, self.process.starts - 1),
            "pid": self.process.pid,
        }

    def withdraw(self) -> None:
        """Let nobody in any more."""
        self._turn("stopped")

    async def stop(self) -> None:
        """Let nobody in, and end the process."""
        self.withdraw()
        for task in (self._watch, self._examining):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        await self.engine.close()

    def _turn(self, state: State, error: FeilunError | None = None) -> None:
        if self.state == "stopped":  # for good: a crash while calls are waited for must not open it again
            return
        self.state, self.error = state, error
        self.place = self.place if state == "ok" else None
        if state == "starting":
            self._turned.clear()
        else:
            self._turned.set()

    async def _rise(self) -> None:
        """Load again what was loaded, then open."""
        info = await self.process.ready()
        for lost in await self.engine.reload():
            self.used.pop(lost, None)
        token = f"Bearer {self.engine.token}".encode()
        self.place = Place("127.0.0.1", int(info["port"]), token, self.key, next(self._generations))
        self._turn("ok")

    async def _keep(self) -> None:
        """Close whenever the process has fallen, and open once it is up again."""
        while True:
            await self.process.gone()
            self._turn("starting")
            try:
                await self.process.ready()
            except FeilunError as error:  # the supervisor has given up
                self._turn("failed", error)
                return
            with suppress(EngineDown):  # it fell once more
                await self._rise()

    async def _examine(self, place: Place) -> None:
        """Open again if the process lives; kill one that cannot say so, for its supervisor to start another."""
        start = self.process.starts
        try:
            async with asyncio.timeout(EXAMINE_SECONDS):
                await self.engine.health()
        except (FeilunError, TimeoutError):
            if self.process.starts == start:
                self.process.kill()
            return
        if self.process.starts == start and self.state == "starting":
            self.place = place
            self._turn("ok")

    async def _load(self, version: ModelVersion) -> None:
        """Load a version once, however many ask for it."""
        task = self._loading.get(version.id)
        if task is None:
            task = self._loading[version.id] = asyncio.create_task(self._load_once(version))
            task.add_done_callback(lambda done: self._loaded(version.id, done))
        await asyncio.shield(task)

    def _loaded(self, version_id: str, task: asyncio.Task[None]) -> None:
        del self._loading[version_id]
        if not task.cancelled():
            task.exception()  # whoever waited has it; if all have left, nobody misses it

    async def _load_once(self, version: ModelVersion) -> None:
        await self.engine.load(version)
        self.touch(version.id)
        while len(self.used) > ADAPTERS:
            eldest = min(self.used, key=lambda model: (model == self.key, self.used[model]))
            await self.unload(eldest)
