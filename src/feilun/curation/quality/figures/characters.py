"""What kind of character each is, for whole batches of texts at once.

This module knows Unicode and arrays. It does not know what makes a text good.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

(OTHER, VOWEL, CONSONANT, LETTER, HAN, FUNCTION, DIGIT, SPACE, NEWLINE, STOP, COMMA, MARK, SYMBOL, JUNK) = range(14)
KINDS = 14
_BATCH = 60_000  # characters looked at at once; the arrays of more leave the processor's caches
# Characters that Chinese sentences can hardly do without, of modern and of classical writing.
_FUNCTION = (
    "的一是了不在有我他她它这那个们来到时大地为子中你说出会也对要就以可下过得和好么没于上自而其与及或并被把将从"
    "向让给使用由因所如但若则即且再又才都只还很更最已等内后前中间些每各某该此本当应能须请何谁什怎哪几多少吗呢吧啊"
    "之乎者也矣焉哉无非乃亦曰吾汝尔彼是人日月年天"
)
_STOPS = ".!?。！？…；;”\"'’」』）)"
_COMMAS = ",，、:：·"
_SYMBOL_MARKS = "#*_\\/|@&%~^"
_VOWELS = "aeiouyAEIOUYàáâãäåèéêëìíîïòóôõöøùúûüÿæœ"


@cache
def _kinds() -> NDArray[np.uint8]:
    """Return the kind of every code point of the first plane."""
    table = np.zeros(0x10000, np.uint8)
    for code in range(0x10000):
        table[code] = _kind(chr(code))
    table[0x3400:0xA000] = HAN
    table[0xF900:0xFB00] = HAN
    for characters, kind in (
        (_FUNCTION, FUNCTION),
        (_STOPS, STOP),
        (_COMMAS, COMMA),
        (_SYMBOL_MARKS, SYMBOL),
        (_VOWELS, VOWEL),
    ):
        for one in characters:
            table[ord(one)] = kind
    table[0xFFFD] = JUNK
    return table


def _kind(one: str) -> int:
    category = unicodedata.category(one)
    if one in "\n\r\u2028\u2029":
        return NEWLINE
    if category[0] == "Z" or one == "\t":
        return SPACE
    if category[0] in "LM":
        return CONSONANT if ord(one) < 0x250 else LETTER
    if category in {"Cc", "Co", "Cn", "Cs"}:
        return JUNK
    return {"N": DIGIT, "P": MARK, "S": SYMBOL}.get(category[0], OTHER)


def codes(texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the code points of all texts one behind the other, and where each begins (and the last ends)."""
    joined = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=starts[1:])
    return joined, starts


def kinds(joined: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return the kind of each code point."""
    found = _kinds().take(joined, mode="clip")
    beyond = np.flatnonzero(joined > 0xFFFF)
    if len(beyond):
        high = joined[beyond]
        found[beyond] = np.where((high >= 0x20000) & (high < 0x40000), HAN, np.where(high < 0xF0000, SYMBOL, JUNK))
    return found


@cache
def _marks(characters: str) -> NDArray[np.bool_]:
    table = np.zeros(0x10000, bool)
    table[[ord(one) for one in characters]] = True
    return table


def marked(joined: NDArray[np.uint32], characters: str) -> NDArray[np.bool_]:
    """Return whether each code point is one of ``characters`` (of the first plane)."""
    return np.asarray(_marks(characters).take(joined, mode="clip"), np.bool_)


def pieces(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Return runs of texts that are not too long together."""
    cuts, size = [0], 0
    for number, text in enumerate(texts):
        if size and size + len(text) > _BATCH:
            cuts.append(number)
            size = 0
        size += len(text)
    cuts.append(len(texts))
    return [(start, end) for start, end in pairwise(cuts) if end > start]
