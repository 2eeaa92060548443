"""Krippendorff's alpha and Wilson's interval: published values, an independent computation, and what has no value."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.feedback.agreement import Metric, alpha, wilson

_ = None
# K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), example C (and D): four observers, twelve units.
FOUR = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
# The same, example A (two observers, binary) and example B (two observers, nominal).
BINARY = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
LETTERS = [list("aabbdcccedda"), list("babbbccceddd")]
# Wikipedia, "Krippendorff's alpha", a computational example: three coders, fifteen units.
THREE = [
    [_, _, _, _, _, 3, 4, 1, 2, 1, 1, 3, 3, _, 3],
    [1, _, 2, 1, 3, 3, 4, 3, _, _, _, _, _, _, _],
    [_, _, 2, 1, 3, 4, 4, _, 2, 1, 1, 3, 3, _, 4],
]


def units(observers: list[list[object]]) -> list[list[object]]:
    """Return what each unit was given, for rows of observers."""
    return [list(column) for column in zip(*observers, strict=True)]


@pytest.mark.parametrize(
    ("observers", "metric", "published"),
    [
        (BINARY, "nominal", 0.095),
        (LETTERS, "nominal", 0.692),
        (FOUR, "nominal", 0.743),
        (FOUR, "ordinal", 0.815),
        (FOUR, "interval", 0.849),
        (THREE, "nominal", 0.691),
        (THREE, "interval", 0.811),
    ],
)
def test_published_examples(observers: list[list[object]], metric: Metric, published: float) -> None:
    """The value is the published one to its last digit."""
    assert alpha(units(observers), metric) == pytest.approx(published, abs=0.0005)


def by_pairs(judged: list[list[int | None]], metric: Metric) -> float | None:
    """Return alpha from its definition, one ordered pair of values after the other, with no table of coincidences."""
    paired = [[value for value in unit if value is not None] for unit in judged]
    paired = [unit for unit in paired if len(unit) > 1]
    pool = [value for unit in paired for value in unit]

    def apart(one: int, other: int) -> float:
        if metric == "nominal":
            return float(one != other)
        if metric == "interval":
            return float(one - other) ** 2
        low, high = min(one, other), max(one, other)
        between = sum(low <= value <= high for value in pool)
        return (between - (pool.count(low) + pool.count(high)) / 2) ** 2 if low != high else 0.0

    expected = sum(apart(one, other) for one, other in itertools.permutations(pool, 2))
    if not expected:
        return None
    observed = sum(
        sum(apart(one, other) for one, other in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in paired
    )
    return 1 - (observed / len(pool)) / (expected / (len(pool) * (len(pool) - 1)))


VALUES = st.one_of(st.none(), st.integers(-3, 3))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(VALUES, max_size=5), max_size=8), st.sampled_from(["nominal", "ordinal", "interval"]))
def test_it_is_what_the_definition_says(judged: list[list[int | None]], metric: Metric) -> None:
    """Any values, with any of them missing: as the slow way from the definition has it, or not defined by both."""
    slow = by_pairs(judged, metric)
    assert alpha(judged, metric) == (None if slow is None else pytest.approx(slow, abs=1e-9))


def test_its_ends() -> None:
    """Full agreement is 1, random values are about 0, values that always differ are below 0; nothing is no value."""
    assert alpha([[1, 1], [2, 2], [3, 3, 3]], "ordinal") == 1.0
    drawn = random.Random(0)
    by_chance = alpha([[drawn.randrange(4) for _ in range(3)] for _ in range(3000)])
    assert by_chance == pytest.approx(0, abs=0.03)
    against = alpha([["a", "b"], ["b", "a"]])
    assert against is not None
    assert against < 0
    assert alpha([]) is None
    assert alpha([["a"], [None, "b"]]) is None
    assert alpha([["a", "a"], ["a", "a"]]) is None


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3, for 81/263, 15/148, 0/20 and 1/29.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval(right: int, total: int, low: float, high: float) -> None:
    """The published limits; of nothing at all nothing is known."""
    assert wilson(right, total) == pytest.approx((low, high), abs=0.00006)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(total, total)[1] == pytest.approx(1.0)
