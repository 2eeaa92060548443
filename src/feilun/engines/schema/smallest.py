"""A small instance of a JSON Schema: how short an answer can be, and what an engine without a model says.

It knows JSON Schema. It does not know grammars or tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from feilun.records import JSON

DEEPEST, MOST_STEPS = 64, 10_000


class Unsatisfiable(ValueError):
    """No instance was found."""


def smallest(schema: Any) -> Any:
    """Return a small instance of a schema: exact for plain ones (types, enums, bounds, required), a guess for patterns.

    Raises Unsatisfiable where every instance would be endless, or none was found.
    """
    return _Smallest(schema).of(schema, 0)


_SHAPED = {
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "date": "2000-01-01",
    "duration": "P1D",
    "email": "a@b.co",
    "hostname": "a",
    "ipv4": "0.0.0.0",
    "ipv6": "::",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "a:b",
}


class _Smallest:
    """The search for a small instance within one schema, whose root references start from."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.steps = 0

    def of(self, schema: Any, depth: int) -> Any:
        self.steps += 1
        if depth > DEEPEST or self.steps > MOST_STEPS:
            raise Unsatisfiable("every instance would be endless")
        if schema is True or schema == {}:
            return 0
        if not isinstance(schema, dict):
            raise Unsatisfiable("nothing conforms to false")
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return min(schema["enum"], key=lambda value: len(json.dumps(value)))
        if "$ref" in schema:
            schema = {**self._found(schema["$ref"]), **{k: v for k, v in schema.items() if k != "$ref"}}
            return self.of(schema, depth + 1)
        for name in ("allOf", "anyOf", "oneOf"):
            if schema.get(name):
                return self._mixed(schema, name, depth)
        kind = schema.get("type", self._kind(schema))
        return self._first([kind] if isinstance(kind, str) else list(kind), schema, depth)

    def _found(self, reference: str) -> JSON:
        found = self.root
        for part in reference.removeprefix("#").strip("/").split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if name:
                found = found[int(name)] if isinstance(found, list) else found.get(name, {})
        return found if isinstance(found, dict) else {}

    def _mixed(self, schema: JSON, name: str, depth: int) -> Any:
        rest = {key: value for key, value in schema.items() if key != name}
        if name == "allOf":
            return self.of(_merged([rest, *schema[name]]), depth + 1)
        options = [_merged([rest, option]) for option in schema[name] if option is not False]
        return self._shortest([lambda option=option: self.of(option, depth + 1) for option in options])

    def _first(self, kinds: list[str], schema: JSON, depth: int) -> Any:
        return self._shortest([lambda kind=kind: self._typed(kind, schema, depth) for kind in kinds])

    def _shortest(self, tries: list[Any]) -> Any:
        made, reason = [], Unsatisfiable("there is nothing to choose from")
        for attempt in tries:
            try:
                made.append(attempt())
            except Unsatisfiable as error:
                reason = error
        if not made:
            raise reason
        return min(made, key=lambda value: len(json.dumps(value)))

    def _kind(self, schema: JSON) -> str:
        if schema.keys() & {"properties", "required", "minProperties"}:
            return "object"
        if schema.keys() & {"minItems", "prefixItems"}:
            return "array"
        return "string" if schema.keys() & {"minLength", "pattern", "format"} else "number"

    def _typed(self, kind: str, schema: JSON, depth: int) -> Any:
        match kind:
            case "null":
                return None
            case "boolean":
                return True
            case "string":
                return _SHAPED.get(schema.get("format", ""), "a" * max(schema.get("minLength", 0), 0))
            case "integer" | "number":
                return _number(schema, whole=kind == "integer")
            case "array":
                given = schema.get("items")
                first: list[Any] = schema.get("prefixItems", given if isinstance(given, list) else [])
                rest = schema.get("additionalItems" if isinstance(schema.get("items"), list) else "items", True)
                count = int(schema.get("minItems", 0))
                return [self.of(first[n] if n < len(first) else rest, depth + 1) for n in range(min(count, 1000))]
            case "object":
                listed = schema.get("properties", {})
                rest = schema.get("additionalProperties", True)
                names = list(schema.get("required", []))
                names += [name for name in listed if name not in names][: int(schema.get("minProperties", 0))]
                return {name: self.of(listed.get(name, rest), depth + 1) for name in names}
            case _:
                raise Unsatisfiable(f"there is no type {kind}")


def _merged(schemas: Sequence[Any]) -> JSON:
    made: JSON = {}
    for schema in schemas:
        for name, value in (schema if isinstance(schema, dict) else {}).items():
            if name == "properties":
                made[name] = {**made.get(name, {}), **value}
            elif name == "required":
                made[name] = [*made.get(name, []), *value]
            else:
                made[name] = value
    return made


def _number(schema: Mapping[str, Any], *, whole: bool) -> Any:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    step = schema.get("multipleOf", 1 if whole else None)
    low = low if isinstance(above, bool) or above is None else above
    high = high if isinstance(below, bool) or below is None else below
    strict = above is not None and above is not False
    if (low is None or low < 0 or (low == 0 and not strict)) and (
        high is None or high > 0 or (high == 0 and not below)
    ):
        return 0
    if low is not None:
        unit = step or (0.5 if high is not None and high - low <= 1 else 1)
        found = -(-low // unit) * unit
        return found + unit if strict and found <= low else found
    unit = step or 1
    return (high or 0) // unit * unit - (unit if below else 0)
