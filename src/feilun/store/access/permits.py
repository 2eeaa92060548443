"""What was said about the use of data on each level, and what follows from it for a purpose on a day.

A workspace, the rules of a folder and a source each say only what they were told; what they leave open is inherited.
Knows names, values and strictness. Does not know sources, nor who said what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import date
from typing import Any

from feilun.errors import BadRequest
from feilun.records import JSON, PURPOSES, Permissions, Purpose

BASES = ("own", "public", "contract", "consent")  # from the freest to the most demanding
NAMES = tuple(field.name for field in fields(Permissions))
_PLAIN = asdict(Permissions())
_CHOICES = {"mask": ("none", "pseudonymise"), "basis": BASES}


def checked(said: Mapping[str, Any]) -> JSON:
    """Return what was said, days as YYYY-MM-DD; raise BadRequest: a wrong value must not permit anything."""
    for name, value in said.items():
        if name not in NAMES:
            raise BadRequest(f"{name!r} is no permission.", f"Choices: {', '.join(NAMES)}.", "permissions")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise BadRequest(f"{name}: {value!r} is none of {', '.join(_CHOICES[name])}.", param=name)
        if name not in {*_CHOICES, "until"} and not isinstance(value, bool):
            raise BadRequest(f"{name}: {value!r} is neither true nor false.", param=name)
    return {name: _day(value) if name == "until" else value for name, value in said.items()}


def said_by(permissions: Permissions) -> JSON:
    """Return what differs from what holds where nobody says anything."""
    return {name: value for name, value in asdict(permissions).items() if value != _PLAIN[name]}


def put_together(*levels: Mapping[str, Any]) -> Permissions:
    """Return what holds: on each level what is said goes before what the levels before it said."""
    return Permissions(**{name: value for level in levels for name, value in level.items()})


def strictest(permissions: Sequence[Permissions]) -> Permissions:
    """Return the permissions that forbid whatever any of the given ones forbids, on the most demanding ground."""
    until = [each.until for each in permissions if each.until]
    return Permissions(
        train=all(each.train for each in permissions),
        retrieve=all(each.retrieve for each in permissions),
        leave=all(each.leave for each in permissions),
        mask="pseudonymise" if any(each.mask == "pseudonymise" for each in permissions) else "none",
        until=min(until) if until else None,
        basis=max((each.basis for each in permissions), key=BASES.index, default="own"),
        encrypt=any(each.encrypt for each in permissions),
    )


def stricter(one: Mapping[str, Any], other: Mapping[str, Any]) -> JSON:
    """Return ``one`` with the stricter value wherever ``other`` says something about the same name."""
    both = asdict(strictest([put_together(one), put_together(other)]))
    return {name: both[name] if name in other else value for name, value in one.items()}


def all_said(ones: Sequence[Mapping[str, Any]]) -> JSON:
    """Return everything that any of them says, the strictest where several say something."""
    found: JSON = {}
    for one in ones:
        found = {**one, **stricter(found, one)}
    return found


def refused(permissions: Permissions, purpose: Purpose, today: date) -> str:
    """Return why something may not be used for a purpose, or nothing if it may."""
    if purpose == "inspect":
        return ""
    if permissions.until and today > date.fromisoformat(permissions.until):
        return f"was permitted until {permissions.until} only"
    granted = {
        "train": permissions.train,
        "retrieve": permissions.retrieve,
        "send_outside": permissions.leave,
        # An exam made of a forbidden source would leak it into the choice of what is trained and promoted.
        "evaluate": permissions.train,
    }
    return "" if granted[purpose] else f"does not permit the purpose {purpose}"


def known(purpose: Purpose) -> None:
    """Raise BadRequest for what is no purpose."""
    if purpose not in PURPOSES:
        raise BadRequest(f"{purpose!r} is no purpose.", f"Choices: {', '.join(PURPOSES)}.", "purpose")


def _day(value: Any) -> str | None:
    try:
        return None if value is None else date.fromisoformat(value).isoformat()
    except (TypeError, ValueError) as error:
        raise BadRequest(f"until: {value!r} is no date.", "Write it as 2026-12-31.", "until") from error
