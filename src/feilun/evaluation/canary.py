"""Whether the candidate of a rollout does harm: ratings, failures, slow and broken answers, each compared as they come.

The error budget is split: a candidate that is no worse in anything is called worse with a chance of at most the sum of
``SIGNALS``. This module knows signals and the words for what they show. It does not know where calls are kept, nor what
becomes of a candidate.
"""

from __future__ import annotations

from dataclasses import dataclass

from feilun.evaluation.statistics.sequential import PLANNED, Arm, Sequential
from feilun.records import JSON

# Ratings have most of the budget: of them there are fewest. All together stay below the 5 % that is promised, so that
# the promise also holds for whoever counts in a hundred rollouts.
SIGNALS = {"ratings": 0.03, "failures": 0.004, "latency": 0.003, "guard": 0.003}
SLOWER = 2.0  # times what most of the incumbent's calls took
SLOW_SECONDS = 1.0  # and at least so much longer
USUAL = 0.95  # share of the incumbent's calls that were quicker than what counts as usual
IN_A_ROW = 7  # failures of the candidate, while the incumbent has none and the candidate answers nothing: it is broken
_LOOP_CHARACTERS, _LOOP_TIMES = 12, 8
_WORDS = {
    "ratings": ("its answers are rated worse", "回答的评分更低", "good", "好评"),
    "failures": ("its calls fail more often", "调用失败更多", "answered", "成功"),
    "latency": ("its calls are slow more often", "响应变慢更多", "quick", "及时"),
    "guard": ("its answers are empty, blocked or stuck more often", "空白、被拦截或重复的回答更多", "sound", "正常"),
}


@dataclass(frozen=True, slots=True)
class Harm:
    """By which signal a candidate is worse, and what to tell people (``en``, ``zh``)."""

    signal: str
    reason: JSON


class Canary:
    """The signals of one rollout. ``usual`` is the time (s) that most calls took before it began; 0: unknown."""

    def __init__(self, planned: int = PLANNED, margin: float = 0.05, usual: float = 0.0) -> None:
        """Begin with nothing seen."""
        self._tests = {name: Sequential(alpha, margin, planned) for name, alpha in SIGNALS.items()}
        self._limit = max(SLOWER * usual, usual + SLOW_SECONDS) if usual else 0.0
        self._stages = self._fell = 0

    def stage(self, share: float) -> None:
        """Say that from now on this share (0-1) of conversations goes to the candidate."""
        self._stages += 1
        for test in self._tests.values():
            test.stage(share)

    def rated(self, arm: Arm, value: float, unit: str) -> None:
        """Count what somebody thought of an answer (0-1) in a conversation (empty: in none)."""
        self._tests["ratings"].add(arm, value, self._within(unit))

    def called(self, arm: Arm, answer: str, finish: str, seconds: float, unit: str) -> None:
        """Count a call that was answered."""
        unit = self._within(unit)
        self._fell = 0 if arm == "candidate" else self._fell
        self._tests["failures"].add(arm, 1.0, unit)
        self._tests["guard"].add(arm, 0.0 if broken(answer, finish) else 1.0, unit)
        if self._limit:
            self._tests["latency"].add(arm, 0.0 if seconds > self._limit else 1.0, unit)

    def failed(self, arm: Arm) -> None:
        """Count a call that a version did not answer."""
        self._fell = self._fell + 1 if arm == "candidate" else 0  # where both fail, it is not the candidate
        self._tests["failures"].add(arm, 0.0)

    def count(self, signal: str) -> int:
        """Return how many outcomes of the candidate a signal has."""
        return self._tests[signal].count[1]

    def harm(self) -> Harm | None:
        """Return by what the candidate is worse, or None as long as nothing shows it."""
        if self._fell >= IN_A_ROW:
            en = f"Rolled back: the new version failed {self._fell} calls in a row, the present one none meanwhile."
            zh = f"已回滚：新版本连续 {self._fell} 次调用失败，同期现有版本没有失败。"
            return Harm("failures", {"en": en, "zh": zh, "signal": "failures"})
        for name, test in self._tests.items():
            if test.state().decision == "worse":
                return Harm(name, _reason(name, test))
        return None

    def evidence(self) -> JSON:
        """Return what each signal shows: outcomes, shares that are good, the interval of their difference, p."""
        found: JSON = {}
        for name, test in self._tests.items():
            decision, (low, high), p = test.state()
            found[name] = {
                "incumbent": {"outcomes": test.count[0], "share": _share(test, 0)},
                "candidate": {"outcomes": test.count[1], "share": _share(test, 1)},
                "interval": [round(low, 4), round(high, 4)],
                "p": round(p, 6),
                "alpha": test.alpha,
                "decision": decision,
            }
        return found

    def _within(self, unit: str) -> str:
        # With the next stage some conversations go to the other arm: what they show then is a matter of its own.
        return f"{self._stages} {unit}" if unit else ""


def broken(answer: str, finish: str) -> bool:
    """Say whether an answer is none: empty, blocked by a filter, or a few words over and over."""
    text = answer.strip()
    if finish in {"content_filter", "error"} or (not text and finish in {"stop", "length"}):
        return True
    tail = text[-_LOOP_CHARACTERS:]
    return len(text) >= _LOOP_CHARACTERS * _LOOP_TIMES and text.count(tail) >= _LOOP_TIMES


def _share(test: Sequential, side: int) -> float | None:
    return round(test.good[side] / test.count[side], 4) if test.count[side] else None


def _reason(name: str, test: Sequential) -> JSON:
    what, what_zh, good, good_zh = _WORDS[name]
    candidate, incumbent = _share(test, 1) or 0.0, _share(test, 0) or 0.0
    evidence = test.state()
    en = (
        f"Rolled back: {what}. {candidate:.0%} of {test.count[1]} were {good}, with the present version "
        f"{incumbent:.0%} of {test.count[0]} (p = {evidence.p:.2g}, valid at any time; limit {test.alpha:g})."
    )
    zh = (
        f"已回滚：新版本{what_zh}。新版本 {test.count[1]} 次中{good_zh}占 {candidate:.0%}，"
        f"现有版本 {test.count[0]} 次中占 {incumbent:.0%}（p = {evidence.p:.2g}，随时有效；界限 {test.alpha:g}）。"
    )
    return {"en": en, "zh": zh, "signal": name}
