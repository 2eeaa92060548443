"""Label errors: our ranking against cleanlab's on the same labels and probabilities, judged by people's verdicts.

    python bench/labels [--data FOLDER]

Prints a table for each data set and writes ``bench/out/labels.json``. Does not know how either ranks.

- ``FOLDER`` (default ``../shared/data``) holds ``label_errors``: every set with labels, out-of-sample probabilities
  and verdicts of Mechanical Turk. A label is wrong if fewer than three of five people confirmed it. Only rows that
  people looked at are judged; all rows are ranked.
- ``coldataset``, where it is there: every tenth label turned round by us, so all truth is known; probabilities are our
  classifier's (leave-one-out). Errors of the people who labelled it count against both.
- AP: average precision; P@n: share of wrong labels among the first n.
- cleanlab has an environment of its own under ``bench/out``; it is asked in four ways, and ours is held against the
  best of them.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from feilun.compute import machine
from feilun.curation.quality.figures.classifier import classes_of, features, left_out
from feilun.curation.quality.figures.labels import label_issues
from feilun.records import JSON

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "out"
PEER = "cleanlab>=2.9"  # Apache-2.0 from this version on
CUTS = (10, 15, 20, 50)
TURNED = 10


@dataclass(frozen=True)
class Case:
    """A data set: labels and probabilities of all rows; ``looked`` at by people, of which ``wrong`` are wrong."""

    name: str
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    looked: NDArray[np.int64]
    wrong: NDArray[np.int64]


def turked(folder: Path) -> Iterator[Case]:
    """Yield the sets of ``label_errors`` that are whole."""
    for path in sorted((folder / "cross_validated_predicted_probabilities").glob("*_pyx.npy")):
        stem = path.name.removesuffix("_pyx.npy")
        short = stem.split("_")[0]
        labels = folder / "original_test_labels" / f"{stem}_original_labels.npy"
        verdicts = folder / "mturk" / f"{short}_mturk.json"
        if labels.is_file() and verdicts.is_file():
            people = json.loads(verdicts.read_text(encoding="utf-8"))
            looked = np.array([int(one["id"]) for one in people])
            wrong = np.array([int(one["id"]) for one in people if one["mturk"]["given"] < 3])
            yield Case(short, np.load(labels).astype(np.int64), np.load(path).astype(float), looked, wrong)


def turned(file: Path) -> Case:
    """Return the Chinese comments of ``file``, every tenth label turned round."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    said = [row["label"] for row in rows]
    wrong = np.arange(0, len(rows), TURNED)
    for number in wrong:
        said[number] = "0" if said[number] == "1" else "1"
    names, labels = classes_of(said)
    chances = left_out(features([row["TEXT"] for row in rows]), labels, len(names))
    return Case("coldataset, turned", labels, chances, np.arange(len(rows)), wrong)


def judged(case: Case, order: NDArray[np.int64]) -> JSON:
    """Return the precision of a ranking over the rows that people looked at."""
    among = order[np.isin(order, case.looked)]
    right = np.isin(among, case.wrong)
    found = np.cumsum(right) / np.arange(1, len(right) + 1)
    cuts = {f"P@{cut}": round(float(right[:cut].mean()), 3) for cut in CUTS}
    return {"AP": round(float(found[right].mean()), 4), **cuts}


def peer_python() -> Path:
    """Return the Python that has cleanlab; it is installed at first use."""
    folder = OUT / ".labels"
    python, marker = folder / "bin" / "python", folder / "whole"
    if not marker.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install", "--only-binary", ":all:"]
        subprocess.run([*pip, PEER], check=True)
        marker.touch()
    return python


def peers(case: Case) -> dict[str, NDArray[np.int64]]:
    """Return cleanlab's rankings by the way it was asked."""
    with tempfile.TemporaryDirectory() as folder:
        given, told = Path(folder) / "given.npz", Path(folder) / "told.npz"
        np.savez(given, labels=case.labels, probabilities=case.probabilities)
        subprocess.run([str(peer_python()), str(HERE / "peer.py"), str(given), str(told)], check=True)
        with np.load(told) as found:
            return {f"cleanlab, {name}": found[name] for name in found.files}


def main() -> int:
    """Measure, print, write; return 1 if cleanlab's average precision is better anywhere."""
    parser = argparse.ArgumentParser(description="Label errors against cleanlab.")
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    data = parser.parse_args().data
    cases = list(turked(data / "label_errors"))
    cold = data / "coldataset" / "COLDataset" / "dev.csv"
    if cold.is_file():
        cases.append(turned(cold))
    if not cases:
        print(f"no data sets in {data}")
        return 1
    told: list[JSON] = []
    for case in cases:
        ranked = {"feilun": label_issues(case.labels, case.probabilities).order, **peers(case)}
        figures = {name: judged(case, order) for name, order in ranked.items()}
        best = max(one["AP"] for name, one in figures.items() if name != "feilun")
        told.append({"set": case.name, "figures": figures, "met": figures["feilun"]["AP"] >= best})
        print(f"\n{case.name}: {len(case.labels)} rows, {len(case.looked)} looked at, {len(case.wrong)} wrong")
        for name, one in figures.items():
            print(f"  {name:<40}" + "  ".join(f"{key} {value:.3f}" for key, value in one.items()))
        print(f"  must: AP at least that of the best peer ({best:.3f}): {'met' if told[-1]['met'] else 'NOT MET'}")
    OUT.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), "sets": told}, indent=2)
    (OUT / "labels.json").write_text(text + "\n", encoding="utf-8")
    return 0 if all(one["met"] for one in told) else 1


if __name__ == "__main__":
    sys.exit(main())
