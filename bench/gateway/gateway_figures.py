"""The figures about the gateway itself: an upstream that costs nothing behind it, nginx and LiteLLM beside it.

Knows which loads make which figure. Does not know how gates are started, nor anything about engines.

All gates take turns within a round, in an order that turns about, and a figure of a round compares what was measured
in that round only: what else the machine does hits all alike. Those that are not measured are stopped (SIGSTOP), so
that nobody's work is done at the cost of another. Feilun makes rows of calls when there is time: before chunks and
waiting are measured, it has had the time for those of the calls before.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from measure import Bench, Load, Outcome, stream
from peers import Gate
from table import Figure

from feilun.records import JSON

CALLS, REQUESTS, STREAMS, PACE, BURSTS, OPEN_STREAMS = 64, 10_000, 128, 50, 32, 1000
LITELLM_SECONDS = 5.0  # its answers take seconds at this load
BURST_TOKENS, FRAME_EVENTS = 400, 3  # beside its tokens a stream has a finish, a usage and a [DONE]

VS_NGINX = Figure("calls/s over nginx's", 0.20, 0.6)
VS_LITELLM = Figure("calls/s over LiteLLM's", 60, 150)
MANY_KEYS = Figure("calls/s with 10,000 keys and 1,000 endpoints over those with one", 0.95, 1.0)
CHUNK_CPU = Figure("processor time a chunk, 128 paced streams, over nginx's", 2.5, 1.4, less=True)
BURST = Figure("chunks/s of bursts over nginx's", 0.6, 1.2)
LATENCY = Figure("added latency p99 at half of the maximum load, ms", 3.0, 1.0, less=True)
MEMORY = Figure("memory at 1,000 open streams, MiB", 200, 120, less=True)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Gates:
    """Everybody in the run. ``crowded`` is Feilun with many keys and endpoints; ``litellm`` may be missing."""

    direct: Gate
    nginx: Gate
    feilun: Gate
    crowded: Gate
    litellm: Gate | None
    why_no_litellm: str = ""


def take_turns(bench: Bench, loads: Sequence[tuple[Gate, Load]], rounds: int) -> list[list[Outcome]]:
    """Return the outcomes of every round, in the order of ``loads`` whoever went first."""
    found = []
    for number in range(rounds):
        order = range(len(loads)) if number % 2 == 0 else reversed(range(len(loads)))
        outcomes = {index: bench.run(*loads[index]) for index in order}
        found.append([outcomes[index] for index in range(len(loads))])
    return found


def _rate(outcome: Outcome) -> float:
    return outcome.calls / outcome.seconds


def calls(bench: Bench, gates: Gates, rounds: int, seconds: float, say: Say) -> tuple[list[JSON], float]:
    """Return the rows about answers that are no streams, and Feilun's calls a second."""
    load = Load(CALLS, seconds, {"max_tokens": 16}, requests=REQUESTS)
    loads = [(gates.nginx, load), (gates.feilun, load), (gates.crowded, load)]
    if gates.litellm is not None:
        loads.append((gates.litellm, Load(CALLS, LITELLM_SECONDS, load.body, warm=2.0)))
    found = take_turns(bench, loads, rounds)
    for number, (gate, _) in enumerate(loads):
        rate = median(_rate(outcomes[number]) for outcomes in found)
        cost = median(outcomes[number].cpu / max(outcomes[number].calls, 1) for outcomes in found)
        say(f"  {gate.name}: {rate:,.0f} calls/s, {1e6 * cost:,.0f} µs of processor time a call")
    rows = [
        VS_NGINX.row([_rate(ours) / _rate(nginx) for nginx, ours, *_ in found]),
        VS_LITELLM.row([_rate(o[1]) / _rate(o[3]) for o in found if len(o) == 4 and o[3].calls], gates.why_no_litellm),
        MANY_KEYS.row([_rate(crowded) / _rate(ours) for _, ours, crowded, *_ in found]),
    ]
    return rows, median(_rate(ours) for _, ours, *_ in found)


def paced(bench: Bench, gates: Gates, rounds: int, seconds: float, say: Say) -> list[JSON]:
    """Return the row about processor time: streams that begin before the window and end after it."""
    tokens = int(PACE * (seconds + 2.0))
    load = Load(STREAMS, seconds, stream(tokens, PACE), warm=1.0, events=tokens + FRAME_EVENTS)
    bench.rest(gates.feilun)
    found = take_turns(bench, [(gates.nginx, load), (gates.feilun, load)], rounds)
    costs = [tuple(outcome.cpu / outcome.events for outcome in outcomes) for outcomes in found]
    for gate, number in ((gates.nginx, 0), (gates.feilun, 1)):
        say(f"  {gate.name}: {1e6 * median(cost[number] for cost in costs):.1f} µs a chunk")
    return [CHUNK_CPU.row([ours / nginx for nginx, ours in costs])]


def bursts(bench: Bench, gates: Gates, rounds: int, seconds: float, say: Say) -> list[JSON]:
    """Return the row about streams as fast as they go."""
    load = Load(BURSTS, seconds, stream(BURST_TOKENS, 0), events=BURST_TOKENS + FRAME_EVENTS)
    found = take_turns(bench, [(gates.nginx, load), (gates.feilun, load)], rounds)
    speeds = [tuple(outcome.events / outcome.seconds for outcome in outcomes) for outcomes in found]
    for gate, number in ((gates.nginx, 0), (gates.feilun, 1)):
        say(f"  {gate.name}: {median(speed[number] for speed in speeds):,.0f} chunks/s")
    return [BURST.row([ours / nginx for nginx, ours in speeds])]


def latency(bench: Bench, gates: Gates, rounds: int, seconds: float, most: float, say: Say) -> list[JSON]:
    """Return the row about waiting: random arrivals at half of ``most`` calls a second, ours less the direct way."""
    load = Load(CALLS, seconds, {"max_tokens": 16}, rate=most / 2, requests=REQUESTS)
    bench.rest(gates.feilun)
    found = take_turns(bench, [(gates.direct, load), (gates.feilun, load)], rounds)
    for gate, number in ((gates.direct, 0), (gates.feilun, 1)):
        p50, p99 = (median(getattr(outcomes[number], name) for outcomes in found) for name in ("p50", "p99"))
        say(f"  {gate.name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms at {most / 2:,.0f} calls/s")
    say(f"  the disk alone makes a call durable in p99 {disk(2 * seconds):.2f} ms")
    return [LATENCY.row([ours.p99 - direct.p99 for direct, ours in found])]


def disk(seconds: float) -> float:
    """Return the p99 (ms) of making one call durable on the disk of the temporary folder, with nothing else to do.

    No trace can be on disk before its answer ends in less: what latency is added has this below it.
    """
    times: list[float] = []
    with tempfile.TemporaryFile() as file:
        file.write(bytes(4 << 20))
        file.flush()
        os.fsync(file.fileno())
        until, line = time.perf_counter() + seconds, bytes(1000)
        while (began := time.perf_counter()) < until:
            os.pwrite(file.fileno(), line, len(times) * len(line) % (4 << 20))
            os.fdatasync(file.fileno())
            times.append(1e3 * (time.perf_counter() - began))
            time.sleep(0.001)
    return quantiles(times, n=100)[-1]


def memory(bench: Bench, gates: Gates, seconds: float, say: Say) -> list[JSON]:
    """Return the row about memory, of the gateway that answered all the calls before; two chunks a second a stream."""
    tokens = int(2 * (seconds + 3.0))
    load = Load(OPEN_STREAMS, seconds, stream(tokens, 2), warm=2.0, events=tokens + FRAME_EVENTS)
    held = bench.run(gates.feilun, load).memory
    say(f"  {gates.feilun.name}: {held:.0f} MiB")
    return [MEMORY.row([held])]
