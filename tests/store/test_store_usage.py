"""Sums of use: exact, counted once, by whatever somebody asks for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import product

import pytest

from feilun.errors import BadRequest, NotFound
from feilun.records import Trace, Usage
from feilun.store import Database, traces
from feilun.store.calls import usage
from feilun.store.calls.usage import Spent

DAY = 86400.0
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def _trace(number: int, created: float = NOON, ws: str = "bank", member: str = "ann", model: str = "m") -> Trace:
    tokens = Usage(number, 10 * number, number // 2)
    call = Trace(f"trace-{number}", ws, f"key-{member}", "own", model, (), "", "stop", tokens, created=created)
    return Trace(**{name: getattr(call, name) for name in call.__slots__} | {"member": member, "cost": 7 * number})


def _make(numbers: Iterator[int]) -> list[Trace]:
    return [_trace(number) for number in numbers]


def test_what_is_known_already_is_not_counted_again(db: Database) -> None:
    """Neither in one batch, nor later, nor when only a part of a batch is new."""
    assert traces.add(db, [_trace(1), _trace(1), _trace(2)]) == 2
    assert traces.add(db, [_trace(2), _trace(3), _trace(1)]) == 1
    assert traces.add(db, []) == 0
    (row,) = usage.report(db, "bank", ("member",))
    assert row == {
        "member": "ann",
        "calls": 3,
        "prompt_tokens": 6,
        "completion_tokens": 60,
        "cached_tokens": 2,
        "cost": 42,
        "seconds": 0.0,
    }
    assert all(type(row[name]) is int for name in usage.SUMS[:-1])


def test_a_batch_that_fails_counts_nothing(db: Database) -> None:
    """Rows and sums are of one transaction."""
    with pytest.raises(NotFound):
        traces.add(db, [_trace(1), _trace(2, ws="nowhere")])
    assert usage.report(db, "bank") == []


def test_writers_at_once_count_everything_once(db: Database) -> None:
    """Four who add overlapping batches in different orders leave the sums of the traces that are there."""
    batches = [_make(iter(range(n, n + 40))) for n in (1, 21, 41, 61)]
    batches += [list(reversed(batch)) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        added = sum(pool.map(lambda batch: traces.add(db, batch), batches))
    (row,) = usage.report(db, "bank", ())
    assert (added, row["calls"], row["prompt_tokens"]) == (100, 100, sum(range(1, 101)))


def test_sums_are_told_by_what_was_asked_for(db: Database) -> None:
    """Groups, days and choices; whatever the groups, they add up to the same."""
    made = [
        _trace(n, NOON + n % 3 * DAY, member=member, model=model)
        for n, (member, model) in enumerate(product(("ann", "bob"), ("m-1", "m-2", "m-3")), start=1)
    ]
    traces.add(db, [*made, _trace(99, ws="other")])
    days = ("2026-03-01", "2026-03-02", "2026-03-03")
    assert [(row["day"], row["calls"]) for row in usage.report(db, "bank", ("day",))] == [(day, 2) for day in days]
    for by in (("member",), ("key", "model"), ("endpoint", "kind"), usage.BY):
        assert sum(row["cost"] for row in usage.report(db, "bank", by)) == 7 * 21, by
    (row,) = usage.report(db, "bank", (), "2026-03-02", "2026-03-03", {"member": "bob"})
    assert row["calls"] == len([n for n in (4, 5, 6) if n % 3])
    assert usage.report(db, "bank", ("member",), since="2027-01-01") == []


def test_what_cannot_be_told_is_refused(db: Database) -> None:
    """Unknown or repeated groups, unknown choices, no days."""
    for by in (("workspace",), ("day", "day"), ("cost",)):
        with pytest.raises(BadRequest):
            usage.report(db, "bank", by)
    with pytest.raises(BadRequest):
        usage.report(db, "bank", only={"calls": "1"})
    for since in ("soon", "2026-02-30", "9" * 99):
        with pytest.raises(BadRequest, match="day"):
            usage.report(db, "bank", since=since)


def test_what_was_spent_is_that_of_this_day_and_month(db: Database) -> None:
    """For every workspace, member, key and endpoint; yesterday counts for the month, last month for nothing."""
    last = datetime(2026, 3, 31, 23, tzinfo=UTC).timestamp()
    made = [_trace(1, last), _trace(2, last - DAY), _trace(3, last - 31 * DAY), _trace(4, last, member="bob")]
    traces.add(db, [*made, _trace(5, last, ws="other")])
    assert usage.spent(db, last + 60) == [
        Spent("bank", "ann", "key-ann", "own", 11, 33, 7, 21),
        Spent("bank", "bob", "key-bob", "own", 44, 44, 28, 28),
        Spent("other", "ann", "key-ann", "own", 55, 55, 35, 35),
    ]
    assert [row.tokens_day for row in usage.spent(db, last + DAY)] == []
