"""Nobody is told that an answer is complete before its trace is on disk.

Traces go into the call log: while one batch is being made durable the next one gathers, so that many calls share one
wait for the disk. A drain brings them into rows a little later; a database that is away keeps no call waiting. This
module knows traces. It does not know calls.
"""

from __future__ import annotations

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from feilun.errors import EngineDown, FeilunError
from feilun.store import Database
from feilun.store.calls.calllog import CallLog

DRAIN_SECONDS = 0.25
AGAIN_SECONDS = 2.0
_log = logging.getLogger(__name__)


class Writer:
    """The one that writes traces and usage."""

    def __init__(self, db: Database, folder: Path) -> None:
        """Keep calls in ``folder`` until they are rows of ``db``; :meth:`run` and :meth:`drain` do the work."""
        self._db = db
        self._log = CallLog(folder, f"gateway-{os.getpid()}")
        # A thread of its own: what others do in threads must not keep a finished answer waiting.
        self._thread = ThreadPoolExecutor(1, "call log")
        self._lines: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._news = asyncio.Event()
        self._draining = asyncio.Lock()
        self._undrained = False
        self._closed = False

    async def write(self, lines: list[bytes]) -> None:
        """Return once lines are safe, those of a cancelled caller too; raise what the disk raises."""
        if self._closed:
            raise EngineDown("The gateway is shutting down.", "Try again in a moment.")
        self._lines += lines
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._news.set()
        await done

    async def run(self) -> None:
        """Make what is queued durable until :meth:`close`."""
        while self._lines or not self._closed:
            await self._news.wait()
            self._news.clear()
            if self._lines:
                await self._commit()

    async def follow(self) -> None:
        """Bring what is durable into rows, for ever."""
        while True:
            pause = DRAIN_SECONDS
            if self._undrained:
                try:
                    await self.flush()
                except FeilunError as error:
                    _log.warning("calls are on disk, but not in the database yet: %s", error.message)
                    pause = AGAIN_SECONDS
            await asyncio.sleep(pause)

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
        self._news.set()

    async def end(self) -> None:
        """Bring the rest into rows if the database is there, and close the log's file; the next start finds it else."""
        try:
            await self.flush()
        except FeilunError as error:
            _log.warning("calls stay on disk until the next start: %s", error.message)
        self._thread.shutdown()
        self._log.close()

    async def _commit(self) -> None:
        lines, waiting = self._lines, self._waiting
        self._lines, self._waiting = [], []
        error: FeilunError | None = None
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._log.write, lines)
            self._undrained = True
        except FeilunError as failure:
            error = failure
        for done in waiting:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
                done.exception()  # whoever waits may be gone; the loop must not complain about it
