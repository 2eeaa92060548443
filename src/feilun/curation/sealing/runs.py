"""Runs of clauses that say exactly what an item says, whatever stands around them, in whatever order its words stand.

This module knows clauses and sums of characters that do not depend on their order. It does not know exams nor records.

A text is cut at its marks and around words of asking (please, 请问); every run of neighbouring clauses is summed
(prefix sums of scrambled characters, modulo 2^64), and a run with an item's sum holds the item's characters. So a
question of five words is found within a page, and one whose words were shuffled too, and nothing is found that merely
shares words with it. Particles (了, 呢) come and go in Chinese, and do not count.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feilun.curation.copies.contamination import unsigned
from feilun.curation.copies.fold import CODE, Chars, Folded, fold
from feilun.curation.sealing.sums import maybe, scrambled, short

LONGEST = 600  # characters of an item that is looked for in this way
MOST = 64  # clauses in a run
LIGHTEST = 8  # letters, a Han character counting as two, of an item that is looked for within longer texts
SHUFFLED = 16  # the same, of an item whose words may stand in another order
_CUT = re.compile(r"[^\w\s]+|[\r\n\t]+|_+")
_PARTICLES = np.array([ord(char) for char in "了的吗呢啊呀吧嘛"], np.uint32)
_ASKS = re.compile(
    r"请\s*问|请\s*教|请|问\s*题|题\s*目|考\s*题|问|题|一\s*下|[想你您们谁]\s*知\s*道|告\s*诉\s*[我他她你您]\s*们?|回\s*答"
    r"|答\s*案|[你您]\s*好|谢\s*谢|多\s*谢|帮\s*[忙我]|那\s*么|说\s*说|试\s*答|求\s*[解助答]|如\s*下"
    r"|\b(?:please|tell (?:me|us)|give me|answer|question|ask(?:s|ed)?(?: (?:me|us|him|her|you))?|do you know"
    r"|(?:can|could|would|will) you|hi|hello|hey|thanks|thank you|wonder(?:ing)?"
    r"|(?:want|like) to know|let me know|so|now|ok)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"[^\W_\u3400-\u9fff\uf900-\ufaff]+")


@dataclass(frozen=True, slots=True)
class Found:
    """A run: of which item (its number), in the same order or not, and whether it is the whole text."""

    item: int
    ordered: bool
    whole: bool


class Runs:
    """Items, found as runs of clauses."""

    def __init__(self, items: Sequence[str]) -> None:
        """Keep the items that are short enough; the others are found by what they share."""
        clauses, whole = _Clauses(items), unsigned(fold(items))
        self._items: dict[int, tuple[Chars, str, int]] = {}
        by_sum: dict[int, list[int]] = {}
        for number in range(len(items)):
            first, last = np.searchsorted(clauses.owner, [number, number + 1]).tolist()
            chars = clauses.chars_of(first, last)
            if 0 < chars.size <= LONGEST:
                weight = _weight(whole.chars[whole.bounds[number] : whole.bounds[number + 1]] & CODE)
                self._items[number] = chars, clauses.text_of(first, last), weight
                by_sum.setdefault(clauses.sum_of(first, last), []).append(number)
        self._numbers = by_sum
        self._longest = max((chars.size for chars, _, _ in self._items.values()), default=0)
        self._maybe = maybe(np.array(list(by_sum), np.uint64))

    def look(self, texts: Sequence[str]) -> list[tuple[int, Found]]:
        """Return (place, found) for every text and every item that a run of it holds."""
        clauses = _Clauses(texts) if self._items else _Clauses(())
        found: dict[tuple[int, int], Found] = {}
        for many in range(1, min(MOST, clauses.owner.size) + 1):
            firsts = np.arange(clauses.owner.size - many + 1)
            starts, ends = clauses.bounds[firsts], clauses.bounds[firsts + many]
            fits = (ends - starts <= self._longest) & (clauses.owner[firsts] == clauses.owner[firsts + many - 1])
            if not fits.any():
                break
            told = clauses.sums[ends[fits]] - clauses.sums[starts[fits]]
            hits = np.flatnonzero(self._maybe[short(told)])
            for first, one in zip(firsts[fits][hits].tolist(), told[hits].tolist(), strict=True):
                place = int(clauses.owner[first])
                for number in self._numbers.get(one, ()):
                    hit = self._told(clauses, first, first + many, number)
                    if hit is not None and (hit.ordered or (place, number) not in found):
                        found[place, number] = hit
        return [(place, found[place, number]) for place, number in sorted(found)]

    def _told(self, clauses: _Clauses, first: int, last: int, number: int) -> Found | None:
        """Return what a run with an item's sum is: the item, the item shuffled, or something else."""
        chars, text, weight = self._items[number]
        run = clauses.chars_of(first, last)
        ordered = bool(np.array_equal(run, chars))
        owner = clauses.owner
        whole = (first == 0 or owner[first - 1] != owner[first]) and (
            last == owner.size or owner[last] != owner[last - 1]
        )
        if ordered:
            return Found(number, True, whole) if whole or weight >= LIGHTEST else None
        said = clauses.text_of(first, last)
        if weight < SHUFFLED or _tokens(_NUMBER, said) != _tokens(_NUMBER, text):
            return None
        # Equal letters in other words: by chance in a short text, by blanks that were moved in a long one.
        same = weight >= 2 * SHUFFLED or _tokens(_WORD, said) == _tokens(_WORD, text)
        return Found(number, False, whole) if same else None


class _Clauses:
    """The clauses of texts: folded characters without signs, and prefix sums that do not depend on their order."""

    def __init__(self, texts: Sequence[str]) -> None:
        texts = [_ASKS.sub(r"\n\g<0>\n", text) for text in texts]
        parts = [[part for part in _CUT.split(text) if part.strip()] for text in texts]
        self._texts = [part for each in parts for part in each]
        folded = _telling(unsigned(fold(self._texts)))
        full = np.diff(folded.bounds) > 0
        owner = np.repeat(np.arange(len(texts)), [len(each) for each in parts])
        self._texts = [text for text, kept in zip(self._texts, full.tolist(), strict=True) if kept]
        self.owner = owner[full]
        self.chars = folded.chars & CODE
        self.bounds = np.concatenate([folded.bounds[:1], folded.bounds[1:][full]])
        self.sums = np.zeros(self.chars.size + 1, np.uint64)
        np.cumsum(scrambled(self.chars.astype(np.uint64)), out=self.sums[1:])

    def chars_of(self, first: int, last: int) -> Chars:
        return self.chars[self.bounds[first] : self.bounds[last]]

    def sum_of(self, first: int, last: int) -> int:
        return (int(self.sums[self.bounds[last]]) - int(self.sums[self.bounds[first]])) % (1 << 64)

    def text_of(self, first: int, last: int) -> str:
        return " ".join(self._texts[first:last])


def asked_for(text: str) -> str:
    """Return a text without the words of asking at its beginning."""
    while told := _ASKS.match(text):
        text = text[told.end() :].lstrip(" ,:，：、!！")
    return text


def _telling(folded: Folded) -> Folded:
    kept = np.zeros(folded.chars.size + 1, np.int64)
    stays = ~np.isin(folded.chars & CODE, _PARTICLES)
    np.cumsum(stays, out=kept[1:])
    return Folded(folded.chars[stays], kept[folded.bounds])


def _weight(chars: Chars) -> int:
    return int(chars.size + np.count_nonzero((chars >= 0x3400) & (chars < 0xFB00)))


def _tokens(kind: re.Pattern[str], text: str) -> Counter[str]:
    return Counter(kind.findall(unicodedata.normalize("NFKC", text).casefold()))
