"""One number that grows with every promotion, key and permission change, so that a reader can poll for news.

Knows the number; does not know what changed.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from feilun.store.database import Database
from feilun.store.schema import CHANGES


def number(db: Database) -> int:
    """Return the number of now."""
    with db.reading() as conn:
        return int(conn.execute(sa.select(CHANGES.c.number)).scalar_one())


def bump(conn: Connection) -> None:
    """Count one change, in the transaction that makes it."""
    conn.execute(sa.update(CHANGES).values(number=CHANGES.c.number + 1))
