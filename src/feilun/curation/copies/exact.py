"""Rows that are the same but for blanks, marks, case and width.

This module knows when two rows are one. It does not know rows that are nearly the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feilun.curation.copies.fold import codes, fold
from feilun.curation.copies.named import Fates, Names, fates
from feilun.curation.copies.sketches import pieces
from feilun.curation.seam import Mending, Row, Ruling

REASON = "exact_copy"


@dataclass(frozen=True, slots=True)
class _Sketch:
    names: Names
    sums: npt.NDArray[np.uint64]  # n × 2


@dataclass(frozen=True, slots=True)
class ExactCopies:
    """Keeps the first of rows whose texts are the same when folded, in the same roles; labels count."""

    scripts: bool = False

    def sketch(self, rows: Sequence[Row]) -> _Sketch:
        """Return a sum of 128 bits of each row."""
        texts = [text for row in rows for text in row.texts]
        sums: list[bytes] = []
        for start, end in pieces(texts):
            folded = fold(texts[start:end], self.scripts)
            bounds = folded.bounds.tolist()
            for index, text in enumerate(texts[start:end]):
                # A text of marks alone is only the same as the same marks.
                chars = folded.chars[bounds[index] : bounds[index + 1]]
                sums.append((chars if chars.size else codes(text.strip())).tobytes())
        return _Sketch(Names.of(rows), _sums(rows, sums))

    def decide(self, sketches: Sequence[_Sketch]) -> Fates:
        """Return which rows are copies, and of which."""
        names = [sketch.names for sketch in sketches]
        if not names:
            none = np.zeros(0, np.int64)
            return fates(names, none, none)
        sums = np.concatenate([sketch.sums for sketch in sketches])
        order = np.lexsort((sums[:, 1], sums[:, 0]))
        same = np.zeros(order.size, bool)
        same[1:] = (sums[order[1:]] == sums[order[:-1]]).all(axis=1)
        # lexsort is stable: the first of equals is the first row.
        first = np.maximum.accumulate(np.where(same, 0, np.arange(order.size)))
        return fates(names, order[same], order[first[same]])

    def apply(self, rows: Sequence[Row], decided: Fates) -> list[Sequence[Ruling | Mending]]:
        """Return the rulings: copies are dropped."""
        return decided.rulings(rows, (REASON,))


def _sums(rows: Sequence[Row], parts: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    sums = bytearray()
    place = 0
    for row in rows:
        told = hashlib.blake2b(digest_size=16)
        for role in row.roles:
            told.update(f"{role}\0{len(parts[place])}\0".encode())
            told.update(parts[place])
            place += 1
        sums += told.digest()
    return np.frombuffer(bytes(sums), np.uint64).reshape(len(rows), 2)
