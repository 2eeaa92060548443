"""Model versions. Knows their rows; does not know what is in their folders."""

from __future__ import annotations

import sqlalchemy as sa

from feilun.records import ModelVersion
from feilun.store.database import Database, insert, one, rows
from feilun.store.schema import MODELS, from_row, to_row


def add(db: Database, model: ModelVersion) -> ModelVersion:
    """Keep a model version and return it as kept; one that is there already stays as it is."""
    with db.writing() as conn:
        insert(conn, MODELS, [to_row(model)])
    return get(db, model.workspace, model.id)


def get(db: Database, ws: str, model_id: str) -> ModelVersion:
    """Return a model version of the workspace, or a base; raise NotFound."""
    query = sa.select(MODELS).where(MODELS.c.workspace.in_([ws, ""]), MODELS.c.id == model_id)
    with db.reading() as conn:
        return from_row(ModelVersion, one(conn, query.order_by(MODELS.c.workspace.desc()), f"model version {model_id}"))


def find(db: Database, ws: str) -> list[ModelVersion]:
    """Return the bases and the workspace's own model versions, oldest first."""
    query = sa.select(MODELS).where(MODELS.c.workspace.in_([ws, ""])).order_by(MODELS.c.created, MODELS.c.id)
    with db.reading() as conn:
        return [from_row(ModelVersion, row) for row in rows(conn, query)]
