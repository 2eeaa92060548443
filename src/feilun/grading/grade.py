"""Which graders there are, how a spec is checked, and how a grade is given whatever a grader does.

This module knows the table of graders and their deadline. It does not know what any of them looks at.
"""

from __future__ import annotations

import ast
import asyncio
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from feilun.errors import BadRequest, FeilunError
from feilun.grading.choices import Choice
from feilun.grading.citations import Citation
from feilun.grading.judges import LabelModel, Rubric, ScoreModel
from feilun.grading.maths import Maths
from feilun.grading.numbers import Numeric
from feilun.grading.patterns import ExactMatch, JsonSchema, Regex
from feilun.grading.programs import Code, Python
from feilun.grading.seam import Case, Grade, Grader, Judge
from feilun.grading.similarity import TextSimilarity
from feilun.grading.spans import F1
from feilun.grading.strings import Contains, Exact, StringCheck
from feilun.grading.texts import is_known, variables
from feilun.grading.tools import ToolCall
from feilun.records import JSON

SECONDS = 120.0  # a judge that a busy machine serves may take this long; everything else has its own, shorter limit
MOST_GRADERS, DEEPEST = 32, 3
_TEMPLATES = ("input", "reference", "accept", "reject", "question")  # fields whose texts are filled in


class Multi(msgspec.Struct, tag="multi", forbid_unknown_fields=True):
    """OpenAI's grader of this name: others, and a formula over their scores; it passes from ``pass_threshold`` on."""

    graders: dict[str, dict[str, Any]] | list[dict[str, Any]]
    calculate_output: str
    pass_threshold: float = 1.0
    name: str = ""

    def __post_init__(self) -> None:
        named = self.named
        if not 0 < len(named) <= MOST_GRADERS or len(named) < len(self.graders):
            raise ValueError(f"graders must be 1 to {MOST_GRADERS}, each with its own name")
        calculate(self.calculate_output, dict.fromkeys(named, 1.0))

    @property
    def named(self) -> dict[str, dict[str, Any]]:
        """The graders by name: given so, or as a list of graders with names."""
        given = self.graders
        return given if isinstance(given, dict) else {str(each.get("name")): each for each in given}

    async def grade(self, case: Case) -> Grade:
        """Have each grade, then calculate; one that fails is the failure of all."""
        specs = self.named.values()
        grades = await asyncio.gather(*(grade(spec, case.item, case.sample, case.judge) for spec in specs))
        for name, each in zip(self.named, grades, strict=True):
            if each.error:
                return Grade(0.0, False, error=f"{name}: {each.error}")
        scores = {name: each.score for name, each in zip(self.named, grades, strict=True)}
        value = calculate(self.calculate_output, scores)
        why = ", ".join(f"{name} {score:.2f}" for name, score in scores.items())
        return Grade(min(1.0, max(0.0, value)), value >= self.pass_threshold - 1e-9, why)


_TYPES: tuple[type[Any], ...] = (
    *(StringCheck, TextSimilarity, ScoreModel, LabelModel, Python, Multi),
    *(Contains, Exact, Choice, Numeric, Maths, F1, ExactMatch, Regex, JsonSchema, Code, ToolCall, Citation, Rubric),
)
TYPES: dict[str, type[Any]] = {str(each.__struct_config__.tag): each for each in _TYPES}


def make(spec: JSON) -> Grader:
    """Return the grader that ``spec`` describes; raise BadRequest that names what is wrong with it."""
    return _make(spec, 0)


def _make(spec: Any, depth: int) -> Grader:
    kind = spec.get("type") if isinstance(spec, Mapping) else None
    if not isinstance(kind, str) or kind not in TYPES:
        raise BadRequest(
            f"There is no grader of type {str(kind)[:60]!r}.", f"Choices: {', '.join(sorted(TYPES))}.", "type"
        )
    try:
        made: Grader = msgspec.convert(spec, TYPES[kind])
    except (msgspec.ValidationError, RecursionError) as error:
        raise BadRequest(f"The grader {kind} cannot be: {error}.", "See the documentation of graders.", kind) from error
    if isinstance(made, Multi):
        if depth >= DEEPEST:
            raise BadRequest("Graders of type multi are nested too deeply.", param="multi")
        for name, inner in made.named.items():
            try:
                _make(inner, depth + 1)
            except BadRequest as error:
                raise BadRequest(f"{name[:80]}: {error.message}", error.hint, "multi") from error
    return made


def check(spec: JSON) -> None:
    """Raise BadRequest if ``spec`` describes no grader, or one whose templates name what no answer ever has."""
    for name in named(make(spec)):
        if name.partition(".")[0] not in {"item", "sample"}:
            raise BadRequest(
                f"The grader names {name[:80]!r}, which is not known.",
                "Templates name {{item.x}}, a field of the line, or {{sample.output_text}}, the answer.",
                "grader",
            )


def named(grader: Grader) -> list[str]:
    """Return the variables that the templates of a grader name, ``item.x`` and ``sample.output_text``, each once."""
    if isinstance(grader, Multi):
        return list(dict.fromkeys(name for spec in grader.named.values() for name in named(make(spec))))
    texts = [text for field in _TEMPLATES for text in _texts(getattr(grader, field, None))]
    strict = isinstance(grader, StringCheck | TextSimilarity | ScoreModel | LabelModel)
    return list(dict.fromkeys(name for text in texts for name in variables(text, every=strict)))


def lacking(spec: JSON, item: Mapping[str, Any], sample: Mapping[str, Any]) -> list[str]:
    """Return what the templates of a grader name and an answer to this item will not have, or have as null."""
    spaces = {"item": item, "sample": sample}
    return [name for name in named(make(spec)) if not is_known(name, spaces)]


def _texts(value: Any) -> list[str]:
    """Return the texts of a field of a grader, however they lie in it."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, msgspec.Struct):
        value = msgspec.to_builtins(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [text for each in inner for text in _texts(each)]


async def grade(
    spec: JSON, item: Mapping[str, Any], sample: Mapping[str, Any], judge: Judge | None = None, seconds: float = SECONDS
) -> Grade:
    """Return the grade of one answer; whatever its grader does, raise or hang, the grade says so in ``error``.

    ``item`` and ``sample`` (``output_text`` and more) are what templates may name. ``judge`` is who answers the
    questions of graders that ask a model; ``seconds`` is the longest that any may take.
    """
    try:
        grader = make(spec)
    except BadRequest as error:
        return Grade(0.0, False, error=f"{error.message} {error.hint}".strip())
    work = asyncio.ensure_future(grader.grade(Case(item, sample, judge)))
    try:
        await asyncio.wait({work}, timeout=seconds)
    finally:
        finished = work.done()
        work.cancel()
    if not finished:
        await asyncio.wait({work}, timeout=1.0)
        return Grade(0.0, False, error=f"The grader took more than {seconds:g} seconds.")
    failure = work.exception()
    if isinstance(failure, FeilunError):
        return Grade(0.0, False, error=failure.message)
    if failure is not None:
        return Grade(0.0, False, error=f"The grader failed ({type(failure).__name__}: {str(failure)[:200]}).")
    return _sound(work.result())


def _sound(found: Grade) -> Grade:
    """Return a grade with a score that can be counted with."""
    if not isinstance(found.score, int | float) or not math.isfinite(found.score):
        return Grade(0.0, False, error=f"The grader's score {found.score!r} is not a number.")
    score = min(1.0, max(0.0, float(found.score)))
    return Grade(score, bool(found.passed) and not found.error, found.why, found.error)


_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}
_CALLS: dict[str, Callable[..., float]] = {
    "min": min, "max": max, "abs": abs, "floor": math.floor, "ceil": math.ceil, "exp": math.exp, "sqrt": math.sqrt,
    "log": math.log,
}  # fmt: skip


def calculate(formula: str, values: Mapping[str, float]) -> float:
    """Return the value of a formula of + - * / ^, brackets and a few functions over named values; raise ValueError."""
    if len(formula) > 1000:
        raise ValueError("calculate_output is too long")
    try:
        found = float(_value(ast.parse(formula.replace("^", "**").strip(), mode="eval").body, values))
    except (SyntaxError, RecursionError, MemoryError, ArithmeticError, TypeError) as error:
        raise ValueError(f"calculate_output cannot be calculated: {error}") from error
    if not math.isfinite(found):
        raise ValueError("calculate_output is not finite")
    return found


def _value(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, values)
        case ast.BinOp(left=left, op=how, right=right) if type(how) in _BINARY:
            return _BINARY[type(how)](_value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id=name), args=given, keywords=[]) if name in _CALLS:
            return _CALLS[name](*(_value(each, values) for each in given))
    raise ValueError(f"calculate_output may hold names of graders, numbers, + - * / ^ and {', '.join(sorted(_CALLS))}")
