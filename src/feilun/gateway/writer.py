"""Nobody is told that an answer is complete before its trace is on disk.

Traces go into the call log: while one batch is being made durable the next one gathers, so that many calls share one
wait for the disk. A drain brings them into rows when there is time; a database that is away keeps no call waiting. This
module knows traces. It does not know calls.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from feilun.errors import EngineDown, FeilunError
from feilun.store import Database
from feilun.store.calls.calllog import Batch, CallLog
from feilun.store.calls.disk import Disk

LOOK_SECONDS = 0.25
AGAIN_SECONDS = 2.0
QUIET = 25  # calls in LOOK_SECONDS: while more come, rows wait
LATE_SECONDS = 10.0  # but no longer than this
LAST = 19  # the priority (nice) of the thread that makes rows under load: calls go first
SLICE = 32 << 10  # bytes of the log that it makes rows of at a time
LARGEST_BACKLOG = 64 << 20  # bytes of the log; above, it does not rest
logger = logging.getLogger(__name__)
T = TypeVar("T")
_Waiting = tuple[list[bytes], asyncio.Future[None]]


class Writer:
    """The one that writes traces and usage."""

    def __init__(self, db: Database, folder: Path) -> None:
        """Keep calls in ``folder`` until they are rows of ``db``; :meth:`run` and :meth:`follow` do the work."""
        self._db = db
        self._log = CallLog(folder, f"gateway-{os.getpid()}")
        self._disk: Disk | None = None  # while :meth:`run` runs
        self._waiting: list[_Waiting] = []
        self._busy = False  # something is on its way to the disk, or will be at once
        self._ended = asyncio.Event()
        self._draining = asyncio.Lock()
        self._undrained = False
        self._calls = 0  # that were made durable
        self._closed = False

    async def write(self, lines: list[bytes]) -> None:
        """Return once lines are safe, those of a cancelled caller too; raise what the disk raises."""
        if self._closed:
            raise EngineDown("The gateway is shutting down.", "Try again in a moment.")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((lines, done))
        if not self._busy and self._disk is not None:
            self._busy = True
            loop.call_soon(self._commit, self._disk)  # with all that come in the same turn of the loop
        await done

    async def run(self) -> None:
        """Make what is queued durable until :meth:`close`."""
        await asyncio.to_thread(self._log.make_room)
        self._disk = disk = Disk()
        try:
            self._busy = True
            self._commit(disk)
            await self._ended.wait()
        finally:
            self._disk = None
            disk.close()

    def _commit(self, disk: Disk) -> None:
        """Have all that waits made durable with one sync; when it is, what came meanwhile is next."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            self._busy = False
            if self._closed:
                self._ended.set()
            return
        batch, error = self._tried(lambda: self._log.append([line for lines, _ in waiting for line in lines]))
        if batch is None:
            self._done(waiting, error)
            asyncio.get_running_loop().call_soon(self._commit, disk)
        else:
            disk.sync(batch.handle, partial(self._synced, disk, batch, waiting))

    def _synced(self, disk: Disk, batch: Batch, waiting: list[_Waiting], failure: OSError | None) -> None:
        _, error = self._tried(lambda: self._log.settle(batch, failure))
        self._done(waiting, error)
        self._commit(disk)

    def _tried(self, step: Callable[[], T]) -> tuple[T | None, FeilunError | None]:
        """Return what a step returns, or what those who wait for it are told: whatever happens, somebody waits."""
        try:
            return step(), None
        except FeilunError as failure:
            return None, failure
        except Exception:
            logger.exception("calls cannot be made safe")
            return None, FeilunError("The service failed to keep this call.", "The reason is in its log.")

    def _done(self, waiting: list[_Waiting], error: FeilunError | None) -> None:
        self._undrained = self._undrained or error is None
        self._calls += len(waiting)
        for _, done in waiting:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
                done.exception()  # whoever waits may be gone; the loop must not complain about it

    async def follow(self) -> None:
        """Bring what is durable into rows, for ever: when few calls come, and little by little when many do."""
        low = ThreadPoolExecutor(1, "rows", _come_last)
        try:
            await self._follow(low)
        finally:
            low.shutdown(wait=False)

    async def _follow(self, low: ThreadPoolExecutor) -> None:
        since = time.monotonic()
        while True:
            calls = self._calls
            await asyncio.sleep(LOOK_SECONDS)
            if self._log.needs_room:
                await asyncio.to_thread(self._log.make_room)
            if not self._undrained:
                since = time.monotonic()
                continue
            try:
                if self._calls - calls < QUIET or self._log.waiting > LARGEST_BACKLOG:
                    await self.flush()
                elif time.monotonic() - since > LATE_SECONDS:
                    await self._drain_slowly(low)
                else:
                    continue
                since = time.monotonic()
            except FeilunError as error:
                logger.warning("calls are on disk, but not in the database yet: %s", error.message)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _drain_slowly(self, low: ThreadPoolExecutor) -> None:
        """Bring into rows what is durable now, at the cost of calls that come meanwhile as little as can be."""
        loop = asyncio.get_running_loop()
        while SLICE < self._log.waiting < LARGEST_BACKLOG:
            began = time.monotonic()
            async with self._draining:
                await loop.run_in_executor(low, self._log.drain, self._db, SLICE)
            await asyncio.sleep(time.monotonic() - began)

    async def settled(self) -> None:
        """Return once all that is durable is in rows: for whoever reads them. Raises what the database raises."""
        if self._undrained or self._draining.locked():
            await self.flush()

    async def flush(self) -> None:
        """Bring all that is durable into rows, also what earlier processes left. Raises what the database raises."""
        async with self._draining:
            self._undrained = False
            try:
                await asyncio.to_thread(self._log.drain, self._db)
            except BaseException:
                self._undrained = True
                raise

    async def close(self) -> None:
        """Accept no more; :meth:`run` ends when everything queued is written."""
        self._closed = True
        if not self._busy:
            self._ended.set()

    async def end(self) -> None:
        """Bring the rest into rows if the database is there, and close the log's file; the next start finds it else."""
        try:
            await self.flush()
        except FeilunError as error:
            logger.warning("calls stay on disk until the next start: %s", error.message)
        self._log.close()


def _come_last() -> None:
    """Have this thread work when no other has anything to do, where threads have priorities of their own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LAST)
