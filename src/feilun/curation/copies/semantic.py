"""Rows that mean the same in other words, by the cosine of their embeddings.

This module knows vectors and blocks of them. It does not know which model makes the vectors; without one it does
nothing but say so.

Up to a cap all rows are compared with each other. Above it, rows are compared within blocks: those nearest to the same
of a few rows that are taken from all over (as in SemDeDup, Abbas et al. 2023, whose blocks are clusters).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feilun.curation.copies.groups import joined
from feilun.curation.copies.named import Fates, Ints, Names, fates
from feilun.curation.seam import Mending, Note, Row, Ruling

REASON, SKIPPED = "same_meaning", "no_embedding"
WHOLE = 8192  # rows that are all compared with each other; the size of blocks above
_TILE = 1024
_CHARACTERS = 2000  # of a text, from its beginning
Vectors = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class _Sketch:
    names: Names
    vectors: Vectors | None


@dataclass(frozen=True, slots=True)
class SemanticCopies:
    """Keeps the first of rows whose embeddings have a cosine of at least ``cosine``."""

    embed: Callable[[Sequence[str]], np.ndarray] | None
    cosine: float = 0.95

    def sketch(self, rows: Sequence[Row]) -> _Sketch:
        """Return the vectors of rows, in half precision."""
        names = Names.of(rows)
        if self.embed is None or not rows:
            return _Sketch(names, None)
        return _Sketch(names, np.asarray(self.embed([row.text[:_CHARACTERS] for row in rows]), np.float16))

    def decide(self, sketches: Sequence[_Sketch]) -> Fates | None:
        """Return which rows mean the same as others; None where nothing could be compared."""
        told = [sketch for sketch in sketches if sketch.vectors is not None]
        if not told:
            return None
        vectors = np.concatenate([sketch.vectors for sketch in told if sketch.vectors is not None])
        names = [sketch.names for sketch in told]
        labels = np.arange(len(vectors), dtype=np.int64)
        for one, other in _pairs(vectors, self.cosine):
            labels = joined(labels, one, other)
        left = np.flatnonzero(labels != np.arange(labels.size))
        kept = labels[left]
        score = np.einsum("ij,ij->i", vectors[left].astype(np.float32), vectors[kept].astype(np.float32))
        # A chain of rows may have led far from where it began.
        near = score >= self.cosine - 0.02
        return fates(names, left[near], kept[near], score[near].astype(np.float32))

    def apply(self, rows: Sequence[Row], decided: Fates | None) -> list[Sequence[Ruling | Mending]]:
        """Return the rulings: rows that mean the same are dropped; without a model the rows say that none looked."""
        if decided is None:
            return [(Ruling("note", Note(SKIPPED)),) for _ in rows]
        return decided.rulings(rows, (REASON,))


def _pairs(vectors: Vectors, cosine: float) -> Iterator[tuple[Ints, Ints]]:
    for block in _blocks(vectors):
        for start in range(0, block.size, _TILE):
            own = vectors[block[start : start + _TILE]].astype(np.float32)
            for after in range(start, block.size, _TILE):
                others = vectors[block[after : after + _TILE]].astype(np.float32)
                one, other = np.nonzero(own @ others.T >= cosine)
                apart = start + one < after + other
                if apart.any():
                    yield block[start + one[apart]], block[after + other[apart]]


def _blocks(vectors: Vectors) -> Iterator[Ints]:
    """Yield rows that are compared with each other, at most ``WHOLE`` at a time."""
    size = len(vectors)
    if size <= WHOLE:
        yield np.arange(size)
        return
    count = -(-size // (WHOLE // 4))
    seeds = vectors[np.linspace(0, size - 1, count).astype(np.int64)].astype(np.float32)
    nearest = np.empty(size, np.int64)
    for start in range(0, size, _TILE):
        nearest[start : start + _TILE] = (vectors[start : start + _TILE].astype(np.float32) @ seeds.T).argmax(axis=1)
    order = np.argsort(nearest, kind="stable")
    for block in np.split(order, np.flatnonzero(np.diff(nearest[order])) + 1):
        yield from (block[start : start + WHOLE] for start in range(0, block.size, WHOLE))
