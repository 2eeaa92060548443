"""Student's t and the beta distribution, as far as intervals need them; the normal one is the standard library's.

Tails by the continued fraction of the incomplete beta function (Lentz's method; Abramowitz and Stegun 26.5.8),
quantiles by bisection: about twelve digits, without a library for it. This module knows formulas. It does not know
what they are applied to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

_STEPS = 300
_TINY = 1e-300


def normal_quantile(share: float) -> float:
    """Return the value that a standard normal variable stays below with chance ``share``."""
    return NormalDist().inv_cdf(share)


def beta_below(x: float, a: float, b: float) -> float:
    """Return the chance that a beta variable with the shapes ``a`` and ``b`` is at most ``x``."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _safe(1 - (a + b) * x / (a + 1))
    value = d
    for step in range(1, _STEPS):
        even = step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step))
        odd = -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1))
        for term in (even, odd):
            d = 1 / _safe(1 + term * d)
            c = _safe(1 + term / c)
            value *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return value


def _safe(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def student_two_sided(t: float, freedom: float) -> float:
    """Return the chance that Student's t with so many degrees of freedom lies further from zero than ``t``."""
    if math.isinf(t):
        return 0.0
    return beta_below(freedom / (freedom + t * t), freedom / 2, 0.5)


@lru_cache(maxsize=4096)
def student_quantile(level: float, freedom: float) -> float:
    """Return the value that Student's t stays within (both sides) with chance ``level``."""
    high = 2.0
    while student_two_sided(high, freedom) > 1 - level:
        high *= 2
    return _bisect(lambda t: 1 - student_two_sided(t, freedom), level, high)


def beta_quantile(share: float, a: float, b: float) -> float:
    """Return the value that a beta variable stays below with chance ``share``."""
    return _bisect(lambda x: beta_below(x, a, b), share, 1.0)


def _bisect(rising: Callable[[float], float], wanted: float, high: float) -> float:
    low = 0.0
    for _ in range(80):
        middle = (low + high) / 2
        if rising(middle) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2
