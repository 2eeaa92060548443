"""All engine processes of this machine: started when they are called for, stopped when others need their memory.

It knows bases, their versions and what memory they take. It does not know keys, routes or what is asked of a model.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

from feilun.compute import Command, Process, Restart, Spare, memory_limit
from feilun.engines import Delta, Engine, Request
from feilun.engines.models import model_name
from feilun.errors import BadModel, EngineDown, FeilunError, NotFound, OutOfSpace
from feilun.records import JSON, ModelVersion
from feilun.serving.client import ProcessEngine
from feilun.serving.replica import Place, Replica
from feilun.serving.start import (
    EMBEDDING_BYTES,
    MODULES,
    PROCESS_BYTES,
    check_choice,
    embedding_command,
    engine_command,
    environment,
    estimate,
)
from feilun.settings import Settings

RESTART = Restart(at_once=True)
SPARE_BYTES = 256 << 20
SPARE_SECONDS = 5.0  # what an engine that just started needs for its first answers
ROOM_SECONDS = 60.0  # how long a start waits for others to be used no more
SETTLE_SECONDS = 1.0  # what was used within them is not stopped for others: two bases must not chase each other out
IDLE_SECONDS = 1800.0  # after which a base other than the default is stopped
ROUND_SECONDS = 30.0
DRAIN_SECONDS = 20.0
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0  # how long the reason of a failed start is the answer to further calls


@dataclass(slots=True)
class _Failure:
    """Why the last start of a base failed, and until when that is the answer."""

    error: FeilunError
    name: str
    pause: float
    until: float


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one process is started."""

    key: str
    name: str
    command: Command
    token: str
    folder: str
    needs: int


class Fleet:
    """The engines of one machine. All methods are for one event loop."""

    def __init__(self, settings: Settings, root: Path) -> None:
        """Keep the settings; nothing is started before it is called for. Raises BadSetting for an unknown engine."""
        check_choice(settings)
        self._settings, self._root = settings, root
        self.budget = int(settings.memory * 2**30) or memory_limit() // 2
        self._spare: Spare | None = None
        if settings.engine != "fake" and self.budget > 4 * SPARE_BYTES:
            self.budget -= SPARE_BYTES
            self._spare = Spare(
                MODULES[settings.engine], root / "logs" / "spare.log", environment(settings), SPARE_SECONDS
            )
        self._default = model_name(settings.model)
        self._replicas: dict[str, Replica] = {}
        self._holders: dict[str, Replica] = {}
        self._starting: dict[str, asyncio.Task[Replica]] = {}
        self._failures: dict[str, _Failure] = {}
        self._stopped: dict[str, str] = {}  # base -> name
        self._room = asyncio.Lock()
        self._generations = itertools.count(1)
        self._rounds: asyncio.Task[None] | None = None
        self._closed = False

    def ready(self, version_id: str) -> Place | None:
        """Return where a version is served, or None if that takes waiting: the hot path."""
        replica = self._holders.get(version_id)
        if replica is None or replica.place is None or version_id not in replica.used:
            return None
        replica.touch(version_id)
        return replica.place

    async def place(self, version: ModelVersion, base: ModelVersion) -> Place:
        """Start and load what is needed, and return where ``version`` is served.

        Raises EngineDown, BadModel, IdentityMismatch, or OutOfSpace for a base that does not fit the memory.
        """
        place = self.ready(version.id)
        if place is not None:
            return place
        replica = await self._replica(base.id, base.name, lambda: self._plan(base))
        place = await replica.serve(version)
        self._holders[version.id] = replica
        return place

    async def embedder(self, name: str) -> Place:
        """Start the embedding model ``name`` if needed, and return where it is served. Raises BadModel, EngineDown."""
        key = embedding_key(name)
        if (place := self.ready(key)) is not None:
            return place
        replica = await self._replica(key, name, lambda: self._embedding_plan(key, name))
        place = await replica.opened()
        replica.touch(key)
        self._holders[key] = replica
        return place

    def hold(self, place: Place) -> None:
        """Count a call in flight: its base is not stopped for others. Every hold has its release."""
        if (replica := self._replicas.get(place.base)) is not None:
            replica.hold(place.generation)

    def release(self, place: Place) -> None:
        """Count a call that is over."""
        if (replica := self._replicas.get(place.base)) is not None:
            replica.release(place.generation)

    def fell(self, place: Place) -> None:
        """Take note that somebody found a place dead: it is not ready until its process says so itself."""
        if (replica := self._replicas.get(place.base)) is not None:
            replica.fell(place)

    async def unload(self, version_id: str) -> None:
        """Forget a version; its calls go on to their end, and a later call loads it again."""
        replica = self._holders.pop(version_id, None)
        if replica is not None:
            await replica.unload(version_id)

    async def engine(self, base: ModelVersion) -> Engine:
        """Return the seam to a base, which is started at its first use. Closing it stops nothing."""
        return _Seat(self, base)

    def holder(self, version_id: str) -> ProcessEngine:
        """Return the engine that holds a version; raise EngineDown if none does."""
        replica = self._holders.get(version_id)
        if replica is None:
            raise EngineDown(f"No engine holds {version_id} just now.", "Try again in a moment.")
        return replica.engine

    def status(self) -> list[JSON]:
        """Describe every base that was called for: running, starting, failed or stopped."""
        rows = [replica.status() for replica in self._replicas.values()]
        silent: JSON = {"memory": 0, "versions": [], "calls": 0, "restarts": 0, "pid": 0}
        for key, failure in self._failures.items():
            if key not in self._replicas:
                row = {"base": key, "name": failure.name, "state": "failed", "error": failure.error.message}
                rows.append({**row, **silent})
        for key, name in self._stopped.items():
            rows.append({"base": key, "name": name, "state": "stopped", "error": "", **silent})
        return rows

    async def close(self) -> None:
        """Let nobody in, wait for calls in flight, end every process."""
        self._closed = True
        for replica in self._replicas.values():
            replica.withdraw()
        ending = {*self._starting.values(), *([self._rounds] if self._rounds else [])}
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)
        replicas = list(self._replicas.values())
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await asyncio.gather(*(replica.idle.wait() for replica in replicas))
        await asyncio.gather(*(self._stop(replica) for replica in replicas))
        if self._spare is not None:
            await self._spare.stop()

    def _plan(self, base: ModelVersion) -> _Plan:
        command, token = engine_command(self._settings, base, self._log(base.name))
        needs = PROCESS_BYTES
        if self._settings.engine != "fake":
            if base.kind != "base":
                raise BadModel(f"{base.id} is not a base model.", "Name the base of the adapter.")
            needs = estimate(Path(base.folder), self._settings.batch, self._settings.context)
        return _Plan(base.id, base.name, command, token, base.folder, needs)

    def _embedding_plan(self, key: str, name: str) -> _Plan:
        command, token = embedding_command(self._settings, name, self._log(name))
        return _Plan(key, name, command, token, "", EMBEDDING_BYTES)

    def _log(self, name: str) -> Path:
        return self._root / "logs" / f"engine-{model_name(name)}.log"

    async def _replica(self, key: str, name: str, plan: Callable[[], _Plan]) -> Replica:
        """Return the replica of ``key``, started if need be: once, however many ask."""
        if self._closed:
            raise EngineDown("The engines are being stopped.", "Try again in a moment.")
        task = self._starting.get(key)
        if task is None:
            replica = self._replicas.get(key)
            if replica is not None and replica.state in {"ok", "starting"}:
                return replica
            if replica is not None:
                self._failed(key, name, replica.error or EngineDown(f"{name} has fallen.", "Try again in a moment."))
                await self._stop(replica)
            failure = self._failures.get(key)
            if failure is not None and time.monotonic() < failure.until:
                raise failure.error
            task = self._starting.get(key) or self._begin(key, name, plan)
        return await asyncio.shield(task)

    def _begin(self, key: str, name: str, plan: Callable[[], _Plan]) -> asyncio.Task[Replica]:
        task = self._starting[key] = asyncio.create_task(self._start(plan), name=f"start {name}")
        task.add_done_callback(lambda done: self._started(key, name, done))
        if self._rounds is None:
            self._rounds = asyncio.create_task(self._make_rounds(), name="idle engines")
        return task

    async def _start(self, make: Callable[[], _Plan]) -> Replica:
        plan = await asyncio.to_thread(make)
        if plan.needs > self.budget:
            raise OutOfSpace(
                f"{plan.name} needs about {_gib(plan.needs)} of memory; local models may take {_gib(self.budget)}.",
                "Raise the setting memory, or lower context or batch.",
            )
        async with self._room:
            await self._make_room(plan)
            process = Process(plan.command, restart=RESTART, spare=self._spare)
            verify = self._settings.engine != "fake"
            engine = ProcessEngine(process, plan.token, plan.folder, verify=verify)
            replica = self._replicas[plan.key] = Replica(plan.key, plan.name, engine, plan.needs, self._generations)
        await replica.start()
        return replica

    def _started(self, key: str, name: str, task: asyncio.Task[Replica]) -> None:
        del self._starting[key]
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            self._replicas.pop(key, None)
            if isinstance(error, FeilunError):
                self._failed(key, name, error)
        else:
            self._failures.pop(key, None)
            self._stopped.pop(key, None)

    def _failed(self, key: str, name: str, error: FeilunError) -> None:
        """Keep a reason as the answer to further calls, every time for longer."""
        before = self._failures.get(key)
        pause = min(2 * before.pause, LONGEST_PAUSE) if before else FIRST_PAUSE
        self._failures[key] = _Failure(error, name, pause, time.monotonic() + pause)
        self._stopped.pop(key, None)

    async def _make_room(self, plan: _Plan) -> None:
        """Stop others, the least recently used first, until there is room; wait for those in use."""
        end = time.monotonic() + ROOM_SECONDS
        while True:
            taken = await asyncio.to_thread(lambda: sum(each.memory() for each in list(self._replicas.values())))
            if taken + plan.needs <= self.budget:
                return
            idle = self._unused(SETTLE_SECONDS)
            if idle:
                await self._stop(min(idle, key=lambda each: each.last_used))
            elif time.monotonic() > end:
                raise EngineDown(
                    f"There is no room for {plan.name} ({_gib(plan.needs)}): the other local models are all in use.",
                    "Try again later, or raise the setting memory.",
                )
            else:
                await asyncio.sleep(0.1)

    def _unused(self, seconds: float) -> list[Replica]:
        before = time.monotonic() - seconds
        return [
            each
            for key, each in self._replicas.items()
            if each.state in {"ok", "failed"} and not each.calls and each.last_used < before
            if key not in self._starting
        ]

    async def _make_rounds(self) -> None:
        """Stop what has not been used for long; the default base stays."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            async with self._room:
                for replica in self._unused(IDLE_SECONDS):
                    if replica.name != self._default:
                        await self._stop(replica)

    async def _stop(self, replica: Replica) -> None:
        replica.withdraw()  # before anything is waited for, so that nobody is let in any more
        if self._replicas.pop(replica.key, None) is not None and replica.key not in self._failures:
            self._stopped[replica.key] = replica.name
        self._holders = {version: holder for version, holder in self._holders.items() if holder is not replica}
        await replica.stop()


class _Seat:
    """The seam to one base of the fleet."""

    def __init__(self, fleet: Fleet, base: ModelVersion) -> None:
        self._fleet, self._base = fleet, base
        self._versions: dict[str, ModelVersion] = {}

    async def load(self, version: ModelVersion) -> JSON:
        """Have the fleet load a version; return its identity."""
        await self._fleet.place(version, self._base)
        self._versions[version.id] = version
        return await self._fleet.holder(version.id).load(version)

    async def generate(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Answer one call; the base is held meanwhile."""
        version = self._versions.get(request.model)
        if version is None:
            raise NotFound(f"The engine has not loaded {request.model}.", param="model")
        place = await self._fleet.place(version, self._base)
        engine = self._fleet.holder(version.id)
        self._fleet.hold(place)
        try:
            async with aclosing(engine.generate(request)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            self._fleet.release(place)

    async def unload(self, model: str) -> None:
        """Forget a version."""
        self._versions.pop(model, None)
        await self._fleet.unload(model)

    async def close(self) -> None:
        """Nothing: the fleet lives on."""


def embedding_key(name: str) -> str:
    """Return the name under which ``Fleet.ready`` knows an embedding model."""
    return f"embedding:{name}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
