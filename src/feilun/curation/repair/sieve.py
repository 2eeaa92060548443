"""Words looked for in many texts at once: only where a word may begin is a pattern tried.

This module knows hashes of the beginnings of words. It does not know which words are looked for, nor why.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence

import numpy as np

from feilun.curation.repair.characters import Joined, portions

_RARE, _ANY = 2, 3


class Sieve:
    """Finds where words may begin: by their first two Han or three or four other letters, hashed.

    Beginnings (two or four letters) that are ``frequent`` in sound texts, and those of three letters, tell where to
    look, but are no reason to look at a text.
    """

    def __init__(self, words: Iterable[str], frequent: Container[str] = ()) -> None:
        """Remember the beginnings of the words; case tells nothing."""
        self._two, self._three, self._four = (np.zeros(1 << bits, np.uint8) for bits in (16, 16, 18))
        for word in words:
            numbers = np.array([ord(char) for char in f"{word[:4].lower():\0<4}"], np.uint32)
            kind = 1 if word[:2] in frequent or word[:4] in frequent else _ANY
            steps = _steps(numbers)
            if word[0] > "\u2fff":
                self._two[_hashed(steps[:1], 16)] |= kind
            elif len(word) > 3:
                self._four[_quads(steps)] |= kind
            elif len(word) == 3:
                self._three[_triples(steps, numbers)[:1]] |= 1

    def __call__(self, joined: Joined) -> np.ndarray:
        """Return for each character whether a word may begin there: 3, or 1 for a frequent beginning, or 0."""
        numbers, size = joined.lowered, len(joined.codes)
        han = numbers[:size] > 0x2FFF
        found = np.zeros(size, np.uint8)
        steps = _steps(numbers)
        if self._two.any():
            found |= self._two[_hashed(steps[:size], 16)] * han
        if self._three.any():
            found |= self._three[_triples(steps, numbers)[:size]] * ~han
        if self._four.any():
            found |= self._four[_quads(steps)] * ~han
        return found

    def spots(self, texts: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        """Return for each text how many beginnings it has that are not frequent, and where all are."""
        counts: list[int] = []
        spots: list[list[int]] = []
        for part in portions(texts):
            joined = Joined(texts[part])
            found = self(joined)
            places = np.flatnonzero(found)
            owners = joined.owners(places)
            rare = found[places] >= _RARE
            counts += np.bincount(owners[rare], minlength=len(joined.sizes)).tolist()
            ends = np.cumsum(np.bincount(owners, minlength=len(joined.sizes))).tolist()
            offsets = (places - joined.starts[owners]).tolist()
            spots += [offsets[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        return counts, spots


def matches(pattern: re.Pattern[str], text: str, spots: Sequence[int]) -> Iterator[re.Match[str]]:
    """Yield the same as ``finditer``; ``spots`` are the places where a match may begin, in order."""
    done = 0
    for spot in spots:
        if spot >= done and (match := pattern.match(text, spot)):
            yield match
            done = match.end()


def _hashed(numbers: np.ndarray, bits: int) -> np.ndarray:
    return np.asarray((numbers * np.uint32(0x85EBCA6B)) >> np.uint32(32 - bits))


def _steps(numbers: np.ndarray) -> np.ndarray:
    return np.asarray(numbers[:-1] * np.uint32(0x9E3779B1) + numbers[1:])


def _triples(steps: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return _hashed(steps[:-1] * np.uint32(0xC2B2AE35) + numbers[2:], 16)


def _quads(steps: np.ndarray) -> np.ndarray:
    return _hashed(steps[:-2] * np.uint32(0xC2B2AE35) + steps[2:], 18)
