"""What was found against the truth: copies by the rows that were kept, personal data by what is still readable.

Knows the corpus and its truth. Does not know how anything was found.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq

from curation.corpus import Truth
from feilun.curation.recipes import operators
from feilun.curation.seam import Mend, Surroundings

# Finds of other kinds (names, addresses) are not judged here: the corpus has places that read like names.
STRUCTURED = (
    *("RESIDENT_ID", "CREDIT_CODE", "PHONE", "CARD", "IBAN", "PLATE", "EMAIL", "IP"),
    *("PASSPORT", "PERMIT", "SSN", "REGION_ID", "LICENCE", "MAC", "SECRET"),
)
_BATCH = 512


def kept_by_us(path: Path) -> list[str]:
    """Return the ids of the rows of a result: row ``n`` of the corpus is ``doc-n``."""
    places = (json.loads(meta)["place"] for meta in pq.read_table(path, columns=["meta"])["meta"].to_pylist())
    return [f"doc-{int(place.split()[-1]):08d}" for place in places]


def copies(truth: Truth, kept: Iterable[str], ids: Iterable[str]) -> tuple[float, float, float]:
    """Return recall of near copies, recall of all copies, and precision.

    Of each group one row may stay. A dropped row is right if it is of a group of which another row stayed.
    """
    left = set(kept)
    stayed = Counter(truth.groups[name] for name in left if name in truth.groups)
    dropped = [name for name in ids if name not in left]
    right = sum(1 for name in dropped if stayed[truth.groups.get(name, "")] > 0)
    # What stays beside another row of its group was missed; exact copies are never the ones that are hard to find.
    missed = sum(count - 1 for count in stayed.values())
    near = sum(kind == "near" for kind in truth.kinds.values())
    return 1 - missed / max(1, near), 1 - missed / max(1, len(truth.kinds)), right / max(1, len(dropped))


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (id, text) of the rows of a corpus."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield row["id"], row["text"]


def personal(truth: Truth, rows: Path) -> tuple[float, float]:
    """Return recall and precision of structured kinds: planted values that are gone, and finds that were planted."""
    operator = operators()["personal"]
    worker = operator.make(Surroundings(), **{name: each.default for name, each in operator.parameters.items()})
    if not isinstance(worker, Mend):
        raise TypeError("personal does not mend")
    gone = planted = found = 0
    reasons = {f"personal_{kind.lower()}" for kind in STRUCTURED}
    batch: list[tuple[str, str]] = []
    given = texts(rows)
    while batch := [pair for pair, _ in zip(given, range(_BATCH), strict=False)]:
        answers = worker.mend([text for _, text in batch], [""] * len(batch))
        for (name, _), answer in zip(batch, answers, strict=True):
            values = truth.personal.get(name, ())
            planted += len(values)
            if answer is not None:
                gone += sum(value not in answer.text for _, value in values)
                found += sum(note.times for note in answer.notes if note.reason in reasons)
    return gone / max(1, planted), min(1.0, gone / max(1, found))
