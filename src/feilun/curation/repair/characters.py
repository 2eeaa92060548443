"""Characters of many texts at once: which script each is of, and whether a Han character is common or of one spelling.

This module knows Unicode ranges, GB 2312, Big5 and OpenCC's conversion. It does not know any operator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import opencc

HAN_CHARACTERS = "".join(map(chr, [*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000), *range(0xF900, 0xFB00)]))
OTHER, SHARED, SIMPLE, OLD, KANA, HANGUL, LATIN, CYRILLIC, GREEK, ARABIC, HEBREW, THAI, INDIC, CANTONESE = range(14)
CLASSES = 14
_RANGES = (
    (KANA, 0x3041, 0x30FF),
    (KANA, 0xFF66, 0xFF9F),
    (HANGUL, 0xAC00, 0xD7A3),
    (HANGUL, 0x1100, 0x11FF),
    (LATIN, 0x41, 0x5A),
    (LATIN, 0x61, 0x7A),
    (LATIN, 0xC0, 0x24F),
    (LATIN, 0x1E00, 0x1EFF),
    (CYRILLIC, 0x400, 0x52F),
    (GREEK, 0x370, 0x3FF),
    (ARABIC, 0x600, 0x6FF),
    (HEBREW, 0x590, 0x5FF),
    (THAI, 0xE00, 0xE7F),
    (INDIC, 0x900, 0xDFF),
)
_CANTONESE = "嘅咗喺唔佢冇哋啲嚟嘢咁嗰啱睇攞瞓諗㗎喎囉咩乜噉"
_CHUNK = 4_000_000  # characters looked at together: 16 MB as numbers


def _decodes(rows: range, cells: Sequence[int], encoding: str) -> str:
    return b"".join(bytes((row, cell)) for row in rows for cell in cells).decode(encoding, "ignore")


@cache
def common_han() -> frozenset[str]:
    """Return the Han characters in everyday use: level 1 of GB 2312 (3,755) and of Big5 (5,401)."""
    first = _decodes(range(0xB0, 0xD8), range(0xA1, 0xFF), "gb2312")
    second = _decodes(range(0xA4, 0xC7), [*range(0x40, 0x7F), *range(0xA1, 0xFF)], "big5")
    return frozenset(first + second) & frozenset(HAN_CHARACTERS)


@cache
def converter(name: str) -> opencc.OpenCC:
    """Return OpenCC's conversion of that name (``tw2s``: Traditional to Simplified, ``s2tw``: back)."""
    return opencc.OpenCC(name)


@cache
def spellings() -> tuple[frozenset[str], frozenset[str]]:
    """Return the characters that only Simplified and only Traditional texts have.

    Characters that the other standard's everyday set has too (后, 里, 著, 乾) tell nothing and are in neither.
    """
    han = [char for char in HAN_CHARACTERS if char < "\uf900"]
    simple = converter("t2s").convert("\n".join(han)).split("\n")
    old = converter("s2t").convert("\n".join(han)).split("\n")
    only_old = {a for a, b in zip(han, simple, strict=True) if a != b and not _fits(a, "gb2312")}
    only_simple = {a for a, b in zip(han, old, strict=True) if a != b and not _fits(a, "big5")}
    return frozenset(only_simple - only_old), frozenset(only_old - only_simple)


def _fits(char: str, encoding: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


@cache
def _classes() -> np.ndarray:
    table = np.zeros(0x10000, np.uint8)
    for kind, low, high in _RANGES:
        table[low : high + 1] = kind
    for chars, kind in zip((HAN_CHARACTERS, *spellings(), _CANTONESE), (SHARED, SIMPLE, OLD, CANTONESE), strict=True):
        table[[ord(char) for char in chars]] = kind
    return table


def codes(text: str) -> np.ndarray:
    """Return the characters of ``text`` as numbers."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def portions(texts: Sequence[str]) -> Iterator[slice]:
    """Yield slices of ``texts`` of some four million characters each."""
    start = size = 0
    for place, text in enumerate(texts):
        if size and size + len(text) > _CHUNK:
            yield slice(start, place)
            start, size = place, 0
        size += len(text)
    if start < len(texts):
        yield slice(start, len(texts))


def census(texts: Sequence[str]) -> np.ndarray:
    """Return how many characters of each class (``SHARED`` … ``CANTONESE``) each text has: n x CLASSES."""
    found = np.zeros((len(texts), CLASSES), np.int64)
    for part in portions(texts):
        some = texts[part]
        kinds = _classes()[np.minimum(codes("".join(some)), 0xFFFF)].astype(np.int64)
        kinds += np.repeat(np.arange(len(some)) * CLASSES, [len(text) for text in some])
        found[part] = np.bincount(kinds, minlength=len(some) * CLASSES).reshape(len(some), CLASSES)
    return found


def han_counts(counts: np.ndarray) -> np.ndarray:
    """Return the number of Han characters of each row of a census."""
    return np.asarray(counts[:, [SHARED, SIMPLE, OLD, CANTONESE]].sum(axis=1))
