"""One running child process: its pipes, its messages, its end.

This module knows one process and its group. It does not know why it was started or whether it starts again.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

from feilun.compute.child import SUPERVISED
from feilun.compute.failures import revive
from feilun.compute.logs import LogFile
from feilun.errors import FeilunError, OutOfSpace
from feilun.records import JSON

LONGEST_LINE = 16 * 2**20
DRAIN_SECONDS = 5.0
LATER = 10  # the priority (nice) of work that others go before


class Child(asyncio.SubprocessProtocol):
    """A child that leads a process group of its own; made by ``loop.subprocess_exec``."""

    def __init__(self, log: LogFile, on_message: Callable[[JSON], None] | None) -> None:
        """Append what is no message to ``log``; hand messages to ``on_message``, or to the log without it."""
        loop = asyncio.get_running_loop()
        self.pid = 0
        self.info: JSON = {}
        self.announced: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[int] = loop.create_future()
        self._failure: FeilunError | None = None
        self._log = log
        self._on_message = on_message
        self._buffer = bytearray()
        self._messages: asyncio.Queue[JSON | None] = asyncio.Queue()
        self._pump = loop.create_task(self._deliver())
        self._pump.add_done_callback(self._delivered)
        self._transport: asyncio.SubprocessTransport | None = None

    async def launch(self, argv: tuple[str, ...], env: Mapping[str, str], cwd: Path | None = None) -> None:
        """Start the process; raise OSError if that cannot be."""
        try:
            await asyncio.get_running_loop().subprocess_exec(
                lambda: self,
                *argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=self._log.descriptor,
                env={**os.environ, **env, SUPERVISED: "1", "PYTHONUNBUFFERED": "1"},
                cwd=cwd,
                start_new_session=True,
            )
        finally:
            if not self.pid:
                self.close()

    def give_way(self) -> None:
        """Let others of the machine go first: where all cores are wanted, ours gets a tenth of an ordinary share."""
        with suppress(ProcessLookupError, PermissionError):
            os.setpriority(os.PRIO_PROCESS, self.pid, LATER)
        # Where Linux shares the cores out by session first, the session has to give way, too.
        with suppress(OSError):
            Path(f"/proc/{self.pid}/autogroup").write_text(str(LATER))

    def enlist(self, order: JSON, log: LogFile, on_message: Callable[[JSON], None] | None) -> None:
        """Send ``order`` as a line to standard input; from now on the child belongs to this log and this listener."""
        self._log, self._on_message = log, on_message
        if self._transport is not None:
            pipe = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
            pipe.write(json.dumps(order).encode() + b"\n")

    async def outcome(self) -> tuple[int, BaseException | None]:
        """Wait for the end and for the last message; return the exit code and the error that explains it, if any."""
        await asyncio.wait({self.exited})
        # A grandchild that left the group may hold the pipe open for ever, so the wait has an end.
        await asyncio.wait({self._pump}, timeout=DRAIN_SECONDS)
        self.close()
        if self._pump.done() and not self._pump.cancelled() and self._pump.exception() is not None:
            return self.exited.result(), self._pump.exception()
        return self.exited.result(), self._failure

    async def stop(self, grace: float) -> None:
        """Ask the child to end, wait ``grace`` seconds, then kill its group."""
        if self.pid and not self.exited.done() and grace > 0:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            await asyncio.wait({self.exited}, timeout=grace)
        self.kill()
        await self.outcome()

    def kill(self) -> None:
        """Kill the child and every process of its group; no effect once it has ended."""
        # After its end the number may soon belong to others, and group 0 would be our own.
        if self.pid and not self.exited.done():
            # PermissionError is what some systems answer when only zombies are left.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close the pipes."""
        self._pump.cancel()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the process id."""
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self.pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Cut standard output, the only pipe that we read, into lines."""
        if fd != 1:
            return
        self._buffer += data
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = rest
        for line in lines:
            self._line(bytes(line))
        if len(self._buffer) > LONGEST_LINE:
            self._note(b"(a line of more than 16 MiB was left out)")
            self._buffer.clear()

    def pipe_connection_lost(self, fd: int, _exc: Exception | None) -> None:
        """Take the end of standard output for the end of the messages."""
        if fd == 1:
            if self._buffer:
                self._line(bytes(self._buffer))
            self._messages.put_nowait(None)

    def process_exited(self) -> None:
        """Take the rest of the group along, so that no grandchild stays behind."""
        self.kill()
        code = self._transport.get_returncode() if self._transport is not None else None
        if not self.exited.done():
            self.exited.set_result(0 if code is None else code)

    def _line(self, line: bytes) -> None:
        message = _message(line)
        if message is None:
            self._note(line)
        elif isinstance(message.get("ready"), dict) and not self.announced.done():
            self.info = message["ready"]
            self.announced.set_result(None)
        elif isinstance(message.get("failure"), dict):
            self._failure = revive(message["failure"])
        elif self._on_message is None:
            self._note(line)
        else:
            self._messages.put_nowait(message)

    def _note(self, line: bytes) -> None:
        # A disk too full for a log line is no reason to lose the child; whoever writes data will say it.
        with suppress(OutOfSpace):
            self._log.write(line + b"\n")

    async def _deliver(self) -> None:
        while (message := await self._messages.get()) is not None:
            if self._on_message is not None:
                self._on_message(message)

    def _delivered(self, pump: asyncio.Task[None]) -> None:
        """End a child whose messages cannot be taken any more; ``outcome`` gives the reason."""
        if not pump.cancelled() and pump.exception() is not None:
            self.kill()


def _message(line: bytes) -> JSON | None:
    """Return the JSON object on a line, or None for anything else."""
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
