"""Stored responses of ``/v1/responses``. Knows their rows; does not know the shapes within."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import sqlalchemy as sa

from feilun.records import JSON
from feilun.store.database import Database, insert, one
from feilun.store.schema import RESPONSES, from_row, to_row


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response as it was given (``body``), and the whole conversation up to and with it (``messages``).

    ``previous`` is the id of the response that it goes on from, or empty.
    """

    id: str
    workspace: str
    body: JSON
    messages: tuple[JSON, ...] = ()
    previous: str = ""
    created: float = field(default_factory=time.time)


def add(db: Database, response: StoredResponse) -> None:
    """Keep a response; one that is there already is replaced. Raises NotFound for an unknown workspace."""
    with db.writing() as conn:
        insert(conn, RESPONSES, [to_row(response)], ("previous", "body", "messages"))


def get(db: Database, ws: str, response_id: str) -> StoredResponse:
    """Return a response; raise NotFound."""
    query = sa.select(RESPONSES).where(RESPONSES.c.workspace == ws, RESPONSES.c.id == response_id)
    with db.reading() as conn:
        return from_row(StoredResponse, one(conn, query, f"response {response_id}"))


def delete(db: Database, ws: str, response_id: str) -> None:
    """Forget a response; raise NotFound. Responses that went on from it keep their conversation."""
    where = sa.and_(RESPONSES.c.workspace == ws, RESPONSES.c.id == response_id)
    with db.writing() as conn:
        one(conn, sa.select(RESPONSES.c.id).where(where), f"response {response_id}")
        conn.execute(sa.delete(RESPONSES).where(where))
