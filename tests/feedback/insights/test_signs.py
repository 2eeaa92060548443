"""Which calls count as gone wrong."""

from __future__ import annotations

from typing import Any

import pytest

from feilun.feedback.insights.signs import Asked, read, repeated
from feilun.records import Feedback, Trace, Usage


def alike(_first: int, _second: int) -> bool:
    """Take any two questions for the same."""
    return True


def trace(answer: str, finish: str = "stop", *asked: str, **given: Any) -> Trace:
    """Return a call."""
    said = tuple({"role": "user", "content": text} for text in asked or ("how much?",))
    return Trace(given.pop("id", "trace-1"), "w", "key-1", "own", "m", said, answer, finish, Usage(1, 1), **given)


@pytest.mark.parametrize(
    ("answer", "finish", "sign"),
    [
        ("I don't know that.", "stop", "unknown"),
        ("I’m sorry, I do not have any information on parking.", "stop", "unknown"),
        ("Sorry, I'm not sure about that.", "stop", "unknown"),
        ("抱歉，我不太清楚这个问题。", "stop", "unknown"),
        ("暂无相关资料。", "stop", "unknown"),
        ("目前沒有這方面的資訊。", "stop", "unknown"),
        ("I can't help with that request.", "stop", "refused"),
        ("很抱歉，我无法帮助您完成这个请求。", "stop", "refused"),
        ("", "stop", "unanswered"),
        ("The fee is", "length", "cut"),
        ("", "error", "error"),
        ("", "content_filter", "refused"),
    ],
)
def test_answers_tell(answer: str, finish: str, sign: str) -> None:
    """How an answer ends and begins says whether it was one."""
    (call,) = read([trace(answer, finish)], {}).calls
    assert call.signs == {sign}


@pytest.mark.parametrize(
    "answer",
    [
        "The fee is 4 crowns.",
        "Sorry to hear that. Call 112 at once.",
        "You can help yourself to coffee in the lobby.",
        "If you don't know your number, look at the back of the card.",
        "如果您不知道密码，请点击忘记密码。",
        "费用是四克朗，信息在网站上。",
    ],
)
def test_good_answers_are_left_alone(answer: str) -> None:
    """Words that occur in failures occur in answers too."""
    (call,) = read([trace(answer)], {}).calls
    assert not call.bad


def test_people_have_the_last_word() -> None:
    """A thumb down or a correction makes it a failure, a thumb up takes a suspicion away."""
    good, odd = trace("Four.", id="trace-1"), trace("I don't know.", id="trace-2")
    judged = {
        "trace-1": [Feedback("feedback-1", "w", "trace-1", thumb=-1)],
        "trace-2": [Feedback("feedback-2", "w", "trace-2", thumb=1)],
    }
    calls = {call.trace.id: call for call in read([good, odd], judged).calls}
    assert calls["trace-1"].signs == {"rated"}
    assert not calls["trace-2"].bad
    corrected = read([good], {"trace-1": [Feedback("feedback-3", "w", "trace-1", correction="Five.")]}).calls[0]
    assert corrected.signs == {"corrected"}
    assert corrected.corrections == ("Five.",)


def test_asking_again_in_other_words_marks_the_first() -> None:
    """Right after, by the same caller, about the same; not later, not by others, not the same words again."""
    first = trace("Four.", "stop", "what is the fee", id="trace-1", created=0.0)
    again = trace("Four.", "stop", "how much do I pay", id="trace-2", created=30.0)
    late = trace("Four.", "stop", "so what does it cost", id="trace-3", created=3000.0)
    other = trace("Four.", "stop", "what is the fee then", id="trace-4", created=3010.0, member="Ann")
    asked = repeated(read([first, again, late, other], {}), alike)
    assert [call.signs for call in asked.calls] == [{"repeated"}, frozenset(), frozenset(), frozenset()]
    verbatim = trace("Four.", "stop", "What is the fee?", id="trace-2", created=30.0)
    assert not any(call.bad for call in repeated(read([first, verbatim], {}), alike).calls)


def test_asking_again_within_a_conversation() -> None:
    """A conversation brings its earlier questions along; the call that asked the last of them is found."""
    first = trace("Four.", "stop", "what is the fee", id="trace-1", created=0.0)
    between = trace("Yes.", "stop", "are you open", id="trace-2", created=10.0)
    again = trace("Four.", "stop", "what is the fee", "I mean the yearly fee", id="trace-3", created=20.0)
    asked: Asked = repeated(read([first, between, again], {}), alike)
    assert (0, 2) in asked.pairs
    assert asked.calls[0].signs == {"repeated"}


def test_what_asks_nothing_is_no_call() -> None:
    """Embeddings, runs of exams and calls without a word of the user are left out."""
    found = read([trace("x", kind="eval"), trace("x", kind="embedding"), trace("x", "stop", " ")], {})
    assert found.calls == []
