"""Where any of many words stand in a text: one pass over the text for all of them.

This module knows words as characters. It does not know what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

PLATES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使領领"
NUMERALS = "〇零一二三四五六七八九十百"
UNITS = "号號弄巷栋幢单室组座"
_DIGIT, _UPPER, _LOWER, _PLATE, _NUMERAL, _UNIT, _GLUE = 1, 2, 4, 8, 16, 32, 64
_BLOCK = 1 << 16  # characters at once: what fits a processor's second cache
_BITS = 17


def _classes() -> np.ndarray:
    table = np.zeros(1 << 16, np.uint8)
    table[0x30:0x3A] = _DIGIT
    table[0x41:0x5B] = _UPPER
    table[[*range(0x61, 0x7B), *range(0xDF, 0x100)]] = _LOWER
    for chars, bit in ((PLATES, _PLATE), (NUMERALS, _NUMERAL), (UNITS, _UNIT), ("_'’.@/-", _GLUE)):
        table[[ord(char) for char in chars]] |= bit
    return table


_CLASSES = _classes()


@dataclass(frozen=True, slots=True)
class At:
    """Where in a text rules should begin to look, each in order.

    ``words``: where each word begins. ``rows``: rows of digits that begin six or more within 16 characters. ``dotted``:
    such with three dots within 13. ``counted``: short rows of digits with a space, a comma or a letter behind.
    ``named``: capitals that may begin one of the frequent names. ``openings``: capitals that begin a sentence.
    ``plates``: a province with a letter behind. ``units``: signs such as 号 with a number before.
    """

    words: Mapping[str, Sequence[int]]
    rows: Sequence[int]
    dotted: Sequence[int]
    counted: Sequence[int]
    named: Sequence[int]
    openings: Sequence[int]
    plates: Sequence[int]
    units: Sequence[int]

    def of(self, words: Iterable[str]) -> Iterator[int]:
        """Yield every place of any of ``words``."""
        for word in words:
            yield from self.words.get(word, ())


class Signs:
    """Finds words (in small letters) by a table of their first two to four characters (Wu and Manber, 1994)."""

    def __init__(self, words: Iterable[str], names: Iterable[str] = ()) -> None:
        """Make the tables; ``names`` (in small letters) are told by their first three letters only."""
        self._names = np.zeros(1 << _BITS, np.bool_)
        for name in names:
            self._names[int(_mixed([np.array([ord(char)], np.uint32) for char in name[:3]])[0])] = True
        self._heads: dict[int, dict[str, list[str]]] = {2: {}, 3: {}, 4: {}}
        for word in sorted(set(words), key=lambda word: (-len(word), word)):
            size = min(len(word), 4)
            self._heads[size].setdefault(word[:size], []).append(word)
        self._tables = {size: np.zeros(1 << _BITS, np.bool_) for size in self._heads}
        for size, heads in self._heads.items():
            for head in heads:
                codes = np.array([[ord(char)] for char in head], np.uint32)
                self._tables[size][int(_mixed(list(codes))[0])] = True

    def at(self, text: str, low: str) -> At:
        """Return where rules should begin in ``text``; ``low`` is the same in small letters, as long."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        small = codes if low is text else np.frombuffer(low.encode("utf-32-le", "surrogatepass"), np.uint32)
        return At(self._places(low, small), *_layout(codes, small, self._names))

    def _places(self, low: str, codes: np.ndarray) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for begin in range(0, len(codes), _BLOCK):
            part = codes[begin : begin + _BLOCK + 3]
            for size, heads in self._heads.items():
                count = min(_BLOCK, len(part) - size + 1)
                if count <= 0 or not heads:
                    continue
                marks = self._tables[size][_mixed([part[n : n + count] for n in range(size)])]
                for place in np.flatnonzero(marks).tolist():
                    start = begin + place
                    for word in heads.get(low[start : start + size], ()):
                        if low.startswith(word, start):
                            places.setdefault(word, []).append(start)
        return places


def _layout(codes: np.ndarray, small: np.ndarray, names: np.ndarray) -> tuple[list[int], ...]:
    size = len(codes)
    if not size:
        return ([], [], [], [], [], [], [])
    classes = np.zeros(size + 20, np.uint8)
    classes[1 : size + 1] = np.where(codes < 1 << 16, _CLASSES[codes & 0xFFFF], 0)
    here, before, after = classes[1 : size + 1], classes[:size], classes[2 : size + 2]
    digit = (classes & _DIGIT).view(np.bool_)
    starts = np.flatnonzero(digit[1 : size + 1] & ~digit[:size])
    ends = np.flatnonzero(digit[1 : size + 1] & ~digit[2 : size + 2]) + 1
    count = np.concatenate([[0], np.cumsum(digit[1:], dtype=np.int32)])
    dots = np.zeros(size + 20, np.int32)
    dots[1:size] = codes[:-1] == 0x2E
    dots = np.cumsum(dots, out=dots)
    rows = starts[count[np.minimum(starts + 16, size)] - count[starts] >= 6]
    dotted = starts[dots[np.minimum(starts + 13, size)] - dots[starts] >= 3]
    behind = classes[np.minimum(ends, size) + 1]
    follows = codes[np.minimum(ends, size - 1)]
    counted = starts[(ends - starts <= 5) & ((follows == 0x20) | (follows == 0x2C) | (behind & (_UPPER | _LOWER) > 0))]
    letter = _UPPER | _LOWER | _DIGIT | _GLUE
    capitals = np.flatnonzero((here & _UPPER > 0) & (after & _LOWER > 0) & (before & letter == 0))
    last = size - 1
    three = _mixed([small[np.minimum(capitals + n, last)] for n in range(3)])
    named = capitals[names[three]]
    first, second = codes[np.maximum(capitals - 1, 0)], codes[np.maximum(capitals - 2, 0)]
    ended = (second == 0x2E) | (second == 0x21) | (second == 0x3F) | (second == 0x22)
    openings = capitals[(capitals == 0) | (first == 0x0A) | (first == 0) | ((first == 0x20) & ended)]
    plates = np.flatnonzero((here & _PLATE > 0) & (after & (_UPPER | _LOWER) > 0))
    units = np.flatnonzero((here & _UNIT > 0) & ((before & (_DIGIT | _NUMERAL | _UPPER | _LOWER) > 0) | (before == 0)))
    return tuple(each.tolist() for each in (rows, dotted, counted, named, openings, plates, units))


def _mixed(columns: list[np.ndarray]) -> np.ndarray:
    mixed = columns[0].copy()
    for column in columns[1:]:
        mixed *= np.uint32(0x01000193)
        mixed ^= column
    mixed *= np.uint32(0x9E3779B1)
    mixed >>= np.uint32(32 - _BITS)
    return mixed
