"""A task of the sandbox: whether two formulas say the same, by computer algebra and, where that gives up, by numbers.

This module knows LaTeX and plain notation of expressions, equations, intervals, sets and tuples. It does not know
which answer is graded. Computer algebra may take for ever: the sandbox ends it.
"""

from __future__ import annotations

import re
from itertools import zip_longest

import sympy
from sympy.parsing.sympy_parser import (
    convert_xor,
    implicit_multiplication_application,
    parse_expr,
    standard_transformations,
)

from feilun.records import JSON

_PARSING = (*standard_transformations, convert_xor, implicit_multiplication_application)
_NAMES = {name: getattr(sympy, name) for name in (
    "sqrt", "sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "sinh", "cosh", "tanh", "exp", "log",
    "pi", "E", "I", "oo", "Abs", "factorial", "binomial", "Rational", "Integer", "Float", "Symbol", "Function", "root",
)}  # fmt: skip
_NAMES |= {
    "ln": sympy.log,
    "arcsin": sympy.asin,
    "arccos": sympy.acos,
    "arctan": sympy.atan,
    "e": sympy.E,
    "i": sympy.I,
}
_SAFE = re.compile(r"[\w\s+\-*/^().,=<>!|]*")
_DROPPED = re.compile(
    r"\\(?:left|right|displaystyle|mathrm\{~?\w*\}|text\{[^{}]*\}|quad|qquad|,|;|:|!|\s|mathbf|boldsymbol|big|Big|bigl|bigr)|\$|~"
)
_FRACTION = re.compile(r"\\[dt]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
_ROOT = re.compile(r"\\sqrt\s*(?:\[([^\]]*)\])?\s*(?:\{([^{}]*)\}|(\w))")
_POWER = re.compile(r"(\^|_)\s*\{([^{}]*)\}")
_WORDS = {
    r"\cdot": "*", r"\times": "*", r"\div": "/", r"\pi": "pi", r"\infty": "oo", r"\pm": "±", r"\leq": "<=",
    r"\geq": ">=",
    r"\le": "<=", r"\ge": ">=", r"\neq": "!=", r"\in": "∈", r"\cup": "∪", r"\{": "{", r"\}": "}", r"\%": "/100",
    r"\circ": "°", r"\mathrm": "", r"\mathbb": "", r"\operatorname": "",
}  # fmt: skip
_SIGNS = str.maketrans({"−": "-", "×": "*", "·": "*", "÷": "/", "π": "pi", "∞": "oo", "（": "(", "）": ")", "，": ",",
                        "；": ";", "＝": "=", "≤": "<=", "≥": ">=", "％": "%", "【": "[", "】": "]"})  # fmt: skip


def plain(text: str) -> str:
    """Return LaTeX or plain notation as what a parser of expressions reads."""
    found = _DROPPED.sub(" ", text.translate(_SIGNS)).strip().strip(".。")
    for sign, number in (("²", 2), ("³", 3)):
        found = found.replace(sign, f"**{number}")
    found = re.sub(r"√\s*\(([^()]*)\)", r"sqrt(\1)", found)
    found = re.sub(r"√\s*(\d+(?:\.\d+)?|\w)", r"sqrt(\1)", found)
    for _ in range(12):  # from the inside out
        before = found
        found = _FRACTION.sub(lambda m: f"(({m[1] or m[2]})/({m[3] or m[4]}))", found)
        found = _ROOT.sub(lambda m: f"(({m[2] or m[3]})**(1/({m[1] or 2})))", found)
        found = _POWER.sub(r"\1(\2)", found)
        if found == before:
            break
    for word in sorted(_WORDS, key=len, reverse=True):
        found = re.sub(rf"{re.escape(word)}(?![a-zA-Z])", f" {_WORDS[word]} ", found)
    found = re.sub(r"\\([a-zA-Z]+)", r" \1 ", found).replace("%", "/100")
    found = re.sub(r"\^\s*\(?\s*°\s*\)?|°", "*pi/180", found)
    found = re.sub(r"(?<=\d),(?=\d{3}(?:\D|$))", "", found)
    return re.sub(r"\|([^|]+)\|", r"Abs(\1)", found).strip()


def _parts(text: str) -> list[str]:
    """Cut at what separates several answers, and at a comma outside brackets."""
    depth, parts, begin = 0, [], 0
    for place, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if c in ";；" or (c == "," and depth <= 0) or (c == "∪" and depth <= 0):
            parts.append(text[begin:place])
            begin = place + 1
    return [part.strip() for part in (*parts, text[begin:]) if part.strip()]


def _expression(text: str) -> sympy.Expr:
    if not _SAFE.fullmatch(text) or "__" in text or len(text) > 400 or re.search(r"\.\s*[A-Za-z_]", text):
        raise ValueError(f"no expression: {text[:60]}")
    if re.search(r"\d{30,}|\*\*\s*\(?\s*\d{5,}", text):
        raise ValueError("too large a number")
    found = parse_expr(text, local_dict=dict(_NAMES), transformations=_PARSING)
    return sympy.sympify(found, rational=None)


def _equal(a: str, b: str) -> bool:
    """Say whether two single answers are the same: tuple by part, equation by both sides, value by difference."""
    if _bare(a) == _bare(b):
        return True
    if a[:1] in "([{" and b[:1] in "([{" and a[-1:] in ")]}" and b[-1:] in ")]}" and ("," in a or "," in b):
        if (a[0], a[-1]) != (b[0], b[-1]):
            return False
        inner = (_parts(a[1:-1]), _parts(b[1:-1]))
        if a[0] == "{":
            return len(inner[0]) == len(inner[1]) and all(any(_equal(x, y) for y in inner[1]) for x in inner[0])
        return all(x is not None and y is not None and _equal(x, y) for x, y in zip_longest(*inner))
    if len(a) == len(b) == 0:
        return True
    sides = [re.split(r"(?<![<>!=])=(?!=)|∈", text) for text in (a, b)]
    if len(sides[0]) == len(sides[1]) == 2:
        left, right = (_expression(x) - _expression(y) for x, y in sides)
        ratio = sympy.simplify(left / right)
        return bool(_zero(left - right) or _zero(left + right) or (ratio.is_number and ratio != 0))
    # "x = 3" and "3" say the same where only one side has a name.
    bare = [
        side[-1].strip() if len(side) == 2 and re.fullmatch(r"\s*\w[\w()\s]*", side[0]) else text
        for side, text in zip(sides, (a, b), strict=True)
    ]
    values = [_expression(text) for text in bare]
    return values[0] == values[1] or _zero(values[0] - values[1])


def _bare(text: str) -> str:
    return re.sub(r"[\s*]", "", text)


def _zero(difference: sympy.Expr) -> bool:
    if difference == 0:
        return True
    if difference.is_number:
        return bool(abs(sympy.N(difference, 30)) < sympy.Float("1e-9"))
    names = sorted(difference.free_symbols, key=str)
    # Numbers first: they refute at once what algebra would take long to.
    for seed in (0.37, 1.91, 2.73):
        value = sympy.N(difference.subs({name: seed + 0.618 * place for place, name in enumerate(names)}), 20)
        if value.is_number and value.is_finite and abs(value) > 1e-8:
            return False
    return bool(sympy.simplify(difference) == 0)


def same(given: JSON) -> JSON:
    """Return whether an answer says the same as a reference; several answers in any order."""
    said, wanted = (_parts(plain(given[name])) for name in ("answer", "reference"))
    if len(said) != len(wanted):
        return {"same": False, "why": f"{len(said)} answers, not {len(wanted)}"}
    if all(_matches(a, b) for a, b in zip(said, wanted, strict=True)):
        return {"same": True, "why": ""}
    if given.get("ordered"):
        return {"same": False, "why": "another value"}
    left = list(wanted)
    for each in said:
        found = next((other for other in left if _matches(each, other)), None)
        if found is None:
            return {"same": False, "why": f"{each[:60]} is none of them"}
        left.remove(found)
    return {"same": True, "why": ""}


def _matches(a: str, b: str) -> bool:
    try:
        return _equal(a, b)
    except (ValueError, TypeError, SyntaxError, AttributeError, ArithmeticError, RecursionError, NameError):
        return False
