"""The statistics by simulation: false promotions, power, coverage; and verdicts against NVIDIA's open evaluator.

    python bench/proof.py [--times 2000] [--no-peers]

Prints the tables and writes ``bench/out/proof.json``. 5 in 100 is what may be called different where nothing is.
NVIDIA's ``nemo-evaluator`` (its ``compare``: exact McNemar, one-sided, so it is asked both ways round at 2.5 %) and
statsmodels (two-sided) get environments of their own under ``bench/out``, and 1,000 random paired results. Does not
know how the statistics are worked out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from feilun.compute import machine
from feilun.evaluation.compare import decide
from feilun.evaluation.statistics import difference, holm, mcnemar, paired_interval, plan, power
from feilun.records import JSON, Comparison

OUT = Path(__file__).resolve().parent / "out"
NEMO = ("nemo-evaluator==0.3.*", "scipy")
STATSMODELS = ("statsmodels==0.14.*",)
PAIRED = 1000
Draw = Callable[[np.random.Generator], tuple[NDArray[np.float64], NDArray[np.int64] | None]]

ASK_NEMO = """
import json, sys
from nemo_evaluator.engine.comparison import compare_results

def records(run):
    return {(i, 0): {"problem_idx": i, "repeat": 0, "reward": float(score)} for i, score in enumerate(run)}

def told(before, after):
    report = compare_results(records(before), records(after), alpha=0.025, min_effect=1e-6, test="mcnemar")
    return report["mcnemar"]["p_value"], report["verdict"]

found = []
for before, after in json.load(sys.stdin):
    down, up = told(before, after), told(after, before)
    verdict = "worse" if down[1] == "BLOCK" else "better" if up[1] == "BLOCK" else "cannot tell"
    found.append([min(1.0, 2 * min(down[0], up[0])), verdict])
json.dump(found, sys.stdout)
"""
ASK_STATSMODELS = """
import json, sys
from statsmodels.stats.contingency_tables import mcnemar

found = []
for before, after in json.load(sys.stdin):
    counts = [[0, 0], [0, 0]]
    for old, new in zip(before, after):
        counts[int(old)][int(new)] += 1
    p = float(mcnemar(counts, exact=True).pvalue)
    gained, lost = counts[0][1], counts[1][0]
    found.append([p, "cannot tell" if p >= 0.05 else "better" if gained > lost else "worse"])
json.dump(found, sys.stdout)
"""


def flips(questions: int, gain: float, loss: float) -> Draw:
    """Return a world of single questions."""

    def draw(random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
        return random.choice([1.0, -1.0, 0.0], size=questions, p=[gain, loss, 1 - gain - loss]), None

    return draw


def passages(count: int, size: int, gain: float, loss: float, together: float, *, uneven: bool = False) -> Draw:
    """Return a world of passages with about ``size`` questions each; the share ``together`` of them moves as one."""

    def draw(random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
        sizes = np.full(count, size)
        if uneven:
            sizes = np.minimum(20 * size, np.maximum(1, random.pareto(1.2, count) * size)).astype(np.int64)
        clusters = np.repeat(np.arange(count), sizes)
        shares = [gain, loss, 1 - gain - loss]
        whole = random.choice([1.0, -1.0, 0.0], size=count, p=shares)[clusters]
        alone = random.choice([1.0, -1.0, 0.0], size=len(clusters), p=shares)
        return np.where(random.random(len(clusters)) < together, whole, alone), clusters

    return draw


def graded(questions: int, mean: float, spread: float) -> Draw:
    """Return a world of graded scores with normal differences."""

    def draw(random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
        return np.clip(random.normal(mean, spread, questions), -1, 1), None

    return draw


def lopsided(questions: int) -> Draw:
    """Return a world without a difference: most gain 0.1, one in ten loses 0.9."""

    def draw(random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
        return np.where(random.random(questions) < 0.1, -0.9, 0.1), None

    return draw


EQUAL: dict[str, Draw] = {
    "120 questions, 10 % flip each way": flips(120, 0.1, 0.1),
    "120 questions, 1 % flip each way": flips(120, 0.01, 0.01),
    "30 questions, 30 % flip each way": flips(30, 0.3, 0.3),
    "12 passages of 5, separate": passages(12, 5, 0.15, 0.15, 0.0),
    "12 passages of 5, half together": passages(12, 5, 0.15, 0.15, 0.5),
    "12 passages of 5, together": passages(12, 5, 0.15, 0.15, 1.0),
    "6 passages of 10, together": passages(6, 10, 0.4, 0.4, 1.0),
    "4 passages of 15, together": passages(4, 15, 0.4, 0.4, 1.0),
    "40 passages of 3, together": passages(40, 3, 0.1, 0.1, 1.0),
    "15 uneven passages, together": passages(15, 3, 0.25, 0.25, 1.0, uneven=True),
    "40 graded": graded(40, 0.0, 0.2),
    "8 graded": graded(8, 0.0, 0.2),
    "25 graded, lopsided": lopsided(25),
    "10 graded, lopsided": lopsided(10),
}
UNEQUAL: dict[str, tuple[Draw, float]] = {
    "60 questions, +15 points": (flips(60, 0.2, 0.05), 0.15),
    "200 questions, +2 points": (flips(200, 0.02, 0.0), 0.02),
    "15 passages of 6, +20 points": (passages(15, 6, 0.3, 0.1, 0.7), 0.2),
    "15 uneven passages, +20 points": (passages(15, 3, 0.3, 0.1, 0.3, uneven=True), 0.2),
    "80 graded, +10 points": (graded(80, 0.1, 0.2), 0.1),
}


def simulate(world: Draw, truth: float, times: int) -> tuple[float, float, float]:
    """Return the shares called better, called worse, and whose interval holds the truth."""
    random, better, worse, held = np.random.default_rng(1), 0, 0, 0
    for _ in range(times):
        values, clusters = world(random)
        found = difference(values, None if clusters is None else clusters.tolist())
        told = found.p_value < 0.05
        better += told and found.interval[0] > 0
        worse += told and found.interval[1] < 0
        held += found.interval[0] - 1e-9 <= truth <= found.interval[1] + 1e-9
    return better / times, worse / times, held / times


def counted(random: np.random.Generator, questions: int, gain: float, loss: float) -> Comparison:
    """Return one simulated comparison, half of the questions right before."""
    won, lost, _ = random.multinomial(questions, [gain, loss, 1 - gain - loss]).tolist()
    gap, ends = (won - lost) / questions, paired_interval(questions, won, lost)
    return Comparison(questions, 0.5, 0.5 + gap, gap, ends, won, lost, mcnemar(won, lost))


def rule(times: int) -> list[tuple[str, float, float | None]]:
    """Return how often the whole rule promotes, by what is true: own exam, general exam, four guards of 150."""
    cases = {
        "nothing changed anywhere": ((0.1, 0.1), (0.05, 0.05), (0.02, 0.02), 0.05),
        "better, but worse by the margin in general": ((0.5, 0.02), (0.02, 0.12), (0.0, 0.0), 0.05),
        "better, but worse by the margin on one guard": ((0.5, 0.02), (0.02, 0.02), (0.02, 0.12), 0.05),
        "better, and nothing lost": ((0.3, 0.02), (0.01, 0.01), (0.01, 0.01), None),
    }
    found = []
    for name, (own, general, guard, most) in cases.items():
        random, promoted = np.random.default_rng(2), 0
        for _ in range(times):
            guards = {str(n): counted(random, 150, *(guard if n == 0 else (0.01, 0.01))) for n in range(4)}
            mine, other = counted(random, 120, *own), counted(random, 240, *general)
            promoted += decide(mine, other, 0.1, 0.3, guards)[0]
        found.append((name, promoted / times, most))
    random = np.random.default_rng(3)
    runs = [[mcnemar(*random.multinomial(200, [0.1, 0.1, 0.8])[:2].tolist()) for _ in range(10)] for _ in range(times)]
    corrected = sum(min(holm(p)) < 0.05 for p in runs) / times
    found.append(("any of 10 equal exams called different, by Holm", corrected, 0.05))
    found.append(("the same without a correction", sum(min(p) < 0.05 for p in runs) / times, None))
    return found


def powers(times: int) -> list[tuple[str, float, float]]:
    """Return claimed and simulated chances that a gain is shown."""
    found = []
    for questions, gain, loss in ((60, 0.15, 0.02), (100, 0.1, 0.02), (100, 0.2, 0.1), (240, 0.06, 0.01)):
        seen = simulate(flips(questions, gain, loss), gain - loss, times)[0]
        found.append((f"{questions} questions, {gain:.0%} gained, {loss:.0%} lost", power(questions, gain, loss), seen))
    for questions in (60, 120, 240):
        told = plan(questions, 0.02)
        gap = told.sees or 1.0
        seen = simulate(flips(questions, gap + 0.02, 0.02), gap, times)[0]
        found.append((f"{questions} questions see {100 * gap:.1f} points", 0.8, seen))
    return found


def python(least: tuple[int, int]) -> str:
    """Return an interpreter of at least this version; empty if there is none."""
    names = [f"python3.{minor}" for minor in range(13, least[1] - 1, -1)]
    for name in names:
        places = [shutil.which(name)]
        if pyenv := shutil.which("pyenv"):
            known = _said(pyenv, "whence", name).split()
            places += [str(Path(_said(pyenv, "prefix", each)) / "bin" / name) for each in known]
        for place in filter(None, places):
            if subprocess.run([place, "-V"], capture_output=True, check=False).returncode == 0:
                return place
    return sys.executable if sys.version_info[:2] >= least else ""


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def environment(name: str, packages: tuple[str, ...], interpreter: str) -> Path | None:
    """Return the python of an environment with these packages, made if need be; None if they cannot be installed."""
    folder = OUT / f".{name}"
    found, done = folder / "bin" / "python", folder / "installed"
    if not interpreter:
        return None
    if not done.is_file():
        subprocess.run([interpreter, "-m", "venv", "--clear", str(folder)], check=True)
        made = subprocess.run([str(found), "-m", "pip", "install", "-q", *packages], capture_output=True, check=False)
        if made.returncode:
            return None
        done.write_text(" ".join(packages), encoding="utf-8")
    return found


def paired() -> list[tuple[list[int], list[int]]]:
    """Return random pairs of runs: right and wrong of 5 to 300 questions, alike and unlike."""
    random, found = np.random.default_rng(7), []
    for _ in range(PAIRED):
        questions = int(random.integers(5, 301))
        before = random.random(questions) < random.random()
        flip = random.random(questions) < random.beta(1, 4)
        after = np.where(flip, random.random(questions) < random.random(), before)
        found.append((before.astype(int).tolist(), after.astype(int).tolist()))
    return found


def agreement(name: str, python_of: Path, program: str) -> JSON:
    """Return how far a peer's p values and verdicts are those of ours."""
    cases = paired()
    with tempfile.TemporaryDirectory() as folder:
        sent = json.dumps(cases)
        done = subprocess.run(
            [str(python_of), "-c", program], input=sent, capture_output=True, text=True, check=True, cwd=folder
        )
    theirs = json.loads(done.stdout)
    same, largest, verdicts = 0, 0.0, {"better": 0, "worse": 0, "cannot tell": 0}
    for (before, after), (p, verdict) in zip(cases, theirs, strict=True):
        found = difference([float(new - old) for old, new in zip(before, after, strict=True)])
        told = found.p_value < 0.05
        ours = "cannot tell" if not told else "better" if found.mean > 0 else "worse"
        same += ours == verdict
        verdicts[ours] += 1
        largest = max(largest, abs(found.p_value - p))
    return {"peer": name, "cases": len(cases), "same verdict": same, "largest p difference": largest, "ours": verdicts}


def main() -> int:
    """Print the tables; fail if a bound is broken or a verdict differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=2000, help="simulated exams of each kind")
    parser.add_argument("--no-peers", action="store_true", help="leave the peers out")
    given = parser.parse_args()
    rows: list[JSON] = []
    broken = 0
    print(f"{'nothing changed':<52} {'better':>7} {'worse':>7} {'covered':>8}")
    for name, world in EQUAL.items():
        better, worse, held = simulate(world, 0.0, given.times)
        broken += better + worse > 0.05 or held < 0.93
        rows.append({"world": name, "better": better, "worse": worse, "covered": held})
        print(f"{name:<52} {better:>7.2%} {worse:>7.2%} {held:>8.1%}")
    print(f"\n{'a true difference':<52} {'better':>7} {'worse':>7} {'covered':>8}")
    for name, (world, truth) in UNEQUAL.items():
        better, worse, held = simulate(world, truth, given.times)
        broken += held < 0.93
        rows.append({"world": name, "better": better, "worse": worse, "covered": held})
        print(f"{name:<52} {better:>7.2%} {worse:>7.2%} {held:>8.1%}")
    print(f"\n{'the whole rule promotes':<60} {'share':>7}  at most")
    for name, share, most in rule(given.times):
        broken += most is not None and share > most
        rows.append({"rule": name, "share": share, "most": most})
        print(f"{name:<60} {share:>7.2%}  {'' if most is None else f'{most:.0%}'}")
    print(f"\n{'power':<60} {'claimed':>8} {'simulated':>10}")
    for name, claimed, seen in powers(given.times):
        broken += abs(claimed - seen) > 0.04
        rows.append({"power": name, "claimed": claimed, "simulated": seen})
        print(f"{name:<60} {claimed:>8.1%} {seen:>10.1%}")
    peers = (
        ()
        if given.no_peers
        else (
            ("nemo-evaluator", NEMO, python((3, 12)), ASK_NEMO),
            ("statsmodels", STATSMODELS, sys.executable, ASK_STATSMODELS),
        )
    )
    for name, packages, interpreter, program in peers:
        place = environment(name, packages, interpreter)
        if place is None:
            print(f"\n{name}: cannot be installed here")
            continue
        found = agreement(name, place, program)
        broken += found["same verdict"] != found["cases"]
        rows.append(found)
        print(
            f"\n{name}: {found['same verdict']} of {found['cases']} verdicts are the same ({found['ours']}); ", end=""
        )
        print(f"largest difference in p: {found['largest p difference']:.1g}")
    OUT.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), "rows": rows}, indent=2, ensure_ascii=False)
    (OUT / "proof.json").write_text(text + "\n", encoding="utf-8")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
