"""Both sides sit the same exams with the same model, in turn; per exam scores, differing questions, speed.

``python bench/evaluation [--data FOLDER] [--limit N] [--only NAMES]``. A question may differ only where two options are
as good as equal: its lead is shown. Knows the table. Does not know how either side works.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from evaluation.environment import OUT, PeerError, python_of_peer, run
from evaluation.tasks import write
from feilun.engines.models import ensure_base
from feilun.grading.calibration import wilson
from feilun.settings import load

HERE = Path(__file__).resolve().parent
TIE = 2e-3  # nats: what float32 sums of another order differ by over an option
COLUMNS = (
    *("exam", "questions", "metric", "harness", "ours", "95 % interval", "differ", "furthest (nats)"),
    *("harness q/s", "ours q/s", "ratio", "by processor time"),
)
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = HERE.parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="the folder with the exams' data")
    parser.add_argument("--limit", type=int, default=40, help="questions of each exam (default: 40; 0: all)")
    parser.add_argument("--only", default="", help="names of exams, separated by commas")
    parser.add_argument("--batch", type=int, default=16, help="of the harness, and calls together of ours")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def _sit(given: argparse.Namespace, model: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    env = {**os.environ, **OFFLINE, "OMP_NUM_THREADS": str(given.threads), "HF_HOME": str(OUT / ".lm_eval" / "home")}
    found = []
    for name, python in (("peer", python_of_peer()), ("ours", Path(sys.executable))):
        out = OUT / "evaluation" / f"{name}.json"
        arguments = [model, str(folder), str(out), str(given.batch), str(given.limit)]
        run([str(python), str(HERE / f"{name}.py"), *arguments], env, 3600)
        found.append(json.loads(out.read_text(encoding="utf-8")))
    return found[0], found[1]


def _logprobs(row: dict[str, Any]) -> list[float] | None:
    """Return a row's sums of log-probabilities, in whichever shape a side writes them."""
    if not row["answers"] or isinstance(row["answers"][0], str):
        return None
    return [float(each[0] if isinstance(each, list) else each) for each in row["answers"]]


def compared(name: str, peer: list[dict[str, Any]], ours: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is alike and what is not."""
    differing, furthest, prompts = [], 0.0, 0
    for number, (a, b) in enumerate(zip(peer, ours, strict=True)):
        prompts += a["prompt"] is not None and a["prompt"] != b["prompt"]
        left, right = _logprobs(a), _logprobs(b)
        if left and right:
            furthest = max(furthest, *(abs(x - y) for x, y in zip(left, right, strict=True)))
        if any(a["scores"][metric] != b["scores"][metric] for metric in b["scores"]):
            best = sorted(left or [], reverse=True)
            lead = best[0] - best[1] if len(best) > 1 else math.nan
            differing.append({"question": number, "lead": lead, "peer": a, "ours": b})
    metrics = {}
    for metric in ours[0]["scores"]:
        hits = sum(row["scores"][metric] for row in ours)
        theirs = sum(row["scores"][metric] for row in peer)
        metrics[metric] = (theirs / len(peer), hits / len(ours), wilson(round(hits), len(ours)))
    return {
        "exam": name,
        "questions": len(ours),
        "metrics": metrics,
        "differing": differing,
        "furthest": furthest,
        "prompts": prompts,
    }


def main() -> None:
    """Print the table and write ``bench/out/evaluation.json``."""
    given = _given()
    root = Path(load().home)
    model = ensure_base(root, "smollm2-135m-instruct").folder
    (OUT / "evaluation").mkdir(parents=True, exist_ok=True)
    folder = OUT / "evaluation" / "tasks"
    for old in folder.glob("*.yaml"):
        old.unlink()
    for file in write(folder, given.data, given.limit):
        if given.only and file.stem not in given.only.split(","):
            file.unlink()
    try:
        peer, ours = _sit(given, str(Path(model).resolve()), folder)
    except PeerError as error:
        sys.exit(f"The comparison could not be made: {error}")
    how = f"batch {peer['batch']}, float32, {peer['threads']} threads each"
    print(f"lm-evaluation-harness {peer['lm_eval']}, {how}\n")
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---|---:|---|---:|---:|---|---:|---:|---:|---:|---:|---:|")
    results, slowest = [], math.inf
    for name in sorted(ours["tasks"]):
        a, b = peer["tasks"][name], ours["tasks"][name]
        found = compared(name, a["rows"], b["rows"])
        speeds = [found["questions"] / side["seconds"] for side in (a, b)]
        ratio = speeds[1] / speeds[0]
        slowest = min(slowest, ratio)
        results.append({**found, "speeds": speeds, "ratio": ratio})
        for metric, (theirs, mine, (low, high)) in found["metrics"].items():
            cells = (
                *(name, found["questions"], metric, f"{theirs:.4f}", f"{mine:.4f}", f"{low:.4f} to {high:.4f}"),
                *(len(found["differing"]), f"{found['furthest']:.1e}", f"{speeds[0]:.2f}", f"{speeds[1]:.2f}"),
                *(f"{ratio:.1f}", f"{a['worked'] / b['worked']:.1f}"),
            )
            print(f"| {' | '.join(map(str, cells))} |")
        if found["prompts"]:
            print(f"{found['prompts']} prompts of {name} are not the same.")
        for each in found["differing"]:
            tie = "a tie" if each["lead"] < TIE else "NOT a tie"
            print(f"  {name} {each['question']}: lead of the first over the second {each['lead']:.1e} nats: {tie}")
    whole, worked = (
        sum(t[what] for t in peer["tasks"].values()) / sum(t[what] for t in ours["tasks"].values())
        for what in ("seconds", "worked")
    )
    print(f"\nall exams together: {whole:.1f} times the questions a second (must: 2, reach for 4); least {slowest:.1f}")
    print(f"by processor time, which others at work on the machine do not change: {worked:.1f}")
    kept = json.dumps({"whole": whole, "worked": worked, "results": results}, ensure_ascii=False, indent=1)
    (OUT / "evaluation.json").write_text(kept, encoding="utf-8")


if __name__ == "__main__":
    main()
