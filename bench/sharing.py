"""What a training beside it costs a stream: ``make bench-sharing``.

Prints a table and writes ``bench/out/sharing.json``. One stream after another is answered by the fleet's engine while
a real training process, started as a job starts it, runs and is stopped (SIGSTOP) in turns, so that what else the
machine does hits both alike. A figure is the ratio of the middle rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from feilun.compute import Command, Process, threads
from feilun.curation import curate, parse
from feilun.engines import Engine, Request
from feilun.engines.models import DEFAULT, ensure_base
from feilun.flywheel import sample_paths
from feilun.records import JSON, ModelVersion
from feilun.serving.fleet import Fleet
from feilun.settings import Settings
from feilun.training.plan import Plan
from ratios import report, row

OUT = Path(__file__).parent / "out" / "sharing.json"
SETTLE = 1.0  # seconds after the training was let go or stopped


def write_plan(base: ModelVersion, folder: Path) -> Path:
    """Write the plan of a training that lasts longer than the bench; return its file."""
    file = sample_paths()[0] / "faq" / "faq.xlsx"
    records = curate([parse(file.name, file.read_bytes(), "bench")]).chat
    lines = [json.dumps({"messages": list(record.messages)}, ensure_ascii=False) for record in records]
    (folder / "samples.jsonl").write_text("\n".join(lines), encoding="utf-8")
    out, scratch = str(folder / "out"), str(folder / "scratch")
    plan = Plan(base.folder, str(folder / "samples.jsonl"), "", out, scratch, epochs=500)
    plan.write(folder / "plan.json")
    return folder / "plan.json"


async def speed(engine: Engine, model: str, tokens: int) -> float:
    """Return tokens per second of one stream, from its first token to its last."""
    question = {"role": "user", "content": "A river, a mill, and people beside it: write a long story."}
    made, began = 0, 0.0
    request = Request(model, (question,), tokens, logprobs=True)
    async for delta in engine.generate(request):  # to its end, so that nothing is left to close
        if delta.token is not None:
            made += 1
            began = began or time.perf_counter()
    return (made - 1) / (time.perf_counter() - began)


async def beside(engine: Engine, model: str, command: Command, given: argparse.Namespace) -> tuple[float, float, float]:
    """Return tokens per second alone and beside the training, and how much of its own speed the training keeps."""
    steps: list[float] = []
    warm = asyncio.Event()

    def listen(message: JSON) -> None:
        if "loss" in message:
            steps.append(time.perf_counter())
            warm.set()

    speeds: dict[bool, list[float]] = {False: [], True: []}
    async with Process(command, on_message=listen) as training:
        await warm.wait()
        await asyncio.sleep(given.alone)
        own = (len(steps) - 1) / (time.perf_counter() - steps[0])
        kept = []
        for number in range(2 * given.rounds):
            running = number % 2 == 1
            os.killpg(training.pid, signal.SIGCONT if running else signal.SIGSTOP)
            await asyncio.sleep(SETTLE)
            first, began = len(steps), time.perf_counter()
            speeds[running].append(await speed(engine, model, given.tokens))
            if running:
                kept.append((len(steps) - first) / (time.perf_counter() - began))
    return statistics.median(speeds[False]), statistics.median(speeds[True]), statistics.mean(kept) / max(own, 1e-9)


async def measure(given: argparse.Namespace) -> list[JSON]:
    """Return the rows of the table."""
    base = ensure_base(given.home.absolute(), given.model)
    fleet = Fleet(Settings(home=str(given.home.absolute()), model=given.model), given.home.absolute())
    rows: list[JSON] = []
    with tempfile.TemporaryDirectory() as scratch:
        plan = write_plan(base, Path(scratch))
        argv = (sys.executable, "-m", "feilun.training.sft", str(plan))
        env = {"OMP_NUM_THREADS": str(threads()), "TOKENIZERS_PARALLELISM": "false"}
        log = Path(scratch) / "log"
        giving_way = Command("the training process", argv, log, env=env, ready_seconds=0, background=True)
        try:
            engine = await fleet.engine(base)
            await engine.load(base)
            await speed(engine, base.id, given.tokens)
            for name, command in (
                ("as jobs run", giving_way),
                ("of equal rank", replace(giving_way, background=False)),
            ):
                alone, shared, kept = await beside(engine, base.id, command, given)
                must = 0.7 if command.background else None
                rows += [
                    row(f"stream beside a training {name}, over alone", shared / alone, must, 0.9 if must else None),
                    row(f"tokens/s alone ({name})", alone),
                    row(f"tokens/s beside ({name})", shared),
                    row(f"training speed beside the stream, over alone ({name})", kept),
                ]
        finally:
            await fleet.close()
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT, help="base model: a name, a Hugging Face folder or a GGUF file")
    parser.add_argument("--home", type=Path, default=Path("feilun-data"), help="where prepared models are kept")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128, help="length of every answer")
    parser.add_argument("--alone", type=float, default=8.0, help="seconds in which the training's own speed is taken")
    rows = asyncio.run(measure(parser.parse_args()))
    report(OUT, rows)


if __name__ == "__main__":
    main()
