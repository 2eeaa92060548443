"""Wheels and their turns, kept and read; each change of rules noted. Does not know when a wheel is to turn."""

from __future__ import annotations

import time
from dataclasses import asdict, fields, replace
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from feilun.errors import BadRequest
from feilun.records import JSON
from feilun.store import audit
from feilun.store.database import Database, insert, rows, serialise
from feilun.store.schema import from_row, to_row
from feilun.store.wheel.nouns import Rules, Spin, Wheel
from feilun.store.wheel.tables import SPINS, WHEELS

_NAMES = {each.name for each in fields(Rules)}
_MOST = 1e6


def get(db: Database, ws: str) -> Wheel:
    """Return the wheel of a workspace; one that nobody set up is off, with the usual rules."""
    with db.reading() as conn:
        return _get(conn, ws)


def put(db: Database, ws: str, *, on: bool | None = None, rules: JSON | None = None) -> Wheel:
    """Change what is said of a wheel, from now on, and return it; raise BadRequest and change nothing."""
    with db.writing() as conn:
        serialise(conn, "wheel", ws)
        found = _get(conn, ws)
        made = replace(found, on=found.on if on is None else on, rules=_checked(found.rules, rules or {}))
        _write(conn, made)
        audit.note(conn, ws, "", "wheel.set", ws, {"on": made.on, **(rules or {})})
    return made


def keep(db: Database, ws: str, state: JSON) -> None:
    """Keep what a wheel has turned on; names that ``state`` does not have stay."""
    with db.writing() as conn:
        serialise(conn, "wheel", ws)
        found = _get(conn, ws)
        _write(conn, replace(found, state={**found.state, **state}))


def asked(db: Database, ws: str) -> None:
    """Ask for a turn at the next look."""
    keep(db, ws, {"asked": time.time()})


def turning(db: Database) -> list[Wheel]:
    """Return the wheels that are on."""
    with db.reading() as conn:
        return [_wheel(row) for row in rows(conn, sa.select(WHEELS).where(WHEELS.c.on).order_by(WHEELS.c.workspace))]


def begin(db: Database, spin: Spin) -> None:
    """Note that a turn begins, before it does."""
    with db.writing() as conn:
        insert(conn, SPINS, [to_row(spin)])
        audit.note(conn, spin.workspace, "", "wheel.turned", spin.id, {"trigger": spin.why.get("trigger", "")})


def end(db: Database, spin: Spin, status: Literal["succeeded", "failed", "stopped"], outcome: JSON) -> None:
    """Note how a turn ended; one that has ended stays as it is."""
    mine = sa.and_(SPINS.c.workspace == spin.workspace, SPINS.c.id == spin.id, SPINS.c.status == "running")
    values = {"status": status, "outcome": outcome, "ended": time.time()}
    with db.writing() as conn:
        conn.execute(sa.update(SPINS).where(mine).values(**values))


def spins(db: Database, ws: str, since: float = 0.0, status: str = "") -> list[Spin]:
    """Return the turns of a wheel that were not over at a time (s), those with a status, oldest first."""
    query = sa.select(SPINS).where(SPINS.c.workspace == ws)
    query = query.where(SPINS.c.status == status) if status else query
    query = query.where(sa.or_(SPINS.c.ended.is_(None), SPINS.c.ended >= since))
    with db.reading() as conn:
        return [from_row(Spin, row) for row in rows(conn, query.order_by(SPINS.c.began, SPINS.c.id))]


def _get(conn: Connection, ws: str) -> Wheel:
    found = rows(conn, sa.select(WHEELS).where(WHEELS.c.workspace == ws))
    return _wheel(found[0]) if found else Wheel(ws)


def _wheel(row: dict[str, Any]) -> Wheel:
    said = {name: value for name, value in row["rules"].items() if name in _NAMES}
    return Wheel(row["workspace"], row["on"], Rules(**{**said, "paths": tuple(said.get("paths", ()))}), row["state"])


def _write(conn: Connection, wheel: Wheel) -> None:
    insert(conn, WHEELS, [{**to_row(wheel), "rules": asdict(wheel.rules)}], ("on", "rules", "state"))


def _checked(rules: Rules, said: JSON) -> Rules:
    for name, value in said.items():
        if name not in _NAMES:
            raise BadRequest(f"A wheel has no rule {name[:40]!r}.", f"Rules: {', '.join(sorted(_NAMES))}.", name[:40])
        usual = getattr(Rules(), name)
        if isinstance(usual, bool):
            good = isinstance(value, bool)
        elif isinstance(usual, tuple):
            good = isinstance(value, list | tuple) and all(isinstance(path, str) and path for path in value)
        else:
            good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST
        if not good:
            raise BadRequest(f"{name} cannot be {str(value)[:60]!r}.", "feilun wheel show tells how it is.", name)
    made: JSON = {name: tuple(value) if name == "paths" else value for name, value in said.items()}
    checked = replace(rules, **made)
    if (checked.turn_money or checked.day_money) and not checked.hour_price:
        raise BadRequest("A budget of money needs the price of an hour.", "Give hour_price, too.", "hour_price")
    return checked
