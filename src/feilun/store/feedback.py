"""Judgements about traces. Knows their rows; does not know what is learned from them."""

from __future__ import annotations

import sqlalchemy as sa

from feilun.records import Feedback
from feilun.store import lineage
from feilun.store.database import Database, insert, one, rows
from feilun.store.schema import FEEDBACK, TRACES, from_row, to_row


def add(db: Database, feedback: Feedback) -> Feedback:
    """Keep a judgement about a trace of the same workspace and return it as kept; raise NotFound for the trace."""
    ws = feedback.workspace
    with db.writing() as conn:
        about = sa.select(TRACES.c.id).where(TRACES.c.workspace == ws, TRACES.c.id == feedback.trace)
        one(conn, about, f"trace {feedback.trace}")
        insert(conn, FEEDBACK, [to_row(feedback)])
        lineage.record(conn, ws, [(feedback.trace, feedback.id, "rated")])
    return get(db, ws, feedback.id)


def get(db: Database, ws: str, feedback_id: str) -> Feedback:
    """Return a judgement; raise NotFound."""
    query = sa.select(FEEDBACK).where(FEEDBACK.c.workspace == ws, FEEDBACK.c.id == feedback_id)
    with db.reading() as conn:
        return from_row(Feedback, one(conn, query, f"feedback {feedback_id}"))


def find(db: Database, ws: str, after: float = 0) -> list[Feedback]:
    """Return the judgements made after a time, oldest first."""
    query = sa.select(FEEDBACK).where(FEEDBACK.c.workspace == ws, FEEDBACK.c.created > after)
    with db.reading() as conn:
        return [from_row(Feedback, row) for row in rows(conn, query.order_by(FEEDBACK.c.created, FEEDBACK.c.id))]
