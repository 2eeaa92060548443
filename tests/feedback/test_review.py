"""What may be reviewed and decided, what several decisions come to, and what becomes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.errors import BadRequest, NotFound, NothingUsable
from feilun.feedback import agreement, export, flag_dataset, flag_feedback, flag_records, review, standings
from feilun.feedback.finished import record_of
from feilun.records import Feedback, Permissions, Record, Source
from feilun.store import Database, datasets, lineage, sources
from feilun.store.review import Annotation, Decision, ReviewItem, Suggestion, queue

Judge = Callable[..., Feedback]
CHAT = [{"role": "user", "content": "What is the fee?"}, {"role": "assistant", "content": "Nine crowns."}]
LABEL = ReviewItem("", "bank", "mood", "label", {"text": "I am glad."}, ("source-a",), {}, ("good", "bad", "odd"))


@pytest.fixture
def source(db: Database) -> Callable[..., str]:
    """Give a way to add a source with permissions."""

    def add(name: str = "a", **permissions: Any) -> str:
        made = Source(f"source-{name}", "bank", f"{name}.txt", "", 0, permissions=Permissions(**permissions))
        return sources.add(db, made, name.encode()).id

    return add


def decided(values: Sequence[str], action: Any = "label") -> list[Annotation]:
    """Return decisions of as many people."""
    return [
        Annotation("", f"p{n}", "decided", 0, Decision("reject") if value == "-" else Decision(action, value))
        for n, value in enumerate(values)
    ]


def settled(item: ReviewItem, values: Sequence[str], action: Any = "label") -> tuple[str, str, str]:
    """Return status, value and how, when people decide one after the other; the row starts open."""
    for count in range(1, len(values) + 1):
        found = review.settle(item, decided(values[:count], action))
        item = replace(item, status=found.status, result=found.result)
    result = item.result or {"value": "", "how": ""}
    return item.status, result["value"], result["how"]


@pytest.mark.parametrize(
    ("needed", "values", "status", "value", "how"),
    [
        (1, ["good"], "done", "good", "agreed"),
        (2, ["good"], "open", "", ""),
        (2, ["good", "good"], "done", "good", "agreed"),
        (2, ["good", "bad"], "disputed", "", ""),
        (2, ["good", "bad", "bad"], "done", "bad", "majority"),
        (2, ["good", "bad", "odd"], "unsettled", "", ""),
        (2, ["good", "-"], "disputed", "", ""),
        (2, ["good", "-", "-"], "done", "", "majority"),
        (3, ["good", "bad", "good"], "done", "good", "majority"),
        (3, ["good", "bad", "odd"], "disputed", "", ""),
        (4, ["good", "bad", "good", "bad"], "disputed", "", ""),
        (4, ["good", "bad", "good", "bad", "good"], "done", "good", "majority"),
    ],
)
def test_disagreements_go_to_a_third(needed: int, values: list[str], status: str, value: str, how: str) -> None:
    """More than half must agree; else one more person decides; else somebody has to resolve it."""
    assert settled(replace(LABEL, needed=needed), values) == (status, value, how)


def test_scales_have_a_middle_and_texts_an_author() -> None:
    """Three different labels of a scale come to the median; a third person's text stands; spaces are no difference."""
    stars = replace(LABEL, options=("low", "fair", "high"), scale="ordinal", needed=2)
    assert settled(stars, ["high", "low", "fair"]) == ("done", "fair", "median")
    assert settled(stars, ["high", "low", "-"]) == ("unsettled", "", "")
    numbers = replace(LABEL, options=("10", "9", "2.5"), scale="interval", needed=2)
    assert settled(numbers, ["10", "2.5", "9"]) == ("done", "9", "median")
    text = replace(LABEL, kind="correct", options=(), needed=2)
    assert settled(text, ["Four crowns.", " Four  crowns. "], "correct") == ("done", "Four crowns.", "agreed")
    assert settled(text, ["Four crowns.", "Five crowns.", "4 crowns."], "correct") == ("done", "4 crowns.", "third")
    assert settled(text, ["1.5", "15"], "correct")[0] == "disputed"


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 5), st.lists(st.sampled_from(["good", "bad", "odd", "-"]), min_size=1, max_size=6))
def test_what_is_done_has_a_majority(needed: int, values: list[str]) -> None:
    """However people decide: a nominal label stands only if more than half of those who decided gave it."""
    status, value, how = settled(replace(LABEL, needed=needed), values[: needed + 1])
    counts = Counter(values[: needed + 1])
    if status == "done" and len(values) <= needed:
        assert counts[value or "-"] * 2 > counts.total()
        assert (how == "agreed") == (len(counts) == 1)
    if len(values) < needed:
        assert status == "open"


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"sources": ()}, "sources"),
        ({"row": {}}, "row"),
        ({"row": {"text": " "}}, "row"),
        ({"row": {"messages": [{"role": "user"}]}}, "row"),
        ({"row": {"messages": ["hello"]}}, "row"),
        ({"options": ("good",)}, "options"),
        ({"options": ("good", "good")}, "options"),
        ({"scale": "interval"}, "options"),
        ({"scale": "interval", "options": ("1", "nan")}, "options"),
        ({"needed": 0}, "needed"),
        ({"gold": Decision("label", "sad")}, "gold"),
        ({"gold": Decision("accept")}, "action"),
        ({"suggestion": Suggestion(Decision("label", "sad"), "m")}, "suggestion"),
        ({"kind": "correct", "row": {"messages": CHAT[:1]}}, "row"),
        ({"kind": "prefer"}, "row"),
        ({"kind": "prefer", "row": {"messages": CHAT, "a": "x", "b": "y"}}, "row"),
    ],
)
def test_rows_that_nobody_could_decide_about(wrong: dict[str, Any], param: str) -> None:
    """They are refused, and the answer names what is wrong."""
    with pytest.raises(BadRequest) as refused:
        review.checked(replace(LABEL, **wrong))
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("action", "value", "reason", "param"),
    [
        ("label", "sad", "", "value"),
        ("accept", "", "", "action"),
        ("reject", "", " ", "reason"),
        ("reject", "good", "spam", "value"),
    ],
)
def test_decisions_that_a_row_does_not_take(
    db: Database, source: Callable[..., str], action: Any, value: str, reason: str, param: str
) -> None:
    """They are refused, and the row stays with whoever has it."""
    source()
    (item,) = review.add(db, "bank", [LABEL])
    review.following(db, "bank", "ann")
    with pytest.raises(BadRequest) as refused:
        review.decide(db, "bank", Annotation(item.id, "ann", "decided", 0, Decision(action, value), reason))
    assert refused.value.param == param
    assert (
        review.decide(db, "bank", Annotation(item.id, "ann", "decided", 0, Decision("reject"), "spam")).reason == "spam"
    )


def work(db: Database, who: str, says: Callable[[ReviewItem], Decision], share: float = 0.0) -> list[str]:
    """Have an annotator decide about every row that they are given; return the ids in order."""
    seen = []
    while given := review.following(db, "bank", who, share=share):
        seen.append(given[0].id)
        said = Annotation(given[0].id, who, "decided", 0, says(given[0]), "because", seconds=2.0)
        review.decide(db, "bank", said)
    return seen


def test_gold_rows_measure_and_do_not_show(db: Database, source: Callable[..., str]) -> None:
    """Each annotator's accuracy on them, with its interval; what they see is the same as of any other row."""
    source()
    rows = [replace(LABEL, row={"text": f"Row {n}."}, created=n) for n in range(40)]
    gold = {n: Decision("label", "good") for n in range(0, 40, 4)}
    kept = review.add(db, "bank", [replace(one, gold=gold.get(n)) for n, one in enumerate(rows)])
    given = [review.following(db, "bank", who, share=share) for who, share in (("x", 1.0), ("y", 0.0))]
    seen = [replace(one[0], id="", row={}) for one in given if one]
    assert [one[0].id for one in given if one] == [kept[0].id, kept[1].id]
    assert seen[0] == seen[1]
    careful = work(db, "ann", lambda _: Decision("label", "good"))
    assert sorted(careful) == sorted(one.id for one in kept if one.id != kept[1].id)  # y has that one
    hasty = work(db, "ben", lambda item: Decision("label", "bad" if int(item.row["text"][4:-1]) > 15 else "good"))
    assert {*hasty} == {kept[n].id for n in gold}
    ann, ben = standings(db, "bank")
    assert (ann.annotator, ann.decided, ann.gold, ann.right, ann.accuracy) == ("ann", 39, 10, 10, 1.0)
    assert (ben.gold, ben.right, ben.accuracy) == (10, 4, 0.4)
    assert (round(ben.low, 3), round(ben.high, 3)) == (0.168, 0.687)  # Wilson's for 4 of 10
    assert (ann.seconds, ann.as_settled, ann.suggestions) == (2.0, 1.0, None)
    assert export(db, "bank", "labels").version.rows == 29


def test_gold_rows_are_mixed_in(db: Database, source: Callable[..., str]) -> None:
    """About the share that was asked for, at places that differ from one annotator to the next."""
    source()
    rows = [replace(LABEL, row={"text": f"Row {n}."}, needed=2, created=n) for n in range(28)]
    kept = review.add(
        db, "bank", [replace(one, gold=Decision("reject") if n < 14 else None) for n, one in enumerate(rows)]
    )
    measures = {one.id for one in kept if one.gold}
    places = []
    for who in ("ann", "ben"):
        seen = work(db, who, lambda _: Decision("label", "good"), share=0.5)
        places.append([n for n, item_id in enumerate(seen[:20]) if item_id in measures])
        assert 1 < len(places[-1]) < 15
    assert places[0] != places[1]


def test_agreement_counts_independent_decisions(db: Database, source: Callable[..., str]) -> None:
    """By queue and kind; gold rows and the word of a third are not in it; a rejected row has no place on a scale."""
    source()
    stars = replace(LABEL, queue="stars", options=("1", "2", "3", "4", "5"), scale="interval", needed=2)
    rows = [replace(stars, row={"text": f"Row {n}."}) for n in range(6)]
    review.add(db, "bank", [*rows, replace(LABEL, gold=Decision("label", "good"))])
    said = {"ann": "123345", "ben": "12334-", "cat": "111111"}
    for who, values in said.items():

        def says(item: ReviewItem, values: str = values) -> Decision:
            if item.queue != "stars":
                return Decision("label", "bad")
            value = values[int(item.row["text"][4:-1])]
            return Decision("reject") if value == "-" else Decision("label", value)

        work(db, who, says)
    (found,) = agreement(db, "bank")
    assert (found.queue, found.kind, found.scale, found.rows, found.people) == ("stars", "label", "interval", 6, 2)
    assert found.alpha == 1.0
    assert found.agreed == pytest.approx(5 / 6)
    assert agreement(db, "bank", "nothing") == []


def test_a_suggestion_is_no_label(db: Database, source: Callable[..., str]) -> None:
    """Nothing comes of it until a person decides the same; then the record and the lineage say so."""
    source()
    one = replace(LABEL, suggestion=Suggestion(Decision("label", "good"), "model-1"))
    items = review.add(db, "bank", [replace(one, row={"text": f"Row {n}."}, created=n) for n in range(2)])
    with pytest.raises(NothingUsable):
        export(db, "bank", "labels")
    assert [item.status for item in queue.find(db, "bank")] == ["open", "open"]
    work(db, "ann", lambda item: Decision("label", "good" if item.id == items[0].id else "bad"))
    version = export(db, "bank", "labels").version
    found = {r.meta["review"]["item"]: r for r in datasets.read(db, "bank", version.id, "train")}
    assert [found[item.id].meta["label"] for item in items] == ["good", "bad"]
    assert [found[item.id].meta["review"]["suggestion"] for item in items] == ["accepted", "changed"]
    assert found[items[0].id].meta["review"]["suggested_by"] == "model-1"
    edges = {(edge.parent, edge.relation) for edge in lineage.ancestors(db, "bank", version.id)}
    assert {(items[0].id, "suggestion accepted"), (items[1].id, "reviewed"), ("model-1", "suggested")} <= edges
    (ann,) = standings(db, "bank")
    assert ann.suggestions == 0.5


def done(item: ReviewItem, action: Any, value: str = "") -> Record | None:
    """Return the record of a row that one person decided about."""
    found = review.settle(replace(item, needed=1), decided([value], action))
    return record_of(replace(item, id="review-1", status=found.status, result=found.result))


def test_decisions_become_records() -> None:
    """Labels, corrected pairs, preferences, accepted rows; rejected ones and ties are none."""
    label = done(LABEL, "label", "good")
    assert label is not None
    assert (label.kind, label.text, label.meta["label"], label.sources) == (
        "passage",
        "I am glad.",
        "good",
        ("source-a",),
    )
    chat = replace(LABEL, kind="correct", row={"messages": CHAT, "meta": {"topic": "fees"}})
    right = done(chat, "correct", "Four crowns.")
    assert right is not None
    assert [m["content"] for m in right.messages] == ["What is the fee?", "Four crowns."]
    assert (right.kind, right.meta["rejected"], right.meta["topic"]) == ("chat", "Nine crowns.", "fees")
    same = done(chat, "correct", "Nine crowns.")
    assert same is not None
    assert "rejected" not in same.meta
    text = done(replace(LABEL, kind="correct"), "correct", "I am happy.")
    assert text is not None
    assert (text.text, text.meta["rejected"]) == ("I am happy.", "I am glad.")
    pair = replace(LABEL, kind="prefer", row={"messages": CHAT[:1], "a": "Four.", "b": "Nine."})
    better = done(pair, "prefer", "b")
    assert better is not None
    assert (better.messages[-1]["content"], better.meta["rejected"]) == ("Nine.", "Four.")
    assert done(pair, "prefer", "tie") is None
    assert done(replace(LABEL, kind="accept"), "accept") is not None
    assert done(replace(LABEL, kind="accept"), "accept", "-") is None


def test_permissions_follow(db: Database, source: Callable[..., str]) -> None:
    """What is made of a row may be used for what its sources permit now, whatever people decided."""
    source("a")
    source("b", train=False)
    rows = [
        replace(LABEL, row={"text": f"Row number {n}."}, sources=each)
        for n, each in enumerate((("source-a",), ("source-b",), ("source-a", "source-b")))
    ]
    items = review.add(db, "bank", rows)
    work(db, "ann", lambda _: Decision("label", "good"))
    made = export(db, "bank", "labels")
    assert made.version.rows == 1
    assert {item_id for item_id, _ in made.left_out} == {items[1].id, items[2].id}
    assert export(db, "bank", "found", purpose="retrieve").version.rows == 3
    sources.set_permissions(db, "bank", "source-a", Permissions(train=False))
    assert datasets.read(db, "bank", made.version.id, "train") == []
    with pytest.raises(NothingUsable, match="3 may not"):
        export(db, "bank", "labels")


def test_judgements_become_rows(db: Database, judge: Judge) -> None:
    """Bad and corrected answers do, once, with the permissions of their calls; the correction is a suggestion."""
    bad, right = judge("What is the fee?", thumb=-1), judge("When do you open?", correction="At nine.")
    good, kept = judge("Who are you?", thumb=1), judge("Hm?", thumb=-1, permissions=Permissions(train=False))
    found = flag_feedback(db, "bank")
    assert [item.row["messages"][0]["content"] for item in found.items] == ["What is the fee?", "When do you open?"]
    assert {one for one, _ in found.left_out} == {good.id, kept.id}
    assert [item.suggestion for item in found.items] == [None, Suggestion(Decision("correct", "At nine."), right.id)]
    assert flag_feedback(db, "bank", [bad.id]).items == found.items[:1]
    assert len(queue.find(db, "bank")) == 2
    with pytest.raises(NotFound):
        flag_feedback(db, "bank", ["feedback-99"])
    work(db, "ann", lambda _: Decision("correct", "Four crowns."))
    version = export(db, "bank", "lessons").version
    assert version.rows == 2
    above = {edge.parent for edge in lineage.ancestors(db, "bank", version.id)}
    assert {bad.id, bad.trace, right.id, found.items[0].sources[0], found.items[0].id} <= above


def test_records_become_rows(db: Database, source: Callable[..., str]) -> None:
    """With their sources, and why; twice is once."""
    source()
    record = Record("record-1", "chat", ("source-a",), tuple(CHAT), meta={"topic": "fees"})
    like = ReviewItem("", "bank", "doubt", "accept", {}, (), {"en": "contradicts another", "zh": "与另一条矛盾"})
    (item,) = flag_records(db, [record], like)
    assert flag_records(db, [record], like) == [item]
    assert (item.sources, item.why["zh"], item.row["meta"]["record"]) == (("source-a",), "与另一条矛盾", "record-1")
    work(db, "ann", lambda _: Decision("accept"))
    (made,) = datasets.read(db, "bank", export(db, "bank", "checked").version.id, "train")
    assert made.messages == tuple(CHAT)


def test_what_operators_flagged_becomes_rows(db: Database, source: Callable[..., str]) -> None:
    """The flagged records of a dataset version, with the operator's words in both languages; the others do not."""
    source()
    flags = [{"by": "odd", "why": "spun", "detail": "glad"}, {"by": "odd", "why": "short", "detail": ""}]
    records = [
        Record("record-1", "passage", ("source-a",), text="I am glad.", meta={"flags": flags, "topic": "mood"}),
        Record("record-2", "passage", ("source-a",), text="I am sad."),
    ]
    version, _ = datasets.write(db, "bank", "moods", records, "train")
    like = ReviewItem("", "bank", "flagged", "accept", {}, (), {})
    (item,) = flag_dataset(db, version.id, like, lambda _, reason: (reason, {"spun": "洗稿", "short": "过短"}[reason]))
    assert item.why == {"en": "spun: glad; short", "zh": "洗稿: glad; 过短"}
    assert item.row["meta"] == {"topic": "mood", "record": "record-1"}
    assert version.id in {edge.parent for edge in lineage.ancestors(db, "bank", item.id)}
    assert flag_dataset(db, version.id, like)[0].id == item.id
    with pytest.raises(NotFound):
        flag_dataset(db, "dataset-x", like)


def test_a_disputed_text_goes_to_a_third_with_what_was_given(db: Database, source: Callable[..., str]) -> None:
    """The third sees both texts, not whose they are; nobody else sees any."""
    source()
    one = replace(LABEL, kind="correct", options=(), needed=2, suggestion=None)
    (item,) = review.add(db, "bank", [one])
    for who, text in (("ann", "Y"), ("ben", "X")):
        given = review.following(db, "bank", who)
        assert given is not None
        assert given[0].options == ()
        review.decide(db, "bank", Annotation(item.id, who, "decided", 0, Decision("correct", text)))
    third = review.following(db, "bank", "cat")
    assert third is not None
    assert third[0].options == ("X", "Y")
    review.decide(db, "bank", Annotation(item.id, "cat", "decided", 0, Decision("correct", "Y ")))
    result = queue.get(db, "bank", item.id).result
    assert result is not None
    assert (result["value"], result["how"], result["votes"], result["people"]) == ("Y", "majority", 2, 3)


def test_somebody_resolves_what_three_could_not(db: Database, source: Callable[..., str]) -> None:
    """Their word is the result, and says whose it is."""
    source()
    (item,) = review.add(db, "bank", [replace(LABEL, needed=2)])
    for who, value in (("ann", "good"), ("ben", "bad"), ("cat", "odd")):
        given = review.following(db, "bank", who)
        assert given is not None
        review.decide(db, "bank", Annotation(item.id, who, "decided", 0, Decision("label", value)))
    assert queue.get(db, "bank", item.id).status == "unsettled"
    assert work(db, "dan", lambda _: Decision("label", "good")) == []
    ended = review.resolve(db, "bank", item.id, Decision("label", "odd"), "", "boss")
    assert ended.result is not None
    assert (ended.status, ended.result["value"], ended.result["resolved_by"]) == ("done", "odd", "boss")
