"""What a decision writes, what it leaves out, and whether it helped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from feilun.errors import BadRequest, Conflict, NotFound
from feilun.feedback import collect
from feilun.feedback.insights import Given, accept, dismiss, examined, held, look
from feilun.records import (
    Deployment,
    Eval,
    EvalAnswer,
    EvalItem,
    EvalRun,
    ModelVersion,
    Permissions,
    Trace,
    Verdict,
    normalise_text,
)
from feilun.store import Database, evals, feedback, lineage, models, verdicts
from feilun.store.insights import Insight, kept

ASKED = (
    *("is my dog allowed inside?", "are dogs allowed inside", "dog allowed inside?", "may my dog come inside"),
    *(
        "is a small dog allowed inside",
        "dogs inside the house allowed?",
        "old dog allowed inside?",
        "my dog inside ok?",
    ),
)
ANSWER = "Dogs may come in on a red leash."


@pytest.fixture
def insight(db: Database, call: Callable[..., Trace]) -> Insight:
    """Give an insight of eight questions, one of them asked twice."""
    for question in (*ASKED, ASKED[0]):
        call(question)
    (found,) = look(db, "bank", list)
    assert len(found.evidence) == 9
    return found


def test_an_accepted_answer_teaches_and_examines(db: Database, insight: Insight) -> None:
    """Half of the questions become lessons of the next turn, the others are held back for its exam, none are both."""
    done = accept(db, "bank", insight.id, Given((ANSWER,)), list)
    assert done.status == "accepted"
    lessons = collect(db, "bank").lessons
    back = held(db, "bank", {lesson.source for lesson in lessons})
    assert {lesson.answer for lesson in lessons} == {ANSWER}
    assert (len(lessons), len(back)) == (4, 4)
    taught, asked = ({normalise_text(one.question) for one in group} for group in (lessons, back))
    assert not taught & asked
    assert taught | asked == {normalise_text(question) for question in ASKED}
    assert {edge.child for edge in lineage.descendants(db, "bank", insight.id)} >= set(done.outcome["feedback"])


def test_accepting_twice_is_accepting_once(db: Database, insight: Insight) -> None:
    """The same acceptance writes nothing again; another one, or a dismissal, is refused."""
    first = accept(db, "bank", insight.id, Given((ANSWER,)), list)
    count = len(feedback.find(db, "bank"))
    assert accept(db, "bank", insight.id, Given((f" {ANSWER} ",)), list) == first
    assert len(feedback.find(db, "bank")) == count == 4
    with pytest.raises(Conflict):
        accept(db, "bank", insight.id, Given(("No dogs.",)), list)
    with pytest.raises(Conflict):
        dismiss(db, "bank", insight.id, "no")


def test_one_killed_halfway_is_finished_by_doing_it_again(
    db: Database, insight: Insight, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision is kept before what it writes, and writing again adds what is missing."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(feedback, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            accept(db, "bank", insight.id, Given((ANSWER,)), list)
    assert feedback.find(db, "bank") == []
    accept(db, "bank", insight.id, Given((ANSWER,)), list)
    assert len(feedback.find(db, "bank")) == 4


def test_what_may_not_be_trained_on_is_neither_taught_nor_asked(db: Database, call: Callable[..., Trace]) -> None:
    """Calls that forbid it, follow-ups, personal data and other languages are left out, each with the reason."""
    for question in ASKED[:4]:
        call(question)
    secret = call("dogs are allowed where", permissions=Permissions(train=False))
    talk = call(["hello", "is my dog allowed inside"])
    person = call("may the dog of Sam Miller come in")
    chinese = call("dog 可以带我的狗进去吗 dog")

    def mask(texts: Sequence[str]) -> list[str]:
        return [text.replace("Sam Miller", "[NAME]") for text in texts]

    (found,) = look(db, "bank", mask)
    assert len(found.evidence) == 8
    done = accept(db, "bank", found.id, Given((ANSWER,)), mask)
    why = dict(done.outcome["left_out"])
    assert why.keys() == {secret.id, talk.id, person.id, chinese.id}
    assert why[secret.id] == "does not permit the purpose train"
    assert "personal" in why[person.id]
    assert "language" in why[chinese.id]
    used = {one["trace"] for one in (*done.outcome["taught"], *done.outcome["held"])}
    assert used == {"trace-001", "trace-002", "trace-003", "trace-004"}


def test_an_exam_only_asks(db: Database, insight: Insight) -> None:
    """With ``exam`` nothing is taught; the words that a right answer holds are those that were given."""
    accept(db, "bank", insight.id, Given((ANSWER,), ("red leash",), kind="exam", without=("trace-003",)), list)
    assert collect(db, "bank").lessons == []
    asked = held(db, "bank", set())
    assert len(asked) == 7
    assert {one.accept for one in asked} == {("red leash",)}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ((ANSWER,), ("cat",)),
        ((ANSWER,), ("a leash of",)),
        ((ANSWER, "狗须系绳入内。"), ("leash",)),
        (("狗须系绳。",), ("猫",)),
    ],
)
def test_an_answer_that_its_own_words_refuse_is_refused(
    db: Database, insight: Insight, answers: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """Of each language: a question whose right answer would be marked wrong never gets into an exam."""
    for kind in ("exam", "samples"):
        with pytest.raises(BadRequest, match="holds none of"):
            accept(db, "bank", insight.id, Given(answers, words, kind=kind), list)
    assert kept.get(db, "bank", insight.id).status != "accepted"


def test_without_an_answer_it_is_a_note(db: Database, insight: Insight) -> None:
    """Knowledge to add is kept as a proposal; samples and exam items cannot be made of nothing."""
    with pytest.raises(BadRequest) as wrong:
        accept(db, "bank", insight.id, Given(kind="samples"), list)
    assert "--answer" in wrong.value.hint
    done = accept(db, "bank", insight.id, Given(note="ask the house rules' author"), list)
    assert (done.outcome["kind"], done.outcome["taught"]) == ("knowledge", [])
    assert feedback.find(db, "bank") == []


def test_users_own_corrections_are_answer_enough(db: Database, call: Callable[..., Trace]) -> None:
    """One action: the newest correction that a user gave is what is taught."""
    for number, question in enumerate(ASKED):
        call(question, "Perhaps.", **({"correction": f"Rule {number}."} if number % 2 else {"thumb": -1}))
    (found,) = look(db, "bank", list)
    assert found.proposal == "samples"
    done = accept(db, "bank", found.id, Given(), list)
    assert {one["answer"] for one in done.outcome["taught"]} == {"Rule 7."}


def test_a_dismissal_has_a_reason_and_stays(db: Database, insight: Insight, call: Callable[..., Trace]) -> None:
    """More of the same does not bring it back."""
    with pytest.raises(BadRequest):
        dismiss(db, "bank", insight.id, " ")
    with pytest.raises(NotFound):
        dismiss(db, "other", insight.id, "theirs")
    assert dismiss(db, "bank", insight.id, "not our business").outcome["said"]["reason"] == "not our business"
    for question in ASKED:
        call(f"hello, {question}")
    assert [one.status for one in look(db, "bank", list)] == ["dismissed"]


def test_a_verdict_tells_whether_it_shrank(db: Database, insight: Insight, call: Callable[..., Trace]) -> None:
    """Its questions in the exams of both models, and its calls before and since the deployment."""
    done = accept(db, "bank", insight.id, Given((ANSWER,)), list)
    back = held(db, "bank", {lesson.source for lesson in collect(db, "bank").lessons})
    items = [
        EvalItem(f"item-{n}", one.question, ("red leash",), (), {"insight": one.insight}) for n, one in enumerate(back)
    ]
    exam = evals.add(db, Eval("eval-1", "bank", "own exam", (*items, EvalItem("item-x", "fee?", ("4",)))))
    for name, right in (("model-0", 1), ("model-1", 3)):
        models.add(db, ModelVersion(name, "bank", name, "adapter", "model-base", "", {}))
        evals.add_run(db, EvalRun(f"evalrun-{name}", "bank", exam.id, name))
        said = [EvalAnswer(f"evalrun-{name}", item.id, "", "", float(n < right)) for n, item in enumerate(exam.items)]
        evals.add_answers(db, said)
    assert examined(db, "bank", done) == []
    verdict = verdicts.add(db, Verdict("verdict-1", "bank", "model-1", "model-0", True, {"en": "", "zh": ""}))
    lineage.link(db, "bank", [(f"evalrun-{name}", verdict.id, "compared in") for name in ("model-0", "model-1")])
    (told,) = examined(db, "bank", done)
    assert told == told | {"questions": 4, "before": 0.25, "after": 0.75, "shrank": True, "promoted": True}

    served = 1_700_000_000.0 + 60 * 30
    verdicts.promote(db, Deployment("deployment-1", "bank", "own", "model-1", verdict.id, served))
    for number, question in enumerate(ASKED):
        live: dict[str, Any] = {"created": served + 60 * (1 + number)}
        call(question, "On a red leash." if number else "I don't know.", **live)
    look(db, "bank", list)
    counted = kept.get(db, "bank", insight.id).live
    assert (counted["before"]["near"], counted["before"]["failed"]) == (9, 9)
    assert (counted["after"]["near"], counted["after"]["failed"]) == (8, 1)
