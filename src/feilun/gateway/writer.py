"""Traces are written in batches, and nobody is told that an answer is complete before its trace is safe.

While one batch is being committed the next one gathers, so that many calls share a commit. This module knows traces.
It does not know calls.
"""

from __future__ import annotations

import asyncio

from feilun.errors import EngineDown, FeilunError
from feilun.records import Trace
from feilun.store import Database, traces

_Waiting = tuple[list[Trace], "asyncio.Future[None]"]
LARGEST_BATCH = 256


class Writer:
    """The one that writes traces and usage."""

    def __init__(self, db: Database) -> None:
        """Keep the database; :meth:`run` does the work."""
        self._db = db
        self._queue: asyncio.Queue[_Waiting | None] = asyncio.Queue()
        self._closed = False

    async def write(self, found: list[Trace]) -> None:
        """Return once the traces are safe, also if the caller is cancelled meanwhile; raise what the store raises."""
        if self._closed:
            raise EngineDown("The gateway is shutting down.", "Try again in a moment.")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((found, done))
        await asyncio.shield(done)

    async def run(self) -> None:
        """Write what is queued until :meth:`close`."""
        ending = False
        while not ending:
            batch: list[_Waiting] = []
            first = await self._queue.get()
            waiting = [first]
            while not self._queue.empty() and len(waiting) < LARGEST_BATCH:
                waiting.append(self._queue.get_nowait())
            ending = None in waiting
            batch = [each for each in waiting if each is not None]
            await self._commit(batch)

    async def close(self) -> None:
        """Accept no more; :meth:`run` ends when everything queued is written."""
        self._closed = True
        self._queue.put_nowait(None)

    async def _commit(self, batch: list[_Waiting]) -> None:
        error: FeilunError | None = None
        try:
            await asyncio.to_thread(traces.add, self._db, [trace for found, _ in batch for trace in found])
        except FeilunError as failure:
            error = failure
        for _, done in batch:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
                done.exception()  # whoever waits may be gone; the loop must not complain about it
