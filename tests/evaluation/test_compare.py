"""The statistics behind a verdict, against brute force."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from tests.evaluation.pairs import EXAM, FINE, answers, comparison

from feilun.errors import BadRequest, Conflict
from feilun.evaluation.compare import (
    Z95,
    compare,
    decide,
    flips,
    mcnemar,
    paired_interval,
    questions_to_clear,
    questions_to_prove,
    signed_points,
)
from feilun.records import Eval, EvalAnswer


@st.composite
def counts(draw):
    """Return (questions, gained, lost) that can be."""
    questions = draw(st.integers(1, 400))
    gained = draw(st.integers(0, questions))
    return questions, gained, draw(st.integers(0, questions - gained))


@given(st.integers(0, 300), st.integers(0, 300))
@settings(deadline=None)
def test_mcnemar_is_the_binomial_test(gained, lost):
    """The exact p equals scipy's two-sided binomial test."""
    expected = stats.binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(gained, lost) == mcnemar(lost, gained)


def test_mcnemar_large_counts():
    """Thousands of flips neither overflow nor leave 0 to 1."""
    assert mcnemar(5000, 5000) == 1.0
    assert 0 <= mcnemar(6000, 4000) < 1e-80


def test_interval_published():
    """Airway reactivity before and after transplantation, 21 children, 7 and 1 discordant (Fagerland et al. 2014)."""
    low, high = paired_interval(21, 1, 7)
    assert (round(low, 3), round(high, 3)) == (-0.517, -0.026)


@pytest.mark.parametrize("questions", [1, 10, 100, 1000])
def test_interval_closed_forms(questions):
    """No flip at all gives z²/(n+z²) on both sides; all gained reaches exactly one."""
    edge = Z95**2 / (questions + Z95**2)
    assert paired_interval(questions, 0, 0) == pytest.approx((-edge, edge), abs=1e-12)
    assert paired_interval(questions, questions, 0)[1] == 1.0
    assert paired_interval(questions, 0, questions)[0] == -1.0


def score_by_search(delta, questions, gained, lost):
    """Return the score statistic with the nuisance share found by maximising the likelihood numerically."""
    same = questions - gained - lost

    def unlikely(share):
        cells = ((gained, share + delta), (lost, share), (same, 1 - 2 * share - delta))
        return -sum(n * math.log(max(p, 1e-300)) for n, p in cells if n)

    low, high = max(0.0, -delta), (1 - delta) / 2
    share = optimize.minimize_scalar(unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (gained - lost - questions * delta) / math.sqrt(questions * (2 * share + delta - delta**2))


@pytest.mark.parametrize(
    ("questions", "gained", "lost"), [(20, 5, 2), (30, 0, 4), (50, 9, 9), (120, 99, 1), (100, 4, 6), (12, 1, 0)]
)
def test_interval_inverts_the_score_test(questions, gained, lost):
    """At both ends the score statistic, worked out by numeric likelihood, is ±1.96."""
    low, high = paired_interval(questions, gained, lost)
    assert score_by_search(low, questions, gained, lost) == pytest.approx(Z95, abs=1e-3)
    assert score_by_search(high, questions, gained, lost) == pytest.approx(-Z95, abs=1e-3)


@given(counts())
@settings(deadline=None)
def test_interval_holds_the_estimate(row):
    """The interval lies in −1 to 1 and holds the point estimate."""
    questions, gained, lost = row
    low, high = paired_interval(*row)
    assert -1 <= low <= (gained - lost) / questions <= high <= 1


@given(counts())
@settings(deadline=None)
def test_interval_mirrors(row):
    """Exchanging the models mirrors the interval."""
    questions, gained, lost = row
    low, high = paired_interval(questions, gained, lost)
    mirrored = paired_interval(questions, lost, gained)
    assert (-high, -low) == pytest.approx(mirrored, abs=1e-9)


@given(counts())
@settings(deadline=None)
def test_interval_is_monotone(row):
    """One more question gained, the rest alike, moves both ends up (never down)."""
    questions, gained, lost = row
    if gained + lost < questions:
        before, after = paired_interval(questions, gained, lost), paired_interval(questions, gained + 1, lost)
        assert after[0] >= before[0] - 1e-9
        assert after[1] >= before[1] - 1e-9


@given(counts(), st.integers(2, 5))
@settings(deadline=None)
def test_interval_narrows(row, times):
    """The same shares over more questions give a narrower interval."""
    few, many = paired_interval(*row), paired_interval(*(times * count for count in row))
    assert many[1] - many[0] < few[1] - few[0] + 1e-9


@given(counts())
@settings(deadline=None)
def test_interval_agrees_with_the_score_test(row):
    """It excludes zero exactly where (gained − lost)² exceeds z²·(gained + lost)."""
    _, gained, lost = row
    low, high = paired_interval(*row)
    excess = (gained - lost) ** 2 - Z95**2 * (gained + lost)
    if abs(excess) > 1e-6:
        assert (low > 0 or high < 0) == (excess > 0)


def coverage(questions, gain_share, loss_share):
    """Return the exact chance that the interval holds the truth, summed over every outcome that can be."""
    truth, held = gain_share - loss_share, 0.0
    law = stats.multinomial(questions, [gain_share, loss_share, 1 - gain_share - loss_share])
    for gained in range(questions + 1):
        for lost in range(questions + 1 - gained):
            chance = law.pmf([gained, lost, questions - gained - lost])
            if chance > 1e-9:
                low, high = paired_interval(questions, gained, lost)
                held += chance * (low - 1e-12 <= truth <= high + 1e-12)
    return held


@pytest.mark.parametrize("shares", [(0.02, 0.02), (0.1, 0.02), (0.05, 0.15), (0.3, 0.1), (0.6, 0.02), (0.85, 0.01)])
def test_interval_covers(shares):
    """With 40 questions the interval holds the truth about 95 times in 100, also for rare flips; Wald's does not."""
    assert coverage(40, *shares) > 0.93


def test_interval_covers_in_simulation():
    """10,000 exams of 120 questions: the truth is inside 94 to 97.5 times in 100, the Wald interval misses more."""
    random = np.random.default_rng(7)
    gain_share, loss_share, questions = 0.03, 0.01, 120
    draws = random.multinomial(questions, [gain_share, loss_share, 1 - gain_share - loss_share], size=10_000)
    outcomes, times = np.unique(draws[:, :2], axis=0, return_counts=True)
    truth, held, wald = gain_share - loss_share, 0, 0
    for (gained, lost), count in zip(outcomes.tolist(), times.tolist(), strict=True):
        low, high = paired_interval(questions, gained, lost)
        held += count * (low <= truth <= high)
        gap = (gained - lost) / questions
        half = Z95 * math.sqrt((gained + lost) / questions - gap**2) / math.sqrt(questions)
        wald += count * (abs(gap - truth) <= half)
    assert 0.94 < held / 10_000 < 0.975
    assert wald < held


def test_interval_refuses_impossible_counts():
    """More flips than questions, negative counts and no question are refused."""
    for row in ((10, 6, 5), (10, -1, 2), (0, 0, 0)):
        with pytest.raises(BadRequest):
            paired_interval(*row)


def test_compare():
    """Shares, difference, flips and p come from the pairs, whatever the order of the rows."""
    before, after = answers("a", [0, 0, 1, 1]), answers("b", [1, 1, 1, 0])
    found = compare(EXAM, before, after[::-1])
    assert (found.questions, found.incumbent, found.candidate, found.difference) == (4, 0.5, 0.75, 0.25)
    assert (found.gained, found.lost, found.p_value) == (2, 1, 1.0)
    assert found.interval == paired_interval(4, 2, 1)
    gained, lost = flips(EXAM, before, after)
    assert [(item.id, old, new) for item, old, new in gained] == [("item-0", "a 0", "b 0"), ("item-1", "a 1", "b 1")]
    assert [item.id for item, _, _ in lost] == ["item-3"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (answers("a", [0, 0, 1]), answers("b", [1, 1, 1, 1]), "1 not answered by the current model (item-3)"),
        (answers("a", [0, 0, 1, 1]), answers("b", [1]), "3 not answered by the new model (item-1, item-2, item-3)"),
        ([], [], "4 not answered by the current model"),
        (answers("a", [0] * 5), answers("b", [0] * 4), "but not in the exam (item-4)"),
        (answers("a", [0] * 4), answers("b", [0] * 4) * 2, "answered twice by the new model (item-0"),
        (answers("a", [0] * 4), answers("b", [0, 0, 0, 1.5]), "scored outside 0 to 1 (new model) (item-3)"),
        (answers("a", [0] * 4), answers("b", [0] * 4), "1 asked with unequal prompts (item-2)"),
    ],
)
def test_compare_refuses(before, after, said):
    """Runs that do not match item by item name no winner but the items."""
    if "unequal" in said:
        after = [*after[:2], EvalAnswer("b", "item-2", "other", "", 0.0), after[3]]
    with pytest.raises(Conflict) as caught:
        compare(EXAM, before, after)
    assert said in caught.value.message


def test_compare_empty_exam():
    """An exam without questions proves nothing."""
    with pytest.raises(Conflict, match="no question"):
        compare(Eval("eval-0", "demo", "none"), [], [])


@pytest.mark.parametrize(
    ("own", "general", "promoted", "said", "told"),
    [
        (comparison(120, 3, 100, 1), FINE, True, "102 of 120", "答对 102 题"),
        (comparison(120, 0, 36, 0), FINE, True, "36 of 120", "答对 36 题"),
        (comparison(120, 0, 35, 0), FINE, False, "below the pass mark of 30%", "未达到 30% 的及格线"),
        (comparison(120, 3, 0, 0), FINE, False, "cannot tell, no question changed", "无法判断，没有一道题"),
        (comparison(120, 120, 0, 0), FINE, False, "cannot tell, no question changed", "无法判断，没有一道题"),
        (comparison(120, 0, 120, 0), FINE, True, "p < 0.001", "p < 0.001"),
        (comparison(120, 120, 0, 120), FINE, False, "it is worse", "更差"),
        (comparison(120, 60, 5, 5), FINE, False, "cannot tell, as much was gained as lost", "无法判断，得失相当"),
        (comparison(120, 60, 2, 5), FINE, False, "cannot tell, this may be chance", "无法判断，这一差别"),
        (comparison(20, 3, 4, 1), FINE, False, "would need about 85 questions", "约需 85 题"),
        (comparison(5, 0, 5, 0), FINE, False, "would need about 6 questions", "约需 6 题"),
        (comparison(120, 3, 90, 1), comparison(100, 73, 1, 40), False, "the loss reaches", "退步已达到"),
        (comparison(120, 3, 90, 1), comparison(10, 7, 0, 0), False, "cannot be ruled out", "不能排除"),
        (comparison(120, 3, 90, 1), comparison(100, 73, 0, 0), True, "limit of \u221210.0 points is kept", "没有低于"),
    ],
)
def test_decide(own, general, promoted, said, told):
    """Better on its own exam and not worse in general, or the incumbent stays with the reason."""
    decided, reason = decide(own, general, 0.10, 0.3)
    assert decided is promoted
    assert set(reason) == {"en", "zh"}
    assert said in reason["en"]
    assert told in reason["zh"]
    assert ("promoted" in reason["en"]) is promoted


@given(counts(), counts(), st.floats(0.01, 0.99), st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_decide_follows_the_rule(own, general, margin, mark):
    """Promotion is exactly the stated rule, and the reason is told in both languages for every outcome."""
    mine, other = comparison(own[0], own[2], own[1], own[2]), comparison(general[0], general[2], *general[1:])
    promoted, reason = decide(mine, other, margin, mark)
    better = mine.interval[0] > 0 and mine.p_value < 0.05
    assert promoted == (better and mine.candidate >= mark and other.interval[0] > -margin)
    assert len(reason["en"]) > 100
    assert len(reason["zh"]) > 50


@pytest.mark.parametrize(
    ("margin", "mark"), [(0, 0.3), (1, 0.3), (-0.1, 0.3), (math.nan, 0.3), (0.1, -0.1), (0.1, 1.1), (0.1, math.nan)]
)
def test_decide_refuses_other_shares(margin, mark):
    """A margin or a pass mark outside its bounds is refused."""
    with pytest.raises(BadRequest):
        decide(FINE, FINE, margin, mark)


def test_questions_to_prove_has_the_power():
    """An exam of the size named shows the gain about 80 times in 100."""
    seen = comparison(40, 10, 8, 3)
    needed = questions_to_prove(seen)
    draws = np.random.default_rng(3).multinomial(needed, [8 / 40, 3 / 40, 29 / 40], size=1500)
    shown = np.mean([g > losses and mcnemar(g, losses) < 0.05 for g, losses, _ in draws.tolist()])
    assert 0.72 < shown < 0.88


def test_questions_to_clear_has_the_power():
    """An exam of the size named keeps the lower bound above the margin about 80 times in 100."""
    seen = comparison(50, 40, 3, 3)
    needed = questions_to_clear(seen, 0.10)
    draws = np.random.default_rng(4).multinomial(needed, [3 / 50, 3 / 50, 44 / 50], size=1500)
    kept = np.mean([paired_interval(needed, g, losses)[0] > -0.10 for g, losses, _ in draws.tolist()])
    assert 0.72 < kept < 0.9
    assert paired_interval(questions_to_clear(comparison(10, 7, 0, 0), 0.10), 0, 0)[0] > -0.10


def test_signed_points():
    """Signs are shown, nothing is shown as minus zero."""
    assert [signed_points(x) for x in (0.658, -0.1, 0.0, -0.0001, 0.0001)] == [
        "+65.8", "\u221210.0", "0.0", "0.0", "0.0",
    ]  # fmt: skip
