"""A spare child: started before it is needed, so that its imports are not waited for after a crash.

This module knows which program its spare can become. It does not know when a child falls, or what the program does.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from feilun.compute.logs import LogFile
from feilun.compute.spawned import Child
from feilun.records import JSON


class Spare:
    """One child that can become any ``python -m module …`` whose environment at import is ``env``."""

    def __init__(self, module: str, log: Path, env: Mapping[str, str], pause: float = 0.0) -> None:
        """Keep what is needed; :meth:`refill` starts the first one.

        It begins after a ``pause`` in seconds, since its imports take a processor from the child that just started.
        """
        self._module, self._path, self._env, self._pause = module, log, env, pause
        self._pausing = False
        self._log: LogFile | None = None
        self._child: Child | None = None
        self._filling: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process id of the spare that waits, or 0."""
        return self._child.pid if self._child is not None and not self._child.exited.done() else 0

    def refill(self) -> None:
        """Start a spare in the background unless there is one."""
        if not self.pid and (self._filling is None or self._filling.done()):
            self._pausing = self._pause > 0
            self._filling = asyncio.create_task(self._fill(), name=f"spare {self._module}")

    async def _fill(self) -> None:
        await asyncio.sleep(self._pause)
        self._pausing = False
        self._log = self._log or LogFile(self._path)
        self._child = child = Child(self._log, None)
        with suppress(OSError):  # no spare: the next start takes longer
            await child.launch((sys.executable, "-m", "feilun.compute.standby", self._module), self._env)

    async def take(
        self, argv: tuple[str, ...], env: Mapping[str, str], log: LogFile, on_message: Callable[[JSON], None] | None
    ) -> Child | None:
        """Return the spare, turned into ``argv``; None if there is none or it cannot become that."""
        if argv[:3] != (sys.executable, "-m", self._module):
            return None
        await self._filled()
        child = self._child
        if child is None or not self.pid:
            return None
        self._child = None
        child.enlist({"arguments": argv[3:], "env": dict(env), "log": str(log.path)}, log, on_message)
        return child

    async def _filled(self) -> None:
        """Wait until the spare is started; one that is not yet begun is given up."""
        if self._filling is not None:
            if self._pausing:
                self._filling.cancel()
            await asyncio.wait({self._filling})

    async def stop(self) -> None:
        """End the spare that waits."""
        await self._filled()
        if self._child is not None:
            await self._child.stop(grace=0)
        if self._log is not None:
            self._log.close()
        self._child = self._log = None
