"""Documents that are older versions of others: by titles without marks of age, and by what they have in common.

This module knows when one document takes another's place. It does not know how titles are read.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feilun.curation.copies import near
from feilun.curation.copies.named import Fates, Ints, Keys, Names, fates, key_of
from feilun.curation.copies.sketches import Signatures, likeness
from feilun.curation.copies.titles import GENERIC, Title, first_title, head_title, name_title
from feilun.curation.seam import Mending, Row, Ruling

REASON = "old_version"
MARKED, DATED, RENAMED = 0.1, 0.4, 0.5  # likeness that versions must have: told so, only dated, by another title
_PARTS = 4
_MOST = 64  # documents under one title that are all compared with each other


@dataclass(frozen=True, slots=True)
class _Sketch:
    """``titles`` (n × 4): keys of the name's base and loose title, the head's base and loose one; 0 for none.

    ``ages`` (n × 8): date, four parts of a version, stage, seconds of the file's last change, the date that a paper
    of a time stands for; ``files``: whose row.
    """

    names: Names
    signatures: Signatures
    titles: Keys
    ages: npt.NDArray[np.float64]
    files: Keys


@dataclass(frozen=True, slots=True)
class OldVersions:
    """Keeps the newest of the versions of a document, and names it where others are dropped."""

    def sketch(self, rows: Sequence[Row]) -> _Sketch:
        """Return titles, ages and signatures of rows."""
        titles = np.zeros((len(rows), 4), np.uint64)
        ages = np.zeros((len(rows), 8), np.float64)
        files = np.array([_file(row.source, row.name) for row in rows], np.uint64)
        _, file, many = np.unique(files, return_inverse=True, return_counts=True)
        shared = (many[file] > 1).tolist()
        told: list[int] = []
        for index, row in enumerate(rows):
            # Rows of a table are documents only if they have titles of their own.
            text = _beginning(row)
            if shared[index] and not ((title := first_title(text)) and title.base):
                continue
            head = head_title(text)
            name = _name(row.name)
            titles[index] = [_key(part) for part in (name.base, name.loose, head.base, head.loose)]
            ages[index] = _age(name, head, row)
            told.append(index)
        known = near.sketch([rows[index] for index in told], scripts=True).signatures
        signatures = near.spread(known, np.array(told, np.int64), len(rows))
        return _Sketch(Names.of(rows), signatures, titles, ages, files)

    def decide(self, sketches: Sequence[_Sketch]) -> Fates:
        """Return which rows are older versions, and of which."""
        names = [each.names for each in sketches]
        if not names:
            return fates(names, np.zeros(0, np.int64), np.zeros(0, np.int64))
        told = near.together([each.signatures for each in sketches])
        titles = np.concatenate([each.titles for each in sketches])
        ages = np.concatenate([each.ages for each in sketches])
        _, file, count = np.unique(np.concatenate([e.files for e in sketches]), return_inverse=True, return_counts=True)
        # A name that many rows share is the name of a table, not of a document.
        titles[count[file] > 1, :2] = 0
        newer: dict[int, tuple[int, float]] = {}
        for column, loose in ((0, False), (2, False), (1, True), (3, True)):
            for group in _same(titles[:, column]):
                for old, new, score in _succession(group, ages, told, loose):
                    if old not in newer:
                        newer[old] = new, score
        order = sorted(newer)
        final = [_last(row, newer) for row in order]
        scores = np.array([newer[row][1] for row in order], np.float32)
        return fates(names, np.array(order, np.int64), np.array(final, np.int64), scores)

    def apply(self, rows: Sequence[Row], decided: Fates) -> list[Sequence[Ruling | Mending]]:
        """Return the rulings: older versions are dropped."""
        return decided.rulings(rows, (REASON,))


_name = functools.lru_cache(4096)(name_title)


@functools.lru_cache(4096)
def _file(source: str, name: str) -> int:
    return key_of(f"{source}\0{name}")


def _beginning(row: Row) -> str:
    """Return the beginning of a row: a heading and the first texts."""
    parts, size = list[str](), 0
    for text in row.texts[:12]:
        parts.append(text[:1500])
        size += len(parts[-1])
        if size > 1500:
            break
    return "\n".join(parts)


def _key(title: str) -> int:
    return 0 if len(title) < 2 or title in GENERIC or title.isdigit() else key_of(title)


def _age(name: Title, head: Title, row: Row) -> list[float]:
    version = [float(part) for part in (name.version or head.version)[:_PARTS]]
    modified = row.meta.get("modified")
    changed = float(modified) if isinstance(modified, int | float) else 0.0
    # The name tells the version that the document is; its head may tell those before as well.
    stage, period = float(name.stage or head.stage), float(name.period or head.period)
    return [name.date or head.date, *version, *[-1.0] * (_PARTS - len(version)), stage, changed, period]


def _same(keys: Keys) -> Iterator[Ints]:
    """Yield the rows under each title that several have."""
    order = np.argsort(keys, kind="stable")
    order = order[keys[order] != 0]
    ends = np.flatnonzero(keys[order[1:]] != keys[order[:-1]]) + 1
    yield from (group for group in np.split(order, ends) if group.size > 1)


def _succession(
    group: Ints, ages: npt.NDArray[np.float64], told: Signatures, loose: bool
) -> Iterator[tuple[int, int, float]]:
    """Yield (older, newer, likeness) under one title: each with the newest that is like it."""
    own = ages[group]
    versioned = bool((own[:, 1] >= 0).all())
    keys = (own[:, 6], own[:, 5], own[:, 0], *(own[:, 4 - part] for part in range(_PARTS)))
    if not versioned:
        keys = (own[:, 6], *(own[:, 4 - part] for part in range(_PARTS)), own[:, 5], own[:, 0])
    order = group[np.lexsort(keys)][::-1]
    for place, old in enumerate(order.tolist()):
        rivals = order[max(0, place - _MOST) : place]
        rivals = rivals[[_follows(ages[new], ages[old]) for new in rivals.tolist()]] if rivals.size else rivals
        if not rivals.size:
            continue
        scores = likeness(told, rivals, np.full(rivals.size, old, np.int64))
        marked = [_marked(ages[new], ages[old]) for new in rivals.tolist()]
        wanted = np.where(marked, MARKED, DATED) if not loose else np.full(rivals.size, RENAMED)
        wanted[[_apart(ages[new], ages[old]) for new in rivals.tolist()]] = np.inf
        enough = np.flatnonzero(scores >= wanted)
        if enough.size:
            yield old, int(rivals[enough[0]]), float(scores[enough[0]])


def _follows(new: npt.NDArray[np.float64], old: npt.NDArray[np.float64]) -> bool:
    """Tell whether something that both say makes one newer than the other; times of files alone do not."""
    if new[1] >= 0 and old[1] >= 0 and tuple(new[1:5]) != tuple(old[1:5]):
        return tuple(new[1:5]) > tuple(old[1:5])
    if new[0] and old[0] and new[0] != old[0]:
        return bool(new[0] > old[0])
    if new[5] != old[5]:
        return bool(new[5] > old[5])
    return bool((new[1] >= 0) > (old[1] >= 0) or (new[0] > 0) > (old[0] > 0))


def _marked(new: npt.NDArray[np.float64], old: npt.NDArray[np.float64]) -> bool:
    """Tell whether versions, revisions or drafts are spoken of: dates alone tell less."""
    return bool((new[1] >= 0 and old[1] >= 0) or new[5] > 0 or old[5] < 0)


def _apart(new: npt.NDArray[np.float64], old: npt.NDArray[np.float64]) -> bool:
    """Tell whether each stands for a time of its own: this year's report is no version of last year's."""
    versioned = new[1] >= 0 and old[1] >= 0 and tuple(new[1:5]) != tuple(old[1:5])
    return bool(new[7] and old[7] and new[7] != old[7] and not versioned)


def _last(row: int, newer: dict[int, tuple[int, float]]) -> int:
    seen = {row}
    while row in newer and newer[row][0] not in seen:
        row = newer[row][0]
        seen.add(row)
    return row
