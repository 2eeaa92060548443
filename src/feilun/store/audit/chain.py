"""The audit log of a workspace: numbered entries, each with a hash over itself and the hash of the one before it.

After Schneier and Kelsey, "Secure Audit Logs to Support Computer Forensics" (1999), without their forward keys: whoever
may rewrite the whole database can also rewrite the whole chain, and is found out only by a head that was kept
elsewhere. Knows entries and hashes; does not know who acts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from feilun.errors import BadRequest
from feilun.records import JSON, content_hash
from feilun.store.audit.tables import AUDIT, HEADS
from feilun.store.database import Database, insert, rows, serialise
from feilun.store.schema import clean, from_row

START = "0" * 64
_PIECE = 1000


@dataclass(frozen=True, slots=True)
class Note:
    """What an entry says: when (s), who, did what, to what, and what else is to be known."""

    time: float
    actor: str
    action: str
    object: str
    details: JSON

    @classmethod
    def now(cls, actor: str, action: str, about: str, details: Mapping[str, Any]) -> Note:
        """Return a note of this moment, as the database will give it back."""
        plain = json.loads(json.dumps(clean(dict(details)), ensure_ascii=False))
        return cls(round(time.time(), 3), clean(actor), clean(action), clean(about), plain)


@dataclass(frozen=True, slots=True)
class Entry:
    """A note with its number (1 is the first) and hash."""

    workspace: str
    number: int
    time: float
    actor: str
    action: str
    object: str
    details: JSON
    hash: str

    @property
    def id(self) -> str:
        """Return the number as a text."""
        return str(self.number)


@dataclass(frozen=True, slots=True)
class Break:
    """Where the chain does not hold, and how, in English and Chinese."""

    number: int
    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Verified:
    """How many entries there are, the hash of the last one, and every place where the chain does not hold."""

    entries: int
    head: str
    breaks: tuple[Break, ...]


def append(conn: Connection, ws: str, notes: Sequence[Note]) -> None:
    """Add notes to a workspace's log, in a transaction that takes no other lock after it; raise NotFound."""
    serialise(conn, "audit", ws)
    number, last = _head(conn, ws)
    new = []
    for each in notes:
        number += 1
        values = {"workspace": ws, "number": number, **_said(each)}
        last = _hash(last, values)
        new.append({**values, "hash": last})
    if new:
        conn.execute(sa.insert(AUDIT), new)
        insert(conn, HEADS, [{"workspace": ws, "number": number, "hash": last}], ("number", "hash"))


def head(db: Database, ws: str) -> tuple[int, str]:
    """Return the number and hash of the last entry, to be kept elsewhere; (0, zeros) if there is none."""
    with db.reading() as conn:
        return _head(conn, ws)


def entries(
    db: Database,
    ws: str,
    after: int = 0,
    limit: int = 100,
    action: str = "",
    actor: str = "",
    about: str = "",
) -> list[Entry]:
    """Return up to ``limit`` entries from behind the number ``after`` on, in order.

    ``action`` is one (``source.read``) or a kind of them (``source``), ``actor`` a part of who it was, ``about`` an id.
    """
    query = sa.select(AUDIT).where(AUDIT.c.workspace == ws, AUDIT.c.number > after)
    if action:
        query = query.where(sa.or_(AUDIT.c.action == action, AUDIT.c.action.startswith(f"{action}.", autoescape=True)))
    if actor:
        query = query.where(AUDIT.c.actor.contains(actor, autoescape=True))
    if about:
        query = query.where(AUDIT.c.object == about)
    with db.reading() as conn:
        return [from_row(Entry, row) for row in rows(conn, query.order_by(AUDIT.c.number).limit(limit))]


def verify(db: Database, ws: str, kept: str = "") -> Verified:
    """Look for entries that were changed, removed, inserted or put elsewhere; say where.

    ``kept`` is a head that somebody kept (``NUMBER:HASH``, as ``feilun audit head`` prints it): the log must hold it.
    """
    wanted, wanted_hash = _parse(kept)
    breaks: list[Break] = []
    number, last, count = 0, START, 0
    held = not kept or (wanted, wanted_hash) == (0, START)
    with db.reading() as conn:
        said, said_hash = _head(conn, ws)
        for row in _all(conn, ws):
            if row["number"] != number + 1:
                breaks.append(_missing(number + 1, row["number"] - 1))
                last = row["hash"]  # what it should have been can no longer be told
            elif not _holds(last, row):
                breaks.append(_changed(row["number"]))
            number, last, count = row["number"], row["hash"], count + 1
            held = held or (number, last) == (wanted, wanted_hash)
    if number < said:
        breaks.append(_missing(number + 1, said))
    elif (number, last) != (said, said_hash):
        breaks.append(
            Break(
                number, f"The log does not end as it was left: entry {number}.", f"日志结尾与记录不符：第 {number} 条。"
            )
        )
    if not held:
        breaks.append(
            Break(
                wanted, f"Entry {wanted} is not the one whose head was kept.", f"第 {wanted} 条与所保存的链头不一致。"
            )
        )
    return Verified(count, last, tuple(breaks))


def _all(conn: Connection, ws: str) -> Iterator[dict[str, Any]]:
    after = -(2**62)
    # What is no JSON any more was changed: that is found out where the hash is, not here.
    plain = [column for column in AUDIT.c if column.name != "details"]
    said = sa.cast(AUDIT.c.details, sa.Text).label("details")
    while True:
        query = sa.select(*plain, said).where(AUDIT.c.workspace == ws, AUDIT.c.number > after)
        found = rows(conn, query.order_by(AUDIT.c.number).limit(_PIECE))
        yield from found
        if len(found) < _PIECE:
            return
        after = found[-1]["number"]


def _head(conn: Connection, ws: str) -> tuple[int, str]:
    found = rows(conn, sa.select(HEADS).where(HEADS.c.workspace == ws))
    return (found[0]["number"], found[0]["hash"]) if found else (0, START)


def _said(note: Note) -> JSON:
    return {name: getattr(note, name) for name in ("time", "actor", "action", "object", "details")}


def _hash(last: str, values: Mapping[str, Any]) -> str:
    names = ("workspace", "number", "time", "actor", "action", "object", "details")
    return content_hash([last, {name: values[name] for name in names}])


def _holds(last: str, row: Mapping[str, Any]) -> bool:
    try:
        return bool(row["hash"] == _hash(last, {**row, "details": json.loads(row["details"])}))
    except (ValueError, TypeError, RecursionError):
        return False


def _missing(first: int, last: int) -> Break:
    if last < first:  # a number below 1
        return Break(last + 1, f"An entry {last + 1} was put in.", f"多出了第 {last + 1} 条。")
    many = f"Entries {first} to {last} are missing." if last > first else f"Entry {first} is missing."
    return Break(first, many, f"缺少第 {first} 至 {last} 条。" if last > first else f"缺少第 {first} 条。")


def _changed(number: int) -> Break:
    return Break(
        number,
        f"Entry {number} is not what was written at its place: it was changed, put in or put elsewhere.",
        f"第 {number} 条与写入时不符：被修改、插入或移动。",
    )


def _parse(kept: str) -> tuple[int, str]:
    number, _, value = kept.strip().partition(":")
    if kept and not (number.isascii() and number.isdigit() and len(number) < 16 and len(value) == len(START)):
        raise BadRequest(f"{kept[:100]!r} is no head of a log.", "Give what feilun audit head printed: NUMBER:HASH.")
    return (int(number), value) if kept else (0, START)
