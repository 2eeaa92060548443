"""What a workspace, member, key or endpoint may use. Knows the rows; does not know what was used, or what it costs."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import get_args

import sqlalchemy as sa

from feilun.errors import BadRequest
from feilun.records import Limit, LimitScope
from feilun.store import audit, changes, keys
from feilun.store.access import endpoints, members
from feilun.store.database import Database, insert, one, rows, serialise
from feilun.store.schema import LIMITS, from_row, to_row

_SCOPES: tuple[str, ...] = get_args(LimitScope)
NUMBERS = tuple(field.name for field in fields(Limit) if str(field.type) == "int | None")
_LARGEST = 2**62


def put(db: Database, limit: Limit) -> Limit:
    """Add a limit, or replace the one of its scope and target, whose id stays; return it as kept.

    The target of a workspace's limit is the workspace, or empty. Raises BadRequest for what cannot be, NotFound for a
    member or key that is not there.
    """
    if limit.scope == "workspace" and limit.target not in {"", limit.workspace}:
        raise BadRequest(f"This limits the workspace {limit.workspace}, not another.", "Leave target out.", "target")
    limit = replace(limit, target=limit.workspace) if limit.scope == "workspace" else limit
    _check(limit)
    if limit.scope == "member":
        members.get(db, limit.workspace, limit.target)
    elif limit.scope == "key":
        keys.get(db, limit.workspace, limit.target)
    where = (LIMITS.c.workspace == limit.workspace, LIMITS.c.scope == limit.scope, LIMITS.c.target == limit.target)
    with db.writing() as conn:
        serialise(conn, "limits", limit.workspace)
        if found := rows(conn, sa.select(LIMITS).where(*where)):
            limit = replace(limit, id=found[0]["id"], created=found[0]["created"])
        insert(conn, LIMITS, [to_row(limit)], (*NUMBERS, "soft"))
        changes.bump(conn)
        values = {name: getattr(limit, name) for name in ("scope", "target", *NUMBERS, "soft")}
        said = {name: value for name, value in values.items() if value is not None}
        audit.note(conn, limit.workspace, "", "limit.set", limit.id, said)
    return limit


def get(db: Database, ws: str, limit_id: str) -> Limit:
    """Return a limit; raise NotFound."""
    query = sa.select(LIMITS).where(LIMITS.c.workspace == ws, LIMITS.c.id == limit_id)
    with db.reading() as conn:
        return from_row(Limit, one(conn, query, f"limit {limit_id}"))


def find(db: Database, ws: str) -> list[Limit]:
    """Return the limits of a workspace, oldest first."""
    query = sa.select(LIMITS).where(LIMITS.c.workspace == ws).order_by(LIMITS.c.created, LIMITS.c.id)
    with db.reading() as conn:
        return [from_row(Limit, row) for row in rows(conn, query)]


def all_of(db: Database) -> list[Limit]:
    """Return the limits of every workspace."""
    with db.reading() as conn:
        return [from_row(Limit, row) for row in rows(conn, sa.select(LIMITS).order_by(LIMITS.c.workspace, LIMITS.c.id))]


def remove(db: Database, ws: str, limit_id: str) -> None:
    """Lift a limit; raise NotFound."""
    where = sa.and_(LIMITS.c.workspace == ws, LIMITS.c.id == limit_id)
    with db.writing() as conn:
        one(conn, sa.select(LIMITS.c.id).where(where), f"limit {limit_id}")
        conn.execute(sa.delete(LIMITS).where(where))
        changes.bump(conn)
        audit.note(conn, ws, "", "limit.removed", limit_id)


def _check(limit: Limit) -> None:
    if limit.scope not in _SCOPES:
        raise BadRequest(f"{limit.scope!r} cannot be limited.", f"Choices: {', '.join(_SCOPES)}.", "scope")
    if limit.scope == "endpoint":
        endpoints.check_name(limit.target, "target")
    numbers = {name: getattr(limit, name) for name in NUMBERS}
    if all(number is None for number in numbers.values()):
        raise BadRequest("This limits nothing.", f"Give one of {', '.join(NUMBERS)}.")
    for name, number in numbers.items():
        if number is not None and not 0 <= number <= _LARGEST:
            raise BadRequest(f"{name} is a number from 0 on.", param=name)
    if not 0 <= limit.soft <= 1:
        raise BadRequest("soft is a share from 0 to 1.", param="soft")
