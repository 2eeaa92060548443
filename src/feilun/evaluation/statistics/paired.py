"""Two models on the same questions, each right or wrong: exact McNemar, and Tango's interval of the difference.

Every question is answered by both, so only questions that changed (*discordant pairs*) say anything: ``gained`` are
wrong before and right after, ``lost`` the reverse. This module knows that arithmetic. It does not know how answers came
about, nor questions that hang together (``clusters``).

Sources: Q. McNemar, Psychometrika 12 (1947); T. Tango, Statistics in Medicine 17 (1998) 891-908.
"""

from __future__ import annotations

import math

from feilun.errors import BadRequest

Z95 = 1.959963984540054
# Six flips in one direction are the fewest whose exact two-sided p is below 0.05.
FEWEST_FLIPS = 6


def mcnemar(gained: int, lost: int) -> float:
    """Return the exact two-sided p-value of McNemar's test: a fair coin for every discordant pair."""
    pairs = gained + lost
    term = tail = 1
    for k in range(min(gained, lost)):
        term = term * (pairs - k) // (k + 1)
        tail += term
    return min(1.0, 2 * tail / (1 << pairs))


def paired_interval(questions: float, gained: float, lost: float, z: float = Z95) -> tuple[float, float]:
    """Return Tango's score interval (shares, −1 to 1; 95 % by default) of the difference of two paired proportions.

    It inverts the score test, so it holds for few or no discordant pairs, where the Wald interval shrinks to a point.
    ``z`` is the normal quantile of the level. Counts may be fractions: sums of graded differences, whose variance is at
    most that of whole flips, or counts divided by a design effect. Raises BadRequest for counts that cannot be.
    """
    if not questions > 0 or min(gained, lost) < 0 or gained + lost > questions * (1 + 1e-9):
        raise BadRequest(f"{gained} gained and {lost} lost of {questions} questions cannot be.")
    estimate = (gained - lost) / questions
    return _bound(estimate, -1.0, questions, gained, lost, z), _bound(estimate, 1.0, questions, gained, lost, z)


def score(delta: float, questions: float, gained: float, lost: float) -> float:
    """Return Tango's score statistic for the hypothesis that the true difference is ``delta``."""
    a = 2 * questions
    b = (2 * questions - gained + lost) * delta - gained - lost
    c = -lost * delta * (1 - delta)
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    # The two forms are equal; each is free of cancellation for its sign of b.
    lost_share = (root - b) / (2 * a) if b <= 0 else -2 * c / (root + b)
    variance = questions * (2 * lost_share + delta * (1 - delta))
    excess = gained - lost - questions * delta
    if variance <= 0:
        return math.copysign(math.inf, excess) if excess else 0.0
    return excess / math.sqrt(variance)


def _bound(inside: float, outside: float, questions: float, gained: float, lost: float, z: float) -> float:
    if abs(score(outside, questions, gained, lost)) <= z:
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        if abs(score(middle, questions, gained, lost)) <= z:
            inside = middle
        else:
            outside = middle
    return inside
