"""Rows that are nearly the same: typing errors, sentences moved, added or left out, something put around.

This module knows rows and what tells rows apart that read alike. It does not know how signatures are compared.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feilun.curation.copies.fold import fold
from feilun.curation.copies.groups import grouped, leaders
from feilun.curation.copies.named import Fates, Ints, Names, fates
from feilun.curation.copies.sketches import BINS, Signatures, least, mixed, pieces, shingles, signatures
from feilun.curation.copies.telling import Telling
from feilun.curation.seam import Mending, Row, Ruling

REASON = "near_copy"
SHORT = 80  # shingles: in shorter rows another figure, denial or side is another fact
MEDIUM = 500  # shingles: in rows up to this, so is another figure or denial if no sentence was put in or left out
LIKE = 8  # shingles: rows that differ in length by no more have the same sentences
BRIEF = 24  # characters: an answer as short as this is compared as a whole
SLACK = 0.2  # rows of one group may be so much less like the one that stays
_REFUSED = np.uint32(0xA5A5A5A5)
_ANSWERS = frozenset({"assistant", "chosen", "rejected", "label"})


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is known of a batch: signatures, what tells rows apart, the sum of each row's labels and brief answers."""

    names: Names
    signatures: Signatures
    telling: Telling
    answers: npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class NearCopies:
    """Keeps the first of rows whose estimated Jaccard index of shingles reaches ``similarity``."""

    similarity: float = 0.6
    scripts: bool = True

    def sketch(self, rows: Sequence[Row]) -> Sketch:
        """Return the sketch of rows."""
        return sketch(rows, self.scripts)

    def decide(self, sketches: Sequence[Sketch]) -> Fates:
        """Return which rows are near copies, and of which."""
        names = [each.names for each in sketches]
        if not names:
            none = np.zeros(0, np.int64)
            return fates(names, none, none)
        told = together([each.signatures for each in sketches])
        telling = Telling.together([each.telling for each in sketches])
        answers = np.concatenate([each.answers for each in sketches])

        def permitted(one: Ints, other: Ints) -> npt.NDArray[np.bool_]:
            fewer, more = np.sort([told.counts[one], told.counts[other]], axis=0)
            short, medium = fewer < SHORT, (fewer < MEDIUM) & (more - fewer <= LIKE)
            exactly = telling.same(one, other) & (~short | telling.same_side(one, other))
            fits = np.where(short | medium, exactly, telling.within(one, other))
            return np.asarray((answers[one] == answers[other]) & fits)

        labels = grouped(told, self.similarity, permitted)
        return fates(names, *leaders(told, labels, self.similarity - SLACK, permitted))

    def apply(self, rows: Sequence[Row], decided: Fates) -> list[Sequence[Ruling | Mending]]:
        """Return the rulings: near copies are dropped."""
        return decided.rulings(rows, (REASON,))


def together(parts: Sequence[Signatures]) -> Signatures:
    """Return the signatures of all batches as one."""
    return Signatures(
        np.concatenate([part.bins for part in parts]),
        np.concatenate([part.filled for part in parts]),
        np.concatenate([part.counts for part in parts]),
    )


def spread(signatures: Signatures, places: Ints, count: int) -> Signatures:
    """Return the signatures of ``count`` texts, of which only those at ``places`` were looked at."""
    bins, filled = np.zeros((count, BINS), np.uint8), np.zeros((count, BINS // 8), np.uint8)
    counts = np.zeros(count, np.uint32)
    bins[places], filled[places], counts[places] = signatures.bins, signatures.filled, signatures.counts
    return Signatures(bins, filled, counts)


def sketch(rows: Sequence[Row], scripts: bool) -> Sketch:
    """Return the sketch of rows; the shingles of a refused answer are others than those of a chosen one."""
    texts: list[str] = []
    owners: list[int] = []
    roles: list[str] = []
    for number, row in enumerate(rows):
        texts += row.texts
        roles += row.roles
        owners += [number] * len(row.texts)
    count = len(rows)
    lowest = np.full((count, BINS), 0xFFFFFFFF, np.uint32)
    counts, answers = (np.zeros(count, np.uint32) for _ in range(2))
    telling = Telling.none(count)
    for start, end in pieces(texts):
        folded = fold(texts[start:end], scripts)
        hashes, bounds = shingles(folded)
        sizes = np.diff(bounds)
        part = np.asarray(owners[start:end], np.int64)
        for index, role in enumerate(roles[start:end]):
            if role in _ANSWERS:
                own = slice(bounds[index], bounds[index + 1])
                chars = folded.chars[folded.bounds[index] : folded.bounds[index + 1]]
                if role == "rejected":
                    hashes[own] = mixed(hashes[own] ^ _REFUSED)
                if role == "label" or chars.size <= BRIEF:
                    told = zlib.crc32(chars.tobytes(), zlib.crc32(role.encode()))
                    answers[part[index]] = (int(answers[part[index]]) * 31 + told) & 0xFFFFFFFF
                if role == "label":
                    sizes[index] = 0
        first, last = int(part[0]), int(part[-1]) + 1
        rows_of = np.repeat(part - first, np.diff(bounds))
        if (sizes != np.diff(bounds)).any():  # labels are no text
            keep = np.repeat(sizes > 0, np.diff(bounds))
            hashes, rows_of = hashes[keep], rows_of[keep]
        np.minimum(lowest[first:last], least(hashes, rows_of, last - first), out=lowest[first:last])
        np.add.at(counts, part, sizes.astype(np.uint32))
        telling.add(Telling.of(folded), part)
    return Sketch(Names.of(rows), signatures(lowest, counts), telling, answers)
