"""Fields of foreign objects, read as what they must be: what is something else is left out, and noted with its place.

This module knows the types of JSON, and what can be kept of a value: whole characters, finite numbers, some depth. It
does not know what any field means.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from feilun.migration.seam import Brought
from feilun.records import JSON, derived_id

DEEPEST = 100  # objects and lists within each other
_LARGEST = 1 << 63
_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


class TooDeep(ValueError):
    """A value whose objects and lists stand in each other more than :data:`DEEPEST` deep."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of an object; ``place`` says where it stands, for people."""

    value: JSON
    place: str
    found: Brought

    def table(self, name: str) -> Fields:
        """Return an object; an empty one where there is none."""
        return Fields(self._taken(name, dict) or {}, f"{self.place} {name}", self.found)

    def tables(self, name: str) -> list[Fields]:
        """Return the objects of a list; what else stands in it is left out."""
        made = []
        for number, each in enumerate(self._taken(name, list) or [], 1):
            if isinstance(each, dict):
                made.append(Fields(each, f"{self.place} {name} {number}", self.found))
            else:
                self._leave(f"{name} {number}", each, "an object")
        return made

    def named(self, name: str) -> dict[str, Fields]:
        """Return the objects of an object, by name; what else stands in it is left out, and empty."""
        inside = self.table(name)
        return {each: inside.table(each) for each in sorted(inside.value)}

    def each(self, name: str) -> list[Any]:
        """Return a list; an empty one where there is none."""
        return list(self._taken(name, list) or [])

    def text(self, name: str, default: str = "") -> str:
        """Return a text, of a number its digits; ``default`` where there is none, or an empty one."""
        value = self.value.get(name)
        if isinstance(value, bool | int | float):
            return str(value)
        return str(self._taken(name, str) or default)

    def count(self, name: str) -> int:
        """Return a whole number, not below 0; 0 where there is none."""
        value = self.value.get(name)
        if value in (None, "") or _counts(value):
            return int(value or 0)
        if isinstance(value, str) and value.strip().isdecimal() and len(value) < len(str(_LARGEST)):
            return int(value)
        self._leave(name, value, "a count")
        return 0

    def key(self, kind: str) -> str:
        """Return the id of the object; one that follows from its content where it has none."""
        value = self.value.get("id")
        told = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
        return told or derived_id(kind, self.value)

    def _taken(self, name: str, kind: type) -> Any:
        value = self.value.get(name)
        if value is None or isinstance(value, kind):
            return value
        if value not in ("", [], {}):
            self._leave(name, value, _KINDS[kind])
        return None

    def _leave(self, name: str, value: Any, wanted: str) -> None:
        told = _KINDS.get(type(value), type(value).__name__)
        self.found.leave(f"{self.place} ({name})", f"it is {told}, not {wanted}; the rest is here")


def sound(value: Any, deep: int = 0) -> Any:
    """Return a value that JSON and every store can hold: whole characters, finite numbers, names that are texts.

    What is no character becomes U+FFFD, what is no finite number nothing, a number beyond 64 bits its digits, other
    values texts. Raises TooDeep.
    """
    if isinstance(value, str):
        return value if value.isascii() and "\0" not in value else _characters(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -_LARGEST <= value < _LARGEST else _digits(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if deep >= DEEPEST:
        raise TooDeep(f"it is nested more than {DEEPEST} deep")
    if isinstance(value, Mapping):
        return {str(sound(str(name), deep + 1)): sound(inside, deep + 1) for name, inside in value.items()}
    if isinstance(value, list | tuple):
        return [sound(inside, deep + 1) for inside in value]
    if isinstance(value, bytes):
        return _characters(value.decode("utf-8", "replace"))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def decoded(text: str) -> Any:
    """Return what a JSON text holds, fit to be kept; raise ValueError (or RecursionError) for what is none."""
    return sound(json.loads(text))


def _counts(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value < _LARGEST


def _characters(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")


def _digits(number: int) -> str:
    try:
        return str(number)
    except ValueError:  # more digits than Python writes
        return hex(number)
