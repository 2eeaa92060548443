"""What was made of what: edges between ids of any noun. Knows ids and relations; does not know what the ids stand for.

The store itself writes the edges that it can see: source → dataset version (``data``), model version → deployment
(``serves``), verdict → deployment (``decided``), candidate → verdict (``judged``), deployment (without one, model
version) → trace (``answered``), trace → feedback (``rated``). Rooms add the others with ``link``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from feilun.store.database import Database, insert
from feilun.store.schema import LINEAGE, TRACES

_FEW = 500


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
    return _walk(db, ws, node, "child", "parent")


def descendants(db: Database, ws: str, node: str) -> list[Edge]:
    """Return every edge below ``node``: what it touched, what that touched, and so on."""
    return _walk(db, ws, node, "parent", "child")


def _walk(db: Database, ws: str, start: str, near: str, far: str) -> list[Edge]:
    found: set[Edge] = set()
    reached, waiting = {start}, [start]
    with db.reading() as conn:
        while waiting:
            step = [edge for at in range(0, len(waiting), _FEW) for edge in _edges(conn, ws, near, waiting[at:][:_FEW])]
            found.update(step)
            waiting = sorted({str(getattr(edge, far)) for edge in step} - reached)
            reached.update(waiting)
    return sorted(found, key=lambda edge: (edge.parent, edge.child, edge.relation))


def _edges(conn: Connection, ws: str, near: str, nodes: list[str]) -> Iterator[Edge]:
    """Give the edges at ``nodes``; those of traces stand in the traces, which are too many to be written twice."""
    kept = sa.select(LINEAGE.c.parent, LINEAGE.c.child, LINEAGE.c.relation)
    answered = sa.select(TRACES.c.origin, TRACES.c.id, sa.literal_column("'answered'")).where(TRACES.c.origin != "")
    end = {"parent": TRACES.c.origin, "child": TRACES.c.id}[near]
    yield from (Edge(*row) for row in conn.execute(kept.where(LINEAGE.c.workspace == ws, LINEAGE.c[near].in_(nodes))))
    yield from (Edge(*row) for row in conn.execute(answered.where(TRACES.c.workspace == ws, end.in_(nodes))))
