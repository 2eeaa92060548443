"""Text as rules read it: plain digits, letters and separators, nothing invisible, every place known in the original.

This module knows how digits are disguised: full width, other scripts' digits, Chinese numerals in a row, invisible
characters in between. It does not know what the digits mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_INVISIBLE = "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
_NUMERALS = "〇零○一二三四五六七八九幺壹贰叁肆伍陆柒捌玖貳參陸"
_NUMERAL_VALUES = "000123456789" + "1" + "123456789" + "236"
_DIGITS_OF_SCRIPTS = (0xFF10, 0x0660, 0x06F0, 0x0966, *range(0x1D7CE, 0x1D800, 10))


def _table() -> dict[int, str]:
    table = {start + value: str(value) for start in _DIGITS_OF_SCRIPTS for value in range(10)}
    table |= {0x2460 + value: str(value + 1) for value in range(9)} | {0x24EA: "0"}
    table |= {0x2776 + value: str(value + 1) for value in range(9)}
    table |= {code: chr(code - 0xFEE0) for code in (*range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B), 0xFF20, 0xFF0E)}
    table |= dict.fromkeys((0x00A0, 0x202F, 0x3000, *range(0x2000, 0x200B)), " ")
    return table | dict.fromkeys((*range(0x2010, 0x2016), 0x2212, 0xFF0D, 0xFE63), "-")


_TABLE = _table()
_ODD = re.compile("[" + re.escape("".join(map(chr, _TABLE))).replace(r"\ ", " ") + _INVISIBLE + "]")
_UNSEEN = re.compile(f"[{_INVISIBLE}]")
_ROW = re.compile(rf"[{_NUMERALS}](?:[ \-]?[{_NUMERALS}0-9]){{6,}}|[0-9]{{1,6}}(?:[ \-]?[{_NUMERALS}]){{2,}}[{_NUMERALS}0-9 \-]{{4,}}")
_VALUES = str.maketrans(_NUMERALS, _NUMERAL_VALUES)


@dataclass(frozen=True, slots=True)
class Folded:
    """A text as rules read it; ``places`` gives the original place of each of its characters, None if the same."""

    text: str
    places: np.ndarray | None = None

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return where ``[start, end)`` stands in the original text."""
        if self.places is None or end <= start:
            return start, end
        return int(self.places[start]), int(self.places[end - 1]) + 1


def fold(text: str) -> Folded:
    """Return ``text`` as rules read it."""
    places = None
    if not text.isascii() and _ODD.search(text):
        text = text.translate(_TABLE)
        if _UNSEEN.search(text):
            gone = np.fromiter((match.start() for match in _UNSEEN.finditer(text)), np.int64)
            places = np.delete(np.arange(len(text)), gone)
            text = _UNSEEN.sub("", text)
    if not text.isascii():
        text = _ROW.sub(lambda match: match[0].translate(_VALUES), text)
    return Folded(text, places)
