"""The same question in other words: near by embedding, with the same figures, and with telling words in common.

This module knows vectors and words of sentences. It does not know which model makes vectors, nor exams.

Embeddings alone take two questions on one subject for the same: of public exam questions every seventh has another
whose cosine is 0.95. And they cost most of all that sealing does. So only pairs that share telling words are looked at.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np

SAME_QUESTION = 0.93  # cosine of multilingual-e5-small
IN_COMMON = 0.25  # share of the weight of both texts' words that they have in common
_SHORTEST, _LONGEST = 6, 400  # characters of texts whose meaning is compared
_TOGETHER = 256
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_WORD = re.compile(r"[a-z]+|\d+(?:\.\d+)?|[\u3400-\u9fff]+")
Embed = Callable[[Sequence[str]], np.ndarray]


def same_meaning(
    records: Sequence[Sequence[str]], questions: Sequence[str], embed: Embed
) -> list[tuple[int, int, float]]:
    """Return (record, question, cosine) where a text of a record asks what a question asks; each record once."""
    pairs = _candidates(records, questions)
    if not pairs:
        return []
    texts = list(dict.fromkeys([*(text for _, text, _ in pairs), *(questions[which] for _, _, which in pairs)]))
    parts = [np.asarray(embed(texts[at : at + _TOGETHER]), np.float32) for at in range(0, len(texts), _TOGETHER)]
    vectors = np.concatenate(parts)
    place = {text: at for at, text in enumerate(texts)}
    best: dict[int, tuple[int, int, float]] = {}
    for record, text, which in pairs:
        score = float(vectors[place[text]] @ vectors[place[questions[which]]])
        if score >= SAME_QUESTION and (record not in best or score > best[record][2]):
            best[record] = record, which, score
    return [best[record] for record in sorted(best)]


def _candidates(records: Sequence[Sequence[str]], questions: Sequence[str]) -> list[tuple[int, str, int]]:
    """Return (record, text, question) of pairs that share enough words and have the same figures."""
    wanted = {n: _words(q) for n, q in enumerate(questions) if _SHORTEST <= len(q) <= _LONGEST}
    asked = [(n, text) for n, texts in enumerate(records) for text in texts if _SHORTEST <= len(text) <= _LONGEST]
    said = [_words(text) for _, text in asked]
    often = Counter(word for words in (*wanted.values(), *said) for word in words)
    total = len(wanted) + len(said)
    weight = {word: math.log((1 + total) / count) for word, count in often.items()}
    index: dict[str, list[int]] = defaultdict(list)
    for number, words in wanted.items():
        for word in words:
            index[word].append(number)
    sums = {number: sum(weight[word] for word in words) for number, words in wanted.items()}
    found: list[tuple[int, str, int]] = []
    for (record, text), words in zip(asked, said, strict=True):
        shared: dict[int, float] = defaultdict(float)
        for word in words:
            for number in index.get(word, ()):
                shared[number] += weight[word]
        own = sum(weight[word] for word in words)
        for number, common in shared.items():
            enough = common >= IN_COMMON * (own + sums[number] - common)
            if enough and _figures(text) == _figures(questions[number]):
                found.append((record, text, number))
    return found


def _words(text: str) -> frozenset[str]:
    """Return words of spaced scripts and pairs of Han characters."""
    found: set[str] = set()
    for part in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        found.update([part] if part.isascii() else {part[at : at + 2] for at in range(max(1, len(part) - 1))})
    return frozenset(found)


def _figures(text: str) -> frozenset[str]:
    return frozenset(_NUMBER.findall(unicodedata.normalize("NFKC", text)))
