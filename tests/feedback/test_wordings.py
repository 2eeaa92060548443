"""Wordings: what is trained is never asked in an exam, in either language."""

from __future__ import annotations

import pytest

from feilun.feedback import exam_wordings, training_wordings
from feilun.records import normalise_text

QUESTIONS = [
    "What is the fee of an account?",
    "会员今天的利率是多少？",
    "Who",
    "ＡＴＭ的取款限额是多少",
    "  Open on\nSundays?  ",
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_training_and_exam_share_no_wording(question: str) -> None:
    """Not even after case, width and marks are taken away; and each list holds a wording once."""
    trained = [normalise_text(wording) for wording in training_wordings(question)]
    asked = [normalise_text(wording) for wording in exam_wordings(question)]
    assert not set(trained) & set(asked)
    assert len(set(trained)) == len(trained) >= 6
    assert len(set(asked)) == len(asked) >= 6
    assert trained[0] == normalise_text(question)
    assert all(normalise_text(question) in wording for wording in [*trained, *asked])


def test_the_language_of_the_question_is_kept() -> None:
    """Chinese questions get Chinese carriers, others English ones."""
    assert any("请" in wording for wording in training_wordings(QUESTIONS[1]))
    assert not any("Please" in wording for wording in [*training_wordings(QUESTIONS[1]), *exam_wordings(QUESTIONS[1])])
    assert not any("请" in wording for wording in [*training_wordings(QUESTIONS[0]), *exam_wordings(QUESTIONS[0])])


def test_braces_in_a_question_are_its_own() -> None:
    """A question that looks like a template is not filled in twice."""
    assert training_wordings("What is {q}?")[1] == "Please tell me: What is {q}?"
