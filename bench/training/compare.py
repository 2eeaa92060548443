"""LoRA training against TRL and LLaMA-Factory: the same model, exchanges, batches, rank, layers, rate and steps.

    make bench-training            or: python bench/training [--steps 12] [--rounds 2] [--data FILE] [--only trl]

All sides train every layer in bfloat16 on the same cores, step by step on the same batches, which hold exchanges of
like length, so that padding costs the others little. Counted are tokens of the exchanges, no padding. The first steps
do not count. TRL is tried with its settings that are best on a processor, and the fastest stands for it. Afterwards one
program (ours) says how likely each adapter finds exchanges that nobody trained on. Prints the table, and DPO's below.
Does not know how anybody trains.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from feilun.compute import threads
from feilun.curation import curate, parse
from feilun.engines.adapters import read_adapter
from feilun.engines.decoder import Decoder
from feilun.engines.models import ensure_base
from feilun.engines.prompts import Prompter
from feilun.flywheel import sample_paths
from feilun.records import JSON
from feilun.training.learning import schedule
from feilun.training.lora import pack_loss
from feilun.training.pack import Sample, encode, pack
from feilun.training.plan import Plan
from ratios import report, row
from training.dpo import compared
from training.peers import OUT, PeerError, Timed, follow, llamafactory, trl

ROOT = Path(__file__).resolve().parent.parent.parent
PUBLIC = ROOT.parent / "shared" / "data" / "llamafactory_demo" / "data" / "alpaca_zh_demo.json"
BATCH, RANK, ALPHA, RATE, LONGEST, HELD, WARM = 8, 8, 16, 1e-3, 512, 24, 2
DPO_STEPS = 7
ROWS = 1536  # of one backward pass of ours
# What was tried of TRL; autocast with wide (float32) adapters is what it does by itself.
TRIED: dict[str, JSON] = {
    "padding-free": {"padding_free": True, "wide_adapter": False, "autocast": False},
    "padded": {"padding_free": False, "wide_adapter": False, "autocast": False},
    "as it comes": {"padding_free": False, "wide_adapter": True, "autocast": True},
}


@dataclass(frozen=True, slots=True)
class Work:
    """What everybody trains on: the plan, rows in the order of the batches, tokens of each step, rows held out."""

    plan: Plan
    rows: list[JSON]
    tokens: list[int]
    held: list[Sample]
    folder: Path


def read_rows(file: Path) -> list[JSON]:
    """Return questions and answers of a file of instructions; of the sample organisation where there is none."""
    if file.is_file():
        given = json.loads(file.read_text(encoding="utf-8"))
        asked = [" \n".join(filter(None, (one["instruction"], one.get("input")))) for one in given]
        return [{"question": text, "answer": one["output"]} for text, one in zip(asked, given, strict=True)]
    print(f"{file} is not there; the sample organisation stands in.", file=sys.stderr)
    table = sample_paths()[0] / "faq" / "faq.xlsx"
    chats = curate([parse(table.name, table.read_bytes(), "bench")]).chat
    return [{"question": c.messages[0]["content"], "answer": c.messages[1]["content"]} for c in chats]


def prepare(base: Path, file: Path, steps: int, folder: Path) -> Work:
    """Choose rows that fit, and put them into the order in which our trainer takes them."""
    prompter = Prompter(base)
    found: dict[Sample, JSON] = {}
    for one in read_rows(file):
        sample = encode(prompter, _messages(one), LONGEST)
        if sample is not None:
            found.setdefault(replace(sample, even=True), one)
    samples = list(found)[: steps * BATCH + HELD]
    learnt, held = samples[HELD:], samples[:HELD]
    plan = Plan(
        base=str(base),
        samples=str(folder / "samples.jsonl"),
        replay="",
        out=str(folder / "ours"),
        scratch=str(folder / "scratch"),
        epochs=1,
        rank=RANK,
        alpha=ALPHA,
        learning_rate=RATE,
        named=("learning_rate",),
        longest=LONGEST,
        batch=BATCH,
        rows=ROWS,
        frozen=0.0,
        threads=threads(0),
        checkpoint_seconds=1e9,
        options={"weighting": "tokens"},
    )
    groups = schedule(plan, learnt, [])
    flat = [sample for group in groups for sample in group]
    lines = [{"messages": _messages(found[sample])} for sample in learnt]
    _write(Path(plan.samples), lines)
    _write(
        folder / "rows.jsonl", [{"input_ids": s.ids, "labels": [-100] * s.start + list(s.ids[s.start :])} for s in flat]
    )
    tokens = [sum(len(sample.ids) for sample in group) for group in groups]
    return Work(plan, [found[sample] for sample in flat], tokens, held, folder)


def ours(work: Work) -> Timed:
    """Train as a job does, in a process of its own."""
    shutil.rmtree(work.plan.scratch, ignore_errors=True)
    file = work.folder / "plan.json"
    work.plan.write(file)
    command = [sys.executable, "-m", "feilun.training.run", str(file)]
    return follow("ours", command, len(work.tokens), work.plan.threads)


def task_of(work: Work, name: str) -> JSON:
    """Return what a peer is told."""
    return {
        "base": work.plan.base,
        "rows": str(work.folder / "rows.jsonl"),
        "out": str(work.folder / name),
        "rank": RANK,
        "alpha": ALPHA,
        "rate": RATE,
        "warmup": work.plan.warmup,
        "batch": BATCH,
        "longest": LONGEST,
        "threads": work.plan.threads,
    }


def held_loss(work: Work, adapter: str) -> float:
    """Return the mean loss (nats a token) of an adapter over what nobody trained on."""
    decoder = Decoder(Path(work.plan.base), torch.float32)
    kept = read_adapter(work.folder / adapter, torch.float32)
    whole = sum(sample.weight for sample in work.held)
    with torch.no_grad():
        each = [pack_loss(decoder, kept.factors, kept.scale, pack([s]), whole=whole).item() for s in work.held]
    return sum(each)


def measure(work: Work, rounds: int, only: str) -> list[JSON]:
    """Train with everybody in turn; return the judged rows."""
    steps = len(work.tokens)
    mine: list[Timed] = []
    theirs: dict[str, list[Timed]] = {}

    def turn(name: str, run: Timed) -> None:
        theirs.setdefault(name, []).append(run)
        print(f"{name}: {run.speed(work.tokens, WARM):.0f} tokens/s, {run.peak >> 20} MiB", flush=True)

    if only != "llamafactory":
        for name, settings in TRIED.items():
            turn(f"TRL, {name}", trl(task_of(work, "trl"), work.folder, settings, steps))
    best = max(theirs, key=lambda name: theirs[name][0].speed(work.tokens, WARM), default="")
    for _ in range(rounds):
        mine.append(ours(work))
        print(f"ours: {mine[-1].speed(work.tokens, WARM):.0f} tokens/s, {mine[-1].peak >> 20} MiB", flush=True)
        if best:
            settings = TRIED[best.removeprefix("TRL, ")]
            turn(best, trl(task_of(work, "trl"), work.folder, settings, steps))
        if only != "trl":
            turn("LLaMA-Factory", llamafactory(task_of(work, "llamafactory"), work.folder, work.rows, steps))

    def speed(runs: list[Timed]) -> float:
        return max(run.speed(work.tokens, WARM) for run in runs)

    rows, loss = [], held_loss(work, "ours")
    for title, name, folder in ((f"TRL ({best})", best, "trl"), ("LLaMA-Factory", "LLaMA-Factory", "llamafactory")):
        if name in theirs:
            other = held_loss(work, folder)
            rows.append(row(f"LoRA tokens/s, ours / {title}", speed(mine) / speed(theirs[name]), 1.5, 3.0))
            rows.append(row(f"held-out loss, ours / {title}", loss / other, 1.01, less=True))
    if best:
        peak = min(run.peak for run in theirs[best])
        rows.append(row(f"peak memory, ours / TRL ({best})", max(run.peak for run in mine) / peak, 0.8, 0.5, less=True))
    return rows


def main() -> None:
    """Measure, print, write."""
    given = argparse.ArgumentParser(description="LoRA training against TRL and LLaMA-Factory")
    given.add_argument("--steps", type=int, default=12)
    given.add_argument("--rounds", type=int, default=2)
    given.add_argument("--data", type=Path, default=PUBLIC)
    given.add_argument("--only", choices=("trl", "llamafactory"), default="")
    asked = given.parse_args()
    base = Path(ensure_base(ROOT / "feilun-data", "smollm2-135m-instruct").folder)
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT, prefix="training-") as folder:
        work = prepare(base, asked.data, asked.steps, Path(folder))
        print(f"{len(work.tokens)} steps of {BATCH} exchanges, {sum(work.tokens)} tokens", flush=True)
        try:
            rows = measure(work, asked.rounds, asked.only)
            if not asked.only:
                (Path(folder) / "dpo").mkdir()
                rows += compared(base, 0.0, DPO_STEPS, Path(folder) / "dpo")
        except PeerError as error:
            raise SystemExit(f"{error}") from error
    report(OUT / "training.json", rows)
    if not all(one["met"] for one in rows):
        raise SystemExit(1)


def _messages(one: JSON) -> list[JSON]:
    return [{"role": "user", "content": one["question"]}, {"role": "assistant", "content": one["answer"]}]


def _write(file: Path, lines: list[JSON]) -> None:
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
