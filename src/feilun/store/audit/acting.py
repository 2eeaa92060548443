"""Who acts, and the one call by which every room leaves its note.

Whoever begins work says once who it is (``with acting("key-…"):``), and everything that is done in it, also in threads
and tasks, is noted under that name. This module does not know how notes are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy.engine import Connection

from feilun.store.audit.chain import Note, append
from feilun.store.database import Database

NOBODY = "process"
_MOST = 256
_actor: ContextVar[str] = ContextVar("actor", default="")
_waiting: ContextVar[list[tuple[str, Note]] | None] = ContextVar("waiting", default=None)


@contextmanager
def acting(name: str) -> Iterator[None]:
    """Note what the block does under this name; within it, work that says who it is (a job) is added to the name."""
    before = _actor.get()
    token = _actor.set(name if name.startswith(before) or not before else f"{before} {name}")
    try:
        yield
    finally:
        _actor.reset(token)


def actor() -> str:
    """Return who acts now."""
    return _actor.get() or NOBODY


def note(
    where: Database | Connection,
    ws: str,
    who: str,
    action: str,
    about: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Note that ``who`` (empty: who acts now) did ``action`` (``source.read``) to ``about`` (an id) in a workspace.

    With a connection the note is part of its transaction, as its last step. With a database it is kept at once, or,
    within :func:`together`, when that block ends.
    """
    made = Note.now(who or actor(), action, about, details or {})
    waiting = _waiting.get()
    if isinstance(where, Connection):
        append(where, ws, [made])
    elif waiting is None:
        with where.writing() as conn:
            append(conn, ws, [made])
    else:
        waiting.append((ws, made))
        if len(waiting) >= _MOST:
            _write(where, waiting)


@contextmanager
def together(db: Database) -> Iterator[None]:
    """Keep the notes of the block in few transactions; all are kept before the block hands anything on."""
    if _waiting.get() is not None:
        yield
        return
    waiting: list[tuple[str, Note]] = []
    token = _waiting.set(waiting)
    try:
        yield
    finally:
        _waiting.reset(token)
        _write(db, waiting)


def _write(db: Database, waiting: list[tuple[str, Note]]) -> None:
    taken, waiting[:] = list(waiting), []
    if taken:
        with db.writing() as conn:
            for ws in dict.fromkeys(ws for ws, _ in taken):
                append(conn, ws, [made for workspace, made in taken if workspace == ws])
