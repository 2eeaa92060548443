"""Sums of calls, tokens and cost by workspace, member, key, endpoint, model, kind and day (UTC).

Knows their rows, which grow with the traces. Does not know budgets or prices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from feilun.errors import BadRequest
from feilun.records import JSON, Usage
from feilun.store.database import Database, rows
from feilun.store.schema import USAGE

BY = ("member", "key", "endpoint", "model", "kind", "day")
SUMS = ("calls", "prompt_tokens", "completion_tokens", "cached_tokens", "cost", "seconds")
_PLACE = ("workspace", *BY)
_COLUMNS = (*_PLACE, *SUMS)
_DAY = 86400
_HINT = f"Choices: {', '.join(BY)}."


class Counted(Protocol):
    """What of a call is counted, as in :class:`feilun.records.Trace`."""

    workspace: str
    member: str
    key: str
    endpoint: str
    model: str
    kind: str
    created: float
    seconds: float
    cost: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class Spent:
    """What was used today and this month (UTC) by one key of a member through one endpoint; cost in nano-units."""

    workspace: str
    member: str
    key: str
    endpoint: str
    tokens_day: int
    tokens_month: int
    cost_day: int
    cost_month: int


def count(conn: Connection, traces: Iterable[Counted]) -> None:
    """Add new traces to the sums, in the transaction that keeps the traces."""
    sums: dict[tuple[str, ...], list[float]] = {}
    for trace in traces:
        place = (trace.workspace, trace.member, trace.key, trace.endpoint, trace.model, trace.kind, day(trace.created))
        found = sums.get(place)
        if found is None:
            found = sums[place] = [0] * len(SUMS)
        tokens = trace.usage
        found[0] += 1
        found[1] += tokens.prompt_tokens
        found[2] += tokens.completion_tokens
        found[3] += tokens.cached_tokens
        found[4] += trace.cost
        found[5] += trace.seconds
    if not sums:
        return
    # In one order, so that transactions that count the same things never wait for each other in a ring.
    values = [(*place, *sums[place]) for place in sorted(sums)]
    if conn.dialect.name == "sqlite":  # SQLAlchemy's way through its types takes longer than the database itself
        conn.exec_driver_sql(_GROW_SQLITE, values)
    else:
        conn.execute(_grow(postgresql.insert(USAGE)), [dict(zip(_COLUMNS, each, strict=True)) for each in values])


def _grow(insert: Any) -> Any:
    """Return an insert that adds to the sums that are there."""
    grown = {name: USAGE.c[name] + insert.excluded[name] for name in SUMS}
    return insert.on_conflict_do_update(index_elements=list(_PLACE), set_=grown)


def report(
    db: Database,
    ws: str,
    by: Sequence[str] = ("member", "key", "endpoint", "model", "day"),
    since: str = "",
    until: str = "",
    only: Mapping[str, str] | None = None,
) -> list[JSON]:
    """Return sums grouped by ``by``, in its order; cost in nano-units of money.

    ``since`` and ``until`` are the first and the last day (ISO dates, UTC); ``only`` maps names of ``BY`` to what they
    must be. Raises BadRequest for what cannot be grouped by, or is no day.
    """
    unknown = [name for name in (*by, *(only or {})) if name not in BY]
    if unknown or len(set(by)) != len(by):
        raise BadRequest(f"Usage cannot be told by {', '.join(unknown or by)!r}.", _HINT, "by")
    groups = [USAGE.c[name] for name in by]
    query = sa.select(*groups, *(sa.func.sum(USAGE.c[name]).label(name) for name in SUMS)).where(
        USAGE.c.workspace == ws
    )
    if since:
        query = query.where(USAGE.c.day >= _as_day(since, "since"))
    if until:
        query = query.where(USAGE.c.day <= _as_day(until, "until"))
    for name, value in (only or {}).items():
        query = query.where(USAGE.c[name] == value)
    with db.reading() as conn:
        found = rows(conn, query.group_by(*groups).order_by(*groups))
    # PostgreSQL adds up big integers as Decimal; without groups there is always one row, of nothing at all.
    return [_whole(row) for row in found if row["calls"]]


def spent(db: Database, now: float | None = None) -> list[Spent]:
    """Return what every key used today and this month, in every workspace."""
    today = datetime.now(UTC).date() if now is None else datetime.fromtimestamp(now, UTC).date()
    tokens = USAGE.c.prompt_tokens + USAGE.c.completion_tokens
    here = USAGE.c.day == today.isoformat()
    sums = [sa.case((here, tokens), else_=0), tokens, sa.case((here, USAGE.c.cost), else_=0), USAGE.c.cost]
    groups = [USAGE.c.workspace, USAGE.c.member, USAGE.c.key, USAGE.c.endpoint]
    month = USAGE.c.day.between(today.replace(day=1).isoformat(), f"{today:%Y-%m}-31")
    query = sa.select(*groups, *(sa.func.sum(each) for each in sums)).where(month).group_by(*groups).order_by(*groups)
    with db.reading() as conn:
        return [Spent(*row[:4], *(int(each) for each in row[4:])) for row in conn.execute(query)]


def day(stamp: float) -> str:
    """Return the UTC day (ISO) of a time."""
    return _of_number(int(stamp // _DAY))


@lru_cache(64)
def _of_number(number: int) -> str:
    return datetime.fromtimestamp(number * _DAY, UTC).date().isoformat()


def _whole(row: JSON) -> JSON:
    return {**row, **{name: int(row[name]) for name in SUMS[:-1]}}


def _as_day(text: str, name: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise BadRequest(f"{text[:40]!r} is no day.", "Write it like 2026-01-31.", name) from error


_GROW_SQLITE = str(
    _grow(sqlite.insert(USAGE).values(dict.fromkeys(_COLUMNS))).compile(dialect=sqlite.dialect(paramstyle="qmark"))
)
