"""One measurement: a load on a gate, what came back, and what the gate's processes used meanwhile.

Knows the load generator. Does not know which figures are made of it, nor what they have to be.
"""

from __future__ import annotations

import json
import math
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from peers import Gate
from programs import BenchError, Program, Programs, compile_c

from feilun.records import JSON

QUESTION = "Which papers do I need to open an account, and how long does it take until I can use it?"

LONGEST_REST, LOOK_SECONDS, REST_SHARE = 60.0, 0.5, 0.04


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a gate, as load.c explains.

    ``body`` is that of a request without its model and messages; at least ``requests`` of them differ.
    """

    connections: int
    seconds: float
    body: JSON
    warm: float = 0.5
    rate: float = 0.0
    events: int = 0
    requests: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back in the window: calls, events of streams, tokens by their usage, times (ms); CPU (s), RSS (MiB)."""

    seconds: float
    calls: int
    events: int
    tokens: int
    p50: float
    p99: float
    cpu: float
    memory: float


def stream(tokens: int, pace: int) -> JSON:
    """Return the body of a stream of that many tokens, ``pace`` a second (0: a burst), with its usage at the end."""
    return {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": tokens, "seed": pace}


@dataclass(slots=True)
class Bench:
    """Puts loads on gates and remembers what failed. ``core`` is the load's; ``rivals`` run only while measured."""

    programs: Programs
    core: int
    rivals: list[Program] = field(default_factory=list)
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    _generator: Path | None = None

    def run(self, gate: Gate, load: Load) -> Outcome:
        """Put ``load`` on ``gate``; raise BenchError if the gate or the generator breaks down."""
        if self._generator is None:
            self._generator = compile_c("load", self.programs.folder)
        for rival in self.rivals:
            if rival is gate.program:
                rival.go_on()
            else:
                rival.pause()
        port = gate.stream_port if gate.stream_port and load.events else gate.port
        numbers = (port, self.core, load.connections, load.warm, load.seconds, load.rate, load.events)
        argv = [str(self._generator), *map(str, numbers), str(self._requests(gate, load))]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        try:
            return self._follow(process, gate)
        finally:
            process.kill()
            process.wait()

    def rest(self, gate: Gate) -> None:
        """Let a gate finish what earlier loads left to be done, so that it is not counted as the next one's cost."""
        if gate.program is None:
            return
        gate.program.go_on()
        until, used = time.monotonic() + LONGEST_REST, math.inf
        while used > REST_SHARE * LOOK_SECONDS and time.monotonic() < until:
            before = gate.program.cpu()
            time.sleep(LOOK_SECONDS)
            used = gate.program.cpu() - before

    def _follow(self, process: subprocess.Popen[str], gate: Gate) -> Outcome:
        out = process.stdout
        if out is None or out.readline() != "start\n":
            raise BenchError(f"The load on {gate.name} did not start.")
        cpu, memory = _used(gate.program)
        told = _line(out, gate)
        cpu_after, memory_after = _used(gate.program)
        end = _line(out, gate)
        if end["failed"]:
            self.failed += int(end["failed"])
            self.failures.append(f"{gate.name}: {end['failed']} ({end['reason']})")
        return Outcome(**told, cpu=cpu_after - cpu, memory=max(memory, memory_after))

    def _requests(self, gate: Gate, load: Load) -> Path:
        """Write the requests: every key, every model and every connection has one, and asks something of its own."""
        path = self.programs.folder / "requests"
        with path.open("wb") as file:
            for number in range(max(len(gate.keys), len(gate.models), load.connections, load.requests)):
                messages = [{"role": "user", "content": f"Visitor {number} asks: {QUESTION}"}]
                asked = {"model": gate.models[number % len(gate.models)], "messages": messages, **load.body}
                body = json.dumps(asked).encode()
                head = (
                    "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                    f"Authorization: Bearer {gate.keys[number % len(gate.keys)]}\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                file.write(head.encode() + body + b"\0")
        return path


def _used(program: Program | None) -> tuple[float, float]:
    return (program.cpu(), program.memory()) if program is not None else (0.0, 0.0)


def _line(out: IO[str], gate: Gate) -> JSON:
    line = out.readline()
    if not line:
        raise BenchError(f"The load on {gate.name} broke off.")
    told: JSON = json.loads(line)
    return told
