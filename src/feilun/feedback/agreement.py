"""How far people agree (Krippendorff's alpha), and how well somebody knows the answers that are known (Wilson).

This module knows values and numbers. It does not know what was judged, by whom, or what follows.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal

Metric = Literal["nominal", "ordinal", "interval"]
_Z95 = 1.959963984540054  # the 97.5 % quantile of the normal distribution


def alpha(units: Sequence[Sequence[Any]], metric: Metric = "nominal") -> float | None:
    """Return Krippendorff's alpha: 1 is full agreement, 0 what chance would give, below 0 systematic disagreement.

    ``units`` holds, for each thing that was judged, the values that it was given; None is a missing one, and who gave
    which does not matter. Values are numbers for ``ordinal`` and ``interval``. None where alpha is not defined: no two
    values can be paired, or all that can are the same. By way of coincidences, as in K. Krippendorff, *Computing
    Krippendorff's Alpha-Reliability* (2011), section C.
    """
    paired: defaultdict[tuple[Hashable, Hashable], float] = defaultdict(float)
    for unit in units:
        counts = Counter(value for value in unit if value is not None)
        together = counts.total()
        if together < 2:
            continue
        for one, many in counts.items():
            for other, more in counts.items():
                pairs = many * (more - 1) if one == other else many * more
                paired[one, other] += pairs / (together - 1)
    totals: defaultdict[Any, float] = defaultdict(float)
    for (one, _), weight in paired.items():
        totals[one] += weight
    if len(totals) < 2:
        return None
    apart = _DISTANCES[metric](totals)
    whole = sum(totals.values())
    observed = math.fsum(weight * apart(one, other) for (one, other), weight in paired.items())
    expected = math.fsum(
        weight * more * apart(one, other) for one, weight in totals.items() for other, more in totals.items()
    )
    return 1 - (whole - 1) * observed / expected


def _nominal(_totals: Mapping[Any, float]) -> Callable[[Any, Any], float]:
    return lambda one, other: float(one != other)


def _interval(_totals: Mapping[Any, float]) -> Callable[[Any, Any], float]:
    return lambda one, other: (one - other) ** 2


def _ordinal(totals: Mapping[Any, float]) -> Callable[[Any, Any], float]:
    """Return the distance in ranks: values between two, and half of each of the two, squared."""
    middles: dict[Any, float] = {}
    below = 0.0
    for value in sorted(totals):
        middles[value] = below + totals[value] / 2
        below += totals[value]
    return lambda one, other: (middles[one] - middles[other]) ** 2


_DISTANCES: dict[Metric, Callable[[Mapping[Any, float]], Callable[[Any, Any], float]]] = {
    "nominal": _nominal,
    "ordinal": _ordinal,
    "interval": _interval,
}


def wilson(right: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (E. B. Wilson, JASA 22, 1927); of nothing at all it is 0 to 1."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = right / total, _Z95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, middle - half), min(1.0, middle + half)
