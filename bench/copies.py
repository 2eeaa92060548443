"""Near copies in noisy records and versions of laws, against what their collectors tell: ``make bench-copies``.

    python bench/copies.py [--data ../shared/data]

Prints precision, recall and F1 of pairs and writes ``bench/out/copies.json``. There is no must: the figures are told.
Does not know how copies are found.

- ``bib_dedupe`` (MIT): sets of bibliographic records, and which of them are the same paper. A record is read as one
  text: title, author, year, journal, volume, number, pages and abstract, as far as it has them. Pairs of one group
  count, ours as theirs. Operators as they stand in recipes: ``exact_copies`` and ``near_copies``, whose likeness is
  made for texts; ``similarity`` 0.4 is told beside it, as records are short. Papers that differ in a figure (a year, a
  page) are no copies to us, and often one paper to them.
- ``zh_laws`` (public domain): laws by title and day. Two days of one title are two versions. ``old_versions`` sees
  names and texts, ``near_copies`` the texts alone.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from feilun.compute import machine
from feilun.curation.copies.exact import ExactCopies
from feilun.curation.copies.near import NearCopies
from feilun.curation.copies.versions import OldVersions
from feilun.curation.seam import Compare, Row, Ruling
from feilun.records import JSON

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
FIELDS = ("title", "author", "year", "journal", "booktitle", "volume", "number", "pages", "abstract")
_DAY = re.compile(r"\((\d{4}-\d\d-\d\d)\)$")
Pairs = set[tuple[str, str]]


def pairs(groups: Iterable[Sequence[str]]) -> Pairs:
    """Return all pairs within groups, each in one order."""
    return {pair for group in groups for pair in itertools.combinations(sorted(set(group)), 2)}


def found(rows: Sequence[Row], operators: Sequence[Compare]) -> Pairs:
    """Return the pairs of rows that operators, one after the other, take for one."""
    leader = {row.id: row.id for row in rows}
    left = list(rows)
    for operator in operators:
        decided = operator.decide([operator.sketch(left)])
        kept: list[Row] = []
        for row, rulings in zip(left, operator.apply(left, decided), strict=True):
            other = next((each.note.detail.split(" ")[0] for each in rulings if isinstance(each, Ruling)), "")
            leader[row.id] = other or row.id
            if not other:
                kept.append(row)
        left = kept
    groups: dict[str, list[str]] = defaultdict(list)
    for name in leader:
        last = name
        while leader[last] != last:
            last = leader[last]
        groups[last].append(name)
    return pairs(groups.values())


def told(name: str, rows: Sequence[Row], ours: Pairs, truth: Pairs) -> JSON:
    """Print and return how good pairs are."""
    right = len(ours & truth)
    precision, recall = right / max(1, len(ours)), right / max(1, len(truth))
    f1 = 2 * precision * recall / max(1e-9, precision + recall)
    print(f"{name:44} {len(rows):6} {len(truth):7} {precision:10.3f} {recall:7.3f} {f1:6.3f}", flush=True)
    return {"what": name, "rows": len(rows), "pairs": len(truth), "precision": precision, "recall": recall, "f1": f1}


def records(folder: Path) -> list[JSON]:
    """Measure a set of bibliographic records."""
    with (folder / "records_pre_merged.csv").open(encoding="utf-8", newline="") as file:
        given = list(csv.DictReader(file))
    with (folder / "merged_record_ids.csv").open(encoding="utf-8", newline="") as file:
        truth = pairs(line["merged_ids"].split(";") for line in csv.DictReader(file))
    rows = [
        row(each["ID"], "records.csv", ". ".join(each[field] for field in FIELDS if each.get(field))) for each in given
    ]
    return [
        told(
            f"bib_dedupe {folder.name}, similarity {similarity}",
            rows,
            found(rows, (ExactCopies(False), NearCopies(similarity))),
            truth,
        )
        for similarity in (0.6, 0.4)
    ]


def laws(folder: Path) -> list[JSON]:
    """Measure versions of laws."""
    rows, titles = list[Row](), defaultdict[str, list[str]](list)
    for path in sorted(folder.rglob("*.md")):
        if match := _DAY.search(path.stem):
            name = str(path.relative_to(folder))
            rows.append(row(name, name, path.read_text(encoding="utf-8")))
            titles[path.stem[: match.start()]].append(name)
    truth = pairs(titles.values())
    ways: dict[str, tuple[Compare, ...]] = {"names and texts": (OldVersions(),), "texts alone": (NearCopies(),)}
    return [told(f"zh_laws, {way}", rows, found(rows, operators), truth) for way, operators in ways.items()]


def row(name: str, file: str, text: str) -> Row:
    """Return a text as a row."""
    return Row(name, "bench", file, "", ("text",), (text,))


def main() -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data", help="where both sets are")
    data = parser.parse_args().data
    sets = sorted(path.parent for path in data.glob("bib_dedupe/data/*/merged_record_ids.csv"))
    if not sets and not (data / "zh_laws").is_dir():
        print(f"{data}: neither bib_dedupe nor zh_laws is here; name a folder with --data.", file=sys.stderr)
        return 2
    print(f"{'':44} {'rows':>6} {'pairs':>7} {'precision':>10} {'recall':>7} {'F1':>6}")
    figures = [figure for folder in sets for figure in records(folder)]
    if (data / "zh_laws").is_dir():
        figures += laws(data / "zh_laws")
    OUT.mkdir(exist_ok=True)
    (OUT / "copies.json").write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
