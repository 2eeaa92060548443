"""Model versions, and which of them are on: promoted, behind an endpoint that was set up, or turned on by somebody.

Knows the rows and this rule; does not know what is in their folders, nor how a call is answered.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from feilun.errors import BadRequest, Conflict
from feilun.records import Deployment, Endpoint, ModelVersion
from feilun.store import audit, changes, verdicts
from feilun.store.access import endpoints
from feilun.store.access.naming import check_name
from feilun.store.database import Database, insert, one, rows
from feilun.store.schema import MODELS, TURNED_ON, from_row, to_row


def add(db: Database, model: ModelVersion) -> ModelVersion:
    """Keep a model version and return it as kept; one that is there already stays. Raises BadRequest for no name."""
    check_name(model.name, "A model's name")
    with db.writing() as conn:
        insert(conn, MODELS, [to_row(model)])
    return get(db, model.workspace, model.id)


def get(db: Database, ws: str, model_id: str) -> ModelVersion:
    """Return a model version of the workspace, or a base; raise NotFound."""
    with db.reading() as conn:
        return _get(conn, ws, model_id)


def find(db: Database, ws: str) -> list[ModelVersion]:
    """Return the bases and the workspace's own model versions, oldest first."""
    query = sa.select(MODELS).where(MODELS.c.workspace.in_([ws, ""])).order_by(MODELS.c.created, MODELS.c.id)
    with db.reading() as conn:
        return [from_row(ModelVersion, row) for row in rows(conn, query)]


def turn_on(db: Database, ws: str, model_id: str, who: str) -> ModelVersion:
    """Have a version of the workspace answer to its id because ``who`` wants it; whoever did so first stays.

    Raises NotFound, or BadRequest for a base, which is never off.
    """
    with db.writing() as conn:
        version = _switchable(conn, ws, model_id)
        insert(conn, TURNED_ON, [{"workspace": ws, "model": model_id, "who": who, "created": time.time()}])
        changes.bump(conn)
        audit.note(conn, ws, "", "model.on", model_id, {"who": who})
    return version


def turn_off(db: Database, ws: str, model_id: str) -> ModelVersion:
    """Take back what :func:`turn_on` did, if it did; raise as it does, and Conflict while a name stands for it."""
    reason = found_on(db, ws).get(model_id, "")
    if reason.startswith("deployment-"):
        raise Conflict(f"{model_id} is promoted.", "Roll back to an earlier deployment first.")
    if reason.startswith("endpoint-"):
        raise Conflict(f"{model_id} stands behind {reason}.", "Change or remove that endpoint first.")
    with db.writing() as conn:
        version = _switchable(conn, ws, model_id)
        conn.execute(sa.delete(TURNED_ON).where(TURNED_ON.c.workspace == ws, TURNED_ON.c.model == model_id))
        changes.bump(conn)
        audit.note(conn, ws, "", "model.off", model_id)
    return version


def turned_on(db: Database) -> dict[tuple[str, str], str]:
    """Return who turned on which version: (workspace, id) -> who."""
    with db.reading() as conn:
        return {(row["workspace"], row["model"]): row["who"] for row in rows(conn, sa.select(TURNED_ON))}


def on(
    turned: Mapping[tuple[str, str], str], promoted: Iterable[Deployment], chosen: Iterable[Endpoint]
) -> dict[tuple[str, str], str]:
    """Return which versions answer to their ids, and why: (workspace, id) -> a deployment, an endpoint, or somebody.

    ``turned`` is what :func:`turned_on` returns, ``promoted`` are current deployments, ``chosen`` endpoints that were
    set up: whoever named a version in one wants it to answer.
    """
    found = dict(turned)
    for endpoint in chosen:
        names = (*(target.model for target in endpoint.targets if not target.provider), *endpoint.fallback)
        found |= {(endpoint.workspace, name): endpoint.id for name in names}
    return found | {(deployment.workspace, deployment.model): deployment.id for deployment in promoted}


def found_on(db: Database, ws: str) -> dict[str, str]:
    """Return what :func:`on` says of one workspace as it is kept now: id -> why."""
    current = {each.endpoint: each for each in verdicts.deployments(db, ws)}
    found = on(turned_on(db), current.values(), endpoints.find(db, ws))
    return {name: why for (workspace, name), why in found.items() if workspace == ws}


def _get(conn: Connection, ws: str, model_id: str) -> ModelVersion:
    query = sa.select(MODELS).where(MODELS.c.workspace.in_([ws, ""]), MODELS.c.id == model_id)
    return from_row(ModelVersion, one(conn, query.order_by(MODELS.c.workspace.desc()), f"model version {model_id}"))


def _switchable(conn: Connection, ws: str, model_id: str) -> ModelVersion:
    version = _get(conn, ws, model_id)
    if version.kind == "base":
        raise BadRequest(f"{version.name} is a base, which is never off.", "Name a version of your own.", "model")
    return version
