"""What tells texts apart that read alike: other figures, a word of denial, the other side.

This module knows folded texts. It does not know rows, nor how alike texts are.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feilun.curation.copies.fold import CODE, GAP, Chars, Folded
from feilun.curation.copies.named import Ints
from feilun.curation.copies.sketches import mixed

_FIGURES = "0123456789.,:/-*"
# Denials are worth one each, sides more: their sum is another where something is denied, or the sides are exchanged.
_LEFT, _RIGHT = 1 << 12, 1 << 22
_HAN = {**dict.fromkeys("不没沒无無未非否勿禁", 1), "左": _LEFT, "右": _RIGHT}
_WORDS = {
    **dict.fromkeys(("no", "not", "never", "none", "nor", "without", "neither", "cannot"), 1),
    "left": _LEFT,
    "right": _RIGHT,
}


@dataclass(frozen=True, slots=True)
class Telling:
    """Of each text: a sum of its figures, a set of them (one bit for each, of 64), and a sum of denials and sides."""

    figures: npt.NDArray[np.uint32]
    kinds: npt.NDArray[np.uint64]
    turns: npt.NDArray[np.uint32]

    @classmethod
    def none(cls, count: int) -> Telling:
        """Return what is told of ``count`` empty texts."""
        return cls(np.zeros(count, np.uint32), np.zeros(count, np.uint64), np.zeros(count, np.uint32))

    @classmethod
    def of(cls, folded: Folded) -> Telling:
        """Return what is told of folded texts."""
        found = cls.none(folded.bounds.size - 1)
        _count_figures(folded, found)
        _count_turns(folded, found.turns)
        return found

    @classmethod
    def together(cls, parts: list[Telling]) -> Telling:
        """Return what is told of several batches as one."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))

    def add(self, other: Telling, owners: Ints) -> None:
        """Add what is told of texts to the rows that own them."""
        np.add.at(self.figures, owners, other.figures)
        np.bitwise_or.at(self.kinds, owners, other.kinds)
        np.add.at(self.turns, owners, other.turns)

    def same(self, one: Ints, other: Ints) -> npt.NDArray[np.bool_]:
        """Tell of each pair whether figures and denials are the same."""
        denied = ((self.turns[one] ^ self.turns[other]) & (_LEFT - 1)) == 0
        return np.asarray((self.figures[one] == self.figures[other]) & denied)

    def same_side(self, one: Ints, other: Ints) -> npt.NDArray[np.bool_]:
        """Tell of each pair whether left and right are the same."""
        return np.asarray((self.turns[one] ^ self.turns[other]) < _LEFT)

    def within(self, one: Ints, other: Ints) -> npt.NDArray[np.bool_]:
        """Tell of each pair whether the figures of one are among those of the other."""
        mine, theirs = self.kinds[one], self.kinds[other]
        both = mine & theirs
        return np.asarray((both == mine) | (both == theirs))


@functools.cache
def _kind() -> Chars:
    """Return what each character is: 1 a part of figures, more the worth of a Han character, 0 anything else."""
    table = np.zeros(1 << 21, np.uint32)
    for char, worth in _HAN.items():
        table[ord(char)] = worth + 1
    table[[ord(char) for char in _FIGURES]] = 1
    return table


def _count_figures(folded: Folded, found: Telling) -> None:
    code = folded.chars & CODE
    places = np.flatnonzero(_kind().take(code) == 1)
    if not places.size:
        return
    run = (places[1:] - places[:-1] == 1) & ((folded.chars[places[1:]] & GAP) == 0)
    follows, leads = np.zeros(places.size, np.uint32), np.zeros(places.size, np.uint32)
    follows[:-1][run] = code[places[1:]][run]
    leads[1:][run] = code[places[:-1]][run]
    told = mixed((code[places] << np.uint32(16)) ^ (follows << np.uint32(8)) ^ leads)
    owners = _owners(folded.bounds, places)
    np.add.at(found.figures, owners, told)
    np.bitwise_or.at(found.kinds, owners, np.uint64(1) << (told >> np.uint32(26)).astype(np.uint64))


def _count_turns(folded: Folded, turns: npt.NDArray[np.uint32]) -> None:
    chars, bounds = folded.chars, folded.bounds
    code = chars & CODE
    worth = _kind().take(code)
    places = np.flatnonzero(worth > 1)
    if places.size:
        np.add.at(turns, _owners(bounds, places), worth[places] - np.uint32(1))

    def parted(places: Ints) -> npt.NDArray[np.bool_]:
        """Tell whether a word may end before each place and another one begin there."""
        inside = places < code.size
        here, before = np.where(inside, places, 0), np.maximum(places - 1, 0)
        edge = ~inside | (bounds[np.searchsorted(bounds, places)] == places)
        return np.asarray(edge | ((chars[here] & GAP) != 0) | ~_lettered(code[here]) | ~_lettered(code[before]))

    for first in sorted({word[0] for word in _WORDS}):
        starts = np.flatnonzero(code == ord(first))
        starts = starts[parted(starts)]
        for word, value in _WORDS.items():
            if word[0] == first:
                found = starts[starts + len(word) <= code.size]
                for step, letter in enumerate(word[1:], 1):
                    found = found[(chars[found + step] == ord(letter))]
                found = found[parted(found + len(word))]
                np.add.at(turns, _owners(bounds, found), np.uint32(value))
    short = np.flatnonzero(chars == (GAP | np.uint32(ord("t"))))  # the t of isn't
    short = short[(code[short - 1] == ord("n")) & parted(short + 1)]
    np.add.at(turns, _owners(bounds, short), np.uint32(1))


def _owners(bounds: Ints, places: Ints) -> Ints:
    return np.asarray(np.searchsorted(bounds, places, "right") - 1, np.int64)


def _lettered(code: Chars) -> npt.NDArray[np.bool_]:
    return np.asarray(((code >= ord("a")) & (code <= ord("z"))) | ((code >= 0xDF) & (code < 0x250)))
