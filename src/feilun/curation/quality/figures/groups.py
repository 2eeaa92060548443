"""Rows that belong together because they are near copies of each other, or come from the same place.

MinHash of word triples (Broder 1997) with one permutation (Li, Owen, Zhang 2012), put together by bands. This module
knows texts and sets. It does not know what groups are for.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

from feilun.curation.quality.figures.classifier import tokens

BINS, _BAND = 64, 4
_EMPTY = np.uint32(0xFFFFFFFF)
_LEAST = 8  # words; shorter texts are near copies only if they are the same


def signature(text: str) -> NDArray[np.uint32]:
    """Return the smallest hash of the word triples that fall into each of 64 bins; empty bins borrow from the next."""
    words = tokens(text).astype(np.uint64)
    if len(words) < _LEAST:
        words = np.append(words, np.zeros(3, np.uint64))
        one = int(
            np.bitwise_xor.reduce(
                words * (np.arange(len(words), dtype=np.uint64) * np.uint64(2654435761) + np.uint64(1))
            )
        )
        return np.full(BINS, one & 0xFFFFFFFE, np.uint32) ^ np.arange(BINS, dtype=np.uint32)
    mixed = (words[:-2] * np.uint64(0x9E3779B97F4A7C15) ^ words[1:-1] * np.uint64(0xC2B2AE3D27D4EB4F)) + words[2:]
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    found = np.full(BINS, _EMPTY, np.uint32)
    np.minimum.at(found, (mixed % np.uint64(BINS)).astype(np.int64), (mixed >> np.uint64(16)).astype(np.uint32))
    if (found == _EMPTY).any():
        full = np.flatnonzero(found != _EMPTY)
        following = full[np.searchsorted(full, np.arange(BINS)) % len(full)]
        found = found[following]
    return found


class Groups:
    """Sets of rows that grow together (union-find); a set is known by its smallest member."""

    def __init__(self, many: int) -> None:
        """Begin with ``many`` rows, each alone."""
        self._parent = list(range(many))

    def root(self, row: int) -> int:
        """Return the smallest row of the set that ``row`` is in."""
        while self._parent[row] != row:
            self._parent[row] = self._parent[self._parent[row]]
            row = self._parent[row]
        return row

    def join(self, one: int, other: int) -> None:
        """Put two sets together."""
        first, second = self.root(one), self.root(other)
        self._parent[max(first, second)] = min(first, second)

    def join_same(self, keys: Iterable[Hashable]) -> None:
        """Put rows together that have the same key; None is nobody's."""
        seen: dict[Hashable, int] = {}
        for row, key in enumerate(keys):
            if key is not None:
                self.join(seen.setdefault(key, row), row)

    def join_near(self, signatures: NDArray[np.uint32], likeness: float) -> None:
        """Put rows together whose estimated Jaccard index is at least ``likeness`` with the first of the same band."""
        for start in range(0, BINS, _BAND):
            key = np.zeros(len(signatures), np.uint64)
            for place in range(start, start + _BAND):
                key = key * np.uint64(0x9E3779B97F4A7C15) + signatures[:, place] + np.uint64(1)
            _, firsts, which = np.unique(key, return_index=True, return_inverse=True)
            first = firsts[which.ravel()]
            for row in np.flatnonzero(first != np.arange(len(key))).tolist():
                other = int(first[row])
                if self.root(other) != self.root(row) and np.mean(signatures[other] == signatures[row]) >= likeness:
                    self.join(other, row)
