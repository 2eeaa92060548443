"""Verdicts and what they led to: the model version that each endpoint serves, now and before.

Knows the rows. Does not know how a verdict is reached, nor how a deployment is brought about.
"""

from __future__ import annotations

import sqlalchemy as sa

from feilun.records import Deployment, Verdict
from feilun.store import audit, changes, lineage
from feilun.store.database import Database, insert, one, rows, serialise
from feilun.store.schema import DEPLOYMENTS, VERDICTS, from_row, to_row


def add(db: Database, verdict: Verdict) -> Verdict:
    """Keep a verdict and return it as kept; one that is there already stays as it is."""
    with db.writing() as conn:
        insert(conn, VERDICTS, [to_row(verdict)])
        lineage.record(conn, verdict.workspace, [(verdict.candidate, verdict.id, "judged")])
    return get(db, verdict.workspace, verdict.id)


def get(db: Database, ws: str, verdict_id: str) -> Verdict:
    """Return a verdict; raise NotFound."""
    query = sa.select(VERDICTS).where(VERDICTS.c.workspace == ws, VERDICTS.c.id == verdict_id)
    with db.reading() as conn:
        return from_row(Verdict, one(conn, query, f"verdict {verdict_id}"))


def find(db: Database, ws: str) -> list[Verdict]:
    """Return the verdicts of a workspace, oldest first."""
    query = sa.select(VERDICTS).where(VERDICTS.c.workspace == ws).order_by(VERDICTS.c.created, VERDICTS.c.id)
    with db.reading() as conn:
        return [from_row(Verdict, row) for row in rows(conn, query)]


def promote(db: Database, deployment: Deployment) -> Deployment:
    """Make a deployment the current one of its endpoint; the same id again changes nothing."""
    ws, own_id = deployment.workspace, deployment.id
    made = [(deployment.model, own_id, "serves"), (deployment.verdict, own_id, "decided")]
    known = sa.select(DEPLOYMENTS).where(DEPLOYMENTS.c.workspace == ws, DEPLOYMENTS.c.id == own_id)
    with db.writing() as conn:
        serialise(conn, "deployments")
        if not conn.execute(known).first():
            last = conn.execute(sa.select(sa.func.max(DEPLOYMENTS.c.seq))).scalar_one() or 0
            insert(conn, DEPLOYMENTS, [to_row(deployment, seq=last + 1)])
            lineage.record(conn, ws, made)
            changes.bump(conn)
            facts = {"endpoint": deployment.endpoint, "deployment": own_id, "verdict": deployment.verdict}
            audit.note(conn, ws, "", "model.promoted", deployment.model, facts)
        return from_row(Deployment, one(conn, known, f"deployment {own_id}"))


def current(db: Database, ws: str, endpoint: str = "own") -> Deployment | None:
    """Return what an endpoint serves now, or None if nothing was promoted yet."""
    query = sa.select(DEPLOYMENTS).where(DEPLOYMENTS.c.workspace == ws, DEPLOYMENTS.c.endpoint == endpoint)
    with db.reading() as conn:
        found = rows(conn, query.order_by(DEPLOYMENTS.c.seq.desc()).limit(1))
    return from_row(Deployment, found[0]) if found else None


def deployments(db: Database, ws: str) -> list[Deployment]:
    """Return every deployment of a workspace in the order in which they were promoted."""
    query = sa.select(DEPLOYMENTS).where(DEPLOYMENTS.c.workspace == ws).order_by(DEPLOYMENTS.c.seq)
    with db.reading() as conn:
        return [from_row(Deployment, row) for row in rows(conn, query)]
