"""What the calls of an endpoint showed: how they ended, and what people thought of the answers.

Knows traces and judgements as far as versions are compared by them. Does not know what a difference means.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from feilun.store.database import Database, rows
from feilun.store.rollouts.nouns import Call, Rating, Rollout
from feilun.store.schema import FEEDBACK, TRACES

LONGEST_CALL = 600.0  # s; calls that took longer are found if they ended lately all the same
MOST = 5000


def ratings(db: Database, rollout: Rollout, after: float = 0.0) -> list[Rating]:
    """Return what was thought, after a time (s), of answers to calls since the rollout began; oldest first."""
    about = sa.and_(FEEDBACK.c.workspace == TRACES.c.workspace, FEEDBACK.c.trace == TRACES.c.id)
    names = (TRACES.c.id.label("asked_id"), TRACES.c.model, TRACES.c.meta, TRACES.c.created.label("asked"))
    query = sa.select(FEEDBACK, *names).join(TRACES, about).where(_mine(rollout), FEEDBACK.c.created > after)
    with db.reading() as conn:
        found = rows(conn, query.order_by(FEEDBACK.c.created, FEEDBACK.c.id).limit(MOST))
    made = [(row, worth(row["thumb"], row["score"], row["correction"])) for row in found]
    return [
        Rating(row["id"], row["asked_id"], row["model"], _unit(row), value, row["asked"], row["created"])
        for row, value in made
        if value is not None
    ]


def calls(db: Database, rollout: Rollout, after: float = 0.0) -> list[Call]:
    """Return the calls that came since the rollout began and ended after a time (s), oldest first."""
    ended = TRACES.c.created + TRACES.c.seconds
    names = ("id", "model", "meta", "answer", "finish", "seconds", "created")
    query = sa.select(*(TRACES.c[name] for name in names)).where(
        _mine(rollout), TRACES.c.created > after - LONGEST_CALL, ended > after
    )
    with db.reading() as conn:
        found = rows(conn, query.order_by(ended, TRACES.c.id).limit(MOST))
    return [
        Call(row["id"], row["model"], _unit(row), row["answer"], row["finish"], row["seconds"], row["created"])
        for row in found
    ]


def usual_seconds(db: Database, rollout: Rollout, share: float) -> float:
    """Return what this share (0-1) of the incumbent's latest calls before the rollout took at most (s); 0 if none."""
    mine = sa.and_(TRACES.c.workspace == rollout.workspace, TRACES.c.endpoint == rollout.endpoint)
    query = sa.select(TRACES.c.seconds).where(mine, TRACES.c.created <= rollout.created, TRACES.c.kind != "eval")
    with db.reading() as conn:
        found = sorted(conn.scalars(query.order_by(TRACES.c.created.desc()).limit(1000)))
    return float(found[min(len(found) - 1, int(share * len(found)))]) if found else 0.0


def worth(thumb: int | None, score: float | None, correction: str) -> float | None:
    """Return what a judgement says of an answer, from 0 to 1: its thumb, else its score; corrected is wrong."""
    if thumb is not None:
        return 1.0 if thumb > 0 else 0.0
    if score is not None:
        return min(1.0, max(0.0, score))
    return 0.0 if correction.strip() else None


def _mine(rollout: Rollout) -> sa.ColumnElement[bool]:
    return sa.and_(
        TRACES.c.workspace == rollout.workspace,
        TRACES.c.endpoint == rollout.endpoint,
        TRACES.c.model.in_([rollout.model, rollout.incumbent]),
        TRACES.c.created >= rollout.created,
        TRACES.c.kind != "eval",
    )


def _unit(row: dict[str, Any]) -> str:
    return str(row["meta"].get("conversation") or "")
