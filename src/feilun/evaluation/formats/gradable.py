"""Whether an item can be graded at all: its grader is one, reads its own reference, and lets some answer be right.

This module knows what each grader makes of a reference. It does not know where items come from, or who answers.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Collection
from typing import Any, NoReturn

import jsonschema_rs

from feilun.errors import BadRequest
from feilun.grading import contains, tokens
from feilun.grading.choices import LETTERS, Choice
from feilun.grading.grade import Multi, make
from feilun.grading.maths import Maths
from feilun.grading.numbers import Number, Numeric, numbers
from feilun.grading.patterns import ExactMatch, JsonSchema
from feilun.grading.programs import Code
from feilun.grading.spans import F1, units
from feilun.grading.strings import Contains, Exact, References
from feilun.grading.tools import ToolCall
from feilun.records import JSON


def readable(text: str) -> list[Number]:
    """Return the numbers of a text; none where one of them cannot be worked out (``1/0``)."""
    try:
        return numbers(text)
    except ArithmeticError:
        return []


def whole(value: Any) -> bool:
    """Say whether a value can be kept as text: it holds no half of a character (a lone surrogate)."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
        return True
    if isinstance(value, dict):
        return all(whole(each) for each in (*value, *value.values()))
    return all(whole(each) for each in value) if isinstance(value, list | tuple) else True


def fault_of(spec: JSON, tools: Collection[str] = ()) -> str:
    """Return why no answer could be graded right by ``spec``; empty if one could. ``tools`` are those on offer."""
    try:
        grader = make(spec)
    except BadRequest as error:
        return error.message
    match grader:
        case Multi():
            return next((fault for each in grader.named.values() if (fault := fault_of(each, tools))), "")
        case Numeric():
            return _unread(grader.reference, readable, "holds no number")
        case F1():
            return _unread(grader.reference, units, "holds no word")
        case Exact() | Maths():
            return _unread(grader.reference, str.strip, "is empty")
        case ExactMatch():
            return _unread(list(grader.reference), str.strip, "is empty")
        case Contains():
            return _refused(grader.accept, grader.reject)
        case Choice():
            return _not_offered(grader)
        case JsonSchema():
            return _no_schema(grader.schema)
        case Code():
            return _no_program(grader.tests) if isinstance(grader.tests, str) else ""
        case ToolCall():
            return _no_tool([each.name for each in grader.reference], tools)
    return ""


def _unread(reference: References, read: Callable[[str], object], why: str) -> str:
    texts = [str(text) for text in (reference if isinstance(reference, list) else [reference])]
    # What a template will hold is not known yet.
    if any("{{" in text or read(text) for text in texts):
        return ""
    return f"its reference {', '.join(texts)[:60]!r} {why}"


def _refused(accept: list[str], reject: list[str]) -> str:
    if any("{{" in text for text in (*accept, *reject)):
        return ""
    refused = {tuple(tokens(text)) for text in reject}
    both = next((text for text in accept if tokens(text) and tuple(tokens(text)) in refused), "")
    if both:
        return f"it accepts and rejects {both[:60]!r}"
    if not any(contains(text, [text], reject) for text in accept):
        return f"each text that it accepts holds one that it rejects ({', '.join(accept)[:60]})"
    return ""


def _not_offered(grader: Choice) -> str:
    named = grader.reference
    if isinstance(named, int) or "{{" in named:
        return ""
    letters = set(named.upper()) & set(LETTERS)
    return "" if letters and letters <= set(grader.offered) else f"{named[:60]!r} is none of its options"


def _no_schema(schema: JSON) -> str:
    def retrieve(uri: str) -> NoReturn:
        raise ValueError(f"nothing is downloaded ({uri})")

    try:
        jsonschema_rs.validator_for(schema, retriever=retrieve)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        return f"its schema is wrong: {str(error).splitlines()[0][:160]}"
    return ""


def _no_program(tests: str) -> str:
    try:
        with warnings.catch_warnings(action="ignore"):
            ast.parse(tests)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"its tests are no Python: {error}"
    return ""


def _no_tool(wanted: list[str], tools: Collection[str]) -> str:
    offered = {name.replace(".", "_") for name in tools}
    missing = next((name for name in wanted if tools and name.replace(".", "_") not in offered), "")
    return f"it wants a call of {missing[:60]}, which is none of its tools" if missing else ""
