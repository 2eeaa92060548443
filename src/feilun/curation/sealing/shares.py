"""How much of a question stands in a text, and whether the text offers choices.

This module knows shingles and the letters of choices. It does not know exams nor records.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import numpy as np

from feilun.curation.copies.contamination import blankless, parted, unsigned
from feilun.curation.copies.fold import CODE, GAP, fold
from feilun.curation.copies.sketches import SPARSE, shingles

_UNIT = re.compile(r"\d+|[^\W\d_]")
_MARK = re.compile(r"(?<![^\W_])[a-h](?=\s*[.、)）:：．])")
FEW = 12  # figures, characters and letters: what has fewer is not known by them alone
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")


def share(item: str, text: str) -> float:
    """Return how much of an item's shingles, common ones too, stands close together in a text (0-1)."""
    hashes, bounds = shingles(unsigned(blankless([item, text])))
    mine, its = np.unique(hashes[: bounds[1]]), hashes[bounds[1] :]
    where = np.flatnonzero(np.isin(its, mine)).tolist()
    reach = 2 * mine.size + SPARSE
    best = low = 0
    inside: Counter[int] = Counter()
    for place in where:
        inside[int(its[place])] += 1
        while place - where[low] > reach:
            gone = int(its[where[low]])
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            low += 1
        best = max(best, len(inside))
    return best / max(1, mine.size)


def bag(text: str) -> str:
    """Return what a text has in whatever order: its figures, characters and letters, sorted; empty if they are few.

    The letters of choices are left out, as another order gives them to others.
    """
    plain = _MARK.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    parts = sorted(_UNIT.findall(plain))
    return "|".join(parts) if len(parts) >= FEW else ""


def choices_in(text: str) -> bool:
    """Tell whether a text offers choices."""
    return bool(parted(text))


def holds(text: str, part: str) -> bool:
    """Tell whether a text holds a part, whatever stands between its characters."""
    folded = unsigned(blankless([text, part]))
    ends = folded.bounds.tolist()
    whole, wanted = folded.chars[: ends[1]], folded.chars[ends[1] :]
    if not wanted.size or wanted.size > whole.size:
        return False
    places = np.flatnonzero(whole[: whole.size - wanted.size + 1] == wanted[0]).tolist()
    return any(np.array_equal(whole[place : place + wanted.size], wanted) for place in places)


def same_words(item: str, text: str) -> bool:
    """Tell whether a text has all words of an item: another name or grade makes it another question."""
    return _words(item) <= _words(text)


def _words(text: str) -> set[str]:
    """Return Han characters, simplified, and words between blanks or marks."""
    chars = fold([text]).chars
    said = "".join(f" {chr(code & int(CODE))}" if code & int(GAP) else chr(code & int(CODE)) for code in chars.tolist())
    return set(_WORD.findall(said))
