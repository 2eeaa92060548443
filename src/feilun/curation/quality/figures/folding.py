"""Texts as a list of terms sees them: spelling disguises taken off, every character still knowing where it stood.

This module knows characters. It does not know any term.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import opencc
from numpy.typing import NDArray

from feilun.curation.quality.figures.characters import codes, pieces

# Letters of other alphabets that look like Latin ones (a choice from the confusables of Unicode's UTS 39).
_LOOKALIKES = dict(
    zip(
        "аеорсухкмнтвіѕјԁԛԝɡɩαβεικνορτυχωʟɪɴʀ",
        "aeopcyxkmhtbisjdqwglabeiknoptuxwlinr",
        strict=True,
    )
)
_LEET = str.maketrans("013457@$!|", "oieastasii")
# Patterns begin with what is rare, and only then look back: the search skips to it.
_DISGUISED = re.compile(r"[013457@$!|*](?<=[a-z].)[013457@$!|*]{0,2}(?=[a-z])")
_LONE = re.compile(r"[ ._*\-/|·][a-z][ ._*\-/|·]{1,2}[a-z](?![a-z0-9])")
_SPELT = re.compile(r"(?<![a-z0-9])[a-z](?:[ ._*\-/|·]{1,2}[a-z]){2,30}(?![a-z0-9])")
_GAP = re.compile(r"[ ._*\-/|·]")
_BETWEEN = re.compile(
    r"[ \t._*\-/|·~^+=#`'•☆★○●](?<=[\u3400-\u9fff].)[ \t._*\-/|·~^+=#`'•☆★○●]{0,3}(?=[\u3400-\u9fff])"
)


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text; character i of it stood at ``places[i]`` of the original."""

    text: str
    places: NDArray[np.int64]

    def original(self, start: int, end: int) -> slice:
        """Return where the characters from ``start`` to ``end`` stood."""
        return slice(int(self.places[start]), int(self.places[end - 1]) + 1)


@cache
def _table() -> NDArray[np.uint32]:
    """Return what each code point of the first plane is folded to; 0 takes it out."""
    table = np.arange(0x10000, dtype=np.uint32)
    for code in range(0x80, 0x10000):
        one = chr(code)
        if unicodedata.category(one) in {"Mn", "Cf", "Me"}:
            table[code] = 0
        elif not 0x3400 <= code < 0xA000 and not 0xAC00 <= code < 0xE000:
            plain = unicodedata.normalize("NFKD", one).casefold()
            table[code] = ord(_LOOKALIKES.get(plain[0], plain[0])) if plain else code
    for code in range(ord("A"), ord("Z") + 1):
        table[code] = code + 32
    han = range(0x3400, 0xA000)
    simple = opencc.OpenCC("t2s").convert("\n".join(map(chr, han))).split("\n")
    table[0x3400:0xA000] = [ord(one[0]) for one in simple]
    for quote in "’‘`´":
        table[ord(quote)] = ord("'")
    return table


def fold(text: str) -> Folded:
    """Return ``text`` in simplified, lower case, half-width characters, without marks, gaps or letters in disguise.

    Taken out: invisible characters, accents, and spaces, dots and stars between Chinese characters or single letters.
    Letters of other alphabets and digits within words become the Latin letters that they look like.
    """
    joined, _ = codes([text])
    low = np.minimum(joined, 0xFFFF)
    folded = np.where(joined > 0xFFFF, joined, _table()[low])
    places = np.flatnonzero(folded)
    plain = folded[places].tobytes().decode("utf-32-le", "surrogatepass")
    plain = _DISGUISED.sub(lambda found: found[0].translate(_LEET), plain)
    gone = np.zeros(len(plain), bool)
    for found in _BETWEEN.finditer(plain):
        gone[found.start() : found.end()] = True
    for found in _SPELT.finditer(plain) if _LONE.search(plain) else ():
        for gap in _GAP.finditer(plain, found.start(), found.end()):
            gone[gap.start()] = True
    if gone.any():
        kept = np.flatnonzero(~gone)
        plain = codes([plain])[0][kept].tobytes().decode("utf-32-le", "surrogatepass")
        places = places[kept]
    return Folded(plain, places)


def fold_all(texts: Sequence[str]) -> list[Folded]:
    """Return what :func:`fold` makes of each text; many short ones are folded at once."""
    found: list[Folded] = []
    for start, end in pieces(texts):
        part = texts[start:end]
        # No pattern reaches over the mark between two texts.
        whole = fold("\x00".join(part))
        begins = np.cumsum([0, *(len(text) + 1 for text in part)])
        cuts = np.searchsorted(whole.places, begins)
        for number, text in enumerate(part):
            first = int(cuts[number])
            last = int(np.searchsorted(whole.places, begins[number] + len(text)))
            found.append(Folded(whole.text[first:last], whole.places[first:last] - begins[number]))
    return found
