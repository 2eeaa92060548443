"""Text as rules read it: plain digits, letters and separators, nothing invisible, every place known in the original.

This module knows how digits are disguised: full width, other scripts' digits, Chinese numerals in a row, invisible
characters in between. It does not know what the digits mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_INVISIBLE = (
    *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0xFEFF),
    *(*range(0x180B, 0x180F), *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065)),
    *(*range(0x2066, 0x2070), *range(0xFE00, 0xFE10), *range(0xFFF9, 0xFFFC)),
)
_NUMERALS = "〇零○一二三四五六七八九幺壹贰叁肆伍陆柒捌玖貳參陸"
_VALUES = str.maketrans(_NUMERALS, "000123456789" + "1" + "123456789" + "236")
_ROW = re.compile(rf"[{_NUMERALS}0-9](?:[ \-]?[{_NUMERALS}0-9]){{6,}}")
_FEWEST = 3  # Chinese numerals in a row of digits that are read as digits
_MATHEMATICAL = 0x1D7CE  # five alphabets of digits in a row, the only ones beyond the first 65,536 characters


def _table() -> np.ndarray:
    table = np.arange(1 << 16, dtype=np.uint32)
    for start in (0xFF10, 0x0660, 0x06F0, 0x0966):
        table[start : start + 10] = np.arange(0x30, 0x3A)
    for start in (0x2460, 0x2776):  # circled one to nine
        table[start : start + 9] = np.arange(0x31, 0x3A)
    for start, count in ((0xFF21, 26), (0xFF41, 26), (0xFF20, 1), (0xFF0E, 1)):
        table[start : start + count] -= 0xFEE0
    table[0x24EA] = 0x30
    table[[0x00A0, 0x202F, 0x3000, *range(0x2000, 0x200B)]] = 0x20
    table[[*range(0x2010, 0x2016), 0x2212, 0xFF0D, 0xFE63]] = 0x2D
    table[list(_INVISIBLE)] = 0
    table[0] = 1  # NUL stays: below, 0 means "gone"
    return table


_TABLE = _table()


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
    if text.isascii():
        return Folded(text)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    plain = _TABLE.take(codes, mode="clip")
    far = np.flatnonzero(codes >= 1 << 16)
    if far.size:
        high = codes[far]
        digits = (high >= _MATHEMATICAL) & (high < _MATHEMATICAL + 50)
        plain[far] = np.where(digits, 0x30 + (high - _MATHEMATICAL) % 10, high)
    places = None
    if not np.array_equal(plain, codes):
        if not plain.all():
            places = np.flatnonzero(plain)
        text = _text(plain[plain > 0], codes[plain > 0])
    return Folded(_ROW.sub(_digits, text), places)


def _text(plain: np.ndarray, codes: np.ndarray) -> str:
    return np.where(codes == 0, 0, plain).astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _digits(match: re.Match[str]) -> str:
    row = match[0]
    return row.translate(_VALUES) if sum(not char.isascii() for char in row) >= _FEWEST else row
