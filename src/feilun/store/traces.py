"""Calls and what they cost. Knows their rows; does not know who may call, nor what a call is good for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection

from feilun.records import Trace, Usage
from feilun.store.calls import usage as sums
from feilun.store.database import Database, one, rows
from feilun.store.schema import TRACES, clean, from_row

_COLUMNS = tuple(column.name for column in TRACES.columns)
_Place = tuple[str, str]
_Row = tuple[Any, ...]
_LARGEST_NUMBER = 2**53
_LATEST = 253402300800.0  # the year 10000: no day of it can be written down
_SHAPES = list(b"[{{")  # of messages, permissions, meta
_NUL = b"\\u0000"  # as JSON has it
_INSERT = str(sa.insert(TRACES).compile(dialect=sqlite.dialect(paramstyle="qmark")))
_KNOWN = "SELECT id FROM traces WHERE workspace = ? AND id IN (SELECT value FROM json_each(?))"
_POPULATE = sa.text(
    "INSERT INTO traces SELECT * FROM json_populate_recordset(NULL::traces, CAST(:rows AS json)) "
    "ON CONFLICT DO NOTHING RETURNING workspace, id"
)


class Kept(msgspec.Struct):
    """A trace as its line in the call log has it (:class:`feilun.records.Trace`): what a row keeps as JSON stays so."""

    id: str
    workspace: str
    key: str
    endpoint: str
    model: str
    messages: msgspec.Raw
    answer: str
    finish: str
    usage: Usage
    deployment: str
    permissions: msgspec.Raw
    created: float
    seconds: float
    member: str
    kind: str
    cost: int
    first: float
    meta: msgspec.Raw


_decode = msgspec.json.Decoder(Kept).decode
_encode = msgspec.json.Encoder().encode


def line(trace: Trace | msgspec.Struct) -> bytes:
    """Return the line of a trace, or of what has its fields, whatever characters its texts hold."""
    try:
        return _encode(trace)
    except UnicodeEncodeError:
        return msgspec.json.encode(clean(msgspec.to_builtins(trace)))


def read(line: bytes) -> Kept | None:
    """Return what a line holds; None if it can be no row."""
    try:
        kept = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    tokens = kept.usage
    numbers = (tokens.prompt_tokens, tokens.completion_tokens, tokens.cached_tokens, kept.cost)
    fits = min(numbers) >= 0 and max(numbers) < _LARGEST_NUMBER and 0 <= kept.created < _LATEST
    shaped = [memoryview(each)[0] for each in (kept.messages, kept.permissions, kept.meta)] == _SHAPES
    return kept if fits and shaped and kept.id else None


def add(db: Database, traces: Sequence[Trace]) -> int:
    """Keep traces; see :func:`keep`."""
    return keep(db, [_decode(line(trace)) for trace in traces])


def keep(db: Database, kept: Sequence[Kept]) -> int:
    """Keep traces, each with what answered it (the deployment, else the model version), and count their use.

    One transaction. Traces whose ids are known already are left alone and not counted again. Returns how many were new.
    """
    found: dict[_Place, tuple[_Row, Kept]] = {}
    for trace in kept:
        row = _to_row(trace)
        found.setdefault(row[:2], (row, trace))
    if not found:
        return 0
    with db.writing() as conn:
        insert = _insert_postgresql if conn.dialect.name == "postgresql" else _insert_sqlite
        new = insert(conn, {place: row for place, (row, _) in found.items()})
        sums.count(conn, [found[place][1] for place in new])
    return len(new)


def _insert_sqlite(conn: Connection, found: dict[_Place, _Row]) -> list[_Place]:
    # SQL of its own: SQLAlchemy's way through its types takes as long as the database itself.
    known: set[_Place] = set()
    for ws in {ws for ws, _ in found}:
        ids = msgspec.json.encode([trace_id for workspace, trace_id in found if workspace == ws]).decode()
        known.update((ws, trace_id) for (trace_id,) in conn.exec_driver_sql(_KNOWN, (ws, ids)))
    new = [place for place in found if place not in known]
    if new:
        conn.exec_driver_sql(_INSERT, [found[place] for place in new])
    return new


def _insert_postgresql(conn: Connection, found: dict[_Place, _Row]) -> list[_Place]:
    # One statement with one parameter, and in one order, so that two who insert the same never lock each other out.
    named = [dict(zip(_COLUMNS, found[place], strict=True)) for place in sorted(found)]
    done = conn.execute(_POPULATE, {"rows": msgspec.json.encode(named).decode()})
    return [(row.workspace, row.id) for row in done]


def get(db: Database, ws: str, trace_id: str) -> Trace:
    """Return a trace; raise NotFound."""
    query = sa.select(TRACES).where(TRACES.c.workspace == ws, TRACES.c.id == trace_id)
    with db.reading() as conn:
        return _from_row(one(conn, query, f"trace {trace_id}"))


def find(db: Database, ws: str, after: float = 0, limit: int = 100) -> list[Trace]:
    """Return up to ``limit`` traces made after a time, oldest first."""
    query = sa.select(TRACES).where(TRACES.c.workspace == ws, TRACES.c.created > after)
    with db.reading() as conn:
        return [_from_row(row) for row in rows(conn, query.order_by(TRACES.c.created, TRACES.c.id).limit(limit))]


def newest(db: Database, ws: str, after: float = 0, limit: int = 100) -> list[Trace]:
    """Return the last ``limit`` traces made after a time, oldest first."""
    query = sa.select(TRACES).where(TRACES.c.workspace == ws, TRACES.c.created > after)
    with db.reading() as conn:
        found = rows(conn, query.order_by(TRACES.c.created.desc(), TRACES.c.id.desc()).limit(limit))
    return [_from_row(row) for row in reversed(found)]


def _to_row(trace: Kept) -> _Row:
    words = (
        *(trace.workspace, trace.id, trace.key, trace.endpoint, trace.model, trace.deployment),
        *(trace.answer, trace.finish, trace.member, trace.kind),
    )
    together = "".join(words)
    if "\0" in together or not _is_text(together):
        words = tuple(map(clean, words))
    ws, trace_id, key, endpoint, model, deployment, answer, finish, member, kind = words
    tokens = trace.usage
    return (
        *(ws, trace_id, key, endpoint, model, _json(trace.messages), answer, finish),
        *(tokens.prompt_tokens, tokens.completion_tokens, deployment, _json(trace.permissions), trace.created),
        *(sums.day(trace.created), trace.seconds, member, kind, trace.cost, trace.first, tokens.cached_tokens),
        *(_json(trace.meta), deployment or model),
    )


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json(value: msgspec.Raw) -> str:
    text = bytes(value)
    return (msgspec.json.encode(clean(msgspec.json.decode(text))) if _NUL in text else text).decode()


def _from_row(row: dict[str, Any]) -> Trace:
    tokens = (row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"])
    return from_row(Trace, {**row, "usage": Usage(*tokens)})
