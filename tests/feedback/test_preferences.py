"""From thumbs, edits and comparisons to preferences: what is a pair, what stands alone, what contradicts itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from feilun.errors import NothingUsable
from feilun.feedback import preferences, write_preferences
from feilun.feedback.review import add, decide, following
from feilun.records import Feedback, Permissions, Record, Source
from feilun.store import Database, datasets, feedback, lineage, sources
from feilun.store.review import Annotation, Decision, ReviewItem

Judge = Callable[..., Feedback]


def sides(record: Record) -> tuple[str, str, str]:
    """Return the question, the better answer and the other one."""
    asked, better, worse = (message["content"] for message in record.messages)
    return asked, better, worse


def test_an_edit_prefers_what_was_written(db: Database, judge: Judge) -> None:
    """The corrected answer before the one that was given, as a source that can be traced back to the call."""
    given = judge("What is the fee?", correction=" Four crowns. ")
    found = preferences(db, "bank")
    (pair,) = found.pairs
    assert pair.kind == "preference"
    assert sides(pair) == ("What is the fee?", "Four crowns.", "Nine crowns.")
    assert not found.rated
    above = {edge.parent for edge in lineage.ancestors(db, "bank", pair.sources[0])}
    assert {given.id, given.trace, "model-1"} <= above
    again = preferences(db, "bank")
    assert again == found


def test_thumbs_on_two_answers_to_the_same_are_a_pair(db: Database, judge: Judge) -> None:
    """One liked, one not: a comparison; spaces do not make another question; a cut answer is not held up as good."""
    judge("What is the fee?", answer="Four crowns.", thumb=1)
    judge("What  is the fee? ", answer="It depends on many things.", thumb=-1)
    judge("What is the fee?", answer="Four crowns, as", thumb=1, finish="length")
    found = preferences(db, "bank")
    assert [sides(pair)[1:] for pair in found.pairs] == [("Four crowns.", "It depends on many things.")]
    assert len(found.pairs[0].sources) == 2
    assert not found.rated
    assert [reason for _, reason in found.left_out] == ["the answer was cut short"]


def test_scores_that_lie_apart_are_a_pair(db: Database, judge: Judge) -> None:
    """Three tenths are enough, two are not; neither of these is good or bad by itself."""
    judge("What is the fee?", answer="Four crowns.", score=0.9)
    judge("What is the fee?", answer="Four or so.", score=0.6)
    judge("When?", answer="At nine.", score=0.7)
    judge("When?", answer="Nine.", score=0.5)
    found = preferences(db, "bank")
    assert [sides(pair) for pair in found.pairs] == [("What is the fee?", "Four crowns.", "Four or so.")]
    assert not found.rated


@pytest.mark.parametrize(
    ("given", "liked"),
    [
        ({"thumb": 1}, True),
        ({"thumb": -1}, False),
        ({"score": 0.9}, True),
        ({"score": 0.2}, False),
        ({"thumb": 1, "score": 0.2}, True),
        ({"thumb": 1, "correction": "Nine  crowns."}, True),
    ],
)
def test_a_thumb_alone_is_an_answer_that_was_liked_or_not(
    db: Database, judge: Judge, given: dict[str, Any], liked: bool
) -> None:
    """It keeps its whole conversation; a thumb goes before a score."""
    judge(["What is the fee?", "And on Sundays?"], **given)
    found = preferences(db, "bank")
    (rated,) = found.rated
    assert rated.kind == "chat"
    assert [m["content"] for m in rated.messages] == ["What is the fee?", "And on Sundays?", "Nine crowns."]
    assert rated.meta["liked"] is liked
    assert not found.pairs


def test_contradictions_are_left_out_and_named(db: Database, judge: Judge) -> None:
    """The same answer liked and disliked; A edited into B, and B into A."""
    one = judge("What is the fee?", thumb=1)
    two = judge("What is the fee?", thumb=-1)
    three = judge("When?", answer="At nine.", correction="At ten.")
    four = judge("When?", answer="At ten.", correction="At nine.")
    found = preferences(db, "bank")
    assert not found.pairs
    assert not found.rated
    assert {name for name, _ in found.left_out} == {one.id, two.id, three.id, four.id}
    assert all("other" in reason for _, reason in found.left_out)


def test_of_one_call_the_latest_counts(db: Database, judge: Judge) -> None:
    """A thumb that is taken back, then a correction: one pair; the same edit of two calls is one pair, too."""
    given = judge("What is the fee?", thumb=1)
    feedback.add(db, Feedback("later", "bank", given.trace, thumb=-1, created=90.0))
    assert [record.meta["liked"] for record in preferences(db, "bank").rated] == [False]
    feedback.add(db, Feedback("last", "bank", given.trace, correction="Four.", created=91.0))
    judge("What is the fee?", correction="Four.", thumb=-1)
    found = preferences(db, "bank")
    assert [sides(pair)[1:] for pair in found.pairs] == [("Four.", "Nine crowns.")]
    assert not found.rated


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"thumb": 1, "permissions": Permissions(train=False)}, "must not be trained on"),
        ({"thumb": 1, "permissions": Permissions(until="2020-01-01")}, "2020"),
        ({"comment": "Hm."}, "neither good nor bad"),
        ({"thumb": -1, "answer": " "}, "no answer"),
        ({"correction": "Nine crowns."}, "the answer that was given"),
        ({"score": 0.65, "comment": "so so"}, ""),
    ],
)
def test_what_cannot_be_learnt_from(db: Database, judge: Judge, given: dict[str, Any], words: str) -> None:
    """Each is left out with its reason; a middling score says nothing, and is no fault."""
    one = judge("What is the fee?", **given)
    found = preferences(db, "bank")
    assert not found.pairs
    assert not found.rated
    assert [(name, words in reason) for name, reason in found.left_out] == ([(one.id, True)] if words else [])


def test_what_reviewers_prefer_counts(db: Database) -> None:
    """A finished comparison is a pair with the sources of its row."""
    sources.add(db, Source("source-1", "bank", "calls.jsonl", "", 0), b"calls")
    asked = [{"role": "user", "content": "What is the fee?"}]
    row = {"messages": asked, "a": "It depends.", "b": "Four crowns."}
    why = {"en": "two answers", "zh": "两个回答"}
    add(db, "bank", [ReviewItem("", "bank", "sides", "prefer", row, ("source-1",), why)])
    found = following(db, "bank", "ann", "sides")
    assert found is not None
    decide(db, "bank", Annotation(found[0].id, "ann", "decided", 0.0, Decision("prefer", "b")))
    (pair,) = preferences(db, "bank").pairs
    assert sides(pair) == ("What is the fee?", "Four crowns.", "It depends.")
    assert pair.sources == ("source-1",)


def test_preferences_become_a_dataset_for_their_purpose(db: Database, judge: Judge) -> None:
    """Pairs and rated answers in one version, linked to their sources; revoked later, they are gone from it."""
    given = judge("What is the fee?", correction="Four crowns.")
    judge("When?", thumb=1)
    version, found = write_preferences(db, "bank")
    assert version.rows == 2
    assert version.meta["pairs"] == version.meta["rated"] == 1
    assert [record.kind for record in datasets.read(db, "bank", version.id, "train")] == ["preference", "chat"]
    assert write_preferences(db, "bank")[0].id == version.id
    assert given.id in found.pairs[0].meta["judged"]
    with pytest.raises(NothingUsable, match="No judgement prefers anything"):
        write_preferences(db, "other")
