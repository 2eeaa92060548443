"""Traces, usage, feedback and keys."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import sqlalchemy as sa

from feilun.errors import BadRequest, NotFound
from feilun.records import Feedback, Permissions, Trace, Usage
from feilun.store import Database, changes, feedback, keys, traces
from feilun.store.schema import METADATA


def _trace(number: int, ws: str = "bank", model: str = "model-1", created: float = 0.0) -> Trace:
    said = ({"role": "user", "content": f"第{number}个问题"},)
    usage = Usage(number, 10 * number)
    permissions = Permissions(train=False, until="2999-01-01")
    return Trace(
        f"trace-{number}", ws, "key-1", "own", model, said, "答案", "stop", usage, "", permissions, created, 0.25
    )


def test_traces_are_kept_as_they_were(db: Database) -> None:
    """Every field comes back; adding again changes nothing; a foreign trace is not found."""
    traces.add(db, [_trace(1), _trace(2, ws="other")])
    traces.add(db, [_trace(1, model="model-9")])
    traces.add(db, [])
    assert traces.get(db, "bank", "trace-1") == _trace(1)
    with pytest.raises(NotFound):
        traces.get(db, "bank", "trace-2")


def test_traces_are_found_by_time(db: Database) -> None:
    """Those after a time, oldest first, up to a limit."""
    traces.add(db, [_trace(n, created=1.7e9 + n / 1000) for n in (3, 1, 2, 4)])
    assert [one.id for one in traces.find(db, "bank", limit=2)] == ["trace-1", "trace-2"]
    after = traces.get(db, "bank", "trace-2").created
    assert [one.id for one in traces.find(db, "bank", after)] == ["trace-3", "trace-4"]
    assert traces.find(db, "other") == []


def test_a_batch_of_traces_is_kept_whole_or_not_at_all(db: Database) -> None:
    """One trace of an unknown workspace undoes its batch."""
    with pytest.raises(NotFound):
        traces.add(db, [_trace(1), _trace(2, ws="nowhere")])
    assert traces.find(db, "bank") == []


def test_feedback_is_about_a_trace_of_the_same_workspace(db: Database) -> None:
    """Judgements come back as they were, by time; one about a foreign or unknown trace is refused."""
    traces.add(db, [_trace(1), _trace(2, ws="other")])
    first = Feedback("feedback-1", "bank", "trace-1", thumb=-1, correction="12 元", comment="不对", created=5.0)
    second = Feedback("feedback-2", "bank", "trace-1", score=0.5, created=6.0)
    assert [feedback.add(db, one) for one in (second, first, first)] == [second, first, first]
    assert feedback.find(db, "bank") == [first, second]
    assert feedback.find(db, "bank", after=5.0) == [second]
    assert feedback.get(db, "bank", "feedback-1") == first
    for attempt in (
        lambda: feedback.get(db, "other", "feedback-1"),
        lambda: feedback.add(db, Feedback("feedback-3", "bank", "trace-2")),
        lambda: feedback.add(db, Feedback("feedback-3", "bank", "trace-3")),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_a_secret_is_nowhere_in_the_database(db: Database) -> None:
    """Only the SHA-256 of a key is stored, in no table and no file of the home anything more."""
    key, secret = keys.create(db, "bank", "reception", "viewer")
    assert len(secret) == 43
    assert secret.startswith("fl-")
    assert key.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert keys.all_active(db) == {key.sha256: key}
    with db.reading() as conn:
        stored = [str(row) for table in METADATA.sorted_tables for row in conn.execute(sa.select(table))]
    assert any(key.sha256 in row for row in stored)
    assert not any(secret[3:-4] in row for row in stored)
    files = [path for path in db.root.rglob("*") if path.is_file()]
    assert not any(secret[3:-4].encode() in path.read_bytes() for path in files)


def test_keys_are_revoked_for_ever(db: Database) -> None:
    """A revoked key is no longer active but still listed; a foreign one cannot be revoked; each change is counted."""
    (one, _), (two, _) = keys.create(db, "bank", "one", "owner"), keys.create(db, "other", "two", "owner")
    assert one.sha256 != two.sha256
    assert changes.number(db) == 2
    with pytest.raises(NotFound):
        keys.revoke(db, "bank", two.id)
    keys.revoke(db, "bank", one.id)
    assert changes.number(db) == 3
    assert list(keys.all_active(db)) == [two.sha256]
    assert [(key.id, key.revoked) for key in keys.find(db, "bank")] == [(one.id, True)]


@pytest.mark.parametrize(("ws", "role", "error"), [("bank", "root", BadRequest), ("nowhere", "owner", NotFound)])
def test_a_key_needs_a_role_and_a_workspace(db: Database, ws: str, role: Any, error: type[Exception]) -> None:
    """An unknown role or workspace makes no key and no change."""
    with pytest.raises(error):
        keys.create(db, ws, "key", role)
    assert (keys.all_active(db), changes.number(db)) == ({}, 0)
