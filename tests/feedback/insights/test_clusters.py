"""Groups of what is near to each other."""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from feilun.feedback.insights.clusters import clusters
from feilun.feedback.insights.near import space
from feilun.feedback.insights.themes import tail


def test_they_are_those_of_the_textbook() -> None:
    """Average linkage by chains cuts into the groups that scipy's does, on random rows of several seeds."""
    for seed in range(8):
        chance = np.random.default_rng(seed)
        rows = chance.normal(size=(6, 5))[chance.integers(0, 6, 60)] + 0.4 * chance.normal(size=(60, 5))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        found = clusters(rows.astype(np.float32), [1] * 60, 0.5)
        apart = 1 - rows @ rows.T
        flat = linkage(apart[np.triu_indices(60, 1)], "average")
        wanted = fcluster(flat, 0.5, "distance")
        groups = {tuple(np.flatnonzero(wanted == label).tolist()) for label in set(wanted)}
        assert {tuple(group) for group in found} == groups


def test_a_row_that_stands_often_counts_often() -> None:
    """What is written down once with its number groups like what is written down again and again."""
    rows = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    assert clusters(rows, [9, 1, 1], 0.65) == [[0, 1], [2]]
    assert clusters(rows, [1, 1, 1], 2.0) == [[0], [1], [2]]


def test_without_a_model_words_are_near_their_like() -> None:
    """Typing mistakes and endings do not part two wordings, in either language; other things are far."""
    rows = space(
        ["lockers for luggage", "a locker for my lugage", "opening hours", "寄存行李", "行李寄存处"], None
    ).rows
    near = rows @ rows.T
    assert near[0, 1] > 0.3
    assert near[3, 4] > 0.3
    assert abs(near[0, 2]) < 0.1
    assert abs(near[0, 3]) < 1e-6


def test_the_tail_is_exact() -> None:
    """The chance of at least so many hits, as by hand."""
    assert abs(tail(3, 4, 0.5) - 5 / 16) < 1e-12
    assert abs(tail(1, 10, 0.1) - (1 - 0.9**10)) < 1e-12
