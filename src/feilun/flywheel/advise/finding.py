"""Find the texts that share the rarest words with a question: BM25, in memory.

This module knows words and weights. It does not know what the texts are.

Source: S. Robertson and H. Zaragoza, Foundations and Trends in Information Retrieval 3 (2009) 333-389.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from feilun.grading import tokens

_K1, _B = 1.2, 0.75


def terms(text: str) -> list[str]:
    """Return the words of a text; characters of unspaced scripts also in pairs, which say more than single ones."""
    words = tokens(text)
    return [*words, *(a + b for a, b in pairwise(words) if len(a) == len(b) == 1 and ord(a) > 0x2E80 < ord(b))]


class Index:
    """Texts, ready to be looked up."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Count the words of ``texts``."""
        counted = [Counter(terms(text)) for text in texts]
        self._lengths = [sum(each.values()) for each in counted]
        self._usual = max(1.0, sum(self._lengths) / max(1, len(counted)))
        self._places: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for place, each in enumerate(counted):
            for word, count in each.items():
                self._places[word].append((place, count))

    def find(self, question: str, most: int) -> list[int]:
        """Return the places of at most so many texts, the best first; texts that share no word are not among them."""
        scores: dict[int, float] = defaultdict(float)
        for word in set(terms(question)):
            places = self._places.get(word, ())
            rare = math.log(1 + (len(self._lengths) - len(places) + 0.5) / (len(places) + 0.5))
            for place, count in places:
                length = 1 - _B + _B * self._lengths[place] / self._usual
                scores[place] += rare * count * (_K1 + 1) / (count + _K1 * length)
        return sorted(scores, key=lambda place: (-scores[place], place))[:most]
