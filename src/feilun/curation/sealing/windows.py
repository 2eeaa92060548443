"""Items whose words stand close together in another order, anywhere in a text.

This module knows words and sums over windows of them. It does not know exams nor records.

A word is a Han character, or what stands between blanks. Each is hashed, and a window of as many words as an item has
is that item in some order if the sums of the hashes are equal (prefix sums modulo 2^64): one subtraction for each place
of a text and each length of an item. A sentence cannot be told from its permutations in this way, so items must be long
enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from feilun.curation.copies.fold import ALONE, CODE, GAP, fold
from feilun.curation.sealing.sums import Sums, maybe, scrambled, short

LEAST = 6  # words of an item that may stand in another order
HEAVY = 24  # its letters, a Han character counting as two
MOST = 160  # words
Ints = npt.NDArray[np.int64]


class Windows:
    """Items, found as windows of words."""

    def __init__(self, items: Sequence[str]) -> None:
        """Keep the items that are neither too short nor too long."""
        words = _Words(items)
        firsts = np.searchsorted(words.owner, np.arange(len(items) + 1))
        self._numbers: dict[int, dict[int, list[int]]] = {}
        self._orders = {}
        for number, (first, last) in enumerate(zip(firsts[:-1].tolist(), firsts[1:].tolist(), strict=True)):
            if LEAST <= last - first <= MOST and words.weight(first, last) >= HEAVY:
                by_sum = self._numbers.setdefault(last - first, {})
                by_sum.setdefault(words.sum(first, last), []).append(number)
                self._orders[number] = words.each(first, last)
        self._maybe = {many: maybe(np.array(list(by_sum), np.uint64)) for many, by_sum in self._numbers.items()}

    def look(self, texts: Sequence[str]) -> list[tuple[int, int, bool]]:
        """Return (place, item, ordered) for every text and every item whose words stand together in it."""
        words = _Words(texts) if self._numbers else _Words(())
        found: dict[tuple[int, int], bool] = {}
        for many, by_sum in self._numbers.items():
            firsts = np.arange(max(0, words.owner.size - many + 1))
            firsts = firsts[words.owner[firsts] == words.owner[firsts + many - 1]]
            told = words.sums[words.starts[firsts + many]] - words.sums[words.starts[firsts]]
            hits = np.flatnonzero(self._maybe[many][short(told)])
            for first, one in zip(firsts[hits].tolist(), told[hits].tolist(), strict=True):
                for number in by_sum.get(one, ()):
                    mine = words.each(first, first + many)
                    if np.array_equal(np.sort(mine), np.sort(self._orders[number])):
                        key = int(words.owner[first]), number
                        found[key] = found.get(key, False) or bool(np.array_equal(mine, self._orders[number]))
        return [(place, number, found[place, number]) for place, number in sorted(found)]


class _Words:
    """The words of texts: where each begins (``starts``, with the end), whose it is (``owner``), and prefix sums."""

    def __init__(self, texts: Sequence[str]) -> None:
        folded = fold(texts)
        alone = (folded.chars & ALONE) != 0
        begins = alone | ((folded.chars & GAP) != 0)
        begins[1:] |= alone[:-1]
        bounds = folded.bounds
        begins[bounds[:-1][bounds[:-1] < begins.size]] = True
        firsts = np.flatnonzero(begins)
        self.starts = np.append(firsts, folded.chars.size)
        self.owner = np.searchsorted(bounds, firsts, "right") - 1
        chars = folded.chars & CODE
        places = np.arange(chars.size) - np.repeat(firsts, np.diff(self.starts))
        hashes = scrambled(chars.astype(np.uint64) + (places.astype(np.uint64) << np.uint64(32)))
        self.sums: Sums = np.zeros(chars.size + 1, np.uint64)
        np.cumsum(hashes, out=self.sums[1:])
        self._han = alone

    def sum(self, first: int, last: int) -> int:
        return (int(self.sums[self.starts[last]]) - int(self.sums[self.starts[first]])) % (1 << 64)

    def each(self, first: int, last: int) -> Sums:
        """Return the hash of each word."""
        sums = self.sums[self.starts[first : last + 1]]
        return np.asarray(sums[1:] - sums[:-1])

    def weight(self, first: int, last: int) -> int:
        start, end = self.starts[first], self.starts[last]
        return int(end - start + np.count_nonzero(self._han[start:end]))
