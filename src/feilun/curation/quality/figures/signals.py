"""Figures that tell prose from debris, of many texts at once: shares of characters, lines, repetition.

The rules are those of Gopher (Rae et al. 2021), C4 (Raffel et al. 2020) and FineWeb (Penedo et al. 2024), put in terms
that hold for Chinese as well: characters where they count words, function characters where they count stop words. This
module knows texts and arrays. It does not know which figure is good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feilun.curation.quality.figures import characters as kind
from feilun.curation.quality.figures.characters import KINDS, codes, kinds, marked

Figures = NDArray[np.float64]
# Words that make sentences, of English and of other languages in Latin writing; none is longer than four letters.
_STOP_WORDS = (
    "the of and to in a is for that you it with on be are i not or if this by was he she they we my do at as from have "
    "de la le les et que el en los der die und das di il e o da een van het dan yang ist est con per por det och som"
)
_PROBES = 6  # places at which it is looked whether a text repeats itself, before it is measured
_SHORT = 120  # characters; shorter texts are measured if they have few different characters
_FEW = 15
_WIDE = 0x2E80  # from here on, a character says as much as a word
_LOOKED_AT = 20_000
_OF_LINES = ("lines", "short_lines", "ended_lines", "ellipses", "bullets", "numbered", "cells", "code")
_BULLETS = "-*•·●○■□▪►▶◆◇–—+"
_FORMULA = "=+\\$^{}<>×÷√∫∑≤≥≈±∈∞"
_RULES = "-=_.*#|~+—…─ \t\n"


@dataclass(frozen=True, slots=True)
class Signals:
    """By text: ``size`` (visible characters), counts of lines, and shares (0–1) of what the names say."""

    size: Figures
    junk: Figures
    symbols: Figures
    digits: Figures
    sense: Figures  # letters and Chinese characters
    function: Figures  # function characters of Chinese, among its characters
    han: Figures  # Chinese characters among letters and Chinese characters
    vowels: Figures  # among Latin letters
    latin: Figures  # how many Latin letters
    word: Figures  # mean length of a Latin word
    words: Figures
    spaced: Figures  # spaces for each word
    stretch: Figures  # mean length of what stands between spaces or line breaks
    stop_words: Figures  # words that make sentences, among words
    lines: Figures
    short_lines: Figures  # characters that stand in lines too short to say something
    ended_lines: Figures
    ellipses: Figures
    bullets: Figures
    numbered: Figures  # lines that begin with a digit or a bullet
    cells: Figures  # lines that look like a table's: cut by tabs, bars, or commas without a space
    code: Figures  # lines that end or begin as those of programs do
    formula: Figures  # marks of formulas
    run: Figures  # the longest run of one character
    repeated: Figures  # characters that stand in repeated lines or passages


def measure(texts: Sequence[str]) -> Signals:
    """Return the figures of each text; the work grows with their length and with nothing else."""
    joined, starts = codes(texts)
    found = kinds(joined)
    many = len(texts)
    owner = np.repeat(np.arange(many, dtype=np.int32), np.diff(starts))
    counts = np.bincount(owner * np.int64(KINDS) + found, minlength=many * KINDS).reshape(many, KINDS).astype(float)
    size = counts.sum(1) - counts[:, kind.SPACE] - counts[:, kind.NEWLINE]
    latin = counts[:, kind.VOWEL] + counts[:, kind.CONSONANT]
    han = counts[:, kind.HAN] + counts[:, kind.FUNCTION]
    sense = latin + han + counts[:, kind.LETTER]
    is_latin = (found == kind.VOWEL) | (found == kind.CONSONANT)
    first = is_latin.copy()
    first[1:] &= ~is_latin[:-1] | (owner[1:] != owner[:-1])
    words = np.bincount(owner[first], minlength=many).astype(float)
    begins = np.flatnonzero(first)
    last = is_latin.copy()
    last[:-1] &= ~is_latin[1:] | (owner[1:] != owner[:-1])
    packed = _packed(joined, begins, np.flatnonzero(last) - begins + 1)
    known = _stop_numbers()
    is_stop = known[np.searchsorted(known, packed) % len(known)] == packed
    stop_words = np.bincount(owner[begins[is_stop]], minlength=many).astype(float)
    lines = _lines(joined, found, starts, owner)
    addresses = np.array([text.startswith(("http://", "https://", "www.")) for text in texts], bool)
    return Signals(
        size=size,
        junk=_share(counts[:, kind.JUNK], size),
        symbols=_share(counts[:, kind.SYMBOL], size),
        digits=_share(counts[:, kind.DIGIT], size),
        sense=_share(sense, size),
        function=_share(counts[:, kind.FUNCTION], han),
        han=_share(han, sense),
        vowels=_share(counts[:, kind.VOWEL], latin),
        latin=latin,
        word=_share(latin, words),
        words=words,
        stop_words=_share(stop_words, words),
        formula=_share(np.bincount(owner[marked(joined, _FORMULA)], minlength=many).astype(float), size),
        spaced=_share(counts[:, kind.SPACE], words),
        stretch=np.where(addresses, 0.0, size / (1.0 + counts[:, kind.SPACE] + counts[:, kind.NEWLINE])),
        run=_share(_longest_run(joined, starts, owner), size),
        repeated=np.array([_repeated(text) for text in texts], float),
        **lines,
    )


def _share(some: NDArray[Any], of: NDArray[Any]) -> Figures:
    return np.asarray(some / np.maximum(of, 1.0), np.float64)


def _packed(letters: NDArray[np.uint32], first: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return a number for each word of up to four ASCII letters, 0 for longer ones."""
    found = np.zeros(len(first), np.uint32)
    for place in range(4):
        letter = letters[np.minimum(first + place, len(letters) - 1)] | 0x20
        found |= np.where(place < length, letter, 0).astype(np.uint32) << np.uint32(8 * place)
    return np.where(length <= 4, found, 0).astype(np.uint32)


@cache
def _stop_numbers() -> NDArray[np.uint32]:
    """Return the numbers of the words that make sentences, sorted."""
    return np.array(sorted(int.from_bytes(word.encode(), "little") for word in _STOP_WORDS.split()), np.uint32)


def _lines(
    joined: NDArray[np.uint32], found: NDArray[np.uint8], starts: NDArray[np.int64], owner: NDArray[np.int32]
) -> dict[str, Figures]:
    """Return the figures of lines that are not empty, by text."""
    many = len(starts) - 1
    visible = np.flatnonzero((found != kind.NEWLINE) & (found != kind.SPACE))
    if not len(visible):
        nothing = np.zeros(many)
        return dict.fromkeys(_OF_LINES, nothing)
    # A line begins at a visible character with a line break, or another text, between it and the one before.
    breaks = np.cumsum(found == kind.NEWLINE, dtype=np.int32)[visible] + owner[visible]
    begins = np.flatnonzero(np.diff(breaks, prepend=-1))
    ends = np.append(begins[1:], len(visible)) - 1
    first, last = visible[begins], visible[ends]
    whose = owner[first]
    length = (ends - begins + 1).astype(float)
    wide = np.add.reduceat(((found == kind.HAN) | (found == kind.FUNCTION))[visible].astype(np.int32), begins)
    head, tail = joined[first], joined[last]
    ended = (found[last] == kind.STOP) | (tail == ord("："))
    dotted = (tail == ord("…")) | ((tail == ord(".")) & (joined[np.maximum(last - 2, 0)] == ord(".")))
    bullet = marked(head, _BULLETS) & (length > 1)
    # Cuts by tabs and bars count twice: a line has to have one of those, or two commas.
    cuts = marked(joined, "\t|") * np.int32(2)
    cuts[:-1] += (joined[:-1] == ord(",")) & (found[1:] != kind.SPACE) & (found[1:] != kind.NEWLINE)
    cut = np.add.reduceat(cuts, first) >= 2
    indented = np.zeros(len(first), bool)
    far = first[first >= 2]
    indented[first >= 2] = marked(joined[far - 1], " \t") & marked(joined[far - 2], " \t\n")
    program = marked(tail, "{};()[]\\") | (head == ord("`")) | (indented & marked(tail, ":,=+"))
    program &= wide <= length / 2
    lines = np.bincount(whose, minlength=many).astype(float)
    all_length = np.bincount(whose, length, many)

    def share(which: NDArray[np.bool_]) -> Figures:
        return _share(np.bincount(whose, which, many), lines)

    short = (length + wide * 2 < 25) & ~ended
    return {
        "lines": lines,
        "short_lines": _share(np.bincount(whose, length * short, many), all_length),
        "ended_lines": share(ended),
        "ellipses": share(dotted),
        "bullets": share(bullet),
        "numbered": share(bullet | (found[first] == kind.DIGIT)),
        "cells": share(cut),
        "code": share(program | (indented & ~bullet & (wide == 0))),
    }


def _longest_run(joined: NDArray[np.uint32], starts: NDArray[np.int64], owner: NDArray[np.int32]) -> Figures:
    """Return the length of the longest run (from 6) of one character that is no ruling line, by text."""
    longest = np.zeros(len(starts) - 1)
    same = (joined[1:] == joined[:-1]) & (owner[1:] == owner[:-1])
    edges = np.flatnonzero(np.diff(same, prepend=False, append=False))
    begins, lengths = edges[::2], edges[1::2] - edges[::2] + 1
    telling = (lengths >= 6) & ~marked(joined[begins], _RULES)
    np.maximum.at(longest, owner[begins[telling]], lengths[telling])
    return longest


def _repeated(text: str) -> float:
    """Return the share of characters in lines, or of passages of 12 (of Chinese: 3), that were there before."""
    if len(text) < _SHORT and len(set(text)) * 3 > len(text):
        return 0.0
    text = text[:_LOOKED_AT]
    if len(text) >= _SHORT and not _repeats(text):
        return 0.0
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 3]
    again = sum(len(line) * (times - 1) for line, times in Counter(lines).items())
    by_passage = 0.0
    if len(text) >= _FEW:
        plain = codes([text])[0].astype(np.uint64)
        width = 3 if np.count_nonzero(plain > _WIDE) * 2 > len(plain) else 12
        grams = np.zeros(len(plain) - width + 1, np.uint64)
        for place in range(width):
            grams = grams * np.uint64(0x100000001B3) + plain[place : len(grams) + place]
        by_passage = 1.0 - len(np.unique(grams)) / len(grams)
    return max(again / max(1, len(text)), by_passage)


def _repeats(text: str) -> bool:
    """Tell whether at least half of some pieces, at fixed places, stand in the text a second time."""
    again = 0
    for probe in range(_PROBES):
        place = probe * (len(text) - 20) // _PROBES
        piece = text[place : place + (8 if text[place] > chr(_WIDE) else 14)]
        again += text.find(piece) != place or text.find(piece, place + 1) >= 0
    return again * 2 >= _PROBES
