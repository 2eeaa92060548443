"""Texts in one spelling of Unicode: composed, without control and invisible characters, plain spaces and line ends.

This module knows characters that look alike or cannot be seen. It does not know words, and leaves indents and aligned
columns (code, tables) as they are. Marks that join emoji and guide right-to-left scripts stay where they have work.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

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
_LOOK = re.compile(
    "[\r\u2028\u2029\x00-\x08\x0b-\x1f\x7f-\xa0\u00ad\u034f\u1680\u180e\u2000-\u200f\u202a-\u202f\u205f-\u2069"
    "\u2e80-\u2fd5\u3000\ud800-\udfff\ufdd0-\ufdef\ufeff-\uffff]| [ \n]|\t\n|[ \t]\\Z|\n{4}"
)


def _narrow(match: re.Match[str]) -> str:
    return "".join(chr(ord(char) - 0xFEE0) for char in match[0])


def _plain(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match[0])


@dataclass(frozen=True, slots=True)
class Normalise:
    """Makes spellings one. ``width``: ``letters`` narrows full-width letters and digits, ``all`` marks too."""

    width: str = "letters"

    def mend(self, texts: Sequence[str], langs: Sequence[str]) -> list[Mended | None]:
        """Return the texts that were not yet in this form; None for the others."""
        del langs
        return [self._one(text) if self._look(text) else None for text in texts]

    def _look(self, text: str) -> bool:
        if text.isascii():
            return _LOOK.search(text) is not None
        return bool(_LOOK.search(text) or not unicodedata.is_normalized("NFC", text)) or self._wide(text)

    def _wide(self, text: str) -> bool:
        pattern = {"letters": _LETTERS, "all": _ALL_WIDE}.get(self.width)
        return bool(pattern and pattern.search(text)) or (self.width != "keep" and bool(_NARROW_KANA.search(text)))

    def _one(self, text: str) -> Mended | None:
        times: dict[str, int] = {}
        mended = text

        def replace(reason: str, pattern: re.Pattern[str], new: object) -> None:
            nonlocal mended
            mended, count = pattern.subn(new if callable(new) else str(new), mended)
            if count:
                times[reason] = times.get(reason, 0) + count

        replace("line_ends", _LINE_ENDS, "\n")
        replace("control", _CONTROL, "")
        replace("invisible", _INVISIBLE, "")
        replace("invisible", _JOINERS, "")
        if not _RIGHT_TO_LEFT.search(mended):
            replace("invisible", _DIRECTIONS, "")
        replace("lookalike", _RADICALS, _plain)
        if self.width != "keep":
            replace("width", _ALL_WIDE if self.width == "all" else _LETTERS, _narrow)
            replace("width", _NARROW_KANA, _plain)
        replace("spaces", _INDENT, "")
        replace("spaces", _ODD_SPACES, " ")
        replace("spaces", _TAILS, "")
        replace("spaces", _GAPS, "\n\n\n")
        if not _INDENTED.search(mended):
            replace("spaces", _DOUBLE, " ")
        composed = unicodedata.normalize("NFC", mended)
        if composed != mended:
            times["composed"] = sum(a != b for a, b in zip(composed, mended, strict=False))
            mended = composed
        if mended == text:
            return None
        return Mended(mended, tuple(Note(reason, "", count) for reason, count in times.items()))
