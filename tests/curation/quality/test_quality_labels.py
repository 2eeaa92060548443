"""Label errors: the ranking of confident learning, the classifier that feeds it, and the operator."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from feilun.curation.quality import label_issues
from feilun.curation.quality.figures.classifier import classes_of, features, left_out
from feilun.curation.quality.label_errors import LABEL_ERRORS
from feilun.curation.seam import Row, Surroundings
from feilun.errors import BadRequest

TURKED = Path(__file__).parents[4] / "shared" / "data" / "label_errors"


def noisy(rows: int, classes: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return labels of which a tenth are turned, probabilities that mostly know better, and which were turned."""
    draw = np.random.default_rng(seed)
    true = draw.integers(0, classes, rows)
    chances = draw.dirichlet(np.full(classes, 0.3), rows) * 0.3
    chances[np.arange(rows), true] += 0.7
    wrong = draw.choice(rows, rows // 10, replace=False)
    labels = true.copy()
    labels[wrong] = (true[wrong] + 1 + draw.integers(0, classes - 1, len(wrong))) % classes
    return labels, chances, np.sort(wrong)


def test_turned_labels_come_first() -> None:
    """With probabilities that know, the turned labels are the issues, and stand before all others."""
    labels, chances, wrong = noisy(2_000, 5, 1)
    found = label_issues(labels, chances)
    first = set(found.order[: len(wrong)].tolist())
    assert len(first & set(wrong.tolist())) / len(wrong) > 0.95
    assert np.array_equal(np.sort(found.order), np.arange(2_000))
    assert found.joint.sum() == pytest.approx(1.0)
    assert 1.0 - np.trace(found.joint) == pytest.approx(0.1, abs=0.03)


def test_the_suggestion_is_the_better_class() -> None:
    """The suggested class is the one that the label was turned from."""
    found = label_issues([0, 0, 0, 1, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.1, 0.9], [0.2, 0.8], [0.9, 0.1]])
    assert found.order[:2].tolist() == [2, 5]
    assert found.suggested[[2, 5]].tolist() == [1, 0]


def test_order_of_rows_changes_nothing_but_their_numbers() -> None:
    """Shuffled rows are ranked the same."""
    labels, chances, _ = noisy(300, 3, 2)
    shuffled = np.random.default_rng(3).permutation(300)
    one, other = label_issues(labels, chances), label_issues(labels[shuffled], chances[shuffled])
    assert np.array_equal(one.issue[shuffled], other.issue)
    assert np.allclose(one.margin[shuffled], other.margin)


@pytest.mark.parametrize(
    ("labels", "chances"),
    [
        ([0, 1], [[0.5, 0.5]]),
        ([2], [[0.5, 0.5]]),
        ([-1], [[0.5, 0.5]]),
        ([0], [[float("nan"), 1.0]]),
        ([0.5], [[0.5, 0.5]]),
    ],
)
def test_what_does_not_fit_is_refused(labels: list[int], chances: list[list[float]]) -> None:
    """Wrong shapes, unknown classes and figures that are none are errors, not rankings."""
    with pytest.raises(BadRequest):
        label_issues(labels, chances)


def test_nothing_has_no_errors() -> None:
    """No rows, one class, and classes without members are ranked too."""
    assert label_issues([], np.zeros((0, 3))).order.tolist() == []
    assert label_issues([0, 0], [[1.0], [1.0]]).issue.tolist() == [False, False]
    assert label_issues([0, 0, 1], [[0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]).issue.any() is np.False_


@pytest.mark.skipif(not TURKED.is_dir(), reason="the public label errors are not beside the project")
def test_people_confirm_the_ranking() -> None:
    """On the digits whose labels people checked, the average precision is at least cleanlab's best (0.5109)."""
    chances = np.load(TURKED / "cross_validated_predicted_probabilities" / "mnist_test_set_pyx.npy")
    labels = np.load(TURKED / "original_test_labels" / "mnist_test_set_original_labels.npy").astype(int)
    people = json.loads((TURKED / "mturk" / "mnist_mturk.json").read_text(encoding="utf-8"))
    wrong = {one["id"] for one in people if one["mturk"]["given"] < 3}
    looked = {one["id"] for one in people}
    right = np.array([number in wrong for number in label_issues(labels, chances).order.tolist() if number in looked])
    precision = (np.cumsum(right) / np.arange(1, len(right) + 1))[right].mean()
    assert precision >= 0.5108


_GOOD = ("great value", "works well", "很好用", "质量不错", "very happy", "fast delivery", "物流快", "推荐购买")
_BAD = ("broke at once", "waste of money", "很失望", "质量太差", "never again", "arrived late", "客服不理人", "不推荐")


def reviews(rows: int, turned: int) -> list[Row]:
    """Return short reviews with labels, the first ``turned`` of them labelled wrong."""
    draw = random.Random(5)
    found = []
    for number in range(rows):
        good = number % 2 == 0
        said = "，".join(draw.choices(_GOOD if good else _BAD, k=3))
        label = "good" if good != (number < turned) else "bad"
        found.append(Row(f"row-{number:04}", "s", "f", "", ("text", "label"), (said, label)))
    return found


def flagged(rows: list[Row], batches: int = 1, around: Surroundings | None = None) -> dict[str, str]:
    """Return the details of the rows that the operator flags, the table cut into batches."""
    operator = LABEL_ERRORS.make(around or Surroundings(), most=0.2, surplus=0.0)
    step = -(-len(rows) // batches)
    cuts = [rows[start : start + step] for start in range(0, len(rows), step)]
    decided = operator.decide([operator.sketch(cut) for cut in cuts])
    rulings = [found for cut in cuts for found in operator.apply(cut, decided)]
    return {row.id: found[0].note.detail for row, found in zip(rows, rulings, strict=True) if found}


def test_wrong_labels_of_texts_are_flagged() -> None:
    """Texts with their labels turned are found by the classifier that never saw them, and a better one is named."""
    found = flagged(reviews(240, 12))
    wrong = {f"row-{number:04}" for number in range(12)}
    assert len(wrong & found.keys()) >= 10
    assert len(found.keys() - wrong) <= 2
    assert "“good” 0." in found["row-0001"]
    assert "→ “bad” 0." in found["row-0001"]


def test_batches_change_nothing() -> None:
    """One batch or seven: the same rows, the same figures."""
    rows = reviews(200, 10)
    assert flagged(rows) == flagged(rows, 7)


def test_probabilities_that_rows_bring_are_used() -> None:
    """Probabilities in a row's meta decide, as a mapping or as a list beside its classes."""
    rows = [
        Row(f"r{n}", "s", "f", "", ("text", "label"), ("x", "a" if n % 2 else "b"), meta={"probabilities": chances})
        for n, chances in enumerate([{"a": 0.1, "b": 0.9}, {"a": 0.9, "b": 0.1}] * 10)
    ]
    rows[0].meta["probabilities"] = {"a": 0.97, "b": 0.03}
    rows[1].meta |= {"probabilities": [0.04, 0.96], "classes": ["a", "b"]}
    assert sorted(flagged(rows)) == ["r0", "r1"]


def test_few_rows_and_one_class_are_left_alone() -> None:
    """Where nothing can be learnt, nothing is flagged."""
    assert flagged(reviews(6, 2)) == {}
    assert flagged([Row(f"r{n}", "s", "f", "", ("text", "label"), ("hello", "one")) for n in range(50)]) == {}
    assert flagged([Row("r", "s", "f", "", ("text",), ("no label",))]) == {}


def test_answers_that_fit_another_question_are_flagged() -> None:
    """A model for which shared words make an answer probable finds the answer that has none."""

    def likelihood(pairs: list[tuple[str, str]]) -> list[float]:
        parts = [[{text[i : i + 3] for i in range(len(text) - 2)} for text in pair] for pair in pairs]
        return [-3.0 + len(given & said) / len(said) for given, said in parts]

    questions = {
        "opening hours": "opening hours are nine",
        "退款期限": "退款期限七天",
        "parking": "zzz",
        "wifi code": "the wifi code is on the wall",
    }
    rows = [Row(q, "s", "f", "", ("user", "assistant"), (q, a)) for q, a in questions.items()]
    assert list(flagged(rows, around=Surroundings(likelihood=likelihood))) == ["parking"]
    assert flagged(rows) == {}


def test_probabilities_are_of_rows_left_out() -> None:
    """A label that only the row itself speaks for is improbable: the row was not looked at."""
    texts = ["red round apple"] * 30 + ["fast blue car"] * 30
    names, labels = classes_of(["fruit"] * 29 + ["car"] + ["car"] * 30)
    chances = left_out(features(texts), labels, 2)
    assert names == ("car", "fruit")
    assert chances[29, 0] < 0.2
    assert np.allclose(chances.sum(1), 1.0)
