"""A task of the sandbox: whether two formulas say the same, by computer algebra and, where that gives up, by numbers.

This module knows expressions, equations, inequalities, intervals, sets and tuples. It does not know how they are
written, nor which answer is graded. Computer algebra may take for ever: the sandbox ends it.
"""

from __future__ import annotations

import re

import sympy
from sympy.parsing.sympy_parser import (
    convert_xor,
    implicit_multiplication_application,
    parse_expr,
    rationalize,
    standard_transformations,
)

from feilun.grading.sandbox.notation import read
from feilun.records import JSON
from feilun.signs import signed

_PARSING = (*standard_transformations, rationalize, convert_xor, implicit_multiplication_application)
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
_SAFE = re.compile(r"[\w\s+\-*/^().,!]*")
_NAME = re.compile(r"[^\W\d]\w*(?:_?\([\w\s,]*\))?")
_RELATION = re.compile(r"(<=|>=|!=|<|>)")
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!="}
_FAMILIAR = re.compile("|".join(sorted((*(name for name in _NAMES if len(name) > 1 and name != "oo"), *(
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "varphi", "vartheta", "varepsilon",
)), key=len, reverse=True)), re.IGNORECASE)  # fmt: skip
CLOSE = 1e-9  # how far apart two values may be that were written out as decimals; of those below 1, the share
_TINY = sympy.Float("1e-25")  # below this, thirty digits cannot tell a value from what is left of nothing


def _parts(text: str) -> list[str]:
    """Cut at what separates several answers, and at a comma outside brackets; ± is two answers."""
    depth, parts, begin = 0, [], 0
    joined = text if _RELATION.search(text) else re.sub(r"\b(?:or|and)\b|[或和]", ",", text)
    for place, c in enumerate(joined):
        depth += (c in "([{") - (c in ")]}")
        if c in ";；" or (c == "," and depth <= 0) or (c == "∪" and depth <= 0):
            parts.append(joined[begin:place])
            begin = place + 1
    found = [part.strip() for part in (*parts, joined[begin:]) if part.strip()]
    return [
        one for part in found for one in ((part.translate(_PLUS), part.translate(_MINUS)) if "±" in part else (part,))
    ]


_PLUS, _MINUS = str.maketrans("±∓", "+-"), str.maketrans("±∓", "-+")


def _expression(text: str) -> sympy.Expr:
    if not _SAFE.fullmatch(text) or "__" in text or len(text) > 400 or re.search(r"\.\s*[A-Za-z_]", text):
        raise ValueError(f"no expression: {text[:60]}")
    if re.search(r"\d{30,}|\*\*\s*\(?\s*\d{5,}|\d[eE][-+]?\d{4,}", text):
        raise ValueError("too large a number")
    if re.search(r"(?<![\^\d.])\d+(?:\.\d+)?\s+\.?\d", text) or _wordy(text):
        raise ValueError("words, or numbers side by side")
    found = parse_expr(text, local_dict=dict(_NAMES), transformations=_PARSING)
    return sympy.sympify(found)


def _wordy(text: str) -> bool:
    return "“" in text or re.search(r"[^\W\d_]{4,}", _FAMILIAR.sub(" ", text)) is not None


def _equal(a: str, b: str) -> bool:
    """Say whether two single answers are the same: words by letters, tuples by part, the rest by algebra."""
    if not a or not b:
        return False
    if "“" in a or "“" in b or (_wordy(a) and _wordy(b)):
        return signed(a) == signed(b) != ""
    if _bare(a) == _bare(b):
        return True
    if _RELATION.search(a) or _RELATION.search(b):
        return _related(a, b)
    sides = [[side.strip() for side in re.split(r"=|∈", text)] for text in (a, b)]
    if len(sides[0]) == len(sides[1]) == 2:
        return _equations(sides[0], sides[1])
    if {len(side) for side in sides} == {1, 2}:
        # "x = 3" and "3" say the same where only one side has a name.
        (name, value), (other,) = sorted(sides, key=len, reverse=True)
        name, value = (value, name) if _NAME.fullmatch(value) and not _NAME.fullmatch(name) else (name, value)
        return _NAME.fullmatch(name) is not None and _equal(value, other)
    if _bracketed(a) and _bracketed(b):
        inner = (_parts(a[1:-1]), _parts(b[1:-1]))
        if (a[0], a[-1]) != (b[0], b[-1]) or len(inner[0]) != len(inner[1]):
            return False
        return _paired(*inner) if a[0] == "{" else all(_matches(x, y) for x, y in zip(*inner, strict=True))
    return _same_value(_expression(a), _expression(b))


def _bracketed(text: str) -> bool:
    """Say whether a text is an interval, a tuple, a list or a set."""
    return text[:1] in "([{" and text[-1:] in ")]}" and (text[0] in "[{" or "," in text)


def _equations(one: list[str], other: list[str]) -> bool:
    if _bare(one[0]) == _bare(other[0]) and _matches(one[1], other[1]):
        return True
    left, right = (_expression(x) - _expression(y) for x, y in (one, other))
    ratio = sympy.simplify(left / right)
    return bool(ratio.is_number and ratio.is_finite and ratio != 0)


def _related(a: str, b: str) -> bool:
    """Compare inequalities, whichever way round they are written; ``x > 3`` is also the interval from 3."""
    chains = [_chain(text) for text in (a, b)]
    if [len(chain) for chain in chains].count(1) == 1:
        plain = [_interval(chain) if len(chain) > 1 else re.sub(r"^\s*\w+\s*∈\s*", "", chain[0]) for chain in chains]
        return all(plain) and not any(map(_RELATION.search, plain)) and _equal(*plain)
    if chains[0][1::2] != chains[1][1::2]:
        return False
    if all(_same_value(_expression(x), _expression(y)) for x, y in zip(chains[0][::2], chains[1][::2], strict=True)):
        return True
    if len(chains[0]) != 3:
        return False
    left, right = (_expression(chain[0]) - _expression(chain[2]) for chain in chains)
    ratio = sympy.simplify(left / right)
    return bool(ratio.is_number and ratio.is_finite and (ratio.is_positive or (chains[0][1] == "!=" and ratio != 0)))


def _chain(text: str) -> list[str]:
    """Return what stands between the signs of an inequality, and the signs, the lesser side first."""
    found = [part.strip() for part in _RELATION.split(text)]
    if any(sign in {">", ">="} for sign in found[1::2]):
        found = [_FLIPPED.get(part, part) for part in reversed(found)]
    return found


def _interval(chain: list[str]) -> str:
    """Return the interval that an inequality of one name describes, if it does."""
    signs = chain[1::2]
    if not all(sign in {"<", "<="} for sign in signs):
        return ""
    begin, end = ("[" if signs[0] == "<=" else "("), ("]" if signs[-1] == "<=" else ")")
    if len(chain) == 5:
        return f"{begin}{chain[0]},{chain[4]}{end}" if _NAME.fullmatch(chain[2]) else ""
    if _NAME.fullmatch(chain[0]):
        return f"(-oo,{chain[2]}{end}"
    return f"{begin}{chain[0]},oo)" if len(chain) == 3 and _NAME.fullmatch(chain[2]) else ""


def _bare(text: str) -> str:
    """Return a text without blanks, save those between two numbers or names: 1 2 is not 12."""
    return re.sub(r"(?<!\w)\s+|\s+(?!\w)|(?<=\D)\s+(?=\d)", "", re.sub(r"\s+", " ", text))


def _same_value(a: sympy.Expr, b: sympy.Expr) -> bool:
    """Say whether two expressions are equal; numbers that are no integers within ``CLOSE``."""
    if a == b or (a.is_Integer and b.is_Integer):
        return bool(a == b)
    if a.is_number and b.is_number:
        values = [abs(sympy.N(value, 30)) for value in (a, b, a - b)]
        if all(value.is_finite for value in values):
            if values[2] <= CLOSE * min(1, max(values[:2])) and max(values[:2]) > _TINY:
                return True
            if max(values[:2]) > _TINY and min(values[:2]) > _TINY:
                return False
    else:
        names = sorted((a - b).free_symbols, key=str)
        # Numbers first: they refute at once what algebra would take long to.
        for seed in (0.37, 1.91, 2.73):
            value = sympy.N((a - b).subs({name: seed + 0.618 * place for place, name in enumerate(names)}), 20)
            if value.is_number and value.is_finite and abs(value) > 1e-8:
                return False
    return bool(sympy.simplify(a - b) == 0)


def same(given: JSON) -> JSON:
    """Return whether an answer says the same as a reference; several answers in any order.

    Without an answer, the reference is only worked out, to see whether that ends. Raises ValueError for an empty one.
    """
    wanted, unit = read(given["reference"])
    wanted_parts = _parts(wanted)
    if not wanted_parts:
        raise ValueError("the reference holds no formula")
    if "answer" not in given:
        return {"same": all(_matches(f"{part}+0", part) for part in wanted_parts), "why": ""}
    answer, its_unit = read(given["answer"])
    said = _parts(answer)
    if len(said) != len(wanted_parts):
        return {"same": False, "why": f"{len(said)} answers, not {len(wanted_parts)}"}
    if unit and its_unit and not _same_unit(its_unit, unit):
        return {"same": False, "why": f"{its_unit[:60]}, not {unit[:60]}"}
    in_order = all(_matches(a, b) for a, b in zip(said, wanted_parts, strict=True))
    found = in_order or (not given.get("ordered") and _paired(said, wanted_parts))
    return {"same": found, "why": "" if found else "another value"}


def _same_unit(one: str, other: str) -> bool:
    """Say whether two units are the same, or one abbreviates the other; short symbols must be the same."""
    short, long = sorted((signed(one), signed(other)), key=len)
    if short == long or not short or short.isascii() != long.isascii():
        return True
    rest = iter(long)
    return len(long) > 3 and short[0] == long[0] and all(c in rest for c in short)


def _paired(said: list[str], wanted: list[str]) -> bool:
    """Say whether each of one list is one of the other, and none is taken twice."""
    left = list(wanted)
    for each in said:
        found = next((other for other in left if _matches(each, other)), None)
        if found is None:
            return False
        left.remove(found)
    return not left


def _matches(a: str, b: str) -> bool:
    try:
        return _equal(a, b)
    except (ValueError, TypeError, SyntaxError, AttributeError, ArithmeticError, RecursionError, NameError):
        return False
