"""The statistics' promises, by simulation: seeded, so that they hold or fail the same each time.

5 in 100 is allowed; where a figure is near it, the bound leaves room for three standard errors of the simulation.
"""

import math

import numpy as np
import pytest
from tests.evaluation.statistics.worlds import flips, graded, lopsided, passages, uneven

from feilun.evaluation.statistics import (
    bootstrap_interval,
    clears,
    clustered,
    detectable,
    difference,
    exact_share,
    holm,
    mcnemar,
    plan,
    power,
    questions_for,
    share_interval,
    wilson,
)


def outcomes(world, times, truth=0.0, seed=1):
    """Return the shares of draws that are called better, called worse, and whose interval holds the truth."""
    random = np.random.default_rng(seed)
    better = worse = held = 0
    for _ in range(times):
        found = difference(*world(random))
        better += found.p_value < 0.05 and found.interval[0] > 0
        worse += found.p_value < 0.05 and found.interval[1] < 0
        held += found.interval[0] - 1e-9 <= truth <= found.interval[1] + 1e-9
    return better / times, worse / times, held / times


NOTHING_CHANGED = {
    "single questions": flips(120, 0.1, 0.1),
    "rare flips": flips(120, 0.01, 0.01),
    "few questions": flips(12, 0.2, 0.2),
    "passages, alone": passages([5] * 12, 0.15, 0.15, 0.0),
    "passages, half together": passages([5] * 12, 0.15, 0.15, 0.5),
    "passages, together": passages([5] * 12, 0.15, 0.15, 1.0),
    "few passages": passages([15] * 4, 0.2, 0.2, 1.0),
    "six passages": passages([10] * 6, 0.4, 0.4, 1.0),
    "uneven passages": passages(uneven, 0.2, 0.2, 0.8),
    "one great passage": passages([40] + [1] * 20, 0.2, 0.2, 1.0),
    "graded": graded(40, 0.0, 0.2),
    "few graded": graded(8, 0.0, 0.2),
    "lopsided": lopsided(25),
    "few lopsided": lopsided(10),
}


@pytest.mark.parametrize("name", NOTHING_CHANGED)
def test_no_difference_is_seldom_called_one(name):
    """Where nothing changed, at most 5 of 100 exams are called better or worse, and the interval holds zero."""
    better, worse, held = outcomes(NOTHING_CHANGED[name], 400)
    assert better + worse <= 0.05
    assert held >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 400)


def test_single_questions_in_passages_would_be_called_better_too_often():
    """Without their clusters, the same draws are called different far more often: the clusters are needed."""
    random, world = np.random.default_rng(2), passages([10] * 12, 0.25, 0.25, 1.0)
    called = [difference(world(random)[0]).p_value < 0.05 for _ in range(300)]
    assert np.mean(called) > 0.25


@pytest.mark.parametrize(
    ("world", "truth"),
    [
        (flips(60, 0.2, 0.05), 0.15),
        (flips(200, 0.02, 0.0), 0.02),
        (passages([6] * 15, 0.3, 0.1, 0.7), 0.2),
        (passages(uneven, 0.3, 0.1, 0.3), 0.2),
        (graded(60, 0.1, 0.15), 0.1),
    ],
)
def test_the_interval_holds_a_true_difference(world, truth):
    """The interval holds the true difference in at least 95 of 100 exams, within the error of the simulation."""
    assert outcomes(world, 400, truth)[2] >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(
    ("world", "least"),
    [(flips(100, 0.13, 0.02), 0.75), (passages([5] * 30, 0.3, 0.05, 0.3), 0.9), (graded(80, 0.1, 0.2), 0.8)],
)
def test_a_true_difference_is_found(world, least):
    """What is there is found: the guards against chance have not made the test blind."""
    assert outcomes(world, 200)[0] >= least


@pytest.mark.parametrize(
    ("questions", "gain", "loss"), [(60, 0.15, 0.02), (100, 0.2, 0.1), (240, 0.06, 0.01), (20, 0.5, 0.1)]
)
def test_power_is_as_claimed(questions, gain, loss):
    """The chance that is claimed is the share of simulated exams that show the gain, by the whole rule."""
    draws = np.random.default_rng(5).multinomial(questions, [gain, loss, 1 - gain - loss], size=4000)
    shown = np.mean([won > lost and mcnemar(won, lost) < 0.05 for won, lost, _ in draws.tolist()])
    assert power(questions, gain, loss) == pytest.approx(shown, abs=4 * math.sqrt(0.25 / 4000))


def test_what_an_exam_sees_is_seen_in_four_of_five():
    """The difference that a plan names is shown 80 times in 100 by the rule, and so is the smaller one after adding."""
    found = plan(60, loss=0.02)
    for questions, gap in ((60, found.sees), (60 + found.add, found.then)):
        better, worse, _ = outcomes(flips(questions, gap + 0.02, 0.02), 1000, seed=9)
        assert 0.8 - 0.04 < better < 0.9
        assert worse == 0


def test_questions_for_is_the_reverse_of_detectable():
    """So many questions see the difference that asked for them, and five fewer hardly do."""
    needed = questions_for(0.08, 0.03)
    assert detectable(needed, 0.03) == pytest.approx(0.08, abs=0.002)
    assert power(needed - 10, 0.11, 0.03) < 0.8 <= power(needed, 0.11, 0.03)


def test_clears_is_as_claimed():
    """The chance that a model that is no worse shows it, against simulated exams."""
    random = np.random.default_rng(6)
    kept = [difference(flips(110, 0.04, 0.04)(random)[0]).interval[0] > -0.1 for _ in range(1500)]
    assert clears(110, 0.1, 0.08) == pytest.approx(np.mean(kept), abs=0.04)


def test_several_exams_together_are_called_different_five_times_in_a_hundred():
    """Ten exams without a difference: by Holm, any is called different at most 5 times in 100; uncorrected far more."""
    random, alone, together = np.random.default_rng(7), 0, 0
    for _ in range(1000):
        p = [mcnemar(*random.multinomial(300, [0.1, 0.1, 0.8])[:2].tolist()) for _ in range(10)]
        alone += min(p) < 0.05
        together += min(holm(p)) < 0.05
    assert together / 1000 <= 0.05
    assert alone / 1000 > 0.2


@pytest.mark.parametrize(("questions", "share"), [(20, 0.5), (40, 0.9), (100, 0.02), (7, 0.3)])
def test_shares_are_covered(questions, share):
    """Exact, over every outcome: Clopper-Pearson holds the truth at least as often as it says; Wilson nearly so."""
    chances = [math.comb(questions, k) * share**k * (1 - share) ** (questions - k) for k in range(questions + 1)]

    def covered(interval):
        return sum(c for k, c in enumerate(chances) if interval(k, questions)[0] <= share <= interval(k, questions)[1])

    assert covered(exact_share) >= 0.95
    assert covered(wilson) >= 0.9


def test_a_share_in_passages_is_covered():
    """The share of right answers, where passages go right or wrong as a whole, is in its interval 95 times in 100."""
    random, held = np.random.default_rng(8), 0
    clusters = np.repeat(np.arange(20), 5)
    for _ in range(500):
        low, high = share_interval((random.random(20) < 0.6)[clusters].astype(float), clusters.tolist())
        held += low <= 0.6 <= high
    assert held / 500 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 500)


def test_the_bootstrap_holds_the_truth():
    """BCa alone, with enough questions of skewed scores, is near what it says."""
    random, held = np.random.default_rng(3), 0
    for seed in range(300):
        low, high = bootstrap_interval(clustered(random.exponential(0.1, 80) - 0.1), seed=seed, draws=800)
        held += low <= 0 <= high
    assert held / 300 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 300) - 0.01
