"""The parent's side: children that wait warm for tasks of their kind, and are ended when one is late.

This module knows how a child is started, asked and ended. It does not know what a task does: the child's side is in
``child``. Foreign programs get a child of their own, which is thrown away with its folder.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import lru_cache

from feilun.compute.child import SUPERVISED
from feilun.errors import EngineDown, MissingDependency, UpstreamTimeout
from feilun.grading.sandbox.frames import receive, send
from feilun.records import JSON

START_SECONDS = 60.0
MEMORY, FILE_BYTES = 1 << 30, 64 << 20
FOREIGN = {"python", "code"}  # tasks that run programs of others: shut in or not at all, each in a child of its own
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", SUPERVISED: "1",
}  # fmt: skip


class _Child:
    """One child process, its socket and its folder."""

    def __init__(self, task: str, memory: int) -> None:
        """Start it and wait until it is shut in; raise MissingDependency."""
        self.folder = tempfile.TemporaryDirectory(prefix="feilun-sandbox-", ignore_cleanup_errors=True)
        self._socket, theirs = socket.socketpair()
        settings = json.dumps({"task": task, "memory": memory, "file_bytes": FILE_BYTES})
        with theirs:
            # Standard input is the lifeline: only we hold its other end, so the child dies with us however we go.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "feilun.grading.sandbox.child", str(theirs.fileno()), settings],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd=self.folder.name,
                env=_ENVIRONMENT | {"HOME": self.folder.name, "TMPDIR": self.folder.name},
                start_new_session=True,
            )
        self.pid = self._process.pid
        try:
            ready = receive(self._socket, time.monotonic() + START_SECONDS) or {}
        except (OSError, ValueError):
            ready = {}
        if not ready.get("ready"):
            self.end()
            raise MissingDependency("The process that grades does not start.", "Check the installation.")
        if task in FOREIGN and not ready.get("confined"):
            self.end()
            raise MissingDependency(
                "Programs are graded only where they can be shut in.", "Use Linux 5.13 or newer on x86-64 or ARM 64."
            )

    def ask(self, payload: JSON, seconds: float) -> JSON:
        """Return the child's message; raise TimeoutError, ConnectionError at its end."""
        deadline = time.monotonic() + seconds
        self._socket.settimeout(seconds)
        send(self._socket, {"payload": payload, "seconds": seconds})
        found = receive(self._socket, deadline)
        if found is None:
            raise ConnectionError
        return found

    def end(self) -> int:
        """Kill it and what it started; return how it ended."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._socket.close()
        self.folder.cleanup()
        return code


class Pool:
    """Warm children by task; any thread may ask. No more work at once than the machine has cores."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._idle: dict[str, list[_Child]] = {}
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))
        atexit.register(self.close)

    def ask(self, task: str, payload: JSON, seconds: float, memory: int = MEMORY) -> JSON:
        """Return the result of a task; raise UpstreamTimeout if it is late, EngineDown if it failed or ended."""
        with self._slots:
            child = self._take(task, memory)
            reusable = False
            try:
                found = child.ask(payload, seconds)
                reusable = task not in FOREIGN
            except TimeoutError:
                raise UpstreamTimeout(f"It took more than {seconds:g} seconds.") from None
            except (OSError, ValueError):
                raise EngineDown("Its process ended: it took too much memory, or ended itself.") from None
            finally:
                if reusable:
                    with self._lock:
                        self._idle.setdefault(task, []).append(child)
                else:
                    child.end()
        if found.get("failure"):
            raise EngineDown(str(found["failure"]))
        result = found.get("result")
        return result if isinstance(result, dict) else {}

    def idle(self, task: str) -> list[int]:
        """Return the process ids of the children that wait for a task."""
        with self._lock:
            return [child.pid for child in self._idle.get(task, [])]

    def _take(self, task: str, memory: int) -> _Child:
        with self._lock:
            waiting = self._idle.get(task)
            if waiting and task not in FOREIGN:
                return waiting.pop()
        return _Child(task, memory)

    def close(self) -> None:
        """End every idle child."""
        with self._lock:
            old = [child for children in self._idle.values() for child in children]
            self._idle = {}
        for child in old:
            child.end()


@lru_cache(maxsize=1)
def shared_pool() -> Pool:
    """Return the pool of this process."""
    return Pool()


async def ask(task: str, payload: JSON, seconds: float, memory: int = MEMORY) -> JSON:
    """Return the result of a task without keeping others waiting; raise UpstreamTimeout, EngineDown."""
    return await asyncio.to_thread(shared_pool().ask, task, payload, seconds, memory)
