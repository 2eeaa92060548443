"""How fast the gateway is, against nginx and the LiteLLM proxy in the same run: ``make bench-gateway``.

    python bench/gateway [--quick] [--only calls,streams,latency,memory,engine] [--rounds 5]

Prints the table; the exit code is 1 if a *must* is missed. A whole run writes ``bench/out/gateway.json``. It takes
about seven minutes, and some more the first time, when LiteLLM is installed in an environment of its own under
``bench/out``. It needs cc and nginx (Debian: ``apt-get install gcc libc6-dev nginx-light``) and two cores.

- Everything listens on 127.0.0.1. Every gateway runs on one core, the first. The upstream (upstream.c), which answers
  at once, the load generator (load.c) and this program share the second. Every answer is read to its end and checked.
- Feilun works as it always does: keys, limits, budgets, prices, usage, and a trace on the disk before the last byte.
  nginx is a plain proxy. LiteLLM has the settings that its documentation recommends for production, without a database.
- All take turns in every round, and only what was measured in the same round is compared. A figure is the median of
  the rounds; the smallest and the largest are beside it.
- Only ratios and differences are figures: what a machine does in a second is a matter of the machine.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import engine_figures
import gateway_figures
from feilun_peer import start_engine, start_feilun
from gateway_figures import Gates
from measure import Bench
from peers import Gate, install_litellm, start_litellm, start_nginx, start_upstream
from programs import BenchError, Programs, two_cores
from table import Figure, show, write

from feilun.errors import FeilunError
from feilun.records import JSON

OUT = Path(__file__).resolve().parent.parent / "out"
PARTS = ("calls", "streams", "latency", "memory", "engine")
KEYS, ENDPOINTS, ADAPTERS = 10_000, 1_000, 8
FAILED = Figure("answers that failed", 0, 0, less=True)

_began = time.monotonic()


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"[{time.monotonic() - _began:5.0f} s] {text}", flush=True)


def litellm(programs: Programs, core: int, upstream: int) -> tuple[Gate | None, str]:
    """Return LiteLLM's gate, or None and why there is none."""
    try:
        say("LiteLLM: installing if need be, starting")
        return start_litellm(programs, core, upstream, install_litellm(OUT / ".litellm")), ""
    except BenchError as error:
        say(f"{error}")
        return None, "LiteLLM is not there"


def gateway_rows(programs: Programs, parts: set[str], rounds: int, seconds: float) -> tuple[list[JSON], Bench]:
    """Return the rows about the gateway, and the bench that knows what failed."""
    core, other = two_cores()
    os.sched_setaffinity(0, {other})
    direct = start_upstream(programs, other)
    nginx = start_nginx(programs, core, direct.port)
    say("Feilun: starting")
    feilun = start_feilun(programs, core, direct.port)
    crowded, slow, why = feilun, None, "left out"
    if "calls" in parts:
        crowded = start_feilun(programs, core, direct.port, KEYS, ENDPOINTS)
        slow, why = litellm(programs, core, direct.port)
    gates = Gates(direct, nginx, feilun, crowded, slow, why)
    started = {gate.name: gate.program for gate in (feilun, crowded, slow) if gate is not None}
    bench = Bench(programs, other, rivals=[program for program in started.values() if program is not None])
    rows: list[JSON] = []
    most = 0.0
    if parts & {"calls", "latency"}:
        say(f"calls: {gateway_figures.CALLS} connections")
        found, most = gateway_figures.calls(bench, gates, rounds if "calls" in parts else 1, seconds, say)
        rows += found if "calls" in parts else []
    if "streams" in parts:
        say(f"streams: {gateway_figures.STREAMS} at {gateway_figures.PACE} chunks a second, then bursts")
        rows += gateway_figures.paced(bench, gates, min(rounds, 3), 1.5 * seconds, say)
        rows += gateway_figures.bursts(bench, gates, rounds, seconds, say)
    if "latency" in parts:
        say("latency: random arrivals at half of the maximum load")
        rows += gateway_figures.latency(bench, gates, rounds, seconds, most, say)
    if "memory" in parts:
        say(f"memory: {gateway_figures.OPEN_STREAMS} open streams")
        rows += gateway_figures.memory(bench, gates, seconds, say)
    return rows, bench


def engine_rows(programs: Programs, models: Path, rounds: int) -> tuple[list[JSON], Bench]:
    """Return the rows about an engine, and the bench that knows what failed."""
    _, other = two_cores()
    say("engine: starting the default model, by itself and behind Feilun")
    engine = start_engine(programs, models, ADAPTERS)
    bench = Bench(programs, other)
    rows = engine_figures.speeds(bench, engine.base, engine.feilun, rounds, say)
    say(f"engine: {ADAPTERS} adapters")
    rows += engine_figures.adapters(bench, engine.one, engine.many, rounds, say)
    return rows, bench


def measure(parts: set[str], models: Path, rounds: int, seconds: float) -> list[JSON]:
    """Return all rows. Each half starts its own programs, and ends them."""
    rows: list[JSON] = []
    benches: list[Bench] = []
    own = os.sched_getaffinity(0)
    if parts - {"engine"}:
        with tempfile.TemporaryDirectory(prefix="feilun-bench-") as folder, Programs(Path(folder)) as programs:
            found, bench = gateway_rows(programs, parts, rounds, seconds)
            rows, benches = rows + found, [*benches, bench]
        os.sched_setaffinity(0, own)
    if "engine" in parts:
        with tempfile.TemporaryDirectory(prefix="feilun-bench-") as folder, Programs(Path(folder)) as programs:
            found, bench = engine_rows(programs, models, min(rounds, 3))
            rows, benches = rows + found, [*benches, bench]
    for bench in benches:
        for failure in bench.failures:
            say(f"FAILED: {failure}")
    return [*rows, FAILED.row([float(sum(bench.failed for bench in benches))])]


def _leave(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round: whether it works, not how fast it is")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, separated by commas: {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=5, help="how often everybody has a turn")
    parser.add_argument("--models", type=Path, default=Path("feilun-data/models"), help="prepared models, if any")
    given = parser.parse_args()
    parts = set(given.only.split(","))
    if unknown := parts - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, _leave)
    rounds, seconds = (1, 1.0) if given.quick else (given.rounds, 2.0)
    try:
        rows = measure(parts, given.models.absolute(), rounds, seconds)
    except (BenchError, FeilunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    print(show(rows))
    if parts == set(PARTS) and not given.quick:
        write(OUT / "gateway.json", rows)
    return 0 if all(row["met"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
