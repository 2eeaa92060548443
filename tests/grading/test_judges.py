"""Graders that ask a model: scores, labels and marks, denials, places, and how far people agree."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.grading.asking import graded

from feilun.errors import BadRequest
from feilun.grading import grade
from feilun.grading.calibration import calibrate
from feilun.grading.judges import prefer

ASKING = [{"role": "user", "content": "Mark {{ sample.output_text }} of {{ item.question }}"}]


async def test_a_judge_gives_scores_labels_and_marks() -> None:
    """Its words become numbers; words that are none, a judge that hangs or is not there are errors, not grades."""
    score = {"type": "score_model", "model": "m", "input": ASKING, "range": [1, 5]}
    label = {
        "type": "label_model",
        "model": "m",
        "input": ASKING,
        "labels": ["good", "bad"],
        "passing_labels": ["good"],
    }
    rubric = {"type": "rubric", "criteria": ["kind", {"text": "rude", "points": -1}, {"text": "true", "points": 3}]}
    asked: list[Any] = []

    def saying(text: str) -> Any:
        async def judge(messages: tuple[dict[str, Any], ...]) -> str:
            asked.append(messages)
            return text

        return judge

    found = await graded(score, "x", saying('Good.\n{"result": 4}'))
    assert (found.score, found.passed) == (0.75, True)
    assert asked[0][0]["content"] == "Mark x of Why?"
    assert (await graded(score, "x", saying('{"result": 9}'))).error
    assert (await graded(score, "x", saying("no idea"))).error
    assert (await graded(score, "x", saying("I would not give it a 5."))).error
    assert (await graded(score, "x", saying('<think>{"result": 1}</think>\n5'))).score == 1.0
    assert (await graded(score, "x")).error
    assert (await graded(label, "x", saying("Good"))).passed
    assert (await graded(label, "x", saying("good or bad"))).error
    marked = await graded(rubric, "x", saying('{"met": [true, true, true]}'))
    assert (marked.score, marked.passed) == (0.75, True)
    assert (await graded(rubric, "x", saying('{"met": [true]}'))).error

    async def hanging(_: Any) -> str:
        await asyncio.sleep(3600)
        return ""

    late = await grade(label, {"question": ""}, {"output_text": "x"}, hanging, seconds=0.05)
    assert "more than" in late.error


@pytest.mark.parametrize(
    ("labels", "said", "label"),
    [
        ("correct incorrect", "Correct!", "correct"),
        ("correct incorrect", "The answer is **correct**.", "correct"),
        ("correct incorrect", '{"label": "Correct"}', "correct"),
        ("correct incorrect", "It is not correct. It is incorrect.", "incorrect"),
        ("correct incorrect", "It is not correct, but incorrect.", "incorrect"),
        ("correct incorrect", "<think>Is it incorrect?</think>\nCorrect.", "correct"),
        ("correct incorrect", "not correct", ""),
        ("correct incorrect", "It is not correct.", ""),
        ("correct incorrect", "It isn’t correct.", ""),
        ("correct incorrect", "I cannot say it is correct", ""),
        ("correct incorrect", "Is it correct? No.", ""),
        ("correct incorrect", "partially correct", ""),
        ("correct incorrect", "neither correct nor incorrect", ""),
        ("correct incorrect", '{"label": "not correct"}', ""),
        ("correct incorrect", '{"label": ["correct"]}', ""),
        ("correct incorrect", "non-correct", ""),
        ("not_correct correct", "not_correct", "not_correct"),
        ("正确 错误", "这个回答非常正确。", "正确"),
        ("正确 错误", "不正确", ""),
        ("正确 错误", "这个回答不是正确的。", ""),
        ("正确 错误", "不能说它正确", ""),
        ("正确 错误", "不正确，是错误的。", "错误"),
        ("正确 不正确", "我认为不正确。", "不正确"),
        ("正确 不正确", "并非不正确。", ""),
        ("好 不好", "这个回答不好", "不好"),
        ("A B", "A good answer", ""),
        ("A B", "It is B.", "B"),
    ],
)
async def test_a_judge_that_denies_a_label_does_not_choose_it(labels: str, said: str, label: str) -> None:
    """What a judge says, and not what it says it is not, in English and in Chinese; what cannot be told is an error."""

    async def judge(_: Any) -> str:
        return said

    known = labels.split()
    spec = {"type": "label_model", "model": "m", "input": ASKING, "labels": known, "passing_labels": known[:1]}
    found = await graded(spec, "x", judge)
    assert found.why == (f"The judge says {label}." if label else "")
    assert (found.passed, bool(found.error)) == (label == known[0], not label)


async def test_a_judge_that_prefers_a_place_prefers_nobody() -> None:
    """Asked both ways round, only a preference for an answer counts."""

    async def first(_: Any) -> str:
        return '{"better": 1}'

    async def longer(messages: Any) -> str:
        one, two = messages[0]["content"].split("Answer 2:")
        return '{"better": 1}' if "long" in one else '{"better": 2}' if "long" in two else '{"better": 0}'

    assert await prefer(first, "q", "a", "b") == ("neither", False)
    assert await prefer(longer, "q", "a", "a long one") == ("second", True)
    assert await prefer(longer, "q", "a long one", "b") == ("first", True)


def test_a_judge_is_calibrated_against_people() -> None:
    """Accuracy and kappa with intervals, checked against a worked example; few verdicts prove nothing."""
    people = [1] * 25 + [0] * 25
    judge = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    found = calibrate(judge, people)
    assert (found.pairs, found.accuracy) == (50, 0.7)
    assert found.kappa == pytest.approx(0.4)  # Cohen's own example of 20, 5, 10 and 15
    assert found.kappa_interval[1] == pytest.approx(0.4 + 1.96 * 0.1264, abs=0.02)
    assert found.kappa_interval[0] <= 0.4 - 1.96 * 0.1264
    assert not found.trusted
    assert calibrate(people * 2, people * 2).trusted
    assert not calibrate([1, 0], [1, 0]).trusted
    assert not calibrate([1] * 40, [1] * 40).trusted
    assert "kappa" in found.words["zh"]
    with pytest.raises(BadRequest):
        calibrate([1], [])
