"""How much a durable step costs, against a bare commit of the same database: ``python bench/journal.py``.

Prints a table and writes ``bench/out/journal.json``. Times are means over rounds in which a step and a bare SQLite
commit (WAL, synchronous FULL, same folder) take turns at going first, as multiples of that commit: a disk's flush
varies more from moment to moment than journals differ, and the second of two close flushes is cheap.
With ``--dbos PYTHON`` (an interpreter of an environment that has DBOS) it measures that in the same way.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import mean

from feilun.compute import Context, run
from feilun.compute.fake import MemoryJournal
from feilun.records import JSON, Job, new_id
from feilun.store import Journal, open_database, workspaces
from ratios import report, row

OUT = Path(__file__).parent / "out" / "journal.json"
ROUNDS = 400
DBOS_PROBE = """
import sqlite3, sys, time
began = time.perf_counter()
from dbos import DBOS
folder, rounds = sys.argv[1], int(sys.argv[2])
DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.db", "run_admin_server": False,
             "log_level": "ERROR"})
bare = sqlite3.connect(f"{folder}/bare-dbos.db", isolation_level=None, check_same_thread=False)
bare.execute("PRAGMA journal_mode=WAL")
bare.execute("PRAGMA synchronous=FULL")
bare.execute("CREATE TABLE steps (job TEXT, name TEXT, output TEXT, PRIMARY KEY (job, name))")

def commit(number):
    bare.execute("INSERT INTO steps VALUES ('job', ?, '{}')", (str(number),))

@DBOS.step()
def step(number):
    return {"number": number}

@DBOS.workflow()
def work(rounds):
    total = {"bare": 0.0, "step": 0.0}
    pair = [("bare", commit), ("step", step)]
    for number in range(rounds):
        for name, call in pair if number % 2 else reversed(pair):
            start = time.perf_counter()
            call(number)
            total[name] += time.perf_counter() - start
    return [total["step"] / total["bare"], total["bare"] / rounds]

DBOS.launch()
ready = time.perf_counter() - began
ratio, unit = work(rounds)
print(ratio, ready / unit)
DBOS.destroy()
"""


def bare_commits(folder: Path) -> Callable[[int], None]:
    """Return a function that commits one small row."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE steps (job TEXT, name TEXT, output TEXT, PRIMARY KEY (job, name))")

    def commit(number: int) -> None:
        connection.execute("INSERT INTO steps VALUES ('job', ?, '{}')", (str(number),))

    return commit


async def timed(times: list[float], work: Awaitable[object]) -> None:
    """Add the seconds that ``work`` takes to ``times``."""
    began = time.perf_counter()
    await work
    times.append(time.perf_counter() - began)


async def measure(folder: Path) -> dict[str, float]:
    """Return the mean seconds of a bare commit, a step, a step already recorded, and a step that keeps nothing."""
    database = open_database(folder)
    workspaces.ensure(database, "bench")
    kept, forgotten = Journal(database), MemoryJournal()
    job = Job(new_id("turn"), "bench", "turn", {})
    for journal in (kept, forgotten):
        journal.create(job)
    times: dict[str, list[float]] = {"bare": [], "step": [], "recorded": [], "memory": []}
    commit = bare_commits(folder)

    async def output() -> JSON:
        return {"number": 1}

    async def nothing(context: Context) -> JSON:
        for number in range(ROUNDS):
            await timed(times["memory"], context.step(f"step {number}", output))
        return {}

    async def work(context: Context) -> JSON:
        for number in range(ROUNDS):
            if number % 2:
                await timed(times["bare"], asyncio.to_thread(commit, number))
                await timed(times["step"], context.step(f"step {number}", output))
            else:
                await timed(times["step"], context.step(f"step {number}", output))
                await timed(times["bare"], asyncio.to_thread(commit, number))
        again = Context(context.job, kept)
        for number in range(ROUNDS):
            await timed(times["recorded"], again.step(f"step {number}", output))
        return {}

    await run(kept, job.id, work, locks=folder / "locks")
    await run(forgotten, job.id, nothing, locks=folder / "locks-memory")
    database.close()
    return {name: mean(values) for name, values in times.items()}


def measure_dbos(python: str, folder: Path) -> tuple[float, float]:
    """Return a DBOS step, and DBOS from import to launched, in bare commits."""
    argv = [python, "-c", DBOS_PROBE, str(folder), str(ROUNDS)]
    step, ready = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()[-2:]
    return float(step), float(ready)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dbos", metavar="PYTHON", help="interpreter of an environment that has DBOS")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        seconds = asyncio.run(measure(folder))
        bare = seconds["bare"]
        rows = [
            row("a step, in bare commits", seconds["step"] / bare, 5.0, 2.0, less=True),
            row("a step already recorded (resuming), in bare commits", seconds["recorded"] / bare, 1.0, 0.3, less=True),
            row("a step without the journal's write, in bare commits", seconds["memory"] / bare, 0.5, 0.1, less=True),
        ]
        if arguments.dbos:
            step, ready = measure_dbos(arguments.dbos, folder)
            rows.append(row("a DBOS step, in bare commits", step))
            rows.append(row("DBOS import and launch, in bare commits", ready))
    print(f"bare commit: {bare * 1000:.2f} ms (the unit)")
    report(OUT, rows)


if __name__ == "__main__":
    main()
