"""Many terms looked for at once.

This module knows how a list of terms is found in a text. It does not know what any term means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from feilun.curation.quality.figures.characters import codes

_LATIN = re.compile(r"[a-z0-9]")
_WORD = re.compile(r"[a-z0-9]+")
_MOST = 200  # finds of one text
_HEAD = 4  # letters by which Latin terms are told; others by two characters
_BITS = 17
_FIRST, _LETTER = 1, 2


class Matcher:
    """Finds any of some terms, the longest of those that begin at a place; Latin ones only as whole words.

    Terms are in folded writing (see ``folding``). The work grows with the length of a text alone.
    """

    def __init__(self, terms: Iterable[str]) -> None:
        """Put the terms together by their first character."""
        given = sorted(set(terms), key=lambda one: (-len(one), one))
        latin = [term for term in given if _LATIN.match(term)]
        self._wide = re.compile(_alternatives([term for term in given if not _LATIN.match(term)]))
        self._first = frozenset(_WORD.findall(term)[0] for term in latin)
        self._latin = re.compile(rf"(?<![a-z0-9])(?:{_alternatives(latin)})")

    def find(self, text: str, words: Set[str]) -> list[re.Match[str]]:
        """Return the first finds, in their order; ``words`` are those of the text (see :func:`words_of`)."""
        found = list(islice(self._wide.finditer(text), _MOST))
        # Few texts hold a word with which a Latin term begins; the others need not be searched for them.
        if self._first and not self._first.isdisjoint(words):
            found += islice(self._latin.finditer(text), _MOST)
            found.sort(key=lambda one: one.start())
        return found[:_MOST]


class Sieve:
    """Tells where terms stand in a long folded text, whatever stands around them: fast where there are few.

    Terms are told by how they begin, in tables (as by Wu and Manber, 1994), and then compared.
    """

    def __init__(self, terms: Iterable[str]) -> None:
        """Make the tables: of one or two characters, of Latin terms of up to four."""
        self._kinds = np.zeros(0x10000, np.uint8)
        self._kinds[[*range(ord("0"), ord("9") + 1), *range(ord("a"), ord("z") + 1)]] = _LETTER
        self._terms: dict[str, list[str]] = {}
        self._tables = {size: np.zeros(1 << _BITS, bool) for size in range(1, _HEAD + 1)}
        for term in sorted({term for term in terms if term}):
            latin = _LATIN.match(term) is not None
            head = term[: _HEAD if latin else 2]
            self._terms.setdefault(head, []).append(term)
            self._tables[len(head)][_numbers(codes([head])[0][:, None])] = True
            if not latin:
                self._kinds[min(ord(term[0]), 0xFFFF)] = _FIRST

    def find(self, text: str) -> list[tuple[int, str]]:
        """Return where each term stands, also within others; Latin ones only as whole words."""
        if not self._terms:
            return []
        letters = np.zeros(len(text) + _HEAD, np.uint32)
        letters[: len(text)] = codes([text])[0]
        kinds = self._kinds.take(letters, mode="clip")
        begins = kinds != 0
        begins[1:] &= (kinds[1:] != _LETTER) | (kinds[:-1] != _LETTER)
        maybe = np.flatnonzero(begins)
        found: list[tuple[int, str]] = []
        for size, table in self._tables.items():
            for place in maybe[table[_numbers([letters[maybe + nth] for nth in range(size)])]].tolist():
                found += [
                    (place, term) for term in self._terms.get(text[place : place + size], ()) if _at(text, place, term)
                ]
        return found


def _at(text: str, place: int, term: str) -> bool:
    """Tell whether a term stands at a place, with no Latin letter behind where none may be."""
    bounded = len(term) == 1 or _LATIN.match(term[-1])
    return text.startswith(term, place) and not (bounded and _LATIN.match(text, place + len(term)))


def _numbers(columns: Iterable[NDArray[np.uint32]]) -> NDArray[np.uint32]:
    """Return a number for the characters in columns, of ``_BITS`` bits."""
    number = np.zeros(1, np.uint32)
    for column in columns:
        number = (number * np.uint32(0x01000193)) ^ column
    return (number * np.uint32(0x9E3779B1)) >> np.uint32(32 - _BITS)


def words_of(text: str) -> frozenset[str]:
    """Return the Latin words of a folded text."""
    return frozenset(_WORD.findall(text))


def _alternatives(terms: Iterable[str]) -> str:
    heads: dict[str, list[str]] = {}
    for term in terms:
        heads.setdefault(term[0], []).append(term[1:])
    branches = [f"{re.escape(head)}(?:{'|'.join(map(_tail, heads[head]))})" for head in sorted(heads)]
    return "|".join(branches) or "(?!)"


def _tail(tail: str) -> str:
    ends = r"(?![a-z0-9])" if not tail or _LATIN.match(tail[-1]) else ""
    return re.escape(tail) + ends
