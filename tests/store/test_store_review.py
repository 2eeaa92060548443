"""The queue: nobody sees a row twice, no more people have one than it needs, leases end, deleted sources take rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from feilun.errors import Conflict, NotFound
from feilun.records import Source
from feilun.store import Database, Edge, audit, lineage, sources
from feilun.store.review import Annotation, Decision, ReviewItem, Settled, Suggestion, queue
from feilun.store.review.tables import ANNOTATIONS, ITEMS

Add = Callable[..., Source]
YES = Decision("accept")


def item(number: int, **more: Any) -> ReviewItem:
    """Return a row of the source ``source-a``."""
    made = ReviewItem(
        f"review-{number}", "bank", "q", "accept", {"text": f"row {number}"}, ("source-a",), {}, created=number
    )
    return replace(made, **more)


def settle(one: ReviewItem, decided: Sequence[Annotation]) -> Settled:
    """Be done as soon as enough have decided."""
    return Settled("done", {"votes": len(decided)}) if len(decided) >= one.needed else Settled("open")


def take(db: Database, who: str, now: float = 0.0, measure: bool = False, ws: str = "bank") -> str:
    """Return the id of the next row of an annotator, leased for ten seconds; empty if none waits."""
    given = queue.lease(db, ws, who, "", now, now + 10, measure)
    return given[0].id if given else ""


def decide(db: Database, who: str, item_id: str, now: float = 1.0) -> Annotation:
    """Accept a row."""
    return queue.decide(db, "bank", Annotation(item_id, who, "decided", 0, YES), now, settle)


def test_rows_come_back_as_they_were(db: Database, add_source: Add) -> None:
    """Every field, and again the same after a second time; sources and parents are linked."""
    add_source("a")
    one = item(
        1,
        kind="label",
        row={"messages": [{"role": "user", "content": "余额\0\ud800?"}]},
        why={"en": "odd", "zh": "奇怪"},
        options=("a", "b"),
        scale="ordinal",
        needed=2,
        gold=Decision("label", "a"),
        suggestion=Suggestion(Decision("label", "b"), "model-1"),
    )
    (kept,) = queue.add(db, "bank", [one], {"review-1": ["trace-1"]})
    assert kept == replace(one, row={"messages": [{"role": "user", "content": "余额\ufffd?"}]})
    assert queue.add(db, "bank", [replace(one, needed=9)], {}) == [kept]
    assert queue.get(db, "bank", "review-1") == kept
    above = lineage.ancestors(db, "bank", "review-1")
    assert above == [
        Edge("model-1", "review-1", "suggested"),
        Edge("source-a", "review-1", "data"),
        Edge("trace-1", "review-1", "flagged"),
    ]


def test_all_or_none(db: Database, add_source: Add) -> None:
    """A row of an unknown source, or of another workspace's, keeps the others out too."""
    add_source("a")
    add_source("theirs", ws="other")
    for source in ("source-b", "source-theirs"):
        with pytest.raises(NotFound, match=source):
            queue.add(db, "bank", [item(1), item(2, sources=("source-a", source))], {})
    assert queue.find(db, "bank") == []
    with pytest.raises(NotFound):
        queue.add(db, "nowhere", [item(1, sources=())], {})


def test_nobody_sees_a_row_twice(db: Database, add_source: Add) -> None:
    """Two people share two rows that need one each; a third gets nothing, and nobody anything again."""
    add_source("a")
    queue.add(db, "bank", [item(1), item(2)], {})
    assert (take(db, "ann"), take(db, "ben"), take(db, "cat")) == ("review-1", "review-2", "")
    assert take(db, "ann") == "review-1"
    decide(db, "ann", "review-1")
    assert take(db, "ann") == ""
    queue.skip(db, "bank", "review-2", "ben", "not my field", 1.0)
    assert take(db, "ben") == ""
    assert take(db, "ann") == "review-2"
    decide(db, "ann", "review-2")
    assert [one.status for one in queue.find(db, "bank")] == ["done", "done"]
    states = [(one.item, one.annotator, one.state) for one in queue.decisions(db, "bank", "review-2")]
    assert sorted(states) == [("review-2", "ann", "decided"), ("review-2", "ben", "skipped")]


def test_leases_end(db: Database, add_source: Add) -> None:
    """After its time a row goes to somebody else; who comes late may still decide if there is room for it."""
    add_source("a")
    queue.add(db, "bank", [item(1)], {})
    assert take(db, "ann", now=0) == "review-1"
    assert take(db, "ben", now=9.9) == ""
    assert take(db, "ben", now=10) == "review-1"
    with pytest.raises(Conflict, match="time for this row is over"):
        decide(db, "ann", "review-1", now=11)
    assert take(db, "ann", now=25) == "review-1"  # ben's has ended as well
    decide(db, "ann", "review-1", now=99)
    with pytest.raises(Conflict, match="over"):
        decide(db, "ben", "review-1", now=100)


def test_only_what_was_given_can_be_decided(db: Database, add_source: Add) -> None:
    """Neither a row of somebody else, nor one's own twice, nor one that is not there."""
    add_source("a")
    queue.add(db, "bank", [item(1, needed=2)], {})
    with pytest.raises(Conflict, match="not given to you"):
        decide(db, "ann", "review-1")
    take(db, "ann")
    decide(db, "ann", "review-1")
    with pytest.raises(Conflict, match="decided this row already"):
        decide(db, "ann", "review-1")
    with pytest.raises(Conflict, match="decided this row already"):
        queue.skip(db, "bank", "review-1", "ann", "", 1.0)
    with pytest.raises(NotFound):
        decide(db, "ann", "review-9")
    with pytest.raises(NotFound):
        queue.get(db, "other", "review-1")


def test_disputed_rows_take_one_more_and_come_first(db: Database, add_source: Add) -> None:
    """A status that ``settle`` answers is kept, and opens the row for exactly one more person."""
    add_source("a")
    queue.add(db, "bank", [item(1), item(2, needed=2, queue="hard")], {})
    for who in ("ann", "ben"):
        assert queue.lease(db, "bank", who, "hard", 0.0, 10.0, False) is not None
        said = Annotation("review-2", who, "decided", 0, YES)
        queue.decide(db, "bank", said, 1.0, lambda _, made: Settled("disputed" if len(made) > 1 else "open"))
    assert take(db, "cat", now=20) == "review-2"
    assert take(db, "dan", now=20) == "review-1"


def test_rows_that_measure_go_to_everybody(db: Database, add_source: Add) -> None:
    """One comes when it is its turn, else the others do first; decisions about it settle nothing."""
    add_source("a")
    queue.add(db, "bank", [item(1, gold=YES), item(2), item(3)], {})
    assert take(db, "ann", measure=True) == "review-1"
    assert take(db, "ben", measure=True) == "review-1"
    decide(db, "ann", "review-1", now=99)
    decide(db, "ben", "review-1", now=99)
    assert queue.get(db, "bank", "review-1").status == "open"
    assert [take(db, who) for who in ("ann", "cat", "dan")] == ["review-2", "review-3", "review-1"]
    with pytest.raises(Conflict):
        queue.resolve(db, "bank", "review-1", Settled("done", {}))


def test_a_deleted_source_takes_its_rows(db: Database, add_source: Add) -> None:
    """They are given to nobody, shown without their texts, and cannot be decided about."""
    add_source("a")
    add_source("b")
    queue.add(db, "bank", [item(1), item(2, sources=("source-a", "source-b")), item(3, sources=("source-b",))], {})
    assert take(db, "ann") == "review-1"
    sources.delete(db, "bank", "source-a")
    assert take(db, "ann") == "review-3"
    with pytest.raises(Conflict):
        decide(db, "ann", "review-1")
    gone = queue.find(db, "bank", status="withdrawn")
    assert [(one.id, one.row) for one in gone] == [("review-1", {}), ("review-2", {})]
    with pytest.raises(Conflict):
        queue.suggest(db, "bank", "review-2", Suggestion(YES, "model-1"))
    with pytest.raises(Conflict):
        queue.resolve(db, "bank", "review-2", Settled("done", {}))


def test_lists(db: Database, add_source: Add) -> None:
    """Oldest first, by queue and status, page by page; removal takes what was decided along."""
    add_source("a")
    queue.add(db, "bank", [item(n, queue="odd" if n % 2 else "even", created=float(n // 3)) for n in range(9)], {})
    pages = [queue.find(db, "bank", limit=4)]
    while len(pages[-1]) == 4:
        pages.append(queue.find(db, "bank", after=pages[-1][-1].id, limit=4))
    assert [one.id for page in pages for one in page] == [f"review-{n}" for n in range(9)]
    assert [one.id for one in queue.find(db, "bank", "odd", "open", "review-3")] == ["review-5", "review-7"]
    with pytest.raises(NotFound):
        queue.find(db, "bank", after="review-99")
    assert take(db, "ann") == "review-0"
    queue.remove(db, "bank", "review-0")
    assert queue.decisions(db, "bank") == []
    with pytest.raises(NotFound):
        queue.remove(db, "bank", "review-0")


def test_people_at_once(db: Database, add_source: Add) -> None:
    """Six people who take rows at the same moment get six different ones."""
    add_source("a")
    queue.add(db, "bank", [item(n) for n in range(6)], {})
    found: list[str] = []
    people = [threading.Thread(target=lambda n=n: found.append(take(db, f"p{n}"))) for n in range(6)]
    for one in people:
        one.start()
    for one in people:
        one.join()
    assert sorted(found) == [f"review-{n}" for n in range(6)]


def raw(db: Database) -> str:
    """Return all that the tables of the queue hold, as it is kept."""
    with db.reading() as conn:
        texts = [sa.cast(column, sa.Text) for table in (ITEMS, ANNOTATIONS) for column in table.columns]
        return str([conn.execute(sa.select(text)).all() for text in texts])


@pytest.mark.parametrize("later", [False, True])
def test_rows_of_encrypted_sources_are_encrypted(db: Database, add_source: Add, later: bool) -> None:
    """The row, its answers, suggestions and all decisions; at once, or once the source is marked; others stay plain."""
    add_source("a")
    add_source("b")
    said = Decision("correct", "vaultsuggested")
    one = item(1, kind="correct", row={"text": "vaultrow"}, suggestion=Suggestion(said, "m"), needed=2)
    gold = item(2, kind="correct", row={"text": "vaultgold"}, gold=Decision("correct", "vaultanswer"))
    plain = item(3, row={"text": "plainrow"}, sources=("source-b",))
    kept = queue.add(db, "bank", [one, gold, plain], {}, () if later else {"source-a"})
    for who in ("ann", "ben"):
        assert take(db, who) == "review-1"
        given = Annotation("review-1", who, "decided", 0, Decision("correct", f"vault {who}"), "vaultreason")
        queue.decide(db, "bank", given, 1.0, lambda _, made: Settled("open", {"value": f"vault {len(made)}"}))
    if later:
        assert "vaultrow" in raw(db)
        assert (queue.seal(db, "bank", {"source-a"}), queue.seal(db, "bank", {"source-a"})) == (2, 0)
    assert "plainrow" in raw(db)
    assert "vault" not in raw(db)
    found = queue.find(db, "bank")
    assert [replace(each, sealed=False, result=None) for each in found] == [
        replace(each, sealed=False) for each in kept
    ]
    assert found[0].result == {"value": "vault 2"}
    decided = queue.decisions(db, "bank", "review-1")
    assert [(each.decision, each.reason) for each in decided] == [
        (Decision("correct", f"vault {who}"), "vaultreason") for who in ("ann", "ben")
    ]


def test_who_saw_and_decided_is_on_record(db: Database, add_source: Add) -> None:
    """In the audit log, under the name of the annotator, with no words of the row."""
    add_source("a")
    queue.add(db, "bank", [item(1)], {})
    take(db, "ann")
    decide(db, "ann", "review-1")
    queue.remove(db, "bank", "review-1")
    log = [one for one in audit.entries(db, "bank") if one.action.startswith("review.")]
    noted = [(one.actor, one.action, one.object) for one in log]
    assert noted[1:3] == [("ann", "review.seen", "review-1"), ("ann", "review.decided", "review-1")]
    assert [action for _, action, _ in noted] == ["review.added", "review.seen", "review.decided", "review.removed"]
    assert audit.verify(db, "bank").entries >= 4
