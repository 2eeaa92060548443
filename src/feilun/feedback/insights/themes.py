"""Which calls that went wrong are one theme, and whether it is one: more of what asks this fails than of the rest.

This module knows calls and nearness. It does not know names, nor what anybody does about a theme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feilun.feedback.insights.clusters import clusters
from feilun.feedback.insights.near import Space
from feilun.feedback.insights.signs import Asked

LEAST = 3  # failed calls: two may be chance
_REACH = 0.6  # of the nearness that a theme's own have to its middle, what others need to ask the same
_MOSTLY, _CHANCE = 0.5, 0.001
_WEAK = frozenset({"repeated", "cut"})


@dataclass(frozen=True, slots=True)
class Theme:
    """A theme: the places of its failed calls, of all calls that ask it, its middle, the failed share of those calls.

    ``bound`` is the least nearness to the middle of what asks this.
    """

    failed: tuple[int, ...]
    near: tuple[int, ...]
    middle: np.ndarray
    bound: float
    share: float


def themes(asked: Asked, rows_of: Sequence[int], space: Space) -> list[Theme]:
    """Return the themes, those with the most failed calls first; ``rows_of`` is, by call, its row in ``space``."""
    calls = asked.calls
    bad = [place for place, call in enumerate(calls) if call.bad]
    rows = sorted({rows_of[place] for place in bad})
    if not rows:
        return []
    at = {row: n for n, row in enumerate(rows)}
    counts = [0] * len(rows)
    for place in bad:
        counts[at[rows_of[place]]] += 1
    found = []
    for group in clusters(space.rows[rows], counts, space.theme):
        inside = {rows[n] for n in group}
        failed = tuple(place for place in bad if rows_of[place] in inside)
        if len(failed) >= LEAST:
            found.append(_theme(asked, failed, rows_of, space))
    return _standing(asked, found)


def _theme(asked: Asked, failed: tuple[int, ...], rows_of: Sequence[int], space: Space) -> Theme:
    own = {rows_of[place] for place in failed}
    middle, bound = middle_of(space.rows[[rows_of[place] for place in failed]])
    # The very words of a failed call may have been answered well elsewhere: that counts, however far they are.
    near = {*(place for place, row in enumerate(rows_of) if row in own), *within(space.rows, rows_of, middle, bound)}
    share = sum(asked.calls[place].bad for place in near) / len(near)
    return Theme(failed, tuple(sorted(near)), middle, bound, share)


def middle_of(rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the middle of some rows (unit length), and how near to it something must be to ask the same."""
    middle = rows.mean(axis=0)
    middle = middle / max(float(np.linalg.norm(middle)), 1e-9)
    return middle, _REACH * float(np.median(rows @ middle))


def within(rows: np.ndarray, rows_of: Sequence[int], middle: np.ndarray, bound: float) -> list[int]:
    """Return the places of the calls whose row is at least ``bound`` near to a middle."""
    near = rows @ middle >= bound
    return [place for place, row in enumerate(rows_of) if near[row]]


def _standing(asked: Asked, found: list[Theme]) -> list[Theme]:
    """Return the themes of which more fails than chance would have it, given how often the rest fails."""
    left = set(range(len(asked.calls)))
    kept: list[Theme] = []
    for theme in sorted(found, key=lambda theme: (-theme.share, theme.failed)):
        rest = left - set(theme.near)
        base = (sum(asked.calls[place].bad for place in rest) + 1) / (len(rest) + 2)
        strong = [place for place in theme.failed if not asked.calls[place].signs <= _WEAK]
        weight = len(strong) + (len(theme.failed) - len(strong)) / 2
        chance = tail(math.ceil(weight), len(theme.near), base)
        if weight >= LEAST - 0.5 and (theme.share >= _MOSTLY or chance < _CHANCE):
            kept.append(theme)
            left -= set(theme.near)
    return sorted(kept, key=lambda theme: (-len(theme.failed), theme.failed))


def tail(least: int, of: int, share: float) -> float:
    """Return the probability of at least ``least`` hits in ``of`` tries with the given share (exact binomial)."""
    log, other = math.log(share), math.log1p(-share)
    terms = (
        math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1) + k * log + (of - k) * other
        for k in range(least, of + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))
