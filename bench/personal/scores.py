"""Recall, precision and F1 of found spans against true ones.

This module knows spans as (kind, start, end). It does not know who found them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

Found = tuple[str, int, int]


def overlap(one: Found, other: Found) -> float:
    """Return the characters that two spans share over those that they cover together (intersection over union)."""
    shared = min(one[2], other[2]) - max(one[1], other[1])
    return max(0, shared) / (max(one[2], other[2]) - min(one[1], other[1])) if shared > 0 else 0.0


class Tally:
    """Counts of each kind; a find is right if it is of the same kind and overlaps by ``least``, each truth once."""

    def __init__(self, least: float = 0.5) -> None:
        """Begin with nothing."""
        self.least = least
        self.right: Counter[str] = Counter()
        self.true: Counter[str] = Counter()
        self.found: Counter[str] = Counter()

    def add(self, truth: Sequence[Found], found: Sequence[Found]) -> list[tuple[str, Found]]:
        """Count one text; return what was missed and what is wrong."""
        open_truth = list(truth)
        wrong = []
        self.true.update(kind for kind, _, _ in truth)
        self.found.update(kind for kind, _, _ in found)
        for one in found:
            best = max(
                (other for other in open_truth if other[0] == one[0]), key=lambda o: overlap(one, o), default=None
            )
            if best is not None and overlap(one, best) >= self.least:
                open_truth.remove(best)
                self.right[one[0]] += 1
            else:
                wrong.append(("wrong", one))
        return [*wrong, *(("missed", other) for other in open_truth)]

    def recall(self, kinds: Iterable[str]) -> float:
        """Return the share of what is true that was found."""
        kinds = list(kinds)
        return sum(self.right[k] for k in kinds) / max(1, sum(self.true[k] for k in kinds))

    def precision(self, kinds: Iterable[str]) -> float:
        """Return the share of what was found that is true."""
        kinds = list(kinds)
        return sum(self.right[k] for k in kinds) / max(1, sum(self.found[k] for k in kinds))

    def f1(self, kinds: Iterable[str]) -> float:
        """Return the harmonic mean of both."""
        kinds = list(kinds)
        return 2 * sum(self.right[k] for k in kinds) / max(1, sum(self.true[k] + self.found[k] for k in kinds))
