"""Calls and what they cost. Knows their rows; does not know who may call, nor what a call is good for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from feilun.records import JSON, Trace, Usage
from feilun.store import lineage
from feilun.store.database import Database, insert, one, rows
from feilun.store.schema import TRACES, from_row, to_row


def add(db: Database, traces: Sequence[Trace]) -> None:
    """Keep traces, each with an edge from the deployment (else the model version) that answered, in one transaction.

    Traces whose ids are known already are left alone.
    """
    with db.writing() as conn:
        insert(conn, TRACES, [_to_row(trace) for trace in traces])
        for ws in sorted({trace.workspace for trace in traces}):
            mine = [trace for trace in traces if trace.workspace == ws]
            lineage.record(conn, ws, [(trace.deployment or trace.model, trace.id, "answered") for trace in mine])


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


def usage(db: Database, ws: str) -> list[JSON]:
    """Return ``{model, day, calls, prompt_tokens, completion_tokens}`` per model and UTC day (ISO), by day."""
    query = (
        sa.select(
            TRACES.c.model,
            TRACES.c.day,
            sa.func.count().label("calls"),
            sa.func.sum(TRACES.c.prompt_tokens).label("prompt_tokens"),
            sa.func.sum(TRACES.c.completion_tokens).label("completion_tokens"),
        )
        .where(TRACES.c.workspace == ws)
        .group_by(TRACES.c.model, TRACES.c.day)
        .order_by(TRACES.c.day, TRACES.c.model)
    )
    counts = ("calls", "prompt_tokens", "completion_tokens")
    with db.reading() as conn:
        # PostgreSQL adds up big integers as Decimal.
        return [{**row, **{name: int(row[name]) for name in counts}} for row in rows(conn, query)]


def _to_row(trace: Trace) -> dict[str, Any]:
    row = to_row(trace)
    usage: Usage = row.pop("usage")
    return row | {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "day": datetime.fromtimestamp(trace.created, UTC).date().isoformat(),
    }


def _from_row(row: dict[str, Any]) -> Trace:
    tokens = (row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"])
    return from_row(Trace, {**row, "usage": Usage(*tokens)})
