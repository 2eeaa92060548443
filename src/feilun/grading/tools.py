"""The grader of tool calls: which functions, with which arguments, as the Berkeley leaderboard (BFCL) compares them.

This module knows calls in OpenAI's shape, and calls written out in an answer. It does not know what tools do.
"""

from __future__ import annotations

import ast
import json
import re
from math import isclose
from typing import Any

import msgspec

from feilun.grading.seam import Case, Grade, right_or_wrong
from feilun.records import JSON

_MARKED = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_VALUE = re.compile(r"(?:(?<![\w)])-)?(?<![\d.])\d+(?:\.\d+)?")
_FENCED = re.compile(r"```(?:json|python|tool_code)?\s*\n(.*?)```", re.DOTALL)


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """A call that is wanted; of each argument the values that will do. ``""`` among them: it may be left out."""

    name: str
    arguments: dict[str, list[Any]] = {}


class ToolCall(msgspec.Struct, tag="tool_call", forbid_unknown_fields=True):
    """The model calls exactly the wanted functions (in any order unless ``ordered``); no reference: it calls none."""

    reference: list[Wanted]
    ordered: bool = False
    name: str = ""

    async def grade(self, case: Case) -> Grade:
        """Find the calls and compare them."""
        calls = calls_of(case)
        if len(calls) != len(self.reference):
            return right_or_wrong(False, f"{len(calls)} calls, not {len(self.reference)}.")
        left = list(self.reference)
        for name, arguments in calls:
            here = left[:1] if self.ordered else left
            faults = [(_fault(name, arguments, wanted), wanted) for wanted in here]
            fitting = next((wanted for fault, wanted in faults if not fault), None)
            if fitting is None:
                return right_or_wrong(False, next((fault for fault, _ in faults), "one call too many"))
            left.remove(fitting)
        return right_or_wrong(True, "all calls as wanted")


def _fault(name: str, arguments: JSON, wanted: Wanted) -> str:
    # Providers permit no dots in names.
    if name.replace(".", "_") != wanted.name.replace(".", "_"):
        return f"{name} instead of {wanted.name}"
    for key, values in wanted.arguments.items():
        if key not in arguments:
            if "" not in values and None not in values:
                return f"{name}: {key} is missing"
        elif not any(_same(arguments[key], value) for value in values):
            return f"{name}: {key} is {json.dumps(arguments[key], ensure_ascii=False)[:80]}"
    unknown = sorted(arguments.keys() - wanted.arguments.keys())
    return f"{name}: {unknown[0]} was not asked for" if unknown else ""


def _same(given: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(given, bool):
        return given is wanted
    if isinstance(wanted, int | float) and isinstance(given, int | float):
        return _near(given, wanted)
    if isinstance(wanted, str) and isinstance(given, str):
        # The leaderboard drops marks, those of numbers too; 1.5 is not 15.
        return _plain(given) == _plain(wanted) and _values(given) == _values(wanted)
    if isinstance(wanted, list) and isinstance(given, list):
        return len(wanted) == len(given) and all(_same(a, b) for a, b in zip(given, wanted, strict=True))
    if isinstance(wanted, dict) and isinstance(given, dict):
        return all(_member(given, key, value) for key, value in wanted.items()) and given.keys() <= wanted.keys()
    return bool(given == wanted)


def _near(given: float, wanted: float) -> bool:
    """Say whether two numbers are the same; whole ones exactly, since they may be ids."""
    if isinstance(given, int) and isinstance(wanted, int):
        return given == wanted
    try:
        return isclose(given, wanted, rel_tol=1e-9)
    except OverflowError:
        return False


def _member(given: JSON, key: str, value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return "" in values if key not in given else any(_same(given[key], one) for one in [*values, value])


def _plain(text: str) -> str:
    return re.sub(r"[ ,./\-_*^'\"]", "", text).casefold()


def _values(text: str) -> list[str]:
    return _VALUE.findall(re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text))


def calls_of(case: Case) -> list[tuple[str, JSON]]:
    """Return the calls of a sample: ``output_tools`` or ``tool_calls`` in OpenAI's shape, or written in the answer."""
    given = case.sample.get("output_tools") or case.sample.get("tool_calls")
    if isinstance(given, list) and given:
        return [found for each in given if (found := _call(each)) is not None]
    text = case.output.strip()
    marked = _MARKED.findall(text)
    for source in (marked and ["[" + ",".join(marked) + "]"]) or [*_FENCED.findall(text), text]:
        if calls := _written(source.strip()):
            return calls
    return []


def _call(each: Any) -> tuple[str, JSON] | None:
    if not isinstance(each, dict):
        return None
    body = each.get("function", each)
    if not isinstance(body, dict) or not isinstance(body.get("name"), str):
        # {"name of the function": {arguments}}, as BFCL writes answers
        only = list(each.items())
        return (only[0][0], only[0][1]) if len(only) == 1 and isinstance(only[0][1], dict) else None
    arguments = body.get("arguments", body.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            return body["name"], {"": arguments}
    return body["name"], arguments if isinstance(arguments, dict) else {"": arguments}


def _written(text: str) -> list[tuple[str, JSON]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _python(text)
    found = [_call(each) for each in (value if isinstance(value, list) else [value])]
    return [each for each in found if each is not None] if all(found) else []


def _python(text: str) -> list[tuple[str, JSON]]:
    """Return calls written as Python: ``[f(a=1), g(b="x")]``."""
    try:
        body = ast.parse(text.strip(), mode="eval").body
        nodes = body.elts if isinstance(body, ast.List | ast.Tuple) else [body]
        calls = []
        for node in nodes:
            if not isinstance(node, ast.Call):
                return []
            calls.append((ast.unparse(node.func), {k.arg or "": ast.literal_eval(k.value) for k in node.keywords}))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return []
    return calls
