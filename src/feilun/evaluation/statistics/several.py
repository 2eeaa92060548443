"""Many questions asked of the same data: several exams, several candidates, several means.

To say of *any* exam that it got better, each p value must be held against how many were looked at (Holm). To say of
*all* guard exams that none got worse, each must show it by itself, and nothing needs correcting (intersection-union).
This module knows numbers. It does not know exams.

Sources: S. Holm, Scandinavian Journal of Statistics 6 (1979) 65-70; R. L. Berger, Technometrics 24 (1982) 295-300.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values corrected by Holm's method, in their order: any below 0.05 is wrong 5 times in 100 at most.

    "Wrong" means that a single one of all that are called different is not.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected, largest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def shared_level(count: int, level: float = 0.95) -> float:
    """Return the level of each of ``count`` intervals that all hold together with chance ``level`` (Bonferroni)."""
    return 1 - (1 - level) / max(1, count)


def all_kept(lows: Iterable[float], margin: float) -> bool:
    """Return whether every lower bound lies above ``-margin``: the intersection-union test that none got worse.

    At 95 % intervals it passes what is worse by the margin on any one exam 2.5 times in 100 at most, however many exams
    there are.
    """
    return all(low > -margin for low in lows)
