"""The statistics against brute force and other people's libraries."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from feilun.errors import BadRequest
from feilun.evaluation.statistics import (
    all_kept,
    bootstrap_interval,
    clustered,
    design_effect,
    detectable,
    difference,
    exact_share,
    grouped_split,
    holm,
    joined,
    mcnemar,
    paired_interval,
    plan,
    power,
    questions_for,
    robust_interval,
    share_interval,
    shared_level,
    sign_flip,
    wilson,
)
from feilun.evaluation.statistics.clusters import robust_test
from feilun.evaluation.statistics.distributions import beta_below, beta_quantile, student_quantile, student_two_sided


@given(st.floats(0.01, 0.99), st.floats(0.5, 300), st.floats(0.5, 300))
@settings(deadline=None)
def test_the_beta_distribution_is_scipys(x, a, b):
    """Tails and quantiles agree with scipy's."""
    assert beta_below(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-9)
    assert beta_quantile(x, a, b) == pytest.approx(stats.beta.ppf(x, a, b), abs=1e-7)


@pytest.mark.parametrize("freedom", [1, 1.7, 5, 30, 400])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_students_t_is_scipys(freedom, level):
    """Tails and quantiles agree with scipy's, for broken degrees of freedom too."""
    value = stats.t.ppf((1 + level) / 2, freedom)
    assert student_quantile(level, freedom) == pytest.approx(value, rel=1e-8)
    assert student_two_sided(value, freedom) == pytest.approx(1 - level, rel=1e-8)


@pytest.mark.parametrize(("right", "questions"), [(0, 10), (10, 10), (3, 17), (120, 240), (1, 1)])
def test_intervals_of_a_share_are_scipys(right, questions):
    """Wilson's and Clopper-Pearson's agree with scipy's."""
    found = stats.binomtest(right, questions)
    for ours, method in ((wilson, "wilson"), (exact_share, "exact")):
        theirs = found.proportion_ci(0.95, method)
        assert ours(right, questions) == pytest.approx((theirs.low, theirs.high), abs=1e-8)


def test_a_thousand_random_paired_results():
    """P value and verdict equal those of an exact binomial test of the flips, which is exact McNemar."""
    random = np.random.default_rng(11)
    told = 0
    for _ in range(1000):
        questions = int(random.integers(5, 200))
        gain, loss = random.dirichlet([1, 1, 4])[:2]
        values = random.choice([1.0, -1.0, 0.0], size=questions, p=[gain, loss, 1 - gain - loss])
        gained, lost = int((values > 0).sum()), int((values < 0).sum())
        expected = stats.binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0
        found = difference(values)
        assert found.p_value == pytest.approx(expected, rel=1e-9)
        assert (found.p_value < 0.05) == (expected < 0.05)
        told += expected < 0.05
    assert 200 < told < 900


def test_signs_of_clusters_by_hand():
    """The exact p is the share of all sign patterns that go as far, counted one by one."""
    sums = [3.0, -1.0, 2.0, 2.0, 1.0, 4.0, -2.0]
    reached = abs(sum(sums))
    patterns = list(itertools.product([1, -1], repeat=len(sums)))
    expected = sum(abs(sum(s * x for s, x in zip(p, sums, strict=True))) >= reached for p in patterns) / len(patterns)
    assert sign_flip(clustered(sums)) == pytest.approx(expected)
    assert sign_flip(clustered([x / 8 + x / 1e5 for x in sums])) == pytest.approx(expected)
    many = np.random.default_rng(1).normal(0.1, 0.4, 40)
    exact = stats.permutation_test((many,), np.mean, permutation_type="samples", n_resamples=9999, rng=1).pvalue
    assert sign_flip(clustered(many)) == pytest.approx(exact, abs=0.03)


def test_flipping_single_questions_is_mcnemar():
    """With one question in each cluster the sign-flip test is exact McNemar."""
    for gained, lost in ((7, 1), (20, 11), (0, 5), (300, 250)):
        values = [1.0] * gained + [-1.0] * lost + [0.0] * 9
        assert sign_flip(clustered(values)) == pytest.approx(mcnemar(gained, lost), rel=1e-6)


def test_single_values_give_students_interval():
    """Without clusters the robust interval is that of the one-sample t test, up to its correction."""
    values = np.random.default_rng(2).normal(0.2, 1, 30)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert robust_interval(clustered(values)) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    assert robust_test(clustered(values)) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-8)


def test_clusters_of_copies_count_once():
    """Ten copies of each question prove no more than one of each: the interval is as wide as that of the clusters."""
    values = np.random.default_rng(3).choice([1.0, -1.0, 0.0], size=24)
    copies, clusters = np.repeat(values, 10), np.repeat(np.arange(24), 10)
    assert robust_interval(clustered(copies, clusters.tolist())) == pytest.approx(robust_interval(clustered(values)))
    together, alone = difference(copies, clusters.tolist()), difference(copies)
    width = [found.interval[1] - found.interval[0] for found in (together, alone)]
    assert width[0] > 2.5 * width[1]
    assert together.units == 24
    assert design_effect(clustered(copies, clusters.tolist())) == pytest.approx(10, rel=0.1)


def test_values_without_a_cluster_stand_alone():
    """None is no cluster that all share."""
    found = clustered([1.0, 0.0, 1.0, 1.0], [None, None, "a", "a"])
    assert found.sums.tolist() == [1, 0, 2]
    assert not found.single


def test_one_cluster_proves_nothing():
    """All questions of one passage: no winner, and an interval that leaves everything open."""
    found = difference([1.0] * 30, ["a"] * 30)
    assert found.p_value == 1
    assert found.interval == (-1.0, 1.0)


def test_nothing_changed_is_no_proof_of_equality():
    """No flip in clusters leaves room for a loss; more clusters leave less."""
    few = difference([0.0] * 40, [n // 10 for n in range(40)]).interval
    many = difference([0.0] * 40, [n // 2 for n in range(40)]).interval
    assert few[0] < many[0] < paired_interval(40, 0, 0)[0] < 0
    assert difference([0.0] * 40).interval == paired_interval(40, 0, 0)


def test_bootstrap_is_seeded_and_near_scipys():
    """The same seed gives the same interval, and it is about what scipy's BCa gives."""
    values = np.random.default_rng(4).exponential(1.0, 60)
    found = bootstrap_interval(clustered(values), seed=5)
    assert found == bootstrap_interval(clustered(values), seed=5)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, rng=1).confidence_interval
    assert found == pytest.approx((theirs.low, theirs.high), abs=0.03)
    assert bootstrap_interval(clustered([0.2] * 9)) == pytest.approx((0.2, 0.2))


def test_graded_differences_mirror():
    """Exchanging the models mirrors p and interval, but for the draws."""
    values = np.random.default_rng(6).uniform(-0.3, 0.7, 40)
    there, back = difference(values), difference(-values)
    assert there.p_value == pytest.approx(back.p_value, abs=0.02)
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]), abs=0.02)
    assert there.interval[0] > 0


def test_shares_of_graded_scores():
    """The interval of graded scores holds their mean, stays in 0 to 1, and is wider in clusters."""
    scores = np.random.default_rng(7).beta(2, 1, 60)
    alone, together = share_interval(scores), share_interval(scores, [n // 20 for n in range(60)])
    assert 0 <= together[0] < alone[0] < scores.mean() < alone[1] < together[1] <= 1
    assert share_interval([1.0] * 10) == wilson(10, 10)
    assert share_interval([1.0] * 10, ["a"] * 5 + ["b"] * 5)[0] < wilson(10, 10)[0]
    with pytest.raises(BadRequest):
        share_interval([])
    with pytest.raises(BadRequest):
        share_interval([0.5, 1.5])


def test_holm_by_hand():
    """Sorted p values times how many are left, never falling, at most one."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    assert shared_level(5) == pytest.approx(0.99)
    assert all_kept([-0.05, -0.09], 0.1)
    assert not all_kept([-0.05, -0.11], 0.1)


def test_power_by_enumeration():
    """Power equals the sum over every outcome of a small exam."""
    questions, gain, loss, found = 14, 0.5, 0.05, 0.0
    for won in range(questions + 1):
        for lost in range(questions + 1 - won):
            if won > lost and mcnemar(won, lost) < 0.05:
                rest = questions - won - lost
                ways = math.factorial(questions) // (math.factorial(won) * math.factorial(lost) * math.factorial(rest))
                found += ways * gain**won * loss**lost * (1 - gain - loss) ** rest
    assert power(questions, gain, loss) == pytest.approx(found, rel=1e-9)
    assert power(5, 1.0, 0.0) == 0
    assert power(28, gain, loss, effect=2.0) == power(14, gain, loss)
    for bad in ((0, 0.1, 0.1), (10, 0.6, 0.6), (10, -0.1, 0.1)):
        with pytest.raises(BadRequest):
            power(*bad)


def test_more_questions_see_less():
    """A larger exam sees smaller differences; one of five questions sees none; hanging together costs."""
    assert detectable(5) is None
    seen = [detectable(n) for n in (20, 60, 120, 1000)]
    assert seen == sorted(seen, reverse=True)
    assert detectable(120, effect=3.0) == pytest.approx(detectable(40), abs=1e-9)
    assert questions_for(0.0) is None
    assert questions_for(0.001) is None


def test_a_plan_is_said_in_plain_words():
    """Both languages name what is seen now and how many more questions see what."""
    found = plan(60, loss=0.0)
    assert found.said("en") == "With 60 questions you can see a difference of 13 points; add 40 to see 8."
    assert found.said("zh") == "60 题可以看出 13 个百分点的差别；再加 40 题，就能看出 8 个。"
    assert "nothing can be seen" in plan(4).said("en")
    assert "看不出任何差别" in plan(4).said("zh")
    with pytest.raises(BadRequest):
        plan(0)


def test_rows_that_share_a_key_stay_together():
    """Conversations and sources join rows, also through each other; parts are near their shares."""
    keys = [("c1", "s1"), ("c2",), ("s1", "s2"), ("s2", "c9"), (), ("c2",)]
    assert joined(keys) == [0, 1, 0, 0, 2, 1]
    random = np.random.default_rng(9)
    rows = [(f"c{random.integers(60)}", f"s{random.integers(200)}") for _ in range(150)]
    parts = grouped_split(rows, [0.8, 0.2], seed=4)
    assert parts == grouped_split(rows, [0.8, 0.2], seed=4)
    for key in {key for row in rows for key in row}:
        assert len({part for part, row in zip(parts, rows, strict=True) if key in row}) == 1
    single = grouped_split([(n,) for n in range(100)], [0.7, 0.2, 0.1])
    assert [single.count(part) for part in range(3)] == [70, 20, 10]
    with pytest.raises(BadRequest):
        grouped_split(rows, [0.5, 0.4])
