"""Paired bootstrap: the interval of a mean by drawing whole clusters again and again, seeded.

BCa (bias corrected and accelerated): percentiles moved by how lopsided the draws are. This module knows numbers. It
does not know exams.

Source: B. Efron, Journal of the American Statistical Association 82 (1987) 171-185.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from feilun.evaluation.statistics.clusters import Clustered, Floats

DRAWS = 2000
_CELLS = 4_000_000  # numbers in memory at once
_NORMAL = NormalDist()


def bootstrap_interval(found: Clustered, level: float = 0.95, seed: int = 0, draws: int = DRAWS) -> tuple[float, float]:
    """Return the BCa interval of the mean at a two-sided ``level``; the same seed gives the same interval.

    With one cluster, or values that are all the same, it is the mean itself: whoever uses it for few values must widen
    it (``differences``).
    """
    count, mean = len(found.sums), found.mean
    if count < 2 or float(np.ptp(found.sums / found.sizes)) < 1e-12:
        return mean, mean
    means = np.sort(_drawn(found, seed, draws))
    below = (float((means < mean - 1e-12).sum()) + float((np.abs(means - mean) <= 1e-12).sum()) / 2) / draws
    bias = _NORMAL.inv_cdf(min(1 - 1 / draws, max(1 / draws, below)))
    without = (found.sums.sum() - found.sums) / (found.sizes.sum() - found.sizes)
    away = without.mean() - without
    spread = float((away**2).sum())
    skew = float((away**3).sum()) / (6 * spread**1.5) if spread > 1e-300 else 0.0
    ends = []
    for share in ((1 - level) / 2, (1 + level) / 2):
        moved = bias + _NORMAL.inv_cdf(share)
        ends.append(float(np.quantile(means, _NORMAL.cdf(bias + moved / max(1e-3, 1 - skew * moved)))))
    return min(ends[0], mean), max(ends[1], mean)


def _drawn(found: Clustered, seed: int, draws: int) -> Floats:
    """Return so many means of clusters drawn with replacement."""
    random, count = np.random.default_rng(seed), len(found.sums)
    at_once = max(1, min(draws, _CELLS // count))
    parts = []
    for start in range(0, draws, at_once):
        places = random.integers(0, count, size=(min(at_once, draws - start), count))
        parts.append(found.sums[places].sum(axis=1) / found.sizes[places].sum(axis=1))
    return np.concatenate(parts)
