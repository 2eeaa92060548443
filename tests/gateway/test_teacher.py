"""A teacher's answers: kept one by one, asked once each, left out where they are none, ended by what ends all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from feilun.compute import Context
from feilun.errors import (
    BadRequest,
    BudgetExhausted,
    ContextTooLong,
    FeilunError,
    MustNotLeave,
    TooFewSamples,
    UpstreamError,
)
from feilun.gateway.endpoints.fine_tuning.teacher import Teacher, enough
from feilun.records import JSON, Job, Key, Record
from feilun.store import Journal, open_database, workspaces


class Answers:
    """Who answers by the number in the question, after the errors that are due, and remembers what was asked."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.asked: list[JSON] = []
        self.headers: list[Mapping[bytes, bytes]] = []
        self.errors: dict[str, list[FeilunError]] = {}
        self.finish: dict[str, str] = {}
        self.tells = True

    async def chat(self, _key: Key, body: JSON, *, kind: str, headers: Mapping[bytes, bytes]) -> JSON:
        """Answer a chat."""
        assert kind == "eval"
        self.asked.append(body)
        self.headers.append(headers)
        question = body["messages"][-1]["content"]
        if self.errors.get(question):
            raise self.errors[question].pop(0)
        if body.get("logprobs") and not self.tells:
            raise BadRequest("logprobs are not supported.")
        text = "" if self.finish.get(question) == "empty" else f"Answer {question}"
        told = {"content": [{"token": text, "logprob": -0.5, "top_logprobs": []}]} if body.get("logprobs") else None
        finish = self.finish.get(question, "stop")
        return {"choices": [{"message": {"content": text}, "finish_reason": finish, "logprobs": told}]}

    def questions(self) -> list[str]:
        """Return what was asked, in order."""
        return [body["messages"][-1]["content"] for body in self.asked]


PROMPTS = [
    Record(f"record-{number}", "chat", ("file-a",), ({"role": "user", "content": str(number)},), meta={"place": "x"})
    for number in range(20)
]


@pytest.fixture
def context(tmp_path: Path) -> Any:
    """Give the context of a job."""
    db = open_database(tmp_path / "home")
    workspaces.ensure(db, "bank")
    journal = Journal(db)
    yield Context(journal.create(Job("ftjob-1", "bank", "training", {})), journal)
    db.close()


@pytest.fixture
def answers() -> Answers:
    """Give who answers."""
    return Answers()


def teacher(answers: Any, folder: Path, **options: Any) -> Teacher:
    """Return a teacher that is asked without pauses."""

    async def key() -> Key:
        return Key("key-1", "bank", "", "builder", "", "")

    return Teacher(answers, key, {"teacher": "wise", "options": options, "seed": 7}, folder, pause=0.0)


async def test_every_prompt_is_asked_once_with_its_source(context: Context, answers: Answers, tmp_path: Path) -> None:
    """With the file's name, so that what must not leave stays; the answers follow the prompts, with their odds."""
    taught, left = await teacher(answers, tmp_path, temperature=0.5, max_tokens=9).teach(context, PROMPTS)
    assert [record.messages[-1] for record in taught] == [
        {"role": "assistant", "content": f"Answer {number}"} for number in range(20)
    ]
    assert not left
    assert {record.sources for record in taught} == {("file-a",)}
    assert taught[0].meta["logprobs"] == [{"token": "Answer 0", "top": [["Answer 0", -0.5]]}]
    assert {headers[b"x-feilun-sources"] for headers in answers.headers} == {b"file-a"}
    asked = answers.asked[0]
    assert (asked["model"], asked["temperature"], asked["max_tokens"], asked["seed"]) == ("wise", 0.5, 9, 7)
    again, _ = await teacher(answers, tmp_path).teach(context, PROMPTS)
    assert again == taught
    assert len(answers.asked) == 20


async def test_a_job_that_broke_off_asks_only_what_is_left(context: Context, answers: Answers, tmp_path: Path) -> None:
    """A spent budget ends it, an engine's failure is tried again; what was answered and paid for is kept."""
    answers.errors = {"3": [UpstreamError("broke off")] * 2, "12": [BudgetExhausted("spent")]}
    with pytest.raises(BudgetExhausted):
        await teacher(answers, tmp_path).teach(context, PROMPTS)
    before = set(answers.questions())
    assert answers.questions().count("3") == 3
    answers.asked.clear()
    taught, _ = await teacher(answers, tmp_path).teach(context, PROMPTS)
    assert len(taught) == 20
    assert set(answers.questions()) == {str(number) for number in range(20)} - before | {"12"}


@pytest.mark.parametrize("error", [MustNotLeave("stays inside"), BudgetExhausted("spent")])
async def test_what_ends_every_answer_ends_the_job(
    context: Context, answers: Answers, tmp_path: Path, error: FeilunError
) -> None:
    """Data that must not leave is not asked again without it, and nothing is learnt."""
    answers.errors = {str(number): [error] * 9 for number in range(20)}
    with pytest.raises(type(error)):
        await teacher(answers, tmp_path).teach(context, PROMPTS)
    assert len(answers.asked) <= 8


async def test_answers_that_are_none_are_left_out(context: Context, answers: Answers, tmp_path: Path) -> None:
    """Cut off, empty, refused: each with its reason; too few that are left say so."""
    answers.finish = {"1": "length", "2": "empty"}
    answers.errors = {"4": [ContextTooLong("too long")] * 9}
    taught, left = await teacher(answers, tmp_path).teach(context, PROMPTS[:6])
    assert [record.messages[0]["content"] for record in taught] == ["0", "3", "5"]
    assert sorted(left) == ["is empty", "was cut off", "was refused (too long)"]
    with pytest.raises(TooFewSamples, match="3 usable answers; at least 10"):
        enough(taught, left, 10)


async def test_one_that_does_not_tell_odds_is_asked_without(context: Context, answers: Answers, tmp_path: Path) -> None:
    """Its words are learnt; the others are not asked in vain."""
    answers.tells = False
    taught, _ = await teacher(answers, tmp_path).teach(context, PROMPTS)
    assert len(taught) == 20
    assert not any("logprobs" in record.meta for record in taught)
    assert sum("logprobs" in body for body in answers.asked) <= 8
