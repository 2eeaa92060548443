"""The parent's side of children for confined reading: one process that has loaded every reader, and forks on demand.

This module knows how children are asked for, ended and accounted for. It does not know what they read. To load the
readers takes seconds, to fork a child that has them a few milliseconds: so a child can be thrown away for one bad file.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from functools import lru_cache

from feilun.compute.child import SUPERVISED
from feilun.errors import EngineDown

START_SECONDS = 120.0
BEAR, END = b"+", b"-"
MESSAGE = 17  # what to do, and two numbers of eight bytes
_MODULE = "feilun.curation.readers.confined.children"
_MODEST = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


class Nursery:
    """The process that forks the children; started when the first is wanted, ended when ``rest`` finds none."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._forget()
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self._stop)

    def _forget(self) -> None:
        """Begin without a process: that of the process that we were forked from is not ours."""
        self._left = getattr(self, "_process", None)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._children = 0

    def bear(self, memory: int) -> tuple[int, socket.socket]:
        """Return the id of a new child that may take ``memory`` bytes more, and its socket; raise EngineDown."""
        with self._lock:
            for _ in range(2):
                ours, theirs = socket.socketpair()
                try:
                    with theirs:
                        control = self._control or self._start()
                        message = BEAR + memory.to_bytes(8) + bytes(8)
                        socket.send_fds(control, [message], [theirs.fileno()])
                    pid = int.from_bytes(_exactly(control, 8), signed=True)
                except OSError:
                    # Somebody ended the process, perhaps the system for want of memory: another one, once.
                    ours.close()
                    self._stop()
                else:
                    self._children += 1
                    return pid, ours
        raise EngineDown("The process that reads files does not start.", "Check the installation.")

    def end(self, pid: int, patience: float = 0.0) -> int:
        """Kill a child and what it started, after ``patience`` seconds to end by itself; return its exit code."""
        with self._lock:
            self._children -= 1
            try:
                if self._control is not None:
                    self._control.sendall(END + pid.to_bytes(8) + int(1000 * patience).to_bytes(8))
                    return int.from_bytes(_exactly(self._control, 8), signed=True)
            except OSError:
                self._stop()
            # Nobody is left who would tell how it ended; then at least it ends.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            return -signal.SIGKILL

    def rest(self) -> None:
        """End the process if it has no children."""
        with self._lock:
            if self._children <= 0:
                self._stop()

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        env = {key: value for key, value in os.environ.items() if not key.startswith("FEILUN_")}
        with theirs:
            # Standard input is the lifeline: only we hold its other end, so all of them die with us however we go.
            self._process = subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=env | _MODEST | {SUPERVISED: "1"},
                start_new_session=True,
            )
        ours.settimeout(START_SECONDS)
        self._control, self._children = ours, 0
        return ours

    def _stop(self) -> None:
        process, control = self._process, self._control
        self._process = self._control = None
        if control is not None:
            control.close()
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def _exactly(control: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        got = control.recv(size - len(data))
        if not got:
            raise ConnectionError
        data += got
    return data


@lru_cache(maxsize=1)
def nursery() -> Nursery:
    """Return the one of this process."""
    return Nursery()
