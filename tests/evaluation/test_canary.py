"""The signals of a rollout: each can end it, and says so in both languages."""

from __future__ import annotations

import pytest

from feilun.evaluation.canary import IN_A_ROW, SIGNALS, Canary, broken


def test_the_error_budget_is_split_and_kept() -> None:
    """All signals together stay within 5 %."""
    assert sum(SIGNALS.values()) <= 0.05


@pytest.mark.parametrize("signal", list(SIGNALS))
def test_every_signal_can_end_a_rollout(signal: str) -> None:
    """A candidate that fails, is slow, answers nothing or is disliked, and is fine in everything else."""
    canary = Canary(usual=0.5)
    canary.stage(0.05)
    for number in range(60):
        for _ in range(19):
            canary.rated("incumbent", 1.0, "")
            canary.called("incumbent", "Four crowns.", "stop", 0.4, "")
        canary.rated("candidate", 0.0 if signal == "ratings" else 1.0, f"c{number}")
        if signal == "failures" and number % 5:
            canary.failed("candidate")
        seconds, answer = (9.0 if signal == "latency" else 0.4), ("" if signal == "guard" else "Four crowns.")
        canary.called("candidate", answer, "stop", seconds, f"c{number}")
    harm = canary.harm()
    assert harm is not None
    assert harm.signal == signal
    assert harm.reason["en"].startswith("Rolled back: ")
    assert harm.reason["zh"].startswith("已回滚：")
    shown = canary.evidence()[signal]
    assert shown["decision"] == "worse"
    assert shown["candidate"]["share"] < shown["incumbent"]["share"]


def test_a_sound_candidate_stays() -> None:
    """As good as what it is compared with."""
    canary = Canary(usual=0.5)
    canary.stage(0.5)
    for number in range(300):
        for arm in ("incumbent", "candidate"):
            canary.rated(arm, float(number % 5 > 0), f"{arm} {number}")
            canary.called(arm, "Four crowns.", "stop", 0.4, f"{arm} {number}")
    assert canary.harm() is None


@pytest.mark.parametrize(
    ("answer", "finish", "expected"),
    [
        ("Four crowns.", "stop", False),
        ("", "stop", True),
        (" \n", "length", True),
        ("", "tool_calls", False),
        ("partly", "error", True),
        ("no", "content_filter", True),
        ("费用是四元。" * 40, "length", True),
        ("The fee is four crowns. " * 30, "length", True),
        ("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30", "stop", False),
    ],
)
def test_answers_that_are_none_are_known(answer: str, finish: str, expected: bool) -> None:
    """Empty, blocked, broken off or a loop; a short answer and a call of a tool are sound."""
    assert broken(answer, finish) is expected


def test_a_candidate_that_fails_in_a_row_is_broken() -> None:
    """Nothing need be computed, unless the other version fails as well."""
    alone, both = Canary(), Canary()
    for canary in (alone, both):
        canary.stage(0.05)
        for _ in range(IN_A_ROW):
            canary.failed("candidate")
            if canary is both:
                canary.failed("incumbent")
    harm = alone.harm()
    assert harm is not None
    assert "in a row" in harm.reason["en"]
    assert both.harm() is None
