"""Texts as a list of terms sees them: spelling disguises taken off, every character still knowing where it stood.

This module knows characters. It does not know any term.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
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
_HAN, _LETTER, _LEETS, _GAPS, _BETWEENS = 1, 2, 4, 8, 16
_AHEAD = 4


@cache
def _kinds() -> NDArray[np.uint8]:
    """Return what characters of the first plane may be parts of disguises, as bits."""
    found = np.zeros(0x10000, np.uint8)
    found[0x3400:0xA000] = _HAN
    found[ord("a") : ord("z") + 1] = _LETTER
    for given, kind in (
        ("013457@$!|*", _LEETS),
        (" ._*-/|·", _GAPS),
        (" \t._*-/|·~^+=#`'•☆★○●", _BETWEENS),
    ):
        found[[ord(one) for one in given]] |= np.uint8(kind)
    return found


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
    folded = _table().take(joined, mode="clip")
    far = np.flatnonzero(joined > 0xFFFF)
    folded[far] = joined[far]
    places = np.flatnonzero(folded) if not folded.all() else np.arange(len(folded))
    if len(places) < len(folded):
        folded = folded[places]
    plain = folded.tobytes().decode("utf-32-le", "surrogatepass")
    kinds = _kinds_of(folded)
    leet = (kinds[:-_AHEAD] & _LETTER > 0) & _after(kinds, 1, _LEETS) & _after(kinds, 2, _LETTER | _LEETS)
    tried = (_DISGUISED.match(plain, place + 1) for place in np.flatnonzero(leet).tolist())
    if disguised := [found for found in tried if found]:
        for found in disguised:
            folded[found.start() : found.end()] = [ord(one) for one in found[0].translate(_LEET)]
        plain, kinds = folded.tobytes().decode("utf-32-le", "surrogatepass"), _kinds_of(folded)
    out = _gaps(plain, kinds)
    if out:
        gone = np.zeros(len(plain), bool)
        for start, end in out:
            gone[start:end] = True
        kept = np.flatnonzero(~gone)
        plain = folded[kept].tobytes().decode("utf-32-le", "surrogatepass")
        places = places[kept]
    return Folded(plain, places)


def _kinds_of(folded: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return the kind of each character, and nothing for a few behind."""
    found = np.zeros(len(folded) + _AHEAD, np.uint8)
    _kinds().take(folded, mode="clip", out=found[: len(folded)])
    return found


def _after(kinds: NDArray[np.uint8], far: int, kind: int) -> NDArray[np.bool_]:
    """Return whether ``far`` behind each character there is one of a kind."""
    return np.asarray(kinds[far : len(kinds) - _AHEAD + far] & np.uint8(kind) > 0)


def _gaps(plain: str, kinds: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Return what stands between Chinese characters, or single letters, and is no part of them."""
    here = kinds[:-_AHEAD]
    between = (here & _HAN > 0) & _after(kinds, 1, _BETWEENS) & _after(kinds, 2, _HAN | _BETWEENS)
    tried = (_BETWEEN.match(plain, place + 1) for place in np.flatnonzero(between).tolist())
    out = [found.span() for found in tried if found]
    lone = (here & _GAPS > 0) & _after(kinds, 1, _LETTER) & _after(kinds, 2, _GAPS)
    lone &= _after(kinds, 3, _LETTER | _GAPS)
    if any(_LONE.match(plain, place) for place in np.flatnonzero(lone).tolist()):
        for found in _SPELT.finditer(plain):
            out += [gap.span() for gap in _GAP.finditer(plain, found.start(), found.end())]
    return out


@dataclass(frozen=True, slots=True)
class Joined:
    """Texts that were folded as one; text ``i`` began at ``begins[i]`` of the whole before that."""

    whole: Folded
    begins: NDArray[np.int64]

    def owners(self, places: Sequence[int]) -> list[int]:
        """Return the number of the text that owns each of some characters of the folded whole."""
        given = self.whole.places[np.array(places, np.int64)]
        return [int(number) for number in np.searchsorted(self.begins, given, "right") - 1]

    def text(self, number: int) -> Folded:
        """Return what :func:`fold` makes of one text."""
        begin, end = self.begins[number], self.begins[number + 1] - 1
        first, last = np.searchsorted(self.whole.places, [begin, end]).tolist()
        return Folded(self.whole.text[first:last], self.whole.places[first:last] - begin)


def fold_all(texts: Sequence[str]) -> Iterator[Joined]:
    """Yield many texts folded: short ones together."""
    for start, end in pieces(texts):
        part = texts[start:end]
        # No pattern reaches over the mark between two texts.
        yield Joined(fold("\x00".join(part)), np.cumsum([0, *(len(text) + 1 for text in part)]))
