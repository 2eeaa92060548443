"""The test that may be looked at at any time: it keeps its promise under no difference, and finds harm early."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from feilun.evaluation.statistics.sequential import Sequential, Stage, permuted, share_bounds

Rate = Callable[[int], float]


def rolled_back(seed: int, present: Rate, new: Rate, share: float = 0.05, most: int = 200) -> int:
    """Return after how many outcomes of the candidate it was called worse; 0 if never."""
    draw, test = random.Random(seed), Sequential(0.03)
    test.stage(share)
    number = 0
    while test.count[1] < most:
        number += 1
        candidate = draw.random() < share
        rate = (new if candidate else present)(number)
        test.add("candidate" if candidate else "incumbent", float(draw.random() < rate))
        if candidate and test.state().decision == "worse":
            return test.count[1]
    return 0


def test_harm_of_fifteen_points_is_found_within_200_outcomes() -> None:
    """At 5 % of the calls, in nearly every run; the median is far below 200 (bench/canary.py has the whole table)."""
    found = [rolled_back(seed, lambda _: 0.8, lambda _: 0.65) for seed in range(12)]
    assert sum(map(bool, found)) >= 11
    assert sorted(found)[6] < 150


def test_no_difference_is_seldom_called_worse() -> None:
    """Not at any time, though one looks after every outcome; nor where the rate of both falls meanwhile."""
    assert sum(bool(rolled_back(seed, lambda _: 0.8, lambda _: 0.8, 0.5)) for seed in range(25)) <= 3

    def fall(number: int) -> float:
        return 0.9 if number < 200 else 0.5

    assert sum(bool(rolled_back(seed, fall, fall, 0.5)) for seed in range(25)) <= 3


def test_what_hangs_together_counts_together() -> None:
    """Forty bad outcomes of one conversation are no forty proofs; of forty conversations they are."""
    one, many = Sequential(0.03), Sequential(0.03)
    for test, unit in ((one, lambda _: "alone"), (many, str)):
        test.stage(0.5)
        for number in range(40):
            test.add("incumbent", 1.0, f"other {number}")
            test.add("candidate", 0.0, unit(number))
    assert one.state().decision == ""
    assert many.state().decision == "worse"


def test_a_better_arm_is_called_better() -> None:
    """And never worse; its interval is above zero in the end."""
    draw, test = random.Random(1), Sequential()
    for _ in range(3000):
        candidate = draw.random() < 0.5
        test.add("candidate" if candidate else "incumbent", float(draw.random() < (0.9 if candidate else 0.6)))
    assert test.state().decision == "better"
    assert test.interval()[0] > 0


def test_arms_that_are_nearly_equal_are_called_so_in_the_end() -> None:
    """The interval is within the margin once there are enough outcomes."""
    draw, test = random.Random(3), Sequential(margin=0.1)
    for number in range(6000):
        test.add(("incumbent", "candidate")[number % 2], float(draw.random() < 0.7))
    assert test.state().decision == "equal enough"


def test_what_is_known_survives_as_plain_data() -> None:
    """A test that was kept as JSON and read again goes on exactly as one that was not."""
    whole, kept = Sequential(), Sequential()
    draw = random.Random(5)
    for number in range(400):
        arm, value, unit = (
            ("incumbent", "candidate")[number % 2],
            draw.random(),
            f"c{number // 3}" if number % 2 else "",
        )
        whole.add(arm, value, unit)
        kept = Sequential.from_json(json.loads(json.dumps(kept.as_json())))
        kept.add(arm, value, unit)
    assert kept.state() == whole.state()
    assert kept.as_json() == whole.as_json()


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_outcomes_are_shares(value: float) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="from 0 to 1"):
        Sequential().add("candidate", value)


def test_bounds_hold_what_they_must() -> None:
    """Nothing is known of nothing; one-sided outcomes bound one side; more outcomes bound more closely."""
    assert share_bounds(0, 0, 0.05) == (0.0, 1.0)
    assert share_bounds(50, 50, 0.05)[1] == 1.0
    wide, close = share_bounds(5, 10, 0.05), share_bounds(500, 1000, 0.05)
    assert wide[0] < close[0] < 0.5 < close[1] < wide[1]


def test_drawing_anew_is_exact() -> None:
    """Of eight units, all four bad ones at the candidate: one of seventy ways."""
    stage = Stage(0.5, [4, 4], {}, {(0, 1.0): 4, (1, 0.0): 4})
    assert permuted([stage]) == pytest.approx(1 / 70, abs=0.005)
    same = Stage(0.5, [4, 4], {}, {(0, 1.0): 2, (1, 1.0): 2, (0, 0.0): 2, (1, 0.0): 2})
    assert permuted([same]) > 0.5
