"""Whether one of two arms is worse, asked after every outcome: a test that may be looked at at any time.

Two parts share the error budget. An **e-process** is looked at after every outcome: which arm a unit (a conversation)
went to was drawn before its outcomes, so under no difference they say nothing about it, and betting on the arm, given
the outcomes, is a fair game whatever the rates are and however they drift; its wealth reaches 1/a with a chance of at
most a (Ville). **Two looks**, when the candidate has half and all of a planned number of outcomes, use what an endless
test must give away: the units' arms are drawn anew many times within each stage, which is exact for any rates and any
ties within a unit (a permutation test, Phipson and Smyth 2010), at levels that are part of the budget (Bonferroni; the
first one small, as by O'Brien and Fleming 1979).

Sources: Ramdas, Grünwald, Vovk, Shafer 2023 (game-theoretic statistics); Turner, Ly, Grünwald 2024 (sequential tests of
two arms); Robbins 1970 and Howard, Ramdas, McAuliffe, Sekhon 2021 (the interval: a mixture of binomials). This module
knows arms, outcomes and units. It does not know what an outcome is, nor what follows from a decision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

Arm = Literal["incumbent", "candidate"]
Decision = Literal["", "worse", "better", "equal enough"]
PLANNED = 200  # outcomes of the candidate, where nobody says otherwise
# Bets on log odds ratios: the first is the best against 10 to 20 points within 200 outcomes, the others are quick where
# the harm is great. ``bench/canary.py`` compares choices.
BETS, SHARES = (0.4, 0.8, 1.6), (0.6, 0.3, 0.1)
WEALTH_PART = 1 / 3  # of the error budget is the e-process's, the rest is the looks'
LOOKS = ((0.5, 0.1), (1.0, 0.9))  # part of the planned outcomes, part of the looks' budget
DRAWS = 9999
_PRIOR = (3.0, 1.0)  # outcomes that are assumed before there are any: (sum, number - sum)
_SHARE_PRIOR = 20.0  # units that are as much worth as the share that was said
_TIES_PRIOR = 50.0
_GRAIN = 3  # decimals of a unit's sum by which units count as alike in a look


class Evidence(NamedTuple):
    """What is known: the decision, an interval of the difference candidate - incumbent, an always-valid p-value."""

    decision: Decision
    interval: tuple[float, float]
    p: float


@dataclass(slots=True)
class Unit:
    """What belongs together: the arm that it went to (1: candidate), the sum and number of its outcomes."""

    arm: int
    good: float = 0.0
    total: int = 0


@dataclass(slots=True)
class Stage:
    """A time with one share of units on the candidate; ``alone`` counts units of one outcome: (arm, value) -> number.

    ``share`` is what was said (0: nothing was).
    """

    share: float = 0.0
    seen: list[int] = field(default_factory=lambda: [0, 0])
    units: dict[str, Unit] = field(default_factory=dict)
    alone: dict[tuple[int, float], int] = field(default_factory=dict)

    def chance(self) -> float:
        """Return the chance that the next unit goes to the candidate."""
        prior = _SHARE_PRIOR if self.share else 1.0
        return (prior * (self.share or 0.5) + self.seen[1]) / (prior + sum(self.seen))


class Sequential:
    """The comparison of two arms by outcomes from 0 (bad) to 1 (good).

    ``alpha`` bounds the chance that an arm that is no worse is ever called worse, at whatever time one looks.
    ``margin`` is the difference within which arms count as equal enough. ``planned`` outcomes of the candidate are when
    the last look is taken; the e-process goes on after it.
    """

    def __init__(self, alpha: float = 0.05, margin: float = 0.05, planned: int = PLANNED) -> None:
        """Begin with no outcomes."""
        self.alpha, self.margin, self.planned = alpha, margin, planned
        self.count, self.good = [0, 0], [0.0, 0.0]
        self._worse, self._better = [0.0] * len(BETS), [0.0] * len(BETS)
        self._stages = [Stage()]
        self._spread, self._expected = (
            0.0,
            0.0,
        )  # squares of units' sums about their means, and if nothing hung together
        self._p, self._p_better = 1.0, 1.0
        self._looks = 0

    def stage(self, share: float) -> None:
        """Say that from now on this share (0-1) of new units goes to the candidate."""
        if sum(self._stages[-1].seen) == 0:
            self._stages.pop()
        self._stages.append(Stage(share))

    def add(self, arm: Arm, value: float, unit: str = "") -> None:
        """Count an outcome (0-1). Outcomes that hang together have one ``unit``; without one each stands alone.

        A unit stays with the arm and in the stage of its first outcome.
        """
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"an outcome is from 0 to 1, not {value}")
        side = int(arm == "candidate")
        stage = next((one for one in reversed(self._stages) if unit and unit in one.units), self._stages[-1])
        known = stage.units.get(unit) if unit else None
        unit_now = known or Unit(side)
        side = unit_now.arm
        self._bet(stage, unit_now, value)
        if known is None:
            stage.seen[side] += 1
            if unit:
                stage.units[unit] = unit_now
        if not unit:
            key = side, round(value, _GRAIN)
            stage.alone[key] = stage.alone.get(key, 0) + 1
        self.count[side] += 1
        self.good[side] += value
        self._look()

    def state(self) -> Evidence:
        """Return what is known by now. ``worse`` and ``better`` are final: one need not look at every outcome."""
        low, high = self.interval()
        if self._p <= self.alpha:
            return Evidence("worse", (low, high), self._p)
        if self._p_better <= self.alpha:
            return Evidence("better", (low, high), self._p)
        return Evidence("equal enough" if low > -self.margin else "", (low, high), self._p)

    def interval(self) -> tuple[float, float]:
        """Return bounds of the difference candidate - incumbent that hold at all times with chance 1 - ``alpha``."""
        ties = self._ties()
        (low_i, high_i), (low_c, high_c) = (
            share_bounds(self.good[side] / ties, self.count[side] / ties, self.alpha / 2) for side in (0, 1)
        )
        return low_c - high_i, high_c - low_i

    def _ties(self) -> float:
        """Return how many outcomes are worth one that stands alone: the design effect of units, 1 where none is."""
        return max(1.0, (self._spread + _TIES_PRIOR * 0.2) / (self._expected + _TIES_PRIOR * 0.2))

    def _bet(self, stage: Stage, unit: Unit, value: float) -> None:
        """Bet on the arm of a unit, given its outcomes with one more, and put that outcome into it."""
        rate = (self.good[0] + _PRIOR[0]) / (self.count[0] + sum(_PRIOR))
        before = (unit.good, unit.total - unit.good)
        after = (unit.good + value, unit.total + 1 - unit.good - value)
        chance, weight = stage.chance(), 1.0 / self._ties()
        for at, size in enumerate(BETS):
            for wealth, shift in ((self._worse, -size), (self._better, size)):
                logs = _log_ratio(rate, shift)
                wealth[at] += _stake(logs, after, unit.arm, chance, weight)
                if unit.total:
                    wealth[at] -= _stake(logs, before, unit.arm, chance, weight)
        self._p = min(self._p, 1 / (WEALTH_PART * max(1e-300, _mixed(self._worse))))
        self._p_better = min(self._p_better, 1 / max(1e-300, _mixed(self._better)))
        self._spread += (after[0] - (unit.total + 1) * rate) ** 2 - (unit.good - unit.total * rate) ** 2
        self._expected += rate * (1 - rate)
        unit.good, unit.total = after[0], unit.total + 1

    def _look(self) -> None:
        """Take the next look, if it is time."""
        if self._looks == len(LOOKS) or self.count[1] < LOOKS[self._looks][0] * self.planned:
            return
        level = (1 - WEALTH_PART) * LOOKS[self._looks][1]
        self._looks += 1
        self._p = min(self._p, permuted(self._stages, self._looks) / level)

    def as_json(self) -> dict[str, Any]:
        """Return all that is known as plain data."""
        return {
            "alpha": self.alpha,
            "margin": self.margin,
            "planned": self.planned,
            "count": list(self.count),
            "good": list(self.good),
            "worse": list(self._worse),
            "better": list(self._better),
            "ties": [self._spread, self._expected],
            "p": [self._p, self._p_better],
            "looks": self._looks,
            "stages": [
                {
                    "share": stage.share,
                    "seen": list(stage.seen),
                    "units": {name: [unit.arm, unit.good, unit.total] for name, unit in stage.units.items()},
                    "alone": [[arm, value, number] for (arm, value), number in stage.alone.items()],
                }
                for stage in self._stages
            ],
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Sequential:
        """Return what :meth:`as_json` gave, to go on with."""
        made = cls(given["alpha"], given["margin"], given["planned"])
        made.count, made.good = list(given["count"]), list(given["good"])
        made._worse, made._better = list(given["worse"]), list(given["better"])
        made._spread, made._expected = given["ties"]
        made._p, made._p_better = given["p"]
        made._looks = given["looks"]
        made._stages = [
            Stage(
                one["share"],
                list(one["seen"]),
                {name: Unit(*unit) for name, unit in one["units"].items()},
                {(arm, value): number for arm, value, number in one["alone"]},
            )
            for one in given["stages"]
        ]
        return made


def _log_ratio(rate: float, shift: float) -> tuple[float, float]:
    """Return the log-likelihood ratios, shifted arm to unshifted, of a good and a bad outcome."""
    odds = rate / (1 - rate) * math.exp(shift)
    shifted = odds / (1 + odds)
    return math.log(shifted / rate), math.log((1 - shifted) / (1 - rate))


def _stake(logs: tuple[float, float], outcomes: tuple[float, float], arm: int, chance: float, weight: float) -> float:
    """Return the log of what a bet on a unit's arm pays, given its (good, bad) outcomes: fair if they say nothing."""
    ratio = math.exp(max(-50.0, min(50.0, weight * (logs[0] * outcomes[0] + logs[1] * outcomes[1]))))
    mixed = chance * ratio + 1 - chance
    return math.log((ratio if arm else 1.0) / mixed)


def _mixed(wealth: Sequence[float]) -> float:
    return math.fsum(share * math.exp(min(700.0, log)) for share, log in zip(SHARES, wealth, strict=True))


def permuted(stages: Iterable[Stage], seed: int = 0) -> float:
    """Return the chance that units drawn at random would do as badly as those that went to the candidate.

    Units are drawn within their stage, as many as there were. One-sided; from ``DRAWS`` draws, so never below 1e-4.
    """
    rng = np.random.default_rng(seed)
    seen, drawn = 0.0, np.zeros(DRAWS)
    for stage in stages:
        kinds: dict[tuple[int, float], list[int]] = {}
        alone = ((arm, 1, value, number) for (arm, value), number in stage.alone.items())
        tied = ((unit.arm, unit.total, round(unit.good, _GRAIN), 1) for unit in stage.units.values())
        for arm, total, good, number in (*alone, *tied):
            kinds.setdefault((total, good), [0, 0])[arm] += number
        if not kinds:
            continue
        numbers = np.array(list(kinds.values()))
        sizes, sums = (np.array(values, float) for values in zip(*kinds, strict=True))
        every = numbers.sum(1)
        rate = float(every @ sums) / float(every @ sizes)
        scores = sums - sizes * rate
        seen += float(numbers[:, 1] @ scores)
        many = rng.multivariate_hypergeometric(every, int(numbers[:, 1].sum()), DRAWS, method="marginals")
        drawn += many @ scores
    return float(1 + np.count_nonzero(drawn <= seen + 1e-9)) / (DRAWS + 1)


def share_bounds(good: float, total: float, alpha: float) -> tuple[float, float]:
    """Return bounds of a share that hold at all times with chance 1 - ``alpha``.

    What a mixture of binomials over all shares would say of the outcomes is compared with each share (Robbins 1970).
    """
    if total <= 0:
        return 0.0, 1.0
    bad = max(0.0, total - good)
    mixture = math.lgamma(good + 1) + math.lgamma(bad + 1) - math.lgamma(total + 2)

    def kept(share: float) -> bool:
        return mixture - good * math.log(share) - bad * math.log1p(-share) < -math.log(alpha)

    middle = min(max(good / total, 1e-9), 1 - 1e-9)
    return _edge(kept, middle, 1e-12), _edge(kept, middle, 1 - 1e-12)


def _edge(kept: Any, inside: float, outside: float) -> float:
    """Return where, between a share that is kept and an end, shares are kept no more."""
    if kept(outside):
        return round(outside)
    for _ in range(50):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if kept(middle) else (inside, middle)
    return outside
