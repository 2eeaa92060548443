"""The private data spaces. Knows their names; does not know what lives in them."""

from __future__ import annotations

import re
import time

import sqlalchemy as sa

from feilun.errors import BadRequest
from feilun.store.database import Database, insert
from feilun.store.schema import WORKSPACES

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def ensure(db: Database, name: str) -> None:
    """Make the workspace if there is none of this name; raise BadRequest for a name that is not allowed."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot name a workspace.", "Use 1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit."
        )
    with db.writing() as conn:
        insert(conn, WORKSPACES, [{"name": name, "created": time.time(), "permissions": {}}])


def names(db: Database) -> list[str]:
    """Return the names of all workspaces, sorted."""
    with db.reading() as conn:
        return sorted(conn.scalars(sa.select(WORKSPACES.c.name)))
