"""What was made of what: edges between ids of any noun. Knows ids and relations; does not know what the ids stand for.

The store itself writes the edges that it can see: source → dataset version (``data``), model version → deployment
(``serves``), verdict → deployment (``decided``), candidate → verdict (``judged``), deployment (without one, model
version) → trace (``answered``), trace → feedback (``rated``). Rooms add the others with ``link``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from feilun.store.database import Database, insert
from feilun.store.schema import LINEAGE


@dataclass(frozen=True, slots=True)
class Edge:
    """``child`` was made of, or by, ``parent``; ``relation`` says how."""

    parent: str
    child: str
    relation: str


def link(db: Database, ws: str, edges: Iterable[tuple[str, str, str]]) -> None:
    """Add edges (parent id, child id, relation); those that are there already are left alone."""
    with db.writing() as conn:
        record(conn, ws, edges)


def record(conn: Connection, ws: str, edges: Iterable[tuple[str, str, str]]) -> None:
    """Add edges in the transaction that makes the child."""
    unique = sorted({edge for edge in edges if edge[0] and edge[1]})
    insert(conn, LINEAGE, [{"workspace": ws, "parent": p, "child": c, "relation": r} for p, c, r in unique])


def ancestors(db: Database, ws: str, node: str) -> list[Edge]:
    """Return every edge above ``node``: what made it, what made that, and so on."""
    return _walk(db, ws, node, LINEAGE.c.child, LINEAGE.c.parent)


def descendants(db: Database, ws: str, node: str) -> list[Edge]:
    """Return every edge below ``node``: what it touched, what that touched, and so on."""
    return _walk(db, ws, node, LINEAGE.c.parent, LINEAGE.c.child)


def _walk(db: Database, ws: str, start: str, near: sa.Column[str], far: sa.Column[str]) -> list[Edge]:
    # UNION, not UNION ALL: a node that was reached before is not walked again, so a cycle ends.
    reached = sa.select(sa.literal(start, LINEAGE.c.parent.type).label("id")).cte("reached", recursive=True)
    reached = reached.union(sa.select(far).where(LINEAGE.c.workspace == ws, near == reached.c.id))
    query = (
        sa.select(LINEAGE.c.parent, LINEAGE.c.child, LINEAGE.c.relation)
        .where(LINEAGE.c.workspace == ws, near.in_(sa.select(reached.c.id)))
        .order_by(LINEAGE.c.parent, LINEAGE.c.child, LINEAGE.c.relation)
    )
    with db.reading() as conn:
        return [Edge(*row) for row in conn.execute(query)]
