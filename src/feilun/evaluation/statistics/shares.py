"""The interval of one share: how many of all questions a model answers right.

This module knows numbers. It does not know exams.

Sources: E. B. Wilson, Journal of the American Statistical Association 22 (1927) 209-212; C. J. Clopper and
E. S. Pearson, Biometrika 26 (1934) 404-413.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from feilun.errors import BadRequest
from feilun.evaluation.statistics.clusters import Floats, clustered, design_effect, robust_interval, z_of
from feilun.evaluation.statistics.distributions import beta_quantile


def wilson(right: float, questions: float, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of the share ``right`` of ``questions``; both may be fractions of questions.

    It holds the truth as often as it says on the average over shares. Raises BadRequest for counts that cannot be.
    """
    _check(right, questions)
    z, share = z_of(level), right / questions
    shrunk = 1 + z * z / questions
    middle = (share + z * z / (2 * questions)) / shrunk
    half = z / shrunk * math.sqrt(share * (1 - share) / questions + z * z / (4 * questions * questions))
    # At the ends the formula is exact but for rounding.
    return (0.0 if right == 0 else max(0.0, middle - half)), (1.0 if right == questions else min(1.0, middle + half))


def exact_share(right: int, questions: int, level: float = 0.95) -> tuple[float, float]:
    """Return the Clopper-Pearson interval, which holds the truth at least as often as it says, whatever the share."""
    _check(right, questions)
    tail = (1 - level) / 2
    low = beta_quantile(tail, right, questions - right + 1) if right else 0.0
    high = beta_quantile(1 - tail, right + 1, questions - right) if right < questions else 1.0
    return low, high


def share_interval(
    scores: Sequence[float] | Floats, clusters: Sequence[Hashable] | None = None, level: float = 0.95
) -> tuple[float, float]:
    """Return the interval of the mean of ``scores`` (each 0 to 1), alone or in ``clusters``.

    Single whole scores have Wilson's. Others have the wider of the cluster-robust t interval and Wilson's over as many
    questions as the design effect leaves, whose variance is the largest that graded scores of this mean can have.
    """
    given = np.asarray(scores, dtype=np.float64)
    found, right = clustered(given, clusters), float(given.sum())
    if not len(given) or given.min() < 0 or given.max() > 1:
        raise BadRequest("There are no scores from 0 to 1.", "Run the exam first.")
    whole = bool(np.isin(given, (0.0, 1.0)).all())
    if whole and found.single:
        return wilson(right, len(given), level)
    low, high = robust_interval(found, level)
    if whole or float(np.ptp(given)) < 1e-12:
        effect = design_effect(found)
        other = wilson(right / effect, len(given) / effect, level)
        low, high = min(low, other[0]), max(high, other[1])
    return max(0.0, low), min(1.0, high)


def _check(right: float, questions: float) -> None:
    if not (questions > 0 and 0 <= right <= questions * (1 + 1e-9)):
        raise BadRequest(f"{right} right of {questions} questions cannot be.")
