"""A step of DPO, ours against TRL's DPOTrainer: same model, fresh factors, pairs, order, rank, layers, rate, batch.

    python bench/training/dpo.py [--steps 7] [--frozen 0 0.5]

Reference log-probabilities are computed once, before the first step, by both. The first step is not counted: it
prepares kernels. TRL has an environment of its own under ``bench/out``. Prints a table (times a step as TRL over ours,
and how far apart the last losses are) and writes ``bench/out/training-dpo.json``. Does not know how a step is made.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from feilun.compute import threads
from feilun.curation import curate, parse
from feilun.engines.adapters import Factors, write_adapter
from feilun.engines.decoder import Decoder
from feilun.engines.models import ensure_base
from feilun.engines.prompts import Prompter
from feilun.flywheel import sample_paths
from feilun.records import JSON
from feilun.training.loop import CLIP, rate
from feilun.training.lora import new_factors
from feilun.training.plan import Plan
from feilun.training.preference.odds import Policy
from feilun.training.preference.prefer import Learner
from feilun.training.preference.trees import Tree, encode_tree
from ratios import report, row

OUT = Path(__file__).resolve().parent.parent / "out"
PACKAGES = ("trl==1.16.*", "peft", "torch==2.13.0")  # a newer torch would bring gigabytes for processors not here
BATCH, RANK, ALPHA, RATE, BETA = 8, 8, 16, 2e-4, 0.1
OPTIONS = {"beta": BETA, "label_smoothing": 0.0, "sft": 0.0, "liked": 0.0, "disliked": 0.0}


def pairs(count: int) -> list[tuple[str, str, str]]:
    """Return questions of the sample organisation with a short answer, and one that rambles through three others."""
    file = sample_paths()[0] / "faq" / "faq.xlsx"
    chat = curate([parse(file.name, file.read_bytes(), "bench")]).chat
    said = [tuple(str(message["content"]) for message in record.messages) for record in chat]
    found = []
    for number in range(count):
        asked, good = said[number % len(said)]
        rest = [said[(number + 37 * step) % len(said)][1] for step in (1, 2, 3)]
        found.append((asked, good, f"Thank you for asking. {' '.join(rest)} Please ask again."))
    return found


def python_of_trl() -> Path:
    """Return the Python that has TRL, installed at first use."""
    folder = OUT / ".trl"
    python, marker = folder / "bin" / "python", folder / "whole"
    if not marker.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "-q", "install", *PACKAGES], check=True)
        marker.touch()
    return python


def ours(plan: Plan, factors: Factors, first: int, trees: list[Tree], steps: int) -> tuple[list[float], list[float]]:
    """Return seconds and loss of every step of ours."""
    policy = Policy(Decoder(Path(plan.base), torch.bfloat16), factors, ALPHA / RANK, first)
    learner = Learner(plan, policy, trees, OPTIONS)
    parameters = [factor for pair in factors.values() for factor in pair]
    optimiser = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0, fused=True)
    seconds, losses = [], []
    for number in range(steps):
        began = time.perf_counter()
        optimiser.param_groups[0]["lr"] = rate(plan, number, steps)
        losses.append(learner.loss(trees[number * BATCH : (number + 1) * BATCH], learn=True))
        torch.nn.utils.clip_grad_norm_(parameters, CLIP, foreach=True)
        optimiser.step()
        optimiser.zero_grad()
        seconds.append(time.perf_counter() - began)
    return seconds, losses


def theirs(task: JSON, folder: Path) -> tuple[list[float], list[float]]:
    """Return seconds (from the second step on) and loss of every step of TRL's."""
    file = folder / "task.json"
    file.write_text(json.dumps(task), encoding="utf-8")
    command = [str(python_of_trl()), str(Path(__file__).with_name("peer_trl_dpo.py")), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1500)
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"')]
    if done.returncode or not said or "losses" not in said[-1]:
        raise SystemExit(f"TRL ended with {done.returncode}: {done.stderr[-800:]}")
    clocks = [line["clock"] for line in said if "clock" in line]
    return [after - before for before, after in pairwise(clocks)], said[-1]["losses"]


def compared(base: Path, frozen: float, steps: int, folder: Path) -> list[JSON]:
    """Measure both on the same layers, and return the rows."""
    decoder = Decoder(base, torch.bfloat16)
    first = round(frozen * decoder.shape.layers)
    factors = new_factors(decoder, RANK, range(first, decoder.shape.layers), 0)
    write_adapter(folder / "adapter", factors, RANK, ALPHA)
    del decoder
    prompter, chosen = Prompter(base), pairs(steps * BATCH)
    lines, trees = [], []
    for asked, good, bad in chosen:
        prompt = [{"role": "user", "content": asked}]
        tree = encode_tree(prompter, prompt, (good, bad), 512)
        if tree is not None:
            trees.append(tree)
            lines.append(json.dumps({"prompt": prompter.render(prompt), "chosen": good, "rejected": bad}))
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    samples, out, scratch = (str(folder / name) for name in ("rows.jsonl", "out", "scratch"))
    plan = Plan(str(base), samples, "", out, scratch, learning_rate=RATE, method="dpo", rank=RANK, alpha=ALPHA)
    task: JSON = {"base": str(base), "adapter": str(folder / "adapter"), "rows": samples, "out": str(folder / "trl")}
    task |= {"rate": RATE, "warmup": plan.warmup, "batch": BATCH, "steps": steps, "beta": BETA, "threads": threads(0)}
    their_seconds, their_losses = theirs(task, folder)
    our_seconds, our_losses = ours(plan, factors, first, trees, steps)
    ratio = statistics.median(their_seconds) / statistics.median(our_seconds[1:])
    apart = abs(our_losses[-1] / their_losses[-1] - 1)
    print(f"seconds a step: TRL {their_seconds}, ours {our_seconds}", flush=True)
    print(f"losses: TRL {[round(each, 4) for each in their_losses]}, ours {[round(each, 4) for each in our_losses]}")
    which = "all layers" if not first else f"layers from {first} on"
    return [
        row(f"DPO step, TRL / ours, {which}", ratio, 1.8, 3),
        row(f"last losses apart, share, {which}", apart, 0.02, 0.01, less=True),
    ]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=7, help="steps of each, the first of which is not counted")
    parser.add_argument("--frozen", type=float, nargs="+", default=[0.0, 0.5], help="shares of layers that never learn")
    given = parser.parse_args()
    torch.set_num_threads(threads(0))
    base = Path(ensure_base(Path("feilun-data").absolute(), "smollm2-135m-instruct").folder)
    found = []
    for frozen in given.frozen:
        with tempfile.TemporaryDirectory() as folder:
            found += compared(base, frozen, given.steps, Path(folder))
    report(OUT / "training-dpo.json", found)


if __name__ == "__main__":
    main()
