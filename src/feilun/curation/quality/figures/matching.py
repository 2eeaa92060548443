"""Many terms looked for at once.

This module knows how a list of terms is found in a text. It does not know what any term means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from itertools import islice

_LATIN = re.compile(r"[a-z0-9]")
_WORD = re.compile(r"[a-z0-9]+")
_MOST = 200  # finds of one text


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
