"""Supervised child processes: started, watched, restarted, stopped, and never left behind.

This module knows when a child starts and starts again. It does not know what a child does: a child says ``{"ready":
{…}}`` on a line of its standard output, then any JSON lines it likes; everything else that it prints goes to its log.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from feilun.compute.logs import LogFile
from feilun.compute.spares import Spare
from feilun.compute.spawned import Child
from feilun.errors import Conflict, EngineDown, FeilunError
from feilun.records import JSON

ROTATE_SECONDS = 10.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Restart:
    """When to start a crashed child again: after ``first`` seconds, doubling up to ``longest``, each ± ``jitter``.

    More than ``tries`` crashes within ``window`` seconds, and the supervisor gives up. Jitter keeps children that
    fell together from rising together. ``at_once`` is for a child that people wait for: after the only crash of a
    window it starts without a pause.
    """

    tries: int = 5
    window: float = 120.0
    first: float = 0.2
    longest: float = 10.0
    jitter: float = 0.5
    at_once: bool = False

    def delay(self, crashes: int) -> float:
        """Return the seconds to wait after that many recent crashes (1 or more)."""
        if self.at_once and crashes == 1:
            return 0.0
        return min(self.longest, self.first * 2.0 ** (crashes - 1)) * random.uniform(1 - self.jitter, 1 + self.jitter)


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, directly and not through a shell.

    ``env`` is added to ours; ``log`` takes what it prints; with ``ready_seconds`` 0 no ready line is expected (work
    that just runs and ends); ``stop_seconds`` is how long it may take to end when asked. Others go before work in the
    ``background``.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    ready_seconds: float = 120.0
    stop_seconds: float = 10.0
    background: bool = False


class Process:
    """A supervised child. Use it once: ``async with Process(command) as child:``, or ``start`` and ``stop``."""

    def __init__(
        self,
        command: Command,
        *,
        on_message: Callable[[JSON], None] | None = None,
        restart: Restart | None = None,
        spare: Spare | None = None,
    ) -> None:
        """Prepare ``command``; ``on_message`` gets its JSON lines, in order; without ``restart`` it runs once.

        A ``spare`` that fits takes the place of a new child at every start.
        """
        self.command = command
        self.starts = 0
        self._on_message = on_message
        self._restart = restart
        self._spare = spare
        self._log: LogFile | None = None
        self._child: Child | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._over = asyncio.Event()
        self._error: BaseException | None = None

    @property
    def pid(self) -> int:
        """The child's process id, which is its group's too; 0 if there is no child just now."""
        return self._child.pid if self._child is not None and not self._child.exited.done() else 0

    @property
    def info(self) -> JSON:
        """What the child said when it was ready; raises EngineDown at once while it is not up."""
        if self._child is not None and self.pid and self._up.is_set():
            return self._child.info
        if isinstance(self._error, FeilunError):
            raise self._error
        raise EngineDown(f"{self.command.name} is not running just now.", "Try again in a moment.")

    async def start(self) -> JSON:
        """Start the child; return what it said when ready. A first start that fails is not tried again.

        Raises EngineDown with the log's path and last lines, or the error that the child sent with ``say_failure``.
        """
        if self._log is not None:
            raise Conflict(f"{self.command.name} was started before.", "Make a new Process.")
        log = self._log = LogFile(self.command.log)
        try:
            child = await self._spawn(log)
        except BaseException:
            await self._end(grace=0)
            raise
        self._supervisor = asyncio.create_task(self._supervise(log, child), name=f"supervise {self.command.name}")
        return child.info

    async def ready(self) -> JSON:
        """Wait until the child is up, through restarts; return what it said. Raises EngineDown once it is given up."""
        waits = {asyncio.ensure_future(event.wait()) for event in (self._up, self._over)}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return self.info

    async def gone(self) -> None:
        """Wait until the present child has ended, whether or not another follows."""
        if self._child is not None:
            await asyncio.wait({self._child.exited})

    def kill(self) -> None:
        """Kill the present child, as a crash would: the supervisor does what it does after one."""
        if self._child is not None:
            self._child.kill()

    async def wait(self) -> int:
        """Wait until the child has ended for good; return its exit code (negative: the signal that ended it).

        Raises the error that the child sent with ``say_failure``, the one that ``on_message`` raised, or EngineDown
        if the supervisor gave up.
        """
        await self._over.wait()
        if self._error is not None:
            raise self._error
        return self._child.exited.result() if self._child is not None else 0

    async def stop(self) -> None:
        """End the child: SIGTERM, ``stop_seconds`` of grace, then SIGKILL for its whole group. Safe to call again.

        Standard input closes last: a child that dies with its parent would take its closing for the parent's death.
        Who is cancelled while it waits learns so after the child's end.
        """
        await to_the_end(self._stop())

    async def _stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
        await self._end(self.command.stop_seconds)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _spawn(self, log: LogFile) -> Child:
        """Start one child and wait until it is ready."""
        command = self.command
        log.rotate()
        log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} start {self.starts + 1} of {command.name}\n".encode())
        child = await self._spare.take(command.argv, command.env, log, self._on_message) if self._spare else None
        if child is None:
            child = Child(log, self._on_message)
            try:
                await child.launch(command.argv, command.env, command.cwd)
            except OSError as error:
                reason = f"{command.name} cannot be started: {command.argv[0]}: {error.strerror}."
                raise EngineDown(reason, "Check that it is installed.") from error
            if command.background:
                child.give_way()
        self._child = child
        self.starts += 1
        if command.ready_seconds:
            waits: set[asyncio.Future[Any]] = {child.announced, child.exited}
            await asyncio.wait(waits, timeout=command.ready_seconds, return_when=asyncio.FIRST_COMPLETED)
            if not child.announced.done():
                await self._refuse(child)
        self._up.set()
        # Before anybody else learns of the end: who waits for the next start must not find this one up.
        child.exited.add_done_callback(lambda _: self._up.clear())
        if self._spare:
            self._spare.refill()
        return child

    async def _refuse(self, child: Child) -> None:
        """Raise the reason why ``child`` was never ready, and end it if it still runs."""
        if not child.exited.done():
            await child.stop(grace=0)
            raise self._down(f"was not ready within {self.command.ready_seconds:g} seconds")
        code, error = await child.outcome()
        raise error or self._down(f"{_ended(code)} before it was ready")

    async def _supervise(self, log: LogFile, child: Child) -> None:
        """Watch the child; start it again after a crash; give up after too many."""
        crashes: deque[float] = deque()
        while True:
            while not (await asyncio.wait({child.exited}, timeout=ROTATE_SECONDS))[0]:
                log.rotate()
            code, error = await child.outcome()
            if self._restart is None:
                self._error = error
                break
            crashes.append(time.monotonic())
            while crashes[0] < crashes[-1] - self._restart.window:
                crashes.popleft()
            if len(crashes) > self._restart.tries:
                self._error = error or self._down(f"{_ended(code)}, the last of {len(crashes)} times")
                break
            await asyncio.sleep(self._restart.delay(len(crashes)))
            # A start that fails counts as the next crash: its child has ended, so the loop comes round at once.
            with suppress(FeilunError):
                await self._spawn(log)
            child = self._child or child
        self._close(log)

    async def _end(self, grace: float) -> None:
        """End the child if there is one, and release what belongs to it."""
        if self._log is None:
            return
        self._up.clear()
        if self._child is not None:
            await self._child.stop(grace)
        self._close(self._log)

    def _close(self, log: LogFile) -> None:
        if not self._over.is_set():
            log.close()
            self._over.set()

    def _down(self, what: str) -> EngineDown:
        tail = self._log.tail() if self._log is not None else ""
        return EngineDown(
            f"{self.command.name} {what}. Its log ends with:\n{tail}", f"The whole log: {self.command.log}"
        )


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of all of ``work``, even if its caller is cancelled meanwhile: the cancellation comes after.

    For cleaning up: a second cleaning-up would find the first one begun, take it for done, and leave what it left.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()


def _ended(code: int) -> str:
    """Say how a process ended: ``ended with exit code 3``."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"was ended by {name}" + (" (was the memory full?)" if name == "SIGKILL" else "")
