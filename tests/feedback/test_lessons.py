"""From judgements to lessons: which of them teach, which only show a gap, which must not be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from feilun.feedback import collect, training_wordings
from feilun.records import Feedback, Permissions, Record
from feilun.store import Database, datasets, lineage, sources

Judge = Callable[..., Feedback]


def test_a_correction_teaches(db: Database, judge: Judge) -> None:
    """The question with the given answer, as a source that can be traced back to the call."""
    given = judge("What is the fee?", correction=" Four crowns. ")
    (lesson,) = collect(db, "bank").lessons
    assert (lesson.kind, lesson.question, lesson.answer) == ("correction", "What is the fee?", "Four crowns.")
    assert sources.get(db, "bank", lesson.source).origin == "feedback"
    above = {edge.parent for edge in lineage.ancestors(db, "bank", lesson.source)}
    assert {given.id, given.trace, "model-1"} <= above
    record = lesson.record("The fee, please?")
    assert [message["content"] for message in record.messages] == ["The fee, please?", "Four crowns."]
    assert record.sources == (lesson.source,)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"thumb": 1}, "praise"),
        ({"score": 0.8}, "praise"),
        ({"thumb": 1, "correction": "Four crowns."}, "correction"),
        ({"thumb": -1, "correction": "Four crowns."}, "correction"),
        ({"thumb": -1}, ""),
        ({"score": 0.79}, ""),
        ({"comment": "Hm."}, ""),
        ({"thumb": 1, "finish": "length"}, ""),
        ({"thumb": 1, "answer": "  "}, ""),
    ],
)
def test_what_teaches_and_what_is_a_gap(db: Database, judge: Judge, given: dict[str, object], kind: str) -> None:
    """A correction goes before a thumb; praise needs a whole answer; the rest shows only that something is missing."""
    judge("What is the fee?", **given)
    found = collect(db, "bank")
    assert [lesson.kind for lesson in found.lessons] == ([kind] if kind else [])
    assert found.gaps == ([] if kind else ["What is the fee?"])
    if kind:
        assert found.lessons[0].answer == ("Four crowns." if kind == "correction" else "Nine crowns.")


def test_the_latest_judgement_on_a_question_counts(db: Database, judge: Judge) -> None:
    """Questions are one question if they differ in case, width and marks only."""
    judge("What is the fee?", correction="Four crowns.")
    judge("what is the FEE", correction="Five crowns.")
    judge("When do you open?", correction="At nine.")
    judge("When do you open?", thumb=-1)
    found = collect(db, "bank")
    assert [lesson.answer for lesson in found.lessons] == ["Five crowns."]
    assert found.gaps == ["When do you open?"]


def test_what_must_not_be_trained_on_is_left_out(db: Database, judge: Judge) -> None:
    """A call that was not to be stored for learning, or whose day has passed, teaches nothing and says why."""
    forbidden = judge("What is the fee?", correction="Four crowns.", permissions=Permissions(train=False))
    expired = judge("When do you open?", correction="At nine.", permissions=Permissions(until="2020-01-01"))
    found = collect(db, "bank")
    assert not found.lessons
    assert not found.gaps
    assert dict(found.left_out).keys() == {forbidden.id, expired.id}
    assert all(reason for _, reason in found.left_out)


def test_what_needs_its_conversation_is_left_out(db: Database, judge: Judge) -> None:
    """A question that follows another cannot be understood alone."""
    given = judge(["What is the fee?", "And on Sundays?"], correction="Four crowns.")
    found = collect(db, "bank")
    assert [(name, "conversation" in reason) for name, reason in found.left_out] == [(given.id, True)]
    assert not found.lessons


def test_other_workspaces_teach_nothing(db: Database, judge: Judge) -> None:
    """Feedback stays where it was given."""
    judge("What is the fee?", ws="other", correction="Four crowns.")
    assert not collect(db, "bank").lessons
    assert len(collect(db, "other").lessons) == 1


def test_collecting_again_adds_nothing(db: Database, judge: Judge) -> None:
    """The same lessons, the same sources, the same edges."""
    judge("What is the fee?", correction="Four crowns.")
    judge("When do you open?", thumb=1)
    first = collect(db, "bank")
    before = [(s.id, lineage.ancestors(db, "bank", s.id)) for s in sources.find(db, "bank")]
    assert collect(db, "bank") == first
    assert [(s.id, lineage.ancestors(db, "bank", s.id)) for s in sources.find(db, "bank")] == before
    assert len(before) == 2


def test_a_revoked_lesson_is_forgotten(db: Database, judge: Judge) -> None:
    """Once its source may not train any more, it is gone from what was written, and is not collected again."""
    judge("What is the fee of an account?", correction="Four crowns a year.")
    judge("When does the desk open?", correction="At nine in the morning.")
    lessons = collect(db, "bank").lessons
    records: list[Record] = [lesson.record(w) for lesson in lessons for w in training_wordings(lesson.question)]
    version, refused = datasets.write(db, "bank", "chat", records, "train")
    assert not refused
    sources.set_permissions(db, "bank", lessons[0].source, replace(Permissions(), train=False))
    left = datasets.read(db, "bank", version.id, "train")
    assert {record.sources for record in left} == {(lessons[1].source,)}
    again = collect(db, "bank")
    assert [lesson.source for lesson in again.lessons] == [lessons[1].source]
    assert len(again.left_out) == 1
    assert not sources.get(db, "bank", lessons[0].source).permissions.train
