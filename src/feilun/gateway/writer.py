"""Nobody is told that an answer is complete before its trace is on disk.

Traces go into the call log: while one batch is being made durable the next one gathers, so that many calls share one
wait for the disk. A drain brings them into rows when there is time; a database that is away keeps no call waiting. This
module knows traces. It does not know calls.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from feilun.errors import EngineDown, FeilunError
from feilun.store import Database
from feilun.store.calls.calllog import CallLog

LOOK_SECONDS = 0.25
AGAIN_SECONDS = 2.0
QUIET = 25  # calls in LOOK_SECONDS: while more come, rows wait
LATE_SECONDS = 10.0  # but no longer than this
PACE = 4  # under load, a drain rests so many times as long as it worked
SLICE = 32 << 10  # bytes of the log that it makes rows of at a time
LARGEST_BACKLOG = 64 << 20  # bytes of the log; above, it does not rest
logger = logging.getLogger(__name__)
_Waiting = tuple[list[bytes], asyncio.Future[None]]


class Writer:
    """The one that writes traces and usage."""

    def __init__(self, db: Database, folder: Path) -> None:
        """Keep calls in ``folder`` until they are rows of ``db``; :meth:`run` and :meth:`follow` do the work."""
        self._db = db
        self._log = CallLog(folder, f"gateway-{os.getpid()}")
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._draining = asyncio.Lock()
        self._undrained = False
        self._calls = 0  # that were made durable
        self._closed = False

    async def write(self, lines: list[bytes]) -> None:
        """Return once lines are safe, those of a cancelled caller too; raise what the disk raises."""
        if self._closed:
            raise EngineDown("The gateway is shutting down.", "Try again in a moment.")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put((lines, done))
        await done

    async def run(self) -> None:
        """Make what is queued durable until :meth:`close`."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def tell(call: Callable[..., None], *given: object) -> None:
            loop.call_soon_threadsafe(call, *given)

        def work() -> None:
            try:
                while self._commit(tell):
                    pass
            finally:
                tell(ended.set)

        # A thread of its own: what others do in threads must not keep a finished answer waiting.
        thread = threading.Thread(target=work, name="call log", daemon=True)
        thread.start()
        await ended.wait()
        thread.join()

    def _commit(self, tell: Callable[..., None]) -> bool:
        """Make durable all that waits, at least one call's lines; return whether to go on."""
        waiting = [self._queue.get()]
        with suppress(Empty):
            while True:
                waiting.append(self._queue.get_nowait())
        found = [each for each in waiting if each is not None]
        error: FeilunError | None = None
        try:
            self._log.write([line for lines, _ in found for line in lines])
        except FeilunError as failure:
            error = failure
        except Exception:
            logger.exception("calls cannot be made safe")
            error = FeilunError("The service failed to keep this call.", "The reason is in its log.")
        tell(self._done, [done for _, done in found], error)
        return len(found) == len(waiting)

    def _done(self, waiting: list[asyncio.Future[None]], error: FeilunError | None) -> None:
        self._undrained = self._undrained or error is None
        self._calls += len(waiting)
        for done in waiting:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
                done.exception()  # whoever waits may be gone; the loop must not complain about it

    async def follow(self) -> None:
        """Bring what is durable into rows, for ever: when few calls come, and little by little when many do."""
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
                    await self._drain_slowly()
                else:
                    continue
                since = time.monotonic()
            except FeilunError as error:
                logger.warning("calls are on disk, but not in the database yet: %s", error.message)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _drain_slowly(self) -> None:
        """Bring into rows what is durable now, at the cost of calls that come meanwhile as little as can be."""
        while SLICE < self._log.waiting < LARGEST_BACKLOG:
            began = time.monotonic()
            async with self._draining:
                await asyncio.to_thread(self._log.drain, self._db, SLICE)
            await asyncio.sleep(PACE * (time.monotonic() - began))

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
        self._queue.put(None)

    async def end(self) -> None:
        """Bring the rest into rows if the database is there, and close the log's file; the next start finds it else."""
        try:
            await self.flush()
        except FeilunError as error:
            logger.warning("calls stay on disk until the next start: %s", error.message)
        self._log.close()
