"""Jobs that calls have queued, run one at a time per kind; unfinished ones go on at the next start; and the wheels.

This module knows the journal, which work belongs to which kind of job, and that wheels turn in a process of their own.
It does not know what the work does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from feilun.compute import Command, Context, Process, Restart, run
from feilun.errors import Busy, Cancelled, FeilunError
from feilun.records import JSON, Job
from feilun.settings import Settings
from feilun.store import Database, Journal, wheel

Work = Callable[[Context], Awaitable[JSON]]
LOOK_SECONDS = 5.0
_log = logging.getLogger(__name__)


class Wheels:
    """The process in which wheels turn by themselves: there while one is on, started again should it fall."""

    def __init__(self, db: Database, settings: Settings) -> None:
        """Keep what is needed; :meth:`run` does the work."""
        self._db, self._settings = db, settings

    async def run(self) -> None:
        """Have the process whenever it is needed, for ever."""
        while True:
            if await self._needed():
                await self._beside()
            await asyncio.sleep(LOOK_SECONDS)

    async def _beside(self) -> None:
        log = self._settings.root / "logs" / "wheel.log"
        env = {"WHEEL_SETTINGS": json.dumps(asdict(self._settings))}
        argv = (sys.executable, "-m", "feilun.flywheel.alone")
        command = Command("the wheel", argv, log, env=env, ready_seconds=0, background=True)
        try:
            async with Process(command, restart=Restart()) as process:
                while await self._needed():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_SECONDS):
                            await process.wait()
                            return
        except FeilunError as error:
            _log.warning("the wheel stands still: %s", error.message)

    async def _needed(self) -> bool:
        try:
            return bool(await asyncio.to_thread(wheel.turning, self._db))
        except FeilunError:  # a database that is away is told of elsewhere
            return False


class Background:
    """The runner of queued jobs. ``kinds`` maps a kind to (prefix of its jobs' ids, work)."""

    def __init__(self, journal: Journal, locks: Path, kinds: Mapping[str, tuple[str, Work]]) -> None:
        """Keep what is needed; :meth:`run` does the work."""
        self._journal, self._locks, self._kinds = journal, locks, kinds
        self._news = {kind: asyncio.Event() for kind in kinds}

    def wake(self, kind: str) -> None:
        """Say that there is a new job of this kind."""
        self._news[kind].set()

    async def run(self) -> None:
        """Run what is queued, for ever."""
        async with asyncio.TaskGroup() as group:
            for kind in self._kinds:
                group.create_task(self._serve(kind))

    async def _serve(self, kind: str) -> None:
        while True:
            self._news[kind].clear()
            try:
                for job in await asyncio.to_thread(self._journal.unfinished, kind):
                    await self._one(job)
            except FeilunError as error:
                _log.warning("jobs of kind %s cannot be looked up: %s", kind, error.message)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._news[kind].wait()
            except TimeoutError:
                continue

    async def _one(self, job: Job) -> None:
        prefix, work = self._kinds[job.kind]
        if not job.id.startswith(prefix):
            return
        task = asyncio.ensure_future(run(self._journal, job.id, work, locks=self._locks))
        try:
            await asyncio.wait({task})
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Busy):
            return  # another gateway on this home runs it
        if isinstance(error, Cancelled):
            _log.info("job %s was cancelled", job.id)
        elif error is not None:
            expected = isinstance(error.__cause__, FeilunError)  # such as a model that is gone: its message says all
            _log.error("job %s failed: %s", job.id, error, exc_info=None if expected else error)
