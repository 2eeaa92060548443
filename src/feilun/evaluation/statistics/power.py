"""What an exam can show, before it is sat: with so many questions, a difference of so many points.

Exact: summed over every number of flips that can be, for the rule that promotes (exact McNemar, two-sided, 5 %). Of
true differences, those with few losses are the easiest to see, so the share of questions that get worse must be said or
assumed. Questions that hang together count for fewer (design effect). This module knows counts and chances. It does not
know exams, nor what a model will do.

Sources: R. J. Connor, Biometrics 43 (1987) 207-211; S. W. Duffy, Biometrics 40 (1984) 1005-1015.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from feilun.errors import BadRequest
from feilun.evaluation.statistics.clusters import Floats
from feilun.evaluation.statistics.paired import FEWEST_FLIPS, Z95, mcnemar, score

POWER = 0.8
USUAL_LOSS = 0.02  # of all questions, what gets worse although the model got better
_ALPHA = 0.05
_MOST = 100_000
_FAR = 7.0  # standard deviations beyond which nothing is counted


@lru_cache(maxsize=1)
def _factorials() -> Floats:
    """Return the logarithms of the factorials of 0 to the most questions that are looked at."""
    logs = np.log(np.arange(1, _MOST + 1, dtype=np.float64))
    found: Floats = np.append(0.0, np.cumsum(logs))
    return found


def _binomial(trials: int, share: float) -> Floats:
    """Return the chance of every count of 0 to ``trials``."""
    counts, logs = np.arange(trials + 1), _factorials()
    if share <= 0 or share >= 1:
        certain: Floats = np.where(counts == (0 if share <= 0 else trials), 1.0, 0.0)
        return certain
    terms = logs[trials] - logs[counts] - logs[trials - counts]
    found: Floats = np.exp(terms + counts * math.log(share) + (trials - counts) * math.log1p(-share))
    return found


@lru_cache(maxsize=100_000)
def _needed(flips: int) -> int:
    """Return how many of so many flips must be gains for p < 0.05; more than there are if none suffices."""
    if flips < FEWEST_FLIPS:
        return flips + 1
    low = flips // 2
    high = flips
    while high - low > 1:
        middle = (low + high) // 2
        if mcnemar(middle, flips - middle) < _ALPHA:
            high = middle
        else:
            low = middle
    return high


def power(questions: int, gain: float, loss: float, effect: float = 1.0) -> float:
    """Return the chance that the gain is shown where the shares ``gain`` and ``loss`` of all questions truly flip.

    ``effect`` is the design effect of questions that hang together. Raises BadRequest for what cannot be.
    """
    if questions < 1 or min(gain, loss) < 0 or gain + loss > 1 + 1e-9 or effect < 1:
        raise BadRequest(f"{questions} questions, gain {gain} and loss {loss} cannot be.", "Shares are from 0 to 1.")
    alone, moved = min(_MOST, max(1, math.floor(questions / effect))), min(1.0, gain + loss)
    if moved <= 0:
        return 0.0
    flips = _binomial(alone, moved)
    spread = _FAR * math.sqrt(alone * moved * (1 - moved)) + 1
    low, high = max(0, int(alone * moved - spread)), min(alone, int(alone * moved + spread))
    found = 0.0
    for count in range(max(low, FEWEST_FLIPS), high + 1):
        found += float(flips[count]) * float(_binomial(count, gain / moved)[_needed(count) :].sum())
    return min(1.0, found)


def detectable(questions: int, loss: float = USUAL_LOSS, effect: float = 1.0, wanted: float = POWER) -> float | None:
    """Return the smallest true difference (share) that is shown with chance ``wanted``; None if none can be."""
    low, high = 0.0, 1 - 2 * loss
    if high <= 0 or power(questions, high + loss, loss, effect) < wanted:
        return None
    while high - low > 5e-4:
        middle = (low + high) / 2
        if power(questions, middle + loss, loss, effect) < wanted:
            low = middle
        else:
            high = middle
    return high


def questions_for(
    difference: float, loss: float = USUAL_LOSS, effect: float = 1.0, wanted: float = POWER
) -> int | None:
    """Return how many questions show a true ``difference`` with chance ``wanted``; None beyond 100,000."""
    if difference <= 0:
        return None
    gain = min(1 - loss, difference + loss)
    low, high = 0, FEWEST_FLIPS
    while power(high, gain, loss, effect) < wanted:
        low, high = high, high * 2
        if high > _MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if power(middle, gain, loss, effect) < wanted:
            low = middle
        else:
            high = middle
    return high


def clears(questions: int, margin: float, moved: float, effect: float = 1.0) -> float:
    """Return the chance that a model that is no worse shows it: the interval stays above ``-margin``.

    The share ``moved`` of the questions flips, half of them each way.
    """
    alone, found = min(_MOST, max(1, math.floor(questions / effect))), 0.0
    for flips, chance in enumerate(_binomial(alone, moved).tolist()):
        if chance > 1e-7:
            for gained, part in enumerate(_binomial(flips, 0.5).tolist()):
                if part > 1e-7 and score(-margin, alone, gained, flips - gained) > Z95:
                    found += chance * part
    return min(1.0, found)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an exam of ``questions`` can see (share; None: nothing), and what ``add`` more would let it see."""

    questions: int
    loss: float
    effect: float
    sees: float | None
    add: int
    then: float

    def said(self, language: str) -> str:
        """Return it in plain words, ``en`` or ``zh``."""
        chinese = language == "zh"
        then = f"{100 * self.then:.0f}"
        if self.sees is None:
            if chinese:
                return f"只有 {self.questions} 题，看不出任何差别；再加 {self.add} 题，就能看出 {then} 个百分点。"
            return f"With {self.questions} questions nothing can be seen; add {self.add} to see {then} points."
        sees = f"{math.ceil(100 * self.sees - 0.05)}"
        if chinese:
            return f"{self.questions} 题可以看出 {sees} 个百分点的差别；再加 {self.add} 题，就能看出 {then} 个。"
        return (
            f"With {self.questions} questions you can see a difference of {sees} points; add {self.add} to see {then}."
        )


def plan(questions: int, loss: float = USUAL_LOSS, effect: float = 1.0) -> Plan:
    """Return what an exam of so many questions can see 8 times in 10, and how many more see two thirds of that."""
    if questions < 1:
        raise BadRequest("There is no question.", "Give at least one.")
    sees = detectable(questions, loss, effect)
    then = 0.3 if sees is None else max(1, math.floor(100 * sees * 2 / 3)) / 100
    needed = questions_for(then, loss, effect) or _MOST
    return Plan(questions, loss, effect, sees, max(1, math.ceil((needed - questions) / 5) * 5), then)
