"""Graders by form: regular expressions and JSON schemas, tried in a confined process that is ended when it is slow.

This module knows what is asked of the process and what its answer means. It does not know how a pattern is matched.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from feilun.errors import EngineError
from feilun.grading.sandbox import ask
from feilun.grading.seam import Case, Grade, right_or_wrong
from feilun.grading.strings import OUTPUT

SECONDS = 2.0
FILTERS = ("regex", "take_first", "remove_whitespace", "lowercase", "uppercase")
_FENCED = re.compile(r"```[\w-]*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)


class Regex(msgspec.Struct, tag="regex", forbid_unknown_fields=True):
    """The pattern is found in the answer (``whole``: is the answer); with ``reference``, its first group is that.

    ``flags`` are those of Python's ``re``: ``i``, ``m``, ``s``, ``x``. ``absent`` turns it round.
    """

    pattern: str
    flags: str = ""
    whole: bool = False
    absent: bool = False
    reference: str | None = None
    input: str = OUTPUT
    name: str = ""

    def __post_init__(self) -> None:
        if not set(self.flags) <= set("imsx"):
            raise ValueError("flags must be of i, m, s and x")
        try:
            re.compile(self.pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"pattern is no regular expression: {error}") from error

    async def grade(self, case: Case) -> Grade:
        """Search."""
        task = {"pattern": self.pattern, "flags": self.flags, "whole": self.whole, "text": case.fill(self.input)}
        found = await ask("regex", task, SECONDS)
        right = bool(found["found"])
        if right and self.reference is not None:
            right = (found["group"] or "").strip() == case.fill(self.reference).strip()
        return right_or_wrong(right != self.absent, "found" if found["found"] else "not found")


class JsonSchema(msgspec.Struct, tag="json_schema", forbid_unknown_fields=True):
    """The answer is JSON that ``schema`` permits; ``fenced`` takes it out of a code block first.

    With ``reference``, the fields that it names must have its values.
    """

    schema: dict[str, Any]
    reference: dict[str, Any] | None = None
    fenced: bool = False
    input: str = OUTPUT
    name: str = ""

    async def grade(self, case: Case) -> Grade:
        """Parse, validate, compare."""
        text = case.fill(self.input).strip()
        blocks = _FENCED.findall(text) if self.fenced else []
        try:
            value = json.loads(blocks[-1] if blocks else text, parse_constant=_no_json)
            found = await ask("schema", {"schema": self.schema, "value": value}, SECONDS)
        except (ValueError, RecursionError):
            return Grade(0.0, False, "The answer is not JSON.")
        except EngineError as error:
            # A value that the schema cannot even be tried on is wrong; a schema that fails on any is an error.
            await ask("schema", {"schema": self.schema, "value": None}, SECONDS)
            return Grade(0.0, False, error.message)
        if found["fault"]:
            return Grade(0.0, False, str(found["fault"])[:300])
        for name, wanted in (self.reference or {}).items():
            if not isinstance(value, dict) or not _same(value.get(name), wanted):
                return Grade(0.0, False, f"{name} is not {json.dumps(wanted, ensure_ascii=False)}.")
        return Grade(1.0, True)


def _no_json(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _same(one: Any, other: Any) -> bool:
    """Say whether two values of JSON are the same: 1 is 1.0, and neither is true."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


class ExactMatch(msgspec.Struct, tag="exact_match", forbid_unknown_fields=True):
    """The answer, after ``filters``, is a reference: lm-evaluation-harness's metric, with its arguments."""

    reference: list[str]
    filters: list[dict[str, Any]] = []
    regexes_to_ignore: list[str] = []
    ignore_case: bool = False
    ignore_punctuation: bool = False
    ignore_numbers: bool = False
    input: str = OUTPUT
    name: str = ""

    def __post_init__(self) -> None:
        try:
            for step in self.filters:
                if step.get("function") not in FILTERS:
                    raise ValueError(f"the filter {str(step)[:80]} is not known; known are {', '.join(FILTERS)}")
                re.compile(str(step.get("regex_pattern", "")))
            for pattern in self.regexes_to_ignore:
                re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"a pattern is no regular expression: {error}") from error

    async def grade(self, case: Case) -> Grade:
        """Filter and compare."""
        task = {
            "text": case.fill(self.input),
            "references": self.reference,
            "filters": self.filters,
            "regexes_to_ignore": self.regexes_to_ignore,
            "ignore_case": self.ignore_case,
            "ignore_punctuation": self.ignore_punctuation,
            "ignore_numbers": self.ignore_numbers,
        }
        found = await ask("match", task, SECONDS)
        return right_or_wrong(bool(found["found"]), f"compared: {str(found['text'])[:80]!r}")
