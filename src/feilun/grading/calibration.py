"""How far a judge can be trusted: its verdicts against those of people on the same answers.

This module knows agreement and its intervals. It does not know who the judge is.

Sources: Cohen 1960 (kappa); Fleiss, Cohen and Everitt 1969 (its standard error); Wilson 1927 (interval of a share).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from feilun.errors import BadRequest

Z95 = 1.959963984540054
FEWEST = 30  # pairs below which nothing is concluded
ENOUGH = 0.6  # the lower end of kappa's interval from which a judge may stand for people (Landis and Koch 1977)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Agreement of a judge with people: the share of equal verdicts and Cohen's kappa, each with its 95 % interval.

    ``trusted`` is whether the judge may stand for people; ``words`` says it in English and Chinese.
    """

    pairs: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    kappa: float
    kappa_interval: tuple[float, float]
    trusted: bool
    words: dict[str, str]


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share."""
    share, square = hits / total, Z95 * Z95
    middle = (share + square / (2 * total)) / (1 + square / total)
    half = Z95 / (1 + square / total) * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def calibrate(judge: Sequence[Hashable], people: Sequence[Hashable]) -> Calibration:
    """Return how far a judge's verdicts agree with people's, pair by pair; raise BadRequest if they are no pairs."""
    if len(judge) != len(people) or not judge:
        raise BadRequest(
            f"{len(judge)} verdicts of the judge and {len(people)} of people are no pairs.",
            "Give both a verdict on each answer.",
        )
    total = len(judge)
    hits = sum(a == b for a, b in zip(judge, people, strict=True))
    kappa, interval = _kappa(judge, people, hits / total)
    trusted = total >= FEWEST and interval[0] >= ENOUGH
    return Calibration(
        total, hits / total, wilson(hits, total), kappa, interval, trusted, _words(total, kappa, interval)
    )


def _kappa(judge: Sequence[Hashable], people: Sequence[Hashable], agreed: float) -> tuple[float, tuple[float, float]]:
    total = len(judge)
    mine, theirs, both = Counter(judge), Counter(people), Counter(zip(judge, people, strict=True))
    labels = set(mine) | set(theirs)
    chance = sum(mine[label] * theirs[label] for label in labels) / total**2
    if chance >= 1:  # both said one thing always: nothing can be told from that
        return 0.0, (-1.0, 1.0)
    kappa = (agreed - chance) / (1 - chance)
    diagonal = sum(
        both[label, label] / total * (1 - (mine[label] + theirs[label]) / total * (1 - kappa)) ** 2 for label in labels
    )
    off = (1 - kappa) ** 2 * sum(
        count / total * ((mine[b] + theirs[a]) / total) ** 2 for (a, b), count in both.items() if a != b
    )
    variance = (diagonal + off - (kappa - chance * (1 - kappa)) ** 2) / (total * (1 - chance) ** 2)
    # Without a disagreement the formula has no width; the interval of the share does not forget that it may err.
    half = Z95 * math.sqrt(max(0.0, variance))
    low = min(kappa - half, (wilson(round(agreed * total), total)[0] - chance) / (1 - chance))
    return kappa, (max(-1.0, low), min(1.0, kappa + half))


def _words(total: int, kappa: float, interval: tuple[float, float]) -> dict[str, str]:
    figures = f"kappa {kappa:.2f}, 95 % interval {interval[0]:.2f} to {interval[1]:.2f}"
    chinese = f"kappa {kappa:.2f}，95% 区间 {interval[0]:.2f} 至 {interval[1]:.2f}"
    if total < FEWEST:
        return {
            "en": f"Too few verdicts of people to tell ({total}; {FEWEST} are needed): {figures}.",
            "zh": f"人工评判太少，无法判断（{total} 条，至少需要 {FEWEST} 条）：{chinese}。",
        }
    if interval[0] >= ENOUGH:
        return {"en": f"The judge agrees with people: {figures}.", "zh": f"评判模型与人工一致：{chinese}。"}
    return {
        "en": f"The judge cannot stand for people: {figures}.",
        "zh": f"评判模型不能代替人工：{chinese}。",
    }
