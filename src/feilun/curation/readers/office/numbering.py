"""The numbers and bullets of lists and headings in Word documents (numbering.xml, ECMA-376 part 1, 17.9).

This module knows numbering definitions and counts along. It does not know what the paragraphs say.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from feilun.curation.readers.office.ooxml import on, value

LEVELS = 9
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
          (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))  # fmt: skip
_CHINESE = {
    "chineseCounting", "chineseCountingThousand", "taiwaneseCounting", "taiwaneseCountingThousand", "ideographDigital",
    "japaneseCounting", "chineseLegalSimplified", "ideographLegalTraditional",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Level:
    """How the numbers of one level look: ``text`` is such as ``%1.%2``, ``style`` the paragraph style that has it."""

    start: int
    form: str
    text: str
    style: str


class Numbering:
    """The definitions of a document, and how far each list has counted."""

    def __init__(self, root: Element | None) -> None:
        """Read the definitions; a document may have none."""
        abstract: dict[str, dict[int, Level]] = {}
        linked: dict[str, str] = {}
        named: dict[str, str] = {}
        for item in () if root is None else root.iter("abstractNum"):
            key = item.get("abstractNumId", "")
            abstract[key] = {_depth(level): _level(level) for level in item.findall("lvl")}
            if link := value(item, "numStyleLink"):
                linked[key] = link
            if name := value(item, "styleLink"):
                named[name] = key
        self._levels: dict[str, dict[int, Level]] = {}
        self._list: dict[str, str] = {}
        self._restart: dict[str, dict[int, int]] = {}
        for item in () if root is None else root.iter("num"):
            key, of = item.get("numId", ""), value(item, "abstractNumId")
            of = named.get(linked.get(of, ""), of)
            overrides = item.findall("lvlOverride")
            own = {_depth(o): _level(lvl) for o in overrides if (lvl := o.find("lvl")) is not None}
            self._levels[key] = abstract.get(of, {}) | own
            self._list[key] = of
            starts = {_depth(o): value(o, "startOverride") for o in overrides}
            self._restart[key] = {depth: int(text) for depth, text in starts.items() if text.lstrip("-").isdecimal()}
        self._counts: dict[str, dict[int, int]] = defaultdict(dict)

    def depth_of_style(self, number: str, style: str) -> int:
        """Return the level that a numbered style has in its list (0 if it names none)."""
        return next((depth for depth, level in self._levels.get(number, {}).items() if level.style == style), 0)

    def mark(self, number: str, depth: int) -> str:
        """Return the next mark of a list at this level, such as ``-``, ``3.`` or ``2.1``; empty if it has none."""
        levels = self._levels.get(number, {})
        level = levels.get(depth)
        if level is None or level.form == "none":
            return ""
        counts = self._counts[self._list[number]]
        if depth in self._restart[number]:
            # The first paragraph of a list that starts anew; after it, the list counts on.
            counts[depth] = self._restart[number].pop(depth)
        else:
            counts[depth] = counts.get(depth, level.start - 1) + 1
        for deeper in [other for other in counts if other > depth]:
            del counts[deeper]
        if level.form == "bullet":
            return "-"

        def figure(match: re.Match[str]) -> str:
            at = int(match[1]) - 1
            other = levels.get(at, level)
            return written(counts.setdefault(at, other.start), other.form)

        return re.sub(r"%([1-9])", figure, level.text).strip()


def _depth(element: Element) -> int:
    text = element.get("ilvl", "0")
    return min(int(text), LEVELS) if text.isdecimal() else 0


def _level(element: Element) -> Level:
    start = value(element, "start", default="1")
    form = "decimal" if on(element, "isLgl") else value(element, "numFmt", default="decimal")
    text = value(element, "lvlText")
    return Level(int(start) if start.isdecimal() else 1, form, text, value(element, "pStyle"))


def written(number: int, form: str) -> str:
    """Return a number in one of Word's forms; forms of other scripts are written in figures."""
    if number < 1:
        return str(number)
    match form:
        case "upperLetter" | "lowerLetter":
            # Word goes on with AA, BB, CC, not with AA, AB, AC.
            letters = chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 % 20 + 1)
            return letters.upper() if form.startswith("upper") else letters
        case "upperRoman" | "lowerRoman" if number < 4000:
            text = ""
            for size, sign in _ROMAN:
                text, number = text + sign * (number // size), number % size
            return text.upper() if form.startswith("upper") else text
        case "decimalZero":
            return f"{number:02}"
        case "decimalEnclosedCircle" | "decimalEnclosedCircleChinese" if number <= 20:
            return chr(0x2460 + number - 1)
        case _ if form in _CHINESE and number < 100:
            tens, ones = divmod(number, 10)
            digits = "〇一二三四五六七八九"
            head = ("" if tens == 1 else digits[tens]) + "十" if tens else ""
            return head + (digits[ones] if ones else "")
    return str(number)
