"""Numbers of spreadsheets as a person sees them: percent, money, leading zeros, thousands, units, elapsed time.

This module knows the number formats of SpreadsheetML (ECMA-376 part 1, 18.8.31) that write a number in digits. It does
not know cells. Fractions, powers of ten and formats with conditions are left to the one who asks.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cache

_TOKEN = re.compile(
    r"""\[\$(?P<money>[^\]-]*)[^\]]*\]|(?P<elapsed>\[(?:h+|m+|s+)\])|\[[^\]]*\]|"(?P<quoted>[^"]*)"|\\(?P<escaped>.)
    |(?P<blank>_.)|\*.|(?P<general>general)|(?P<digit>[0#?])|(?P<point>\.)|(?P<comma>,)|(?P<end>;)|(?P<other>.)""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_CONDITION = re.compile(r"\[[<>=]")
_ELAPSED = re.compile(r"(?i)\[(h+|m+|s+)\]")
_LONGEST = 200
_EXACT = Context(prec=600)  # the digits of the greatest number, and as many behind the point as a format may have

_Part = tuple[str, str]  # ``digit``, ``point``, ``comma``, ``general`` or ``as is``, and its text


def shown(number: float, code: str) -> str:
    """Return a number as a format shows it, or nothing if the format is ``General`` or not one of digits."""
    sections = _sections(code)
    if not sections or number != number or abs(number) == float("inf"):
        return ""
    place = 1 if number < 0 else 2 if number == 0 else 0
    parts = sections[place if place < len(sections) else 0]
    if not any(kind in {"digit", "general"} for kind, _ in parts):
        return "".join(text for _, text in parts).strip()
    text = _written(abs(number), parts)
    return f"-{text}" if number < 0 and len(sections) == 1 and any(char in "123456789" for char in text) else text


def elapsed(days: float, code: str) -> str:
    """Return a duration in days as ``30:15`` or ``30:15:20`` if the format counts beyond a day, else nothing."""
    match = _ELAPSED.search(code)
    if match is None:
        return ""
    seconds = round(abs(days) * 86_400)
    sign = "-" if days < 0 else ""
    rest = code[match.end() :].lower()
    unit = match[1][0].lower()
    if unit == "s":
        return f"{sign}{seconds}"
    if unit == "m":
        return f"{sign}{seconds // 60}:{seconds % 60:02d}" if "s" in rest else f"{sign}{seconds // 60}"
    minutes = f":{seconds // 60 % 60:02d}" if "m" in rest else ""
    return f"{sign}{seconds // 3600}{minutes}" + (f":{seconds % 60:02d}" if "s" in rest else "")


@cache
def _sections(code: str) -> tuple[tuple[_Part, ...], ...]:
    """Return the sections of a format (positive, negative, zero) as parts; none for one that is not of digits."""
    if len(code) > _LONGEST or code.lower() in {"", "general", "@"} or _CONDITION.search(code):
        return ()
    sections: list[list[_Part]] = [[]]
    for match in _TOKEN.finditer(code):
        kind = match.lastgroup or ""
        text = match[kind] if kind else ""
        if kind == "end":
            sections.append([])
        elif kind in {"digit", "point", "comma", "general"}:
            sections[-1].append((kind, text))
        elif kind == "other" and text in "/Ee" and len(sections) < 4:
            return ()
        elif kind:
            sections[-1].append(("percent" if text == "%" and kind == "other" else "as is", text * (kind != "blank")))
    return tuple(map(tuple, sections[:3]))


def _written(number: float, parts: tuple[_Part, ...]) -> str:
    kinds = [kind for kind, _ in parts]
    last = max((place for place, kind in enumerate(kinds) if kind == "digit"), default=-1)
    point = kinds.index("point") if "point" in kinds else len(kinds)
    before = [place for place, kind in enumerate(kinds) if kind == "digit" and place < point]
    after = [place for place, kind in enumerate(kinds) if kind == "digit" and place > point]
    commas = [place for place, kind in enumerate(kinds) if kind == "comma"]
    grouped = any(before and before[0] < place < before[-1] for place in commas)
    # A comma behind the digits shows thousands.
    scale = 2 * kinds.count("percent") - 3 * sum(place > (before[-1] if before else last) for place in commas)
    value = Decimal(repr(number)).scaleb(scale)
    general = f"{float(value):.15g}"
    rounded = value.quantize(Decimal(1).scaleb(-len(after)), ROUND_HALF_UP, _EXACT)
    whole, _, decimals = f"{rounded:f}".partition(".")
    least = sum(parts[place][1] == "0" for place in before)
    whole = whole.lstrip("0").zfill(least)
    kept = max((n for n, place in enumerate(after, 1) if parts[place][1] == "0"), default=0)
    decimals = decimals[:kept] + decimals[kept:].rstrip("0")
    places = dict(zip(reversed(before[1:]), reversed(whole), strict=False))
    if before:
        first = whole[: max(0, len(whole) - len(before) + 1)]
        places = {place: places.get(place, "") for place in before[1:]} | {before[0]: first}
        if grouped:
            places = dict.fromkeys(before, "") | {before[0]: f"{int(whole or 0):,}" if whole else ""}
    places |= {place: decimals[n : n + 1] for n, place in enumerate(after)}
    out: list[str] = []
    for place, (kind, text) in enumerate(parts):
        if kind in {"digit", "general"}:
            out.append(general if kind == "general" else places[place])
        elif kind != "comma":
            out.append("" if kind == "point" and not decimals else text)
    return "".join(out).strip()
