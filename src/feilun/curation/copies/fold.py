"""Texts -> arrays of folded characters, many texts at once: what is compared when texts are compared.

This module knows characters: which are the same in comparing, which stand alone, which only part words. It does not
know rows, shingles, nor what is a copy.

Folded are width and compatibility forms (NFKC), case and, if asked, Traditional to Simplified Chinese (OpenCC,
character by character). Blanks and marks are left out, but a character that begins a word after another one says so in
its top bit; signs that change what is said (``+``, ``%``, currencies, ticks and stars, raised figures, emoji, the mark
within a figure, the minus before one or after a letter, as in blood groups and grades) stay.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from opencc import OpenCC

Chars = npt.NDArray[np.uint32]
GAP = np.uint32(1 << 31)  # this character begins a word, and another word stands before it
ALONE = np.uint32(1 << 30)  # a character of a script without blanks: a token by itself
CODE = np.uint32((1 << 21) - 1)
_WORD, _MARK, _SIGN, _SLOW = (np.uint32(1 << bit) for bit in (26, 27, 28, 29))
_KEPT = _WORD | ALONE | _SIGN
_LAST = 0x20000  # Han characters without other forms begin here
_MARKS = frozenset(".,:/-*#!")
_SIGNS = frozenset("%‰^°′★☆⭐□■☐☑☒✓✔✕✖✗✘✅❌❎⭕♀♂")
_MONEY = np.array([ord(char) for char in "$¢£¥฿€₩₽₹"], np.uint32)
# Raised figures would become figures like others: 10⁵ is not 105.
_RAISED = {ord(char): 0xE000 + place for place, char in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")}


@dataclass(frozen=True, slots=True)
class Folded:
    """Characters of several texts, one after another; text ``i`` is ``chars[bounds[i] : bounds[i + 1]]``."""

    chars: Chars
    bounds: npt.NDArray[np.int64]


@functools.cache
def _simplified() -> dict[str, str]:
    han = "\n".join(map(chr, range(0x3400, 0xA000)))
    pairs = zip(han.split("\n"), OpenCC("t2s").convert(han).split("\n"), strict=True)
    return {one: other for one, other in pairs if one != other and len(other) == 1}


def _dense(code: int) -> bool:
    """Tell whether a code point belongs to a script that writes without blanks, or with syllables as characters."""
    return 0x2E80 <= code < 0x3000 or 0x3040 <= code < 0xD7B0 or 0xF900 <= code < 0xFB00 or code >= _LAST


def _entry(code: int) -> int:
    char = chr(code)
    if unicodedata.category(char) in {"Cn", "Cc", "Zs"}:
        return 0
    form = unicodedata.normalize("NFKC", char).casefold()
    composes = 0x300 <= code < 0x370 or code in (0x3099, 0x309A) or 0x1100 <= code < 0x1200
    kinds = [unicodedata.category(part) for part in form]
    if not any(kind[0] in "LNM" or kind in {"Sm", "Sc"} for kind in kinds) and len(form) != 1:
        return 0
    kind, first = kinds[0], form[0]
    packed = ord(first) | (int(_SLOW) if len(form) > 1 or composes else 0)
    if kind[0] in "LNM":
        return packed | int(ALONE if _dense(ord(first)) else _WORD)
    if first in _MARKS:
        return packed | int(_MARK)
    if kind in {"Sm", "Sc"} or first in _SIGNS or (kind == "So" and code >= 0x1F000):
        return packed | int(_SIGN)
    return packed if len(form) > 1 else 0


@functools.cache
def _table(simplify: bool) -> Chars:
    """Return what each code point is: its folded form, its kind, whether its text must be folded as a whole."""
    if simplify:
        forms = np.arange(int(CODE) + 1, dtype=np.uint32)
        for one, other in _simplified().items():
            forms[ord(one)] = ord(other)
        table = _table(simplify=False)
        return np.asarray((table & ~CODE) | forms[table & CODE], np.uint32)
    table = np.zeros(_LAST + 1, np.uint32)
    # Most of Unicode is Han and Hangul, which stand for themselves, and old scripts; the rest is looked at.
    for start, end in ((0x3400, 0xA000), (0xAC00, 0xD7A4)):
        table[start:end] = np.arange(start, end, dtype=np.uint32) | ALONE
    for start, end in ((0, 0x3400), (0xA000, 0xAC00), (0xD7A4, 0xD800), (0xF900, 0x10000), (0x1D400, 0x1FC00)):
        table[start:end] = [_entry(code) for code in range(start, end)]
    for code in (*_RAISED, *_RAISED.values()):
        table[code] = _RAISED.get(code, code) | int(_SIGN)
    old = (*range(0x10000, 0x1D400), *range(0x1FC00, _LAST))
    table[list(old)] = [code | int(_WORD) if chr(code).isalnum() else 0 for code in old]
    table[_LAST] = ALONE
    return table


def codes(text: str) -> Chars:
    """Return the code points of a text; lone surrogates are code points like others."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def fold(texts: Sequence[str], simplify: bool = True) -> Folded:
    """Return the folded characters of texts."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.cumsum(lengths)
    raw = codes("".join(texts))
    table = _table(simplify)
    found = table.take(raw, mode="clip")
    slow = np.flatnonzero((found & _SLOW) != 0)
    if slow.size:
        # Only whole texts can be composed: é may be two code points, ﬁ becomes two letters.
        which = np.unique(np.searchsorted(ends, slow, "right")).tolist()
        texts = list(texts)
        for index in which:
            texts[index] = unicodedata.normalize("NFKC", texts[index].translate(_RAISED)).casefold()
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        ends = np.cumsum(lengths)
        raw = codes("".join(texts))
        found = table.take(raw, mode="clip")
    far = np.flatnonzero(raw >= _LAST)
    found[far] = raw[far] | ALONE
    return _kept(found, ends)


def _digit(found: Chars) -> npt.NDArray[np.bool_]:
    code = found & CODE
    return np.asarray((code >= 48) & (code <= 57))


def _meant(found: Chars, ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the places of marks that change what is said: in a figure, before one, after a letter, before ``=``."""
    marks = np.flatnonzero((found & _MARK) != 0)
    text = np.searchsorted(ends, marks, "right")
    first, last = np.concatenate(([0], ends))[text], ends[text] - 1

    def beside(step: int) -> Chars:
        places = marks + step
        within = (places >= first) & (places <= last)
        return np.where(within, found[np.where(within, places, 0)], np.uint32(0)).astype(np.uint32)

    def word(chars: Chars) -> npt.NDArray[np.bool_]:
        return np.asarray((chars & _WORD) != 0)

    here = found[marks] & CODE
    before, after, third = beside(-1), beside(1), word(beside(-2))
    free, letter, ends_there = ~word(before), word(before) & ~_digit(before), (after & (_WORD | ALONE)) == 0
    value = _digit(after) | np.isin(after & CODE, _MONEY)
    minus, point, sharp, bang = (here == ord(char) for char in "-.#!")
    figure = _digit(before) & _digit(after) & ~(sharp | bang)
    valued = free & ((minus & value) | (point & _digit(after)))
    graded = letter & ends_there & ((minus & ~(third & word(beside(-3)))) | (sharp & ~third))
    return np.asarray(marks[figure | valued | graded | (bang & ((after & CODE) == ord("=")))], np.int64)


def _kept(found: Chars, ends: npt.NDArray[np.int64]) -> Folded:
    found[_meant(found, ends)] |= _SIGN
    places = np.flatnonzero((found & _KEPT) != 0)
    chars = found[places]
    word = (chars & _WORD) != 0
    gap = np.flatnonzero((places[1:] - places[:-1] > 1) & word[1:] & word[:-1]) + 1
    chars &= ALONE | CODE
    chars[gap] |= GAP
    bounds = np.zeros(ends.size + 1, np.int64)
    bounds[1:] = np.searchsorted(places, ends)
    firsts = bounds[:-1]
    chars[firsts[firsts < chars.size]] &= ~GAP
    return Folded(chars, bounds)
