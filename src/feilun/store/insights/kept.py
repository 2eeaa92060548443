"""Insights on their way: found, found again, decided. Does not know what makes one, nor what a decision writes."""

from __future__ import annotations

import time
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from feilun.errors import Conflict
from feilun.records import JSON
from feilun.store import audit, lineage
from feilun.store.database import Database, insert, one, rows, serialise
from feilun.store.insights.nouns import Insight, State
from feilun.store.insights.tables import INSIGHTS, to_insight
from feilun.store.schema import to_row

# What looking again may change; the rest is what people decided.
_FOUND = ("name", "question", "terms", "proposal", "evidence", "calls", "share", "reasons", "rated", "trend", "live")


def keep(db: Database, ws: str, found: Sequence[Insight]) -> list[Insight]:
    """Keep what was found now, and return every insight of the workspace as kept.

    One that is known already gets the new figures and keeps its decision. An open one that is not in ``found`` fades,
    one that is found again opens. Links each insight to the calls that are its evidence.
    """
    now = time.time()
    with db.writing() as conn:
        serialise(conn, "insights", ws)
        known = {insight.id: insight for insight in _find(conn, ws)}
        insert(conn, INSIGHTS, [to_row(each) for each in found if each.id not in known])
        for each in found:
            if each.id in known:
                values = {name: getattr(each, name) for name in _FOUND} | {"updated": now}
                if known[each.id].status == "faded":
                    values["status"] = "open"
                conn.execute(sa.update(INSIGHTS).where(_is(ws, each.id)).values(values))
        seen = {each.id for each in found}
        for insight_id, insight in known.items():
            if insight_id not in seen and insight.status == "open":
                conn.execute(sa.update(INSIGHTS).where(_is(ws, insight_id)).values(status="faded", updated=now))
        lineage.record(conn, ws, [(str(part["trace"]), one.id, "evidence") for one in found for part in one.evidence])
        return _find(conn, ws)


def get(db: Database, ws: str, insight_id: str) -> Insight:
    """Return an insight; raise NotFound."""
    with db.reading() as conn:
        return _get(conn, ws, insight_id)


def find(db: Database, ws: str, status: State | None = None) -> list[Insight]:
    """Return the insights of a workspace (with a status), those with the most evidence first."""
    with db.reading() as conn:
        return [insight for insight in _find(conn, ws) if status in {None, insight.status}]


def decide(db: Database, ws: str, insight_id: str, status: State, outcome: JSON, children: Sequence[str]) -> Insight:
    """Keep what a person decided, and link what it wrote (``children``); the same decision again changes nothing.

    Raises NotFound, and Conflict if it was decided otherwise before.
    """
    with db.writing() as conn:
        serialise(conn, "insights", ws)
        before = _get(conn, ws, insight_id)
        if before.status in {"accepted", "dismissed"}:
            if before.status == status and before.outcome.get("said") == outcome.get("said"):
                return before
            raise Conflict(f"{insight_id} was {before.status} already.", "Each insight is decided once.")
        values = {"status": status, "outcome": outcome, "updated": time.time()}
        conn.execute(sa.update(INSIGHTS).where(_is(ws, insight_id)).values(values))
        lineage.record(conn, ws, [(insight_id, child, "taught") for child in children])
        audit.note(conn, ws, "", f"insight.{status}", insight_id, {"name": before.name})
        return _get(conn, ws, insight_id)


def _find(conn: Connection, ws: str) -> list[Insight]:
    found = [to_insight(row) for row in rows(conn, sa.select(INSIGHTS).where(INSIGHTS.c.workspace == ws))]
    return sorted(found, key=lambda insight: (-len(insight.evidence), insight.id))


def _get(conn: Connection, ws: str, insight_id: str) -> Insight:
    return to_insight(one(conn, sa.select(INSIGHTS).where(_is(ws, insight_id)), f"insight {insight_id[:100]}"))


def _is(ws: str, insight_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(INSIGHTS.c.workspace == ws, INSIGHTS.c.id == insight_id)
