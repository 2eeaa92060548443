"""What paired differences of any kind prove: whole or graded, alone or in clusters.

Whole differences of single questions: Tango's interval and exact McNemar. All others: the widest of the intervals that
fit the case and the larger of two p values, so that neither rare changes, nor few clusters, nor lopsided scores let
chance pass. Graded differences that look alike may hide a rare great loss that a few questions did not meet (ten gains
of 0.1 say nothing about one loss of 0.9 in ten): their t interval is that with one more question on which the worst
happened. This module knows which procedure fits. It does not know exams.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from feilun.evaluation.statistics.bootstrap import bootstrap_interval
from feilun.evaluation.statistics.clusters import (
    Floats,
    clustered,
    design_effect,
    robust_interval,
    robust_test,
    sign_flip,
    z_of,
)
from feilun.evaluation.statistics.paired import mcnemar, paired_interval

Method = Literal["exact", "cluster", "graded"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference (−1 to 1) with its interval and two-sided p.

    ``units`` are the independent clusters; ``effect`` is the design effect, how many times the variance grew by them.
    """

    mean: float
    interval: tuple[float, float]
    p_value: float
    method: Method
    units: int
    effect: float


def difference(
    values: Sequence[float] | Floats,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Return what the paired differences ``values`` (each −1 to 1) prove about their true mean.

    ``clusters`` says which values hang together (None: none). The interval covers the true mean with chance ``level``;
    the p value is of the hypothesis that it is zero. Random numbers are used for graded values alone, from ``seed``.
    """
    given = np.asarray(values, dtype=np.float64)
    found = clustered(given, clusters)
    gained, lost = float(given[given > 0].sum()), float(-given[given < 0].sum())
    whole = bool(np.isin(given, (-1.0, 0.0, 1.0)).all())
    if whole and found.single:
        ends = paired_interval(len(given), int(gained), int(lost), z_of(level))
        return Difference(found.mean, ends, mcnemar(int(gained), int(lost)), "exact", len(given), 1.0)
    effect = design_effect(found)
    if whole:
        intervals = [
            robust_interval(found, level),
            paired_interval(len(given) / effect, gained / effect, lost / effect, z_of(level)),
        ]
        p = max(sign_flip(found, seed), robust_test(found))
    else:
        worst, best = found.with_one(-1.0), found.with_one(1.0)
        intervals = [
            (robust_interval(worst, level)[0], robust_interval(best, level)[1]),
            bootstrap_interval(found, level, seed),
        ]
        p = max(sign_flip(found, seed), robust_test(worst if found.mean > 0 else best))
    ends = max(-1.0, min(low for low, _ in intervals)), min(1.0, max(high for _, high in intervals))
    return Difference(found.mean, ends, p, "cluster" if whole else "graded", len(found.sums), effect)
