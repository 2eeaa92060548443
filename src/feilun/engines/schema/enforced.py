"""JSON Schemas and tool calls as grammars: what can be enforced, within which limits, and the text of the grammar.

It knows JSON Schema and the text format of grammars (llguidance's). It does not know tokens, and loads no library: who
only checks a request needs none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from feilun.errors import BadRequest
from feilun.records import JSON

MOST_BYTES, MOST_DEPTH, MOST_SCHEMAS = 200_000, 64, 10_000
MOST_REPEATS = 100_000  # larger counts of characters or items are no bound for an answer
GREATEST_INTEGER, GREATEST_NUMBER = 2**53 - 1, 10**18
CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
SPACED = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}  # as chat templates write calls

_ONE = ("additionalProperties", "additionalItems", "items")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_REFUSED = {
    *("not", "if", "then", "else", "uniqueItems", "contains", "minContains", "maxContains", "propertyNames"),
    *("dependencies", "dependentRequired", "dependentSchemas", "unevaluatedProperties", "unevaluatedItems"),
    *("$dynamicRef", "$recursiveRef"),
}
_INERT: dict[str, tuple[Any, ...]] = {
    "uniqueItems": (False,),
    "dependencies": ({},),
    "dependentRequired": ({},),
    "dependentSchemas": ({},),
    "unevaluatedProperties": (True, {}),
    "unevaluatedItems": (True, {}),
    "propertyNames": (True, {}),
    "not": (False,),
}
_NOTES = {"title", "description", "default", "examples", "$comment", "deprecated", "readOnly", "writeOnly"}
_FORMATS = {
    *("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri", "unknown"),
}
_LENGTHS = {"email": 64, "hostname": 63}  # what readers take, who count the parts
_SECONDS = {"date-time": "^.{17}[0-5]", "time": "^.{6}[0-5]"}  # leap seconds are right, but few readers take them
_BLANKS = r" \t\n\r\f\v"
_NAMES = "// functions: "
_ANSWER = "answer"  # the part of a grammar that answers have to conform to which are no calls
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_TAKES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(_COUNTS, (int, float)),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (int, float)),
    **dict.fromkeys(("required", "enum", "allOf", "anyOf", "oneOf", "prefixItems"), (list,)),
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions"), (dict,)),
    "type": (str, list),
    "format": (str,),
    "pattern": (str,),
}


def json_grammar(schema: Any = None, param: str = "response_format") -> str:
    """Return the grammar of compact JSON that conforms to ``schema``; None is any object.

    Raises BadRequest, with ``param``, for a schema that is none, too large, too deep, or of which a part cannot be
    enforced; the message names that part.
    """
    return _text([{"name": _ANSWER, "json_schema": _prepared({"type": "object"} if schema is None else schema, param)}])


def call_grammar(
    functions: Sequence[tuple[str, Any]], *, free: bool, parallel: bool, form: str = "", param: str = "tools"
) -> str:
    """Return the grammar of calls of ``functions`` (name, schema of the arguments).

    With ``free`` the answer may be, or begin with, plain text; where ``form`` (what ``json_grammar`` returned) says how
    answers have to look, it may be such an answer instead. Without ``parallel`` there is one call and no more.
    """
    more = r' ("\n" call)*' if parallel else ""
    rules = ["%llguidance {}", _NAMES + json.dumps([name for name, _ in functions])]
    if free and form:
        rules.append(f"start: @{_ANSWER} | call{more}")
    elif free:
        # A lazy text ends where a call opens; only a text in which none opens may be the whole answer.
        rules += [f"start: TEXT | opened_call{more}", "TEXT: /(?s:.*)/", "opened_call: head body"]
        rules.append(f"head[lazy]: /(?s:.*){CALL_OPEN}/")
    else:
        rules.append(f"start: call{more}")
    rules.append(f'call: "{CALL_OPEN}" body')
    rules.append("body: " + " | ".join(f"body_{place}" for place in range(len(functions))))
    parts: list[JSON] = []
    for place, (name, schema) in enumerate(functions):
        begin = json.dumps("\n" + '{"name": ' + json.dumps(name) + ', "arguments": ')
        rules.append(f"body_{place}: {begin} @arguments_{place} " + json.dumps("}\n" + CALL_CLOSE))
        given = {"type": "object", "properties": {}} if schema is None else schema
        if isinstance(given, dict) and given.get("properties") == {}:
            given = {"additionalProperties": False, **given}  # no parameters
        where = f"{param}[{place}].function.parameters"
        parts.append({"name": f"arguments_{place}", "json_schema": _prepared(given, where, SPACED)})
    if free and form:
        parts += json.loads(form)["grammars"]
    return _text([{"name": "calls", "lark_grammar": "\n".join(rules)}, *parts])


def _text(grammars: list[JSON]) -> str:
    return json.dumps({"grammars": grammars}, ensure_ascii=False)


def schemas(grammar: str) -> list[JSON]:
    """Return the schemas inside a grammar."""
    return [part["json_schema"] for part in json.loads(grammar)["grammars"] if "json_schema" in part]


def answer_schema(grammar: str) -> JSON | None:
    """Return the schema of answers that are no call; None where they are plain text, or may not be."""
    parts = json.loads(grammar)["grammars"]
    return next((part["json_schema"] for part in parts if part["name"] == _ANSWER), None)


def functions(grammar: str) -> list[tuple[str, JSON]]:
    """Return the functions (name, schema of the arguments) that a grammar of calls lets call; nothing for others."""
    first, *rest = json.loads(grammar)["grammars"]
    if "lark_grammar" not in first:
        return []
    names = json.loads(first["lark_grammar"].split("\n")[1].removeprefix(_NAMES))
    return [(name, part["json_schema"]) for name, part in zip(names, rest, strict=False)]


def is_free(grammar: str) -> bool:
    """Say whether an answer may be no call all the same."""
    return "\nstart: call" not in json.loads(grammar)["grammars"][0].get("lark_grammar", "")


def call_text(name: str, arguments: Any) -> str:
    """Return a call as models write it."""
    return f'{CALL_OPEN}\n{{"name": {json.dumps(name)}, "arguments": {json.dumps(arguments)}}}\n{CALL_CLOSE}'


def patterns(schema: JSON) -> list[str]:
    """Return the patterns of texts inside a schema."""
    return list(
        dict.fromkeys(each["pattern"] for _, each in _walk(schema, "#") if isinstance(each.get("pattern"), str))
    )


def _prepared(schema: Any, param: str, style: JSON = COMPACT) -> JSON:
    if schema is True:
        schema = {}
    if not isinstance(schema, dict):
        raise BadRequest("The schema must be a JSON object.", param=param)
    _check_depth(schema, param)
    try:
        size = len(json.dumps(schema, allow_nan=False))
    except ValueError as error:
        raise BadRequest(f"The schema cannot be written as JSON: {error}", param=param) from error
    if size > MOST_BYTES:
        raise BadRequest(f"The schema has {size} bytes; at most {MOST_BYTES} can be enforced.", "Shorten it.", param)
    found = list(_walk(schema, "#"))
    if len(found) > MOST_SCHEMAS:
        raise BadRequest(f"The schema has more than {MOST_SCHEMAS} parts.", "Shorten it.", param)
    for place, each in found:
        _check(place, each, param)
    mixed = any(name in each for _, each in found for name in ("allOf", "oneOf")) or any(
        "$ref" in each and len(each.keys() - _NOTES) > 1 for _, each in found
    )
    return {**_copy(schema, closed=not mixed), "x-guidance": style}


def _check_depth(schema: Any, param: str) -> None:
    level, depth = [schema], 0
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise BadRequest(f"The schema is nested deeper than {MOST_DEPTH} levels.", "Flatten it with $ref.", param)
        nested = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [item for items in nested for item in items if isinstance(item, dict | list)]


def _walk(schema: Any, place: str) -> Iterator[tuple[str, JSON]]:
    """Give every schema inside a schema, with its place; names of properties are no keywords."""
    if not isinstance(schema, dict):
        return
    yield place, schema
    for name in _ONE:
        yield from _walk(schema.get(name), f"{place}/{name}")
    for name in _LISTS:
        if isinstance(schema.get(name), list):
            for number, each in enumerate(schema[name]):
                yield from _walk(each, f"{place}/{name}/{number}")
    for name in _MAPS:
        if isinstance(schema.get(name), dict):
            for key, each in schema[name].items():
                yield from _walk(each, f"{place}/{name}/{key}")


def _check(place: str, schema: JSON, param: str) -> None:
    for name in _TAKES.keys() & schema.keys():
        value = schema[name]
        whole = all(isinstance(each, str) for each in value) if name == "required" and isinstance(value, list) else True
        if not isinstance(value, _TAKES[name]) or not whole:
            raise BadRequest(f"The schema is none: {name} at {place} is {json.dumps(value)[:60]}.", param=param)
    for name in sorted(_REFUSED & schema.keys()):
        if schema[name] not in _INERT.get(name, ()):
            raise unenforceable(f"the keyword {name} at {place}", param)
    form = schema.get("format")
    if form is not None and form not in _FORMATS:
        raise unenforceable(f"the format {str(form)[:60]!r} at {place}", param)
    reference = schema.get("$ref")
    if reference is not None and not (isinstance(reference, str) and reference.startswith("#")):
        raise unenforceable(f"the $ref {str(reference)[:60]!r} at {place}, which leads out of the schema", param)
    for name in _COUNTS:
        count = schema.get(name)
        if isinstance(count, int | float) and count > MOST_REPEATS and name.startswith("min"):
            raise unenforceable(f"{name} {count} at {place}", param)


def unenforceable(what: str, param: str) -> BadRequest:
    """Return the error for a schema of which ``what`` cannot be enforced."""
    return BadRequest(f"This schema cannot be enforced: {what} is not supported.", "Leave it out.", param)


def _copy(schema: Any, *, closed: bool) -> Any:
    """Return the schema without notes and inert keywords.

    ``closed``: objects that list their properties have no others. What conforms then conforms to the schema as it was,
    and a small model does not go on inventing keys. Not where schemas are merged, for one would exclude the other.
    """
    if not isinstance(schema, dict):
        return schema
    made: JSON = {}
    for name, value in schema.items():
        if name in _NOTES or name == "x-guidance" or (name in _REFUSED and name in _INERT):
            continue
        if name in _LISTS and isinstance(value, list):
            made[name] = [_copy(each, closed=closed) for each in value]
        elif name in _MAPS and isinstance(value, dict):
            made[name] = {key: _copy(each, closed=closed) for key, each in value.items()}
        elif name in _ONE:
            made[name] = _copy(value, closed=closed)
        elif name == "pattern" and isinstance(value, str):
            made[name] = _portable(value)
        else:
            made[name] = value
    if not made.keys() & {"const", "enum"}:
        _bound(made)
    if closed:
        _close(made)
    return made


def _close(schema: JSON) -> None:
    """Let an object that lists its properties have no others, where that leaves an instance."""
    listed = schema.get("properties")
    if listed and not schema.keys() & {"additionalProperties", "patternProperties", "anyOf", "$ref"}:
        needed, least = schema.get("required", []), schema.get("minProperties", 0)
        if isinstance(needed, list) and set(needed) <= listed.keys() and least <= len(listed):
            schema["additionalProperties"] = False


def _portable(pattern: str) -> str:
    r"""Return a pattern whose ``\s`` means the same to every reader: some count U+0085 and U+FEFF as blanks."""
    made, inside, without, place = "", False, False, 0
    while place < len(pattern):
        mark = pattern[place : place + 2] if pattern[place] == "\\" else pattern[place]
        place += len(mark)
        inside = mark == "[" or (inside and mark != "]")
        without = without if inside and mark != "[" else pattern[place : place + 1] == "^"
        if mark == "\\s" and without and inside:
            mark = r"\s\u{FEFF}"
        elif mark == "\\s":
            mark = _BLANKS if inside else f"[{_BLANKS}]"
        elif mark == "\\S" and not inside:
            mark = r"[^\s\u{FEFF}]"
        made += mark
    return made


def _bound(schema: JSON) -> None:
    """Keep within what every reader takes: 1e999 is a number, but reads as infinity; names and hosts have lengths."""
    if schema.get("format") in _LENGTHS:
        schema["maxLength"] = min(schema.get("maxLength", _LENGTHS[schema["format"]]), _LENGTHS[schema["format"]])
    if (pattern := _SECONDS.get(schema.get("format", ""))) is not None:
        schema["allOf"] = [*schema.get("allOf", []), {"pattern": pattern}]
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    bound = GREATEST_NUMBER if "number" in kinds else GREATEST_INTEGER if "integer" in kinds else None
    if bound is None:
        return
    if not schema.keys() & {"minimum", "exclusiveMinimum"} and schema.get("maximum", 0) > -bound:
        schema["minimum"] = -bound
    if not schema.keys() & {"maximum", "exclusiveMaximum"} and schema.get("minimum", 0) < bound:
        schema["maximum"] = bound
