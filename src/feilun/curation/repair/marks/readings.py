"""How Han characters are read: whether Latin letters or Zhuyin marks are the reading of the characters beside them.

This module knows pypinyin's table and tone marks. It does not know why anybody wrote a reading down.
"""

from __future__ import annotations

import importlib.util
import json
import unicodedata
from functools import cache
from pathlib import Path

TONED = "āáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜḿńňǹ"
LETTERS = f"A-Za-zü{TONED}{TONED.upper()}Ü\u0300\u0301\u0304\u0308\u030c"
_TONES = {"\u0304", "\u0301", "\u030c", "\u0300"}


def plain(letters: str) -> str:
    """Return a reading without tones, case, spaces, digits and apostrophes; ``v`` for ``ü``."""
    apart = unicodedata.normalize("NFD", letters.casefold()).replace("u\u0308", "v")
    return "".join(char for char in apart if "a" <= char <= "z")


def is_toned(letters: str) -> bool:
    """Tell whether tones are marked, by accents or by a digit."""
    return any(char in _TONES for char in unicodedata.normalize("NFD", letters)) or letters[-1:] in set("12345")


@cache
def _table() -> dict[str, frozenset[str]]:
    found = importlib.util.find_spec("pypinyin")
    if found is None or found.origin is None:
        return {}
    text = (Path(found.origin).parent / "pinyin_dict.json").read_text(encoding="utf-8")
    return {chr(int(code)): frozenset(map(plain, said.split(","))) for code, said in json.loads(text).items()}


@cache
def readings(char: str) -> frozenset[str]:
    """Return the readings of a character without tones."""
    return _table().get(char, frozenset())


@cache
def fitting(han: str, letters: str) -> int:
    """Return how many of the last characters of ``han`` the letters are the reading of; 0 for none."""
    said = plain(letters)
    for count in range(1, min(len(han), 8, len(said)) + 1):
        if said in _joined(han[-count:]):
            return count
    return 0


@cache
def _joined(han: str) -> frozenset[str]:
    """Return all readings of a word, at most 64."""
    found = frozenset({""})
    for char in han:
        found = frozenset(sorted(a + b for a in found for b in readings(char))[:64])
    return found
