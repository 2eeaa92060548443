"""API keys, of which only the SHA-256 is kept. Knows keys, roles and scopes; does not know what either may do."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import Sequence

import sqlalchemy as sa

from feilun.errors import BadRequest
from feilun.records import Key, Role, new_id
from feilun.store import audit, changes
from feilun.store.access import members
from feilun.store.access.naming import check_name
from feilun.store.database import Database, insert, one, rows
from feilun.store.schema import KEYS, MEMBERS, from_row, to_row

SCOPES = ("models", "data", "admin")


def create(
    db: Database,
    ws: str,
    name: str,
    role: Role,
    member: str = "",
    expires: float | None = None,
    scopes: Sequence[str] = (),
) -> tuple[Key, str]:
    """Make a key; return it and its secret (``fl-`` and 40 characters), which is never to be had again.

    ``member`` is whose key it is (an id); ``expires`` from when on it is of no use; ``scopes`` narrow what it may be
    used for: calls to ``models``, work with ``data``, our own API (``admin``); none is all that the role permits.
    Raises BadRequest for what cannot be, or for a role above the member's, NotFound for a workspace or member.
    """
    members.check_role(role)
    name = check_name(name, "A key's name")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise BadRequest(f"{unknown[0]!r} is no scope.", f"Choices: {', '.join(SCOPES)}.", "scopes")
    if expires is not None and not (math.isfinite(expires) and expires > time.time()):
        raise BadRequest("The key would have expired already.", "Give a time to come.", "expires")
    if member:
        found = members.get(db, ws, member)
        if found.removed:
            raise BadRequest(f"{found.name} was removed.", "Add a member first.", "member")
        if members.rank(role) > members.rank(found.role):
            raise BadRequest(
                f"{found.name} is {found.role}; a key of theirs cannot be {role}.", f"Use {found.role}.", "role"
            )
    secret = f"fl-{secrets.token_urlsafe(30)}"
    sha = hashlib.sha256(secret.encode()).hexdigest()
    kept = tuple(scope for scope in SCOPES if scope in scopes)
    key = Key(new_id("key"), ws, name, role, sha, f"fl-…{secret[-4:]}", member=member, expires=expires, scopes=kept)
    with db.writing() as conn:
        insert(conn, KEYS, [to_row(key)])
        changes.bump(conn)
        facts = {"name": name, "role": role, "member": member, "expires": expires, "scopes": kept}
        audit.note(conn, ws, "", "key.made", key.id, facts)
    return key, secret


def all_active(db: Database) -> dict[str, Key]:
    """Return every key of every workspace that may be used now, by the SHA-256 (hex) of its secret.

    Left out are revoked and expired ones and those of removed members; ``expires`` says until when the others hold.
    """
    whose = sa.and_(MEMBERS.c.workspace == KEYS.c.workspace, MEMBERS.c.id == KEYS.c.member)
    lasting = sa.or_(KEYS.c.expires.is_(None), KEYS.c.expires > time.time())
    gone = sa.exists().where(whose, MEMBERS.c.removed)
    query = sa.select(KEYS).where(~KEYS.c.revoked, lasting, ~gone)
    with db.reading() as conn:
        return {row["sha256"]: from_row(Key, row) for row in rows(conn, query)}


def find(db: Database, ws: str) -> list[Key]:
    """Return the keys of a workspace, revoked ones too, oldest first."""
    query = sa.select(KEYS).where(KEYS.c.workspace == ws).order_by(KEYS.c.created, KEYS.c.id)
    with db.reading() as conn:
        return [from_row(Key, row) for row in rows(conn, query)]


def get(db: Database, ws: str, key_id: str) -> Key:
    """Return a key, also a revoked one; raise NotFound."""
    query = sa.select(KEYS).where(KEYS.c.workspace == ws, KEYS.c.id == key_id)
    with db.reading() as conn:
        return from_row(Key, one(conn, query, f"key {key_id}"))


def revoke(db: Database, ws: str, key_id: str) -> None:
    """Make a key useless for ever; raise NotFound."""
    where = sa.and_(KEYS.c.workspace == ws, KEYS.c.id == key_id)
    with db.writing() as conn:
        one(conn, sa.select(KEYS.c.id).where(where), f"key {key_id}")
        conn.execute(sa.update(KEYS).where(where).values(revoked=True))
        changes.bump(conn)
        audit.note(conn, ws, "", "key.revoked", key_id)
