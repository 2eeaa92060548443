"""Peers as processes: started, asked one at a time, stopped while another works, measured from outside, ended.

Knows lines of JSON and signals. Does not know what is asked, nor why.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .environments import PeerError

BENCH = Path(__file__).resolve().parent.parent
SECONDS = 600.0  # for any one thing


class Running:
    """A peer's process. It is stopped while nobody asks it, so that its threads take nothing from others."""

    def __init__(self, python: Path, module: str, settings: Mapping[str, Any], log: Path) -> None:
        """Start it, and wait until it is ready; raise PeerError with the end of its log."""
        self.log = log
        threads = {"OMP_NUM_THREADS": str(settings["threads"])}
        env = {**os.environ, **threads, "PYTHONPATH": str(BENCH), "HF_HUB_OFFLINE": "1"}
        with log.open("wb") as complaints:
            self.process = subprocess.Popen(
                [str(python), "-m", f"engines.{module}", json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=env,
                start_new_session=True,
            )
        try:
            self._read()
        except PeerError:
            self.end()
            raise

    def _read(self) -> dict[str, Any]:
        """Return its next line. It writes one for each question, so nothing of a second one is ever behind it."""
        out = self.process.stdout
        if out is not None and select.select([out], [], [], SECONDS)[0] and (line := out.readline()):
            found: dict[str, Any] = json.loads(line)
            return found
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        how = "still running" if self.process.poll() is None else f"ended with {self.process.poll()}"
        raise PeerError(f"no answer, {how}; its last words: {(lines or ['none'])[-1][-300:]}")

    def ask(self, calls: list[dict[str, Any]], tokens: int, *, ends: bool = False) -> tuple[list[list[int]], float]:
        """Have all calls answered at once; return the answers and the seconds."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGCONT)
        try:
            if self.process.stdin is None:
                raise PeerError("it cannot be asked")
            self.process.stdin.write(json.dumps({"calls": calls, "tokens": tokens, "ends": ends}).encode() + b"\n")
            self.process.stdin.flush()
            found = self._read()
        except OSError as error:
            raise PeerError(f"it is gone: {error}") from error
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGSTOP)
        return found["answers"], found["seconds"]

    def memory(self) -> float:
        """Return the largest resident memory (MiB) that it has had."""
        with suppress(OSError):
            for line in Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
        return 0.0

    def end(self) -> None:
        """End it and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


def started(python: Path, module: str, settings: Mapping[str, Any], log: Path) -> tuple[Running, float]:
    """Start a peer; return it, and the seconds until its first token."""
    began = time.perf_counter()
    peer = Running(python, module, settings, log)
    try:
        peer.ask([{"text": settings["hello"][0], "ids": settings["hello"][1]}], 1)
    except PeerError:
        peer.end()
        raise
    return peer, time.perf_counter() - began
