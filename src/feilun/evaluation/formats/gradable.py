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
from feilun.grading import contains, render_template, tokens
from feilun.grading.choices import LETTERS, Choice
from feilun.grading.grade import Multi, make
from feilun.grading.maths import Maths
from feilun.grading.numbers import Number, Numeric, numbers
from feilun.grading.patterns import ExactMatch, JsonSchema
from feilun.grading.programs import Code
from feilun.grading.seam import Case, Grader
from feilun.grading.spans import F1, units
from feilun.grading.strings import Contains, Exact, StringCheck
from feilun.grading.texts import fill
from feilun.grading.tools import ToolCall
from feilun.records import JSON

_SAMPLE: JSON = {"output_text": "", "output_tools": []}


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


def fault_of(spec: JSON, item: JSON | None = None) -> str:
    """Return why no answer could be graded right by ``spec``; empty if one could.

    ``item`` holds what templates may name as ``item.…``, and the tools that are offered.
    """
    item = item or {}
    try:
        grader = make(spec)
        if isinstance(grader, Multi):
            return next((fault for each in grader.named.values() if (fault := fault_of(each, item))), "")
        if isinstance(grader, StringCheck):
            render_template(grader.reference, item, _SAMPLE)
        fill(str(getattr(grader, "input", "")), item, _SAMPLE)
        return _fault(grader, item)
    except BadRequest as error:
        return error.message.rstrip(".")


def _fault(grader: Grader, item: JSON) -> str:
    case = Case(item, _SAMPLE)
    match grader:
        case Numeric():
            return _unread(case.fill_all(grader.reference), readable, "holds no number")
        case F1():
            return _unread(case.fill_all(grader.reference), units, "holds no word")
        case Exact() | Maths():
            return _unread(case.fill_all(grader.reference), str.strip, "is empty")
        case ExactMatch():
            return _unread(grader.reference, str.strip, "is empty")
        case Contains():
            return _refused(*([case.fill(text) for text in texts] for texts in (grader.accept, grader.reject)))
        case Choice(reference=str(reference)):
            return _not_offered(case.fill(reference), grader.offered)
        case JsonSchema():
            return _no_schema(grader.schema)
        case Code(tests=str(tests)):
            return _no_program(tests)
        case ToolCall():
            offered = [each["function"]["name"] for each in item.get("tools", ())]
            return _no_tool([each.name for each in grader.reference], offered)
    return ""


def _unread(texts: list[str], read: Callable[[str], object], why: str) -> str:
    return "" if any(read(text) for text in texts) else f"its reference {', '.join(texts)[:60]!r} {why}"


def _refused(accept: list[str], reject: list[str]) -> str:
    refused = {tuple(tokens(text)) for text in reject}
    both = next((text for text in accept if tokens(text) and tuple(tokens(text)) in refused), "")
    if both:
        return f"it accepts and rejects {both[:60]!r}"
    if not any(contains(text, [text], reject) for text in accept):
        return f"each text that it accepts holds one that it rejects ({', '.join(accept)[:60]})"
    return ""


def _not_offered(named: str, offered: str) -> str:
    letters = set(named.upper()) & set(LETTERS)
    return "" if letters and letters <= set(offered) else f"{named[:60]!r} is none of its options"


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
