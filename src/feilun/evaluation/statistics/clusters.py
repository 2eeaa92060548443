"""Questions that hang together: one passage, conversation or source behind several of them.

Such questions go right or wrong together, so they say less than as many separate ones: an interval that takes them for
separate is too narrow. The sums of whole clusters are what is independent. Two tests that complete each other: flipping
the signs of the clusters' sums (exact for any number and size of clusters, if neither model is better; with single
questions it is exact McNemar), and a cluster-robust t interval with the corrections for few clusters. This module knows
numbers and which belong together. It does not know exams.

Sources: E. Miller, Adding Error Bars to Evals, arXiv 2411.00640 (2024); R. M. Bell and D. F. McCaffrey, Survey
Methodology 28 (2002) 169-181 (CR2); A. V. Carter, K. T. Schnepel and D. G. Steigerwald, Review of Economics and
Statistics 99 (2017) 698-709 (effective number of clusters); R. A. Fisher, The Design of Experiments (1935), § 21.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feilun.evaluation.statistics.distributions import normal_quantile, student_quantile, student_two_sided
from feilun.evaluation.statistics.paired import Z95

Floats = NDArray[np.float64]
DRAWS = 4_000
_ENUMERATED = 16  # so many clusters have 65,536 sign patterns
_LARGEST_SUM = 100_000  # of whole numbers, whose distribution is worked out exactly


@dataclass(frozen=True, slots=True)
class Clustered:
    """Values by cluster: the ``sums``, the ``sizes``, and the square sum of the single values."""

    sums: Floats
    sizes: Floats
    squares: float

    @property
    def mean(self) -> float:
        """The mean of all values."""
        return float(self.sums.sum() / self.sizes.sum())

    @property
    def effective(self) -> float:
        """How many clusters of one size would say as much as these, if all of a cluster went together."""
        return float(self.sizes.sum() ** 2 / (self.sizes**2).sum())

    def with_one(self, value: float) -> Clustered:
        """Return these and one more cluster of the usual size whose values are all ``value``."""
        size = float(self.sizes.mean())
        return Clustered(
            np.append(self.sums, size * value), np.append(self.sizes, size), self.squares + size * value**2
        )

    @property
    def single(self) -> bool:
        """Whether every value stands alone."""
        return bool((self.sizes == 1).all())


def clustered(values: Sequence[float] | Floats, clusters: Sequence[Hashable] | None = None) -> Clustered:
    """Return ``values`` gathered by their ``clusters``; without them, or with None as cluster, each stands alone."""
    given = np.asarray(values, dtype=np.float64)
    if clusters is None:
        return Clustered(given, np.ones(len(given)), float((given**2).sum()))
    places: dict[Hashable, int] = {}
    named = [("alone", at) if key is None else ("of", key) for at, key in enumerate(clusters)]
    index = [places.setdefault(name, len(places)) for name in named]
    sums = np.bincount(index, weights=given, minlength=len(places)).astype(np.float64)
    sizes = np.bincount(index, minlength=len(places)).astype(np.float64)
    return Clustered(sums, sizes, float((given**2).sum()))


def robust_error(found: Clustered) -> tuple[float, float]:
    """Return the standard error of the mean by clusters (CR2), and its degrees of freedom.

    The residual of a cluster is divided by the root of what its own weight took away; unequal sizes lower the degrees
    of freedom to the effective number of clusters less one. A single cluster has an infinite error.
    """
    count, total = len(found.sums), found.sizes.sum()
    if count < 2:
        return math.inf, 1.0
    left = found.sums - found.sizes * found.mean
    error = math.sqrt(float((left**2 / (1 - found.sizes / total)).sum())) / float(total)
    return error, max(1.0, found.effective - 1)


def robust_interval(found: Clustered, level: float = 0.95) -> tuple[float, float]:
    """Return the cluster-robust t interval of the mean; infinite for a single cluster."""
    error, freedom = robust_error(found)
    half = student_quantile(level, freedom) * error
    return found.mean - half, found.mean + half


def robust_test(found: Clustered) -> float:
    """Return the two-sided p of the cluster-robust t test that the mean is zero."""
    error, freedom = robust_error(found)
    if error == 0:
        return 1.0 if found.mean == 0 else 0.0
    return student_two_sided(abs(found.mean) / error, freedom)


def sign_flip(found: Clustered, seed: int = 0) -> float:
    """Return the two-sided p of the sign-flip test: how often random signs of the clusters' sums go this far.

    Exact for whole numbers (their distribution is built sum by sum) and for few clusters (all patterns); otherwise from
    ``DRAWS`` random patterns, itself among them, so that it is never too small. Fewer than six clusters cannot give a p
    below 0.05.
    """
    sums = np.abs(found.sums[np.abs(found.sums) > 1e-12])
    if not len(sums):
        return 1.0
    reached = abs(float(found.sums.sum())) - 1e-9
    whole = np.rint(sums)
    if bool((np.abs(sums - whole) < 1e-9).all()) and whole.sum() <= _LARGEST_SUM:
        return _exact(whole.astype(int), reached)
    if len(sums) <= _ENUMERATED:
        signs = ((np.arange(1 << len(sums))[:, None] >> np.arange(len(sums))) & 1) * 2.0 - 1
        return float((np.abs(signs @ sums) >= reached).mean())
    random = np.random.default_rng(seed)
    drawn = random.integers(0, 2, size=(DRAWS, len(sums)), dtype=np.int8)
    far = np.abs(2 * (drawn @ sums) - sums.sum()) >= reached
    return float((far.sum() + 1) / (DRAWS + 1))


def _exact(sums: NDArray[np.int_], reached: float) -> float:
    """Return the share of all sign patterns that go as far as ``reached``."""
    total = int(sums.sum())
    chance = np.zeros(2 * total + 1)
    chance[total] = 1.0
    for size in sums.tolist():
        moved = np.zeros_like(chance)
        moved[size:] += chance[: len(chance) - size]
        moved[: len(chance) - size] += chance[size:]
        chance = moved / 2
    return min(1.0, float(chance[np.abs(np.arange(-total, total + 1)) >= reached].sum()))


def design_effect(found: Clustered) -> float:
    """Return how many times the variance grew because values hang together, from 1 to the clusters' effective size.

    Clusters in which something changed say how much; few of them say little, so that they are weighed against two
    that go together entirely.
    """
    total = float(found.sizes.sum())
    most = max(1.0, total / found.effective)
    changed = int((np.abs(found.sums) > 1e-12).sum())
    alone = found.squares - total * found.mean**2
    if alone <= 0 or len(found.sums) < 2:
        return most
    measured = min(most, max(1.0, robust_error(found)[0] ** 2 * total**2 / alone))
    return float((changed * measured + 2 * most) / (changed + 2))


def z_of(level: float) -> float:
    """Return the normal quantile of a two-sided level."""
    return Z95 if level == 0.95 else normal_quantile((1 + level) / 2)
