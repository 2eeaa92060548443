"""The log of who saw, exported and changed what: whoever touches it is found out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from feilun.errors import BadRequest, Forbidden
from feilun.records import Limit, ModelVersion, Permissions, Record, Source
from feilun.store import Database, audit, datasets, keys, models, sources
from feilun.store.access import limits, members
from feilun.store.audit.tables import AUDIT, HEADS

Add = Callable[..., Source]


@pytest.fixture
def log(db: Database) -> Database:
    """Give a database with a log of seven entries, and two of another workspace."""
    for number in range(7):
        audit.note(db, "bank", f"key-{number}", "source.read", f"source-{number}", {"页": number, "share": 0.1})
    for number in range(2):
        audit.note(db, "other", "", "source.read", f"source-{number}")
    return db


def tamper(db: Database, statement: sa.sql.dml.UpdateBase) -> None:
    """Do what only somebody with the database in hand can."""
    with db.writing() as conn:
        conn.execute(statement)


def broken(db: Database) -> list[int]:
    """Return the numbers at which the bank's log does not hold."""
    return [each.number for each in audit.verify(db, "bank").breaks]


def of(number: int) -> sa.ColumnElement[bool]:
    """Select an entry of the bank."""
    return sa.and_(AUDIT.c.workspace == "bank", AUDIT.c.number == number)


def test_a_log_that_nobody_touched_holds(log: Database) -> None:
    """Each workspace has a chain of its own; an empty one holds, too."""
    found = audit.verify(log, "bank")
    assert (found.entries, found.breaks) == (7, ())
    assert (7, found.head) == audit.head(log, "bank")
    assert audit.verify(log, "other").entries == 2
    assert audit.verify(log, "nowhere") == audit.Verified(0, "0" * 64, ())


@pytest.mark.parametrize(
    "change",
    [
        {"actor": "key-9"},
        {"action": "source.added"},
        {"object": "x"},
        {"details": {}},
        {"time": 1.0},
        {"hash": "0" * 64},
    ],
)
def test_a_changed_entry_is_found(log: Database, change: dict[str, Any]) -> None:
    """Whatever of it was changed, its number is told."""
    tamper(log, sa.update(AUDIT).where(of(3)).values(change))
    assert broken(log)[0] == 3


@pytest.mark.parametrize("details", ["{", "", "NaN", "[" * 100_000])
def test_details_that_are_no_json_any_more_are_a_change(log: Database, details: str) -> None:
    """They break the chain at their number, not the check."""
    if log.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL keeps nothing but JSON there")
    tamper(log, sa.update(AUDIT).where(of(3)).values(details=sa.literal_column(f"'{details}'")))
    assert broken(log) == [3]


@pytest.mark.parametrize("gone", [1, 4, 7])
def test_a_removed_entry_is_found(log: Database, gone: int) -> None:
    """The first, one in the middle, and the last one."""
    tamper(log, sa.delete(AUDIT).where(of(gone)))
    assert broken(log) == [gone]


def test_several_removed_entries_are_told_as_what_they_are(log: Database) -> None:
    """In both languages."""
    for number in (3, 4):
        tamper(log, sa.delete(AUDIT).where(of(number)))
    (found,) = audit.verify(log, "bank").breaks
    assert (found.en, found.zh) == ("Entries 3 to 4 are missing.", "缺少第 3 至 4 条。")


def test_a_gap_that_was_closed_is_found(log: Database) -> None:
    """Who removes an entry and renumbers those behind it is found out where it was."""
    tamper(log, sa.delete(AUDIT).where(of(4)))
    for number in (5, 6, 7):
        tamper(log, sa.update(AUDIT).where(of(number)).values(number=number - 1))
    assert broken(log)[0] == 4


def test_entries_that_changed_places_are_found(log: Database) -> None:
    """Two whole entries under each other's numbers."""
    for number, new in ((2, 102), (5, 2), (102, 5)):
        tamper(log, sa.update(AUDIT).where(of(number)).values(number=new))
    assert broken(log)[:1] == [2]
    assert 5 in broken(log)


def test_an_entry_that_was_put_in_is_found(log: Database) -> None:
    """At the end, in the middle with the others moved on, and before the first."""
    values = {"time": 1.0, "actor": "x", "action": "a", "object": "o", "details": {}, "hash": "1" * 64}
    tamper(log, sa.insert(AUDIT).values(workspace="bank", number=8, **values))
    assert broken(log)[0] == 8
    tamper(log, sa.delete(AUDIT).where(of(8)))
    tamper(log, sa.insert(AUDIT).values(workspace="bank", number=0, **values))
    assert broken(log)[0] == 0
    tamper(log, sa.delete(AUDIT).where(of(0)))
    assert broken(log) == []
    for number in (7, 6, 5):
        tamper(log, sa.update(AUDIT).where(of(number)).values(number=number + 1))
    tamper(log, sa.insert(AUDIT).values(workspace="bank", number=5, **values))
    assert broken(log)[0] == 5


def test_a_log_that_was_cut_with_its_head_is_found_by_a_head_that_was_kept(log: Database) -> None:
    """Who may write everything can make a shorter log that holds, but not the one whose head is elsewhere."""
    kept = "{}:{}".format(*audit.head(log, "bank"))
    for number in (6, 7):
        tamper(log, sa.delete(AUDIT).where(of(number)))
    (entry,) = audit.entries(log, "bank", after=4)
    tamper(log, sa.update(HEADS).where(HEADS.c.workspace == "bank").values(number=5, hash=entry.hash))
    assert broken(log) == []
    assert [each.number for each in audit.verify(log, "bank", kept).breaks] == [7]
    assert audit.verify(log, "bank", f"5:{entry.hash}").breaks == ()
    for wrong in ("7", "x:1", f"-1:{entry.hash}"):
        with pytest.raises(BadRequest):
            audit.verify(log, "bank", wrong)


def test_an_older_head_still_holds_when_the_log_has_grown(log: Database) -> None:
    """What was kept once vouches for all that stood before it."""
    kept = "{}:{}".format(*audit.head(log, "bank"))
    audit.note(log, "bank", "", "x", "y")
    assert audit.verify(log, "bank", kept).breaks == ()
    assert audit.verify(log, "bank", "0:" + "0" * 64).breaks == ()


def test_many_writers_make_one_chain(db: Database) -> None:
    """Threads that append at once wait for each other; no number is twice, none is left out."""

    def write(number: int) -> None:
        for _ in range(8):
            audit.note(db, "bank", f"thread-{number}", "x", "y")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (audit.verify(db, "bank").entries, broken(db)) == (32, [])


def test_a_note_is_part_of_its_transaction(db: Database) -> None:
    """What is undone was not done."""

    def work() -> None:
        with db.writing() as conn:
            audit.note(conn, "bank", "", "x", "y")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert audit.head(db, "bank") == (0, "0" * 64)


def test_notes_that_are_kept_together(db: Database) -> None:
    """They are there when the block ends, also when it ends badly, in their order; other work is not held up."""

    def work() -> None:
        with audit.together(db):
            for number in range(300):
                audit.note(db, "bank", "", "x", str(number))
            assert 0 < audit.head(db, "bank")[0] < 300
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert [each.object for each in audit.entries(db, "bank", limit=1000)] == [str(number) for number in range(300)]


def test_who_acts(db: Database) -> None:
    """A job says who began it; whatever characters a name has, the log holds."""
    with audit.acting("key-1"), audit.acting("turn-2"):
        audit.note(db, "bank", "", "x", "y\0\ud800", {"nan": float("nan"), "text": "\ud800"})
    audit.note(db, "bank", "", "x", "y")
    assert [each.actor for each in audit.entries(db, "bank")] == ["key-1 turn-2", "process"]
    assert broken(db) == []


def test_entries_are_found(log: Database) -> None:
    """By a kind of action, by who it was, by what it was about, and page by page."""
    audit.note(log, "bank", "member-1", "source", "100%")
    assert [each.number for each in audit.entries(log, "bank", action="source")] == list(range(1, 9))
    assert [each.number for each in audit.entries(log, "bank", action="sour")] == []
    assert [each.number for each in audit.entries(log, "bank", actor="member")] == [8]
    assert [each.number for each in audit.entries(log, "bank", actor="%")] == []
    assert [each.number for each in audit.entries(log, "bank", about="source-3")] == [4]
    assert [each.number for each in audit.entries(log, "bank", after=3, limit=2)] == [4, 5]


def test_what_is_noted(db: Database, add_source: Add) -> None:
    """Sources, data, keys, members, limits and models: what is done to them is in the log, and nothing secret is."""
    add_source("a", b"bytes")
    add_source("a", b"bytes")
    sources.grant(db, "bank", "source-a", {"train": False, "basis": "consent"})
    sources.set_permissions(db, "bank", "source-a", Permissions(train=False))
    with pytest.raises(Forbidden):
        sources.content(db, "bank", "source-a", "train")
    sources.content(db, "bank", "source-a", "retrieve")
    record = Record("record-1", "passage", ("source-a",), text="Some text of this source.")
    version, _ = datasets.write(db, "bank", "data", [record], "retrieve")
    datasets.read(db, "bank", version.id, "retrieve")
    sources.set_default(db, "bank", {"leave": True})
    sources.delete(db, "bank", "source-a")
    person = members.add(db, "bank", "Ann", "builder")
    key, secret = keys.create(db, "bank", "web", "viewer", person.id)
    limits.put(db, Limit("limit-1", "bank", "member", person.id, concurrent=3))
    limits.remove(db, "bank", "limit-1")
    keys.revoke(db, "bank", key.id)
    members.remove(db, "bank", person.id)
    models.add(db, ModelVersion("model-1", "bank", "own", "adapter", "", "", {}))
    models.turn_on(db, "bank", "model-1", "somebody")
    models.turn_off(db, "bank", "model-1")
    found = audit.entries(db, "bank")
    assert [each.action for each in found] == [
        *("source.added", "source.permissions", "source.permissions", "source.refused", "source.read"),
        *("dataset.written", "dataset.read", "workspace.permissions", "source.deleted"),
        *("member.added", "key.made", "limit.set", "limit.removed", "key.revoked", "member.removed"),
        *("model.on", "model.off"),
    ]
    assert found[1].details["after"] == {"train": False, "basis": "consent"}
    assert found[4].details == {"name": "a.txt", "purpose": "retrieve"}
    assert not [each for each in found if secret in str(each) or key.sha256 in str(each)]
    assert broken(db) == []
