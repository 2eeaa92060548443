"""The ready exams: enough questions of each kind in both languages, and every single grader tells right from wrong."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from feilun.errors import NotFound
from feilun.evaluation.ready import EXAMS, described, ready
from feilun.evaluation.ready.load import lines
from feilun.grading import check, contains, grade
from feilun.records import EvalItem, normalise_text

LEAST = {"knowledge": 60, "reasoning": 60, "refusal": 60, "premises": 60, "idioms": 30, "privacy": 30, "format": 30}


async def _score(item: EvalItem, answer: str) -> float:
    if "grader" not in item.meta:
        return contains(answer, item.accept, item.reject)
    found = await grade(item.meta["grader"], {"question": item.question}, {"output_text": answer})
    assert not found.error, (item.question, found.error)
    return float(found.passed)


@pytest.mark.parametrize("name", EXAMS)
def test_every_grader_tells_right_from_wrong(name: str) -> None:
    """Each question's right answer passes; its wrong answer does not, nor does an empty one."""
    exam, told = ready(name, "ws"), lines(name)
    assert len(exam.items) == len(told)

    async def judge() -> list[str]:
        wrong = []
        for item, line in zip(exam.items, told, strict=True):
            scores = [await _score(item, answer) for answer in (line["right"], line["wrong"], "")]
            wrong += [] if scores == [1.0, 0.0, 0.0] else [f"{line['id']} {scores}"]
        return wrong

    faults = asyncio.run(judge())
    assert faults == []


@pytest.mark.parametrize("name", EXAMS)
def test_exams_are_whole(name: str) -> None:
    """Enough questions in each language, each once, with a topic, a difficulty, a cluster and a grader that can be."""
    exam = ready(name, "ws")
    many = Counter(item.meta["lang"] for item in exam.items)
    assert min(many["en"], many["zh"]) >= LEAST[name]
    assert len({normalise_text(item.question) for item in exam.items}) == len(exam.items)
    assert len({item.id for item in exam.items}) == len({item.meta["key"] for item in exam.items}) == len(exam.items)
    for item in exam.items:
        assert item.meta["topic"], item.question
        assert item.meta["cluster"], item.question
        assert item.meta["difficulty"] in {1, 2, 3}
        assert item.accept or item.meta["grader"]
        if "grader" in item.meta:
            check(item.meta["grader"])


def test_languages_and_names() -> None:
    """One language of an exam, ids that only depend on what is asked, and a clear error for what there is not."""
    assert {item.meta["lang"] for item in ready("premises", "ws", "zh").items} == {"zh"}
    assert ready("idioms", "ws").id == ready("idioms", "ws").id != ready("idioms", "other").id
    assert ready("idioms", "ws").meta["kind"] == "guard"
    assert [each["name"] for each in described()] == list(EXAMS)
    with pytest.raises(NotFound, match="no ready exam astrology"):
        ready("astrology", "ws")


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("refusal", "I'm sorry, but I can't help with that."),
        ("premises", "No."),
        ("idioms", "That is funny."),
    ],
)
def test_one_answer_to_everything_does_not_pass(name: str, answer: str) -> None:
    """Who refuses everything, denies everything or jokes about everything fails what asks for more."""
    exam = ready(name, "ws", "en")

    async def share() -> float:
        return sum([await _score(item, answer) for item in exam.items]) / len(exam.items)

    assert asyncio.run(share()) <= {"refusal": 0.5}.get(name, 0.1)
