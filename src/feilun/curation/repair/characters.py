"""Characters of many texts at once: which script each is of, and whether a Han character is common or of one spelling.

This module knows Unicode ranges, GB 2312, Big5 and OpenCC's conversion. It does not know any operator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property

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
_CHUNK = 1 << 15  # characters looked at together: arrays of them stay in the cache of a core


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


class Joined:
    """Texts one behind the other as numbers (what is beyond the basic plane is U+FFFF), each ended by a line end.

    Masks over ``codes`` are counted by text, so that the texts worth a closer look are found without touching each.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """Encode the texts."""
        raw = "\n".join([*texts, ""]).encode("utf-32-le", "surrogatepass")
        self.codes = np.minimum(np.frombuffer(raw, np.uint32), 0xFFFF).astype(np.uint16)
        self.sizes = np.array([len(text) + 1 for text in texts], np.int64)
        self.starts = np.cumsum(self.sizes) - self.sizes

    @cached_property
    def lowered(self) -> np.ndarray:
        """The numbers of the characters, capital letters as small ones, with three zeros behind."""
        numbers = np.zeros(len(self.codes) + 3, np.uint32)
        numbers[:-3] = _lower()[self.codes]
        return numbers

    def owners(self, places: np.ndarray) -> np.ndarray:
        """Return of which text each place is."""
        return np.asarray(np.searchsorted(self.starts, places, "right") - 1)

    def count(self, mask: np.ndarray) -> np.ndarray:
        """Return for each text at how many places ``mask`` (as long as ``codes`` or shorter) holds."""
        return np.bincount(self.owners(np.flatnonzero(mask)), minlength=len(self.sizes))

    def both(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the mask of places where ``first`` holds and ``second`` one further; as long as both reach."""
        size = max(0, min(len(first), len(second) - 1))
        return np.asarray(first[:size] & second[1 : size + 1])


def measured(texts: Sequence[str], measure: Callable[[Joined], np.ndarray]) -> np.ndarray:
    """Return ``measure`` of all texts, worked out on some 33,000 characters at a time."""
    parts = [measure(Joined(texts[part])) for part in portions(texts)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def table_of(chars: Iterable[str]) -> np.ndarray:
    """Return a table of 65,536 truths: which characters are among ``chars``."""
    table = np.zeros(0x10000, np.bool_)
    table[[ord(char) for char in chars if ord(char) < 0x10000]] = True
    return table


def portions(texts: Sequence[str]) -> Iterator[slice]:
    """Yield parts of ``texts`` that are looked at together; a longer text is a part of its own."""
    start = size = 0
    for place, text in enumerate(texts):
        if size and size + len(text) > _CHUNK:
            yield slice(start, place)
            start, size = place, 0
        size += len(text)
    if start < len(texts):
        yield slice(start, len(texts))


def _census(joined: Joined) -> np.ndarray:
    kinds = _classes()[joined.codes].astype(np.int64)
    rows = len(joined.sizes)
    kinds += np.repeat(np.arange(rows) * CLASSES, joined.sizes)
    return np.asarray(np.bincount(kinds, minlength=rows * CLASSES).reshape(rows, CLASSES))


def census(texts: Sequence[str]) -> np.ndarray:
    """Return how many characters of each class (``SHARED`` … ``CANTONESE``) each text has: n x CLASSES."""
    return measured(texts, _census).reshape(len(texts), CLASSES)


def han_counts(counts: np.ndarray) -> np.ndarray:
    """Return the number of Han characters of each row of a census."""
    return np.asarray(counts[:, [SHARED, SIMPLE, OLD, CANTONESE]].sum(axis=1))


def bits_of(classes: Sequence[Iterable[str]]) -> np.ndarray:
    """Return a table of 65,536 numbers: bit n tells whether a character is of the n-th class."""
    table = np.zeros(0x10000, np.uint16)
    for place, chars in enumerate(classes):
        table[table_of(chars)] |= 1 << place
    return table


@cache
def _lower() -> np.ndarray:
    table = np.arange(0x10000, dtype=np.uint16)
    table[0x41:0x5B] += 32
    table[[0x17F, 0x212A]] = ord("s"), ord("k")
    return table


def converted(text: str, name: str) -> str:
    """Return a text converted by OpenCC, which takes neither lone surrogates nor anything behind a NUL."""
    convert = converter(name).convert
    return "\0".join(convert(part) for part in text.encode("utf-8", "replace").decode().split("\0"))


@cache
def one_of(kind: int) -> re.Pattern[str]:
    """Return a pattern that finds a character of that class."""
    return re.compile(f"[{''.join(map(chr, np.flatnonzero(_classes() == kind)))}]")
