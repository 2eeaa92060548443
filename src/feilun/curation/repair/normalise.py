"""Texts in one spelling of Unicode: composed, without control and invisible characters, plain spaces and line ends.

This module knows characters that look alike or cannot be seen. It does not know words, and leaves indents and aligned
columns (code, tables) as they are. Marks that join emoji and guide right-to-left scripts stay where they have work.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from feilun.curation.repair.characters import Joined, measured
from feilun.curation.seam import Mended, Note

_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029\x85\x0b\x0c]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_INVISIBLE = re.compile("[\u200b\u2060-\u2064\ufeff\u00ad\u180e\ufff9-\ufffb\u034f]")
_JOINERS = re.compile(
    "(?<=[\u0000-\u024f\u3000-\u9fff])[\u200c\u200d]+|[\u200c\u200d]+(?=[\u0000-\u024f\u3000-\u9fff])"
)
_DIRECTIONS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_ODD_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f]|(?<!^)\u3000")
_INDENT = re.compile("(?m)^\u3000+")
_TAILS = re.compile("(?m)[ \t\u3000]+$")
_GAPS = re.compile("\n{4,}")
_DOUBLE = re.compile("(?<=[^ \n]) {2,}(?=[^ \n])")
_INDENTED = re.compile("(?m)^(?: {2}|\t| {1,3}\\|)|\t| {3}")
_RADICALS = re.compile("[\u2e80-\u2fd5]")
_LETTERS = re.compile("[０-９Ａ-Ｚａ-ｚ]")
_ALL_WIDE = re.compile("[！-～]")
_NARROW_KANA = re.compile("[ｦ-ﾟ]+")


_STEPS = (_LINE_ENDS, _CONTROL, _INVISIBLE, _DIRECTIONS, _ODD_SPACES, _RADICALS)


@cache
def _members(pattern: re.Pattern[str]) -> frozenset[str]:
    """Return the characters of the basic plane that a pattern of single characters finds."""
    return frozenset("".join(pattern.findall("".join(map(chr, range(0x10000))))))


@cache
def _odd(width: str) -> np.ndarray:
    """Return the table of characters for which a text is looked at."""
    table = np.zeros(0x10000, np.bool_)
    for code in (*range(0xA0), 0xA0, 0xAD, *range(0x300, 0xD800), *range(0xE000, 0x10000)):
        char = chr(code)
        table[code] = unicodedata.combining(char) != 0 or not unicodedata.is_normalized("NFC", char)
    for place in re.finditer("|".join(p.pattern for p in _STEPS), "".join(map(chr, range(0x10000)))):
        table[place.start()] = True
    table[[0x200C, 0x200D, 0x3000]] = True
    table[0xFFFF] = False  # stands for all beyond the basic plane
    table[0x1160:0x1200] = True
    if width != "keep":
        wide = _ALL_WIDE if width == "all" else _LETTERS
        table[[code for code in range(0xFF00, 0xFFA0) if wide.search(chr(code)) or _NARROW_KANA.search(chr(code))]] = (
            True
        )
    return table


def _narrow(match: re.Match[str]) -> str:
    return "".join(chr(ord(char) - 0xFEE0) for char in match[0])


def _plain(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match[0])


_Step = tuple[str, re.Pattern[str], str | Callable[[re.Match[str]], str]]
_SINGLE: tuple[_Step, ...] = (
    ("line_ends", _LINE_ENDS, "\n"),
    ("control", _CONTROL, ""),
    ("invisible", _INVISIBLE, ""),
    ("lookalike", _RADICALS, _plain),
)
_SPACES = frozenset("\u00a0\u1680\u202f\u205f\u3000") | frozenset(map(chr, range(0x2000, 0x200B)))


@dataclass(frozen=True, slots=True)
class Normalise:
    """Makes spellings one. ``width``: ``letters`` narrows full-width letters and digits, ``all`` marks too."""

    width: str = "letters"

    def mend(self, texts: Sequence[str], langs: Sequence[str]) -> list[Mended | None]:
        """Return the texts that were not yet in this form; None for the others."""
        del langs
        looks = measured(texts, self._looks)
        return [self._one(text) if look else None for text, look in zip(texts, looks.tolist(), strict=True)]

    def _looks(self, joined: Joined) -> np.ndarray:
        """Return for each text how many places may need mending."""
        code = joined.codes
        odd = _odd(self.width)[code]
        space, end = (code == 32) | (code == 9), code == 10
        before_end = joined.both(space, end | (code == 32))
        two = joined.both(end, end)
        gaps = joined.both(two, two[1:])
        return np.asarray(joined.count(odd) + joined.count(before_end) + joined.count(gaps))

    def _one(self, text: str) -> Mended | None:
        times: dict[str, int] = {}
        mended = text
        for steps in (self._of_characters, _of_spaces):
            for reason, pattern, new in steps(mended):
                mended, count = pattern.subn(new, mended)
                times[reason] = times.get(reason, 0) + count
        composed = unicodedata.normalize("NFC", mended)
        times["composed"] = sum(a != b for a, b in zip(composed, mended, strict=False)) if composed != mended else 0
        if composed == text:
            return None
        return Mended(composed, tuple(Note(reason, "", count) for reason, count in times.items() if count))

    def _of_characters(self, text: str) -> Iterator[_Step]:
        """Yield what to do about single characters, the needed steps only."""
        chars = set(text)
        for step in _SINGLE:
            if not chars.isdisjoint(_members(step[1])):
                yield step
        if not chars.isdisjoint("\u200c\u200d"):
            yield "invisible", _JOINERS, ""
        if not chars.isdisjoint(_members(_DIRECTIONS)) and not _RIGHT_TO_LEFT.search(text):
            yield "invisible", _DIRECTIONS, ""
        if self.width != "keep":
            wide = _ALL_WIDE if self.width == "all" else _LETTERS
            if not chars.isdisjoint(_members(wide)):
                yield "width", wide, _narrow
            yield "width", _NARROW_KANA, _plain


def _of_spaces(text: str) -> Iterator[_Step]:
    """Yield what to do about spaces; indents and columns are left alone."""
    if "\u3000" in text:
        yield "spaces", _INDENT, ""
    if not _SPACES.isdisjoint(text):
        yield "spaces", _ODD_SPACES, " "
    yield "spaces", _TAILS, ""
    if "\n\n\n\n" in text or " \n" in text:
        yield "spaces", _GAPS, "\n\n\n"
    if "  " in text and not _INDENTED.search(text):
        yield "spaces", _DOUBLE, " "
