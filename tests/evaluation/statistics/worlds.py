"""Made-up exams for simulations: seeded draws of paired differences whose truth is known."""

from collections.abc import Callable

import numpy as np

Draw = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray | None]]


def flips(questions, gain, loss):
    """Return a world of single questions: these shares are gained and lost."""

    def draw(random):
        sign = random.choice([1.0, -1.0, 0.0], size=questions, p=[gain, loss, 1 - gain - loss])
        return sign, None

    return draw


def passages(sizes, gain, loss, together):
    """Return a world of clusters of these ``sizes`` (or a maker); the share ``together`` of each moves as one."""

    def draw(random):
        counts = np.asarray(sizes(random) if callable(sizes) else sizes)
        clusters = np.repeat(np.arange(len(counts)), counts)
        chances = [gain, loss, 1 - gain - loss]
        whole = random.choice([1.0, -1.0, 0.0], size=len(counts), p=chances)[clusters]
        alone = random.choice([1.0, -1.0, 0.0], size=len(clusters), p=chances)
        return np.where(random.random(len(clusters)) < together, whole, alone), clusters

    return draw


def uneven(random):
    """Return fifteen cluster sizes, few of them large."""
    return np.minimum(80, np.maximum(1, random.pareto(1.2, size=15) * 3)).astype(int)


def graded(questions, mean, spread):
    """Return a world of scores whose differences are normal, cut at one."""

    def draw(random):
        return np.clip(random.normal(mean, spread, questions), -1, 1), None

    return draw


def lopsided(questions, share=0.1):
    """Return a world without a difference: most questions gain a little, a few lose much."""

    def draw(random):
        return np.where(random.random(questions) < share, share - 1, share), None

    return draw
