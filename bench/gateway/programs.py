"""The programs of the bench: compiled, started on a core of their own, waited for, measured from outside, and ended.

Knows processes, cores and logs. Does not know what any program is for, nor what is measured.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

HERE = Path(__file__).parent
GRACE = 8.0  # seconds to end in, when asked


class BenchError(Exception):
    """The bench cannot go on; the text says why and what to do."""


def find(program: str, package: str) -> str:
    """Return the path of ``program``; raise BenchError that says how to install it."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise BenchError(f"{program} is not installed. On Debian: apt-get install {package}")
    return path


def two_cores() -> tuple[int, int]:
    """Return the core of the gateways, and the core of everybody else; raise BenchError on a machine with one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("The bench needs two cores: one for the gateway, one for the load and the upstream.")
    return cores[0], cores[1]


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def compile_c(name: str, folder: Path) -> Path:
    """Compile ``name``.c of this folder; raise BenchError with what the compiler says."""
    made = folder / name
    command = [find("cc", "gcc libc6-dev"), "-O2", "-o", str(made), str(HERE / f"{name}.c"), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{name}.c does not compile:\n{done.stderr}")
    return made


@dataclass(frozen=True, slots=True)
class Program:
    """A running program, with what it starts; processes with one of ``engines`` in their command do not count."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    engines: tuple[str, ...] = ()

    def tree(self) -> list[psutil.Process]:
        """Return its processes without engines."""
        with suppress(psutil.Error):
            top = psutil.Process(self.process.pid)
            return [top, *(each for each in top.children(recursive=True) if not self._is_engine(each))]
        raise BenchError(f"{self.name} has ended. Its log ends with:\n{self.tail()}")

    def _is_engine(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return any(word in " ".join(process.cmdline()) for word in self.engines)
        return True

    def cpu(self) -> float:
        """Return the processor time (s) that its processes have used so far."""
        used = 0.0
        for process in self.tree():
            with suppress(psutil.Error):
                times = process.cpu_times()
                used += times.user + times.system
        return used

    def memory(self) -> float:
        """Return the resident memory (MiB) of its processes."""
        held = 0
        for process in self.tree():
            with suppress(psutil.Error):
                held += process.memory_info().rss
        return held / 2**20

    def pause(self) -> None:
        """Keep it from taking processor time while others are measured."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-1500:]

    def wait_for(self, port: int, seconds: float) -> None:
        """Wait until it listens; raise BenchError with the end of its log."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.05)
        raise BenchError(f"{self.name} did not listen on port {port}. Its log ends with:\n{self.tail()}")

    def ask_to_end(self) -> None:
        """Have it end, and all that it started."""
        with suppress(ProcessLookupError):
            self.go_on()
            os.killpg(self.process.pid, signal.SIGTERM)

    def end(self) -> None:
        """Wait until it has ended, and end what is left of it."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(slots=True)
class Programs:
    """All programs that the bench started; leaving it ends them, whatever happened."""

    folder: Path
    running: list[Program] = field(default_factory=list)

    def start(
        self,
        name: str,
        argv: Sequence[str],
        core: int | None = None,
        env: Mapping[str, str] | None = None,
        engines: tuple[str, ...] = (),
    ) -> Program:
        """Start a program in a process group of its own, on ``core`` only unless that is None."""
        pinned = [] if core is None else [find("taskset", "util-linux"), "-c", str(core)]
        log = self.folder / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [*pinned, *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(env or {})},
                cwd=self.folder,
                start_new_session=True,
            )
        program = Program(name, process, log, engines)
        self.running.append(program)
        return program

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Who presses Ctrl-C twice must not leave programs behind.
        before = {each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, signal.SIGTERM)}
        for program in self.running:
            program.ask_to_end()
        while self.running:
            self.running.pop().end()
        for each, handler in before.items():
            signal.signal(each, handler)
