"""The paragraph styles of a Word document: which are headings, and which put their paragraphs in lists.

This module knows styles.xml (ECMA-376 part 1, 17.7). It does not know what the paragraphs say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from feilun.curation.readers.office.ooxml import child, value

_HEADING = re.compile(r"(?i)(?:heading|标题|標題|überschrift|titre|título|заголовок)\s*([1-9])\b")
_TITLE = re.compile(r"(?i)title$|标题$|標題$")


class Styles:
    """The styles of a document by their ids."""

    def __init__(self, root: Element | None) -> None:
        """Read the styles; a document may have none."""
        found = [style for style in (() if root is None else root.iter("style")) if style.get("type") == "paragraph"]
        self._styles = {style.get("styleId", ""): style for style in found}
        standard = (style.get("styleId", "") for style in found if style.get("default") in {"1", "true", "on"})
        self.default = next(standard, "")

    def _chain(self, style: str) -> Iterator[Element]:
        """Yield a style and those that it is based on."""
        seen: set[str] = set()
        while style in self._styles and style not in seen:
            seen.add(style)
            yield self._styles[style]
            style = value(self._styles[style], "basedOn")

    def level(self, style: str, properties: Element | None) -> int:
        """Return 1 for the document's title, 2 to 10 for headings by their level, 0 for body text."""
        own = value(properties, "outlineLvl")
        if own.isdecimal():
            return int(own) + 2 if int(own) < 9 else 0
        if style not in self._styles and (match := re.fullmatch(r"(?i)heading\s?([1-9])", style)):
            return int(match[1]) + 1
        for each in self._chain(style):
            name = value(each, "name")
            if match := _HEADING.match(name):
                return int(match[1]) + 1
            if _TITLE.match(name):
                return 1
            outline = value(each, "pPr", "outlineLvl")
            if outline.isdecimal():
                return int(outline) + 2 if int(outline) < 9 else 0
        return 0

    def numbering(self, style: str) -> tuple[str, str, str]:
        """Return the list and the level that a style puts its paragraphs in, and the style that says so; or nothing."""
        for each in self._chain(style):
            numbered = child(each, "pPr", "numPr")
            if numbered is not None and (number := value(numbered, "numId")):
                return number, value(numbered, "ilvl"), each.get("styleId", "")
        return "", "", ""
