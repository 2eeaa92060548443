"""Which model answered, graded and clustered answers, guards, and the whole rule of promotion by simulation."""

import numpy as np
import pytest
from tests.evaluation.pairs import EXAM, FINE, answers, comparison

from feilun.compute.energy import Spent
from feilun.errors import Conflict
from feilun.evaluation.answered import answered_by
from feilun.evaluation.compare import compare, decide
from feilun.evaluation.deciding import findings
from feilun.records import Eval, EvalItem


def named(rows, model):
    """Return answers as an engine gives them that has loaded ``model``."""
    return answered_by(rows, {"weights": model}, Spent(2.0, None))


BEFORE, AFTER = answers("a", [0, 0, 1, 1]), answers("b", [1, 1, 1, 0])


def test_compare_says_which_model_answered():
    """Two versions with two hashes are compared, and both hashes are kept."""
    found = compare(EXAM, named(BEFORE, "one"), named(AFTER, "two"), ("model-1", "model-2"))
    hashes = found.meta["answered"]
    assert len(hashes["incumbent"]) == len(hashes["candidate"]) == 64
    assert hashes["incumbent"] != hashes["candidate"]
    assert (found.meta["gained"], found.meta["lost"]) == (["item-0", "item-1"], ["item-3"])
    assert (found.meta["method"], found.meta["clusters"]) == ("exact", 4)
    assert found.meta["sees"] is None
    assert found.meta["power"] == 0


@pytest.mark.parametrize(
    ("before", "after", "models", "said"),
    [
        (named(BEFORE, "one"), named(AFTER, "one"), ("model-1", "model-2"), "one and the same model"),
        (named(BEFORE, "one"), named(AFTER, "one"), None, "same model gave both"),
        (named(BEFORE, "one"), AFTER, ("model-1", "model-2"), "answers of the new model"),
        (BEFORE, named(AFTER, "one"), ("model-1", "model-2"), "answers of the current model"),
        (BEFORE, AFTER, ("model-1", "model-2"), "Nothing says which model"),
        (named(BEFORE, "one"), named(AFTER, "two"), ("model-1", "model-1"), "is not what it was"),
        (named(BEFORE, "one"), [*named(AFTER[:2], "one"), *named(AFTER[2:], "two")], None, "Not one and the same"),
    ],
)
def test_compare_refuses_models_that_are_not_what_they_are_called(before, after, models, said):
    """A model compared with itself under another name, or an unknown one, names no winner."""
    with pytest.raises(Conflict) as caught:
        compare(EXAM, before, after, models)
    assert said in caught.value.message
    assert caught.value.hint


def test_compare_a_model_with_itself_by_one_name():
    """One id with one hash is no fraud: nothing changes."""
    found = compare(EXAM, named(BEFORE, "one"), named(answers("b", [0, 0, 1, 1]), "one"), ("model-1", "model-1"))
    assert (found.difference, found.p_value) == (0, 1)


def wide(scores_before, scores_after, clusters=None):
    """Return a comparison over as many questions as scores, in clusters."""
    items = tuple(
        EvalItem(f"item-{n}", f"q{n}", ("a",), (), {"cluster": clusters[n]} if clusters else {})
        for n in range(len(scores_before))
    )
    return compare(Eval("eval-2", "demo", "w", items), answers("a", scores_before), answers("b", scores_after))


def test_compare_graded_scores():
    """Scores between 0 and 1 are compared by their means; the reason speaks of scores, not of right answers."""
    random = np.random.default_rng(1)
    before = random.uniform(0.2, 0.5, 80)
    found = wide(before, np.clip(before + random.normal(0.3, 0.1, 80), 0, 1))
    assert found.difference == pytest.approx(0.3, abs=0.05)
    assert found.meta["method"] == "graded"
    assert 0 < found.interval[0] < found.difference < found.interval[1]
    assert found.p_value < 0.01
    promoted, reason = decide(found, FINE, 0.1, 0.3)
    assert promoted
    assert "of 100 over 80 questions" in reason["en"]
    assert "满分 100" in reason["zh"]


def test_compare_questions_that_hang_together():
    """Forty gains from four passages are four observations: nothing is proven, and the reason says so."""
    clusters = [n // 10 for n in range(40)]
    alone, together = wide([0] * 40, [1] * 40), wide([0] * 40, [1] * 40, clusters)
    assert alone.p_value < 0.001
    assert together.p_value > 0.05
    promoted, reason = decide(together, FINE, 0.1, 0.3)
    assert not promoted
    assert "4 separate passages" in reason["en"]
    assert "4 份相互独立" in reason["zh"]
    spread = wide([0] * 40, [1] * 40, [n // 2 for n in range(40)])
    assert decide(spread, FINE, 0.1, 0.3)[0]


BETTER = comparison(120, 3, 90, 1)


def test_guards_must_all_be_kept():
    """One guard that cannot show that it is kept stands in the way, by name and with the questions it needs."""
    kept = {"refusal": comparison(100, 73, 0, 0), "premises": comparison(100, 60, 3, 2)}
    promoted, reason = decide(BETTER, FINE, 0.1, 0.3, kept)
    assert promoted
    assert "all 2 guard exams" in reason["en"]
    assert "2 场护栏考试" in reason["zh"]
    for guard, said, told in (
        (comparison(100, 73, 0, 30), "the loss reaches", "退步已达到"),
        (comparison(12, 8, 0, 0), "cannot tell", "无法判断"),
    ):
        promoted, reason = decide(BETTER, FINE, 0.1, 0.3, {**kept, "leakage": guard})
        assert not promoted
        assert "leakage: " in reason["en"]
        assert said in reason["en"]
        assert told in reason["zh"]
        assert "refusal" not in reason["en"]


def test_several_exams_are_held_against_their_number():
    """A gain that is called better alone may be chance where ten exams were looked at."""
    near = comparison(120, 40, 11, 2)
    assert near.p_value < 0.05
    assert findings({"a": near}) == {"a": "better"}
    many = {"a": near} | {f"x{n}": comparison(120, 40, 5, 5) for n in range(9)}
    assert set(findings(many).values()) == {"cannot tell"}
    assert findings({"a": BETTER, "b": comparison(120, 100, 1, 60)}) == {"a": "better", "b": "worse"}


def test_too_few_questions_cannot_tell():
    """Five questions, all gained, are never better."""
    promoted, reason = decide(comparison(5, 0, 5, 0), FINE, 0.1, 0.3)
    assert not promoted
    assert "cannot tell" in reason["en"]
    assert "无法判断" in reason["zh"]


@pytest.mark.parametrize("questions", [1, 2, 3, 4, 5])
def test_an_exam_too_small_to_decide_says_so_whatever_it_shows(questions):
    """Up to five questions, all outcomes, own and guard: cannot tell, in both languages, and no other finding."""
    for gained in range(questions + 1):
        for lost in range(questions + 1 - gained):
            small = comparison(questions, lost, gained, lost)
            _, reason = decide(small, FINE, 0.1, 0.0)
            own = {"en": reason["en"].split("On the general")[0], "zh": reason["zh"].split("通用考试")[0]}
            told = [own]
            if small.interval[0] <= -0.1:
                _, reason = decide(BETTER, FINE, 0.1, 0.0, {"small": small})
                told.append({"en": reason["en"].split("small: ")[1], "zh": reason["zh"].split("small：")[1]})
            for said in told:
                assert "cannot tell" in said["en"]
                assert not any(word in said["en"] for word in ("better", "worse", "reaches"))
                assert "无法判断" in said["zh"]
                assert not any(word in said["zh"] for word in ("进步。", "更差", "已达到", "确有"))
            assert findings({"small": small}) == {"small": "cannot tell"}


@pytest.mark.parametrize("worse_on", ["own", "general", "guard", "nothing"])
def test_the_whole_rule_promotes_what_is_no_better_at_most_five_times_in_a_hundred(worse_on):
    """Simulated candidates that are no better, or worse by the margin on one exam, are promoted at most 5 in 100."""
    random, promoted = np.random.default_rng(12), 0
    for _ in range(500):

        def exam(gain, loss, questions):
            won, lost, _rest = random.multinomial(questions, [gain, loss, 1 - gain - loss]).tolist()
            return comparison(questions, questions // 2, won, min(lost, questions // 2))

        own = exam(0.1, 0.1, 120) if worse_on in {"own", "nothing"} else exam(0.6, 0.02, 120)
        general = exam(0.05, 0.15, 150) if worse_on == "general" else exam(0.05, 0.05, 240)
        guards = {str(n): exam(0.02, 0.12 if worse_on == "guard" and n == 0 else 0.02, 150) for n in range(4)}
        promoted += decide(own, general, 0.1, 0.3, guards)[0]
    assert promoted / 500 <= 0.05


def test_the_whole_rule_promotes_what_is_better():
    """With real gains and nothing lost, the same rule with four guards promotes most candidates."""
    random, promoted = np.random.default_rng(13), 0
    for _ in range(200):
        counted = [
            random.multinomial(200, shares).tolist() for shares in ([0.3, 0.02, 0.68], *[[0.01, 0.01, 0.98]] * 5)
        ]
        own, general, *rest = [comparison(200, 100, won, lost) for won, lost, _ in counted]
        promoted += decide(own, general, 0.1, 0.3, {str(n): each for n, each in enumerate(rest)})[0]
    assert promoted / 200 > 0.9
