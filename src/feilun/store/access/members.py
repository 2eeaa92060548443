"""The people of a workspace. Knows their roles and which is above which; does not know what a role may do."""

from __future__ import annotations

from typing import get_args

import sqlalchemy as sa

from feilun.errors import BadRequest, Conflict
from feilun.records import Member, Role, new_id
from feilun.store import audit, changes
from feilun.store.access.naming import check_name
from feilun.store.database import Database, insert, one, rows, serialise
from feilun.store.schema import MEMBERS, from_row, to_row

_ROLES: tuple[str, ...] = get_args(Role)


def rank(role: str) -> int:
    """Return how much a role is: more is above."""
    return len(_ROLES) - _ROLES.index(role)


def check_role(role: str) -> None:
    """Raise BadRequest for what is no role."""
    if role not in _ROLES:
        raise BadRequest(f"{role!r} is no role.", f"Choices: {', '.join(_ROLES)}.", "role")


def add(db: Database, ws: str, name: str, role: Role) -> Member:
    """Add a person; raise BadRequest for an unknown role or no name, Conflict for a name that is taken, NotFound."""
    check_role(role)
    name = check_name(name, "A member's name")
    taken = sa.select(MEMBERS.c.id).where(MEMBERS.c.workspace == ws, MEMBERS.c.name == name, ~MEMBERS.c.removed)
    member = Member(new_id("member"), ws, name, role)
    with db.writing() as conn:
        serialise(conn, "members", ws)
        if conn.execute(taken).first() is not None:
            raise Conflict(f"There is a member {name} already.", "Use another name.")
        insert(conn, MEMBERS, [to_row(member)])
        changes.bump(conn)
        audit.note(conn, ws, "", "member.added", member.id, {"name": name, "role": role})
    return member


def get(db: Database, ws: str, member_id: str) -> Member:
    """Return a member, also a removed one; raise NotFound."""
    query = sa.select(MEMBERS).where(MEMBERS.c.workspace == ws, MEMBERS.c.id == member_id)
    with db.reading() as conn:
        return from_row(Member, one(conn, query, f"member {member_id}"))


def find(db: Database, ws: str) -> list[Member]:
    """Return the members of a workspace, removed ones too, oldest first."""
    query = sa.select(MEMBERS).where(MEMBERS.c.workspace == ws).order_by(MEMBERS.c.created, MEMBERS.c.id)
    with db.reading() as conn:
        return [from_row(Member, row) for row in rows(conn, query)]


def resolve(db: Database, ws: str, name: str) -> Member:
    """Return the member with this id or, if not removed, this name; raise NotFound."""
    named = sa.or_(MEMBERS.c.id == name, sa.and_(MEMBERS.c.name == name.strip(), ~MEMBERS.c.removed))
    with db.reading() as conn:
        return from_row(Member, one(conn, sa.select(MEMBERS).where(MEMBERS.c.workspace == ws, named), f"member {name}"))


def remove(db: Database, ws: str, member_id: str) -> None:
    """Make a member's keys useless for ever; raise NotFound. What they used stays on record."""
    where = sa.and_(MEMBERS.c.workspace == ws, MEMBERS.c.id == member_id)
    with db.writing() as conn:
        one(conn, sa.select(MEMBERS.c.id).where(where), f"member {member_id}")
        conn.execute(sa.update(MEMBERS).where(where).values(removed=True))
        changes.bump(conn)
        audit.note(conn, ws, "", "member.removed", member_id)
