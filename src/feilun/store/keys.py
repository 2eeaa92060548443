"""API keys, of which only the SHA-256 is kept. Knows keys and roles; does not know what a role may do."""

from __future__ import annotations

import hashlib
import secrets
from typing import get_args

import sqlalchemy as sa

from feilun.errors import BadRequest
from feilun.records import Key, Role, new_id
from feilun.store import changes
from feilun.store.database import Database, insert, one, rows
from feilun.store.schema import KEYS, from_row, to_row


def create(db: Database, ws: str, name: str, role: Role) -> tuple[Key, str]:
    """Make a key; return it and its secret (``fl-`` and 40 characters), which is never to be had again.

    Raises BadRequest for an unknown role, NotFound for an unknown workspace.
    """
    if role not in get_args(Role):
        raise BadRequest(f"{role!r} is no role.", f"Choices: {', '.join(get_args(Role))}.", "role")
    secret = f"fl-{secrets.token_urlsafe(30)}"
    sha = hashlib.sha256(secret.encode()).hexdigest()
    key = Key(new_id("key"), ws, name, role, sha, hint=f"fl-…{secret[-4:]}")
    with db.writing() as conn:
        insert(conn, KEYS, [to_row(key)])
        changes.bump(conn)
    return key, secret


def all_active(db: Database) -> dict[str, Key]:
    """Return every key of every workspace that was not revoked, by the SHA-256 (hex) of its secret."""
    with db.reading() as conn:
        return {row["sha256"]: from_row(Key, row) for row in rows(conn, sa.select(KEYS).where(~KEYS.c.revoked))}


def find(db: Database, ws: str) -> list[Key]:
    """Return the keys of a workspace, revoked ones too, oldest first."""
    query = sa.select(KEYS).where(KEYS.c.workspace == ws).order_by(KEYS.c.created, KEYS.c.id)
    with db.reading() as conn:
        return [from_row(Key, row) for row in rows(conn, query)]


def revoke(db: Database, ws: str, key_id: str) -> None:
    """Make a key useless for ever; raise NotFound."""
    where = sa.and_(KEYS.c.workspace == ws, KEYS.c.id == key_id)
    with db.writing() as conn:
        one(conn, sa.select(KEYS.c.id).where(where), f"key {key_id}")
        conn.execute(sa.update(KEYS).where(where).values(revoked=True))
        changes.bump(conn)
