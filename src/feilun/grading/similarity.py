"""OpenAI's ``text_similarity``: how alike two texts are, by eleven measures, each from 0 to 1.

Words are counted as everywhere in this room, Chinese by characters. This module knows the measures. It does not know
what a similarity is good for.

Sources: BLEU (Papineni et al. 2002, smoothed as Chen and Cherry 2014, method 1), GLEU (Wu et al. 2016), METEOR
(Banerjee and Lavie 2005, exact and prefix matches), ROUGE (Lin 2004), fuzzy match by Ratcliff and Obershelp 1988.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache, partial
from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np

from feilun.grading.seam import Case, Grade
from feilun.grading.texts import render_template, tokens
from feilun.registry import Registry

MOST = 2000  # words that are compared; the longest common subsequence takes their square
EMBEDDERS = Registry("embedding", "local")
EMBEDDERS.add("default", "feilun.engines.embed:plain_encoder")
Metric = Literal[
    "cosine", "fuzzy_match", "bleu", "gleu", "meteor", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l"
]


def _grams(words: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1))


def bleu(said: Sequence[str], wanted: Sequence[str]) -> float:
    """Geometric mean of precisions of one to four words, with its penalty for what is too short."""
    total = 0.0
    for size in range(1, 5):
        given = _grams(said, size)
        hits = sum((given & _grams(wanted, size)).values())
        if size == 1 and not hits:
            return 0.0
        total += math.log((hits or 0.1) / max(1, sum(given.values())))
    return math.exp(total / 4) * min(1.0, math.exp(1 - len(wanted) / max(1, len(said))))


def gleu(said: Sequence[str], wanted: Sequence[str]) -> float:
    """Less of precision and recall over all groups of one to four words."""
    hits = given = asked = 0
    for size in range(1, 5):
        a, b = _grams(said, size), _grams(wanted, size)
        hits, given, asked = hits + sum((a & b).values()), given + sum(a.values()), asked + sum(b.values())
    return hits / max(given, asked, 1)


def rouge_n(said: Sequence[str], wanted: Sequence[str], size: int) -> float:
    """F1 of groups of ``size`` words."""
    a, b = _grams(said, size), _grams(wanted, size)
    total = sum(a.values()) + sum(b.values())
    return 2 * sum((a & b).values()) / total if total else float(list(said) == list(wanted))


def rouge_l(said: Sequence[str], wanted: Sequence[str]) -> float:
    """F1 of the longest common subsequence."""
    row = [0] * (len(wanted) + 1)
    for word in said:
        before = 0
        for place, other in enumerate(wanted, 1):
            here = row[place]
            row[place] = before + 1 if word == other else max(row[place], row[place - 1])
            before = here
    total = len(said) + len(wanted)
    return 2 * row[-1] / total if total else 1.0


def meteor(said: Sequence[str], wanted: Sequence[str]) -> float:
    """Recall-weighted mean over aligned words, less a penalty for how often the order breaks."""
    free = dict(enumerate(wanted))
    pairs: list[tuple[int, int]] = []
    for fits in (lambda a, b: a == b, _stem):
        for place, word in enumerate(said):
            if any(place == mine for mine, _ in pairs):
                continue
            near = [other for other, text in free.items() if fits(word, text)]
            if near:
                chosen = min(near, key=lambda other: abs(other - place))
                pairs.append((place, chosen))
                del free[chosen]
    if not pairs:
        return float(not said and not wanted)
    pairs.sort()
    chunks = 1 + sum(b != d + 1 or a != c + 1 for (c, d), (a, b) in pairwise(pairs))
    precision, recall = len(pairs) / len(said), len(pairs) / len(wanted)
    mean = 10 * precision * recall / (recall + 9 * precision)
    return mean * (1 - 0.5 * (chunks / len(pairs)) ** 3)


def _stem(a: str, b: str) -> bool:
    """Two forms of one word, roughly: they begin alike and differ by at most three letters at the end."""
    size = min(len(a), len(b))
    return size >= 4 and a.isascii() and a[: size - 1] == b[: size - 1] and abs(len(a) - len(b)) <= 3


def fuzzy(said: str, wanted: str) -> float:
    """Share of characters in matching blocks."""
    return SequenceMatcher(None, said[: 4 * MOST], wanted[: 4 * MOST], autojunk=False).ratio()


@lru_cache(maxsize=1)
def _encode() -> object:
    return EMBEDDERS.load("default")("multilingual-e5-small")


def cosine(said: str, wanted: str) -> float:
    """Cosine of the two texts' vectors; what points away counts as nothing."""
    encode = _encode()
    vectors = np.asarray(encode([said, wanted])) if callable(encode) else np.zeros((2, 1))
    return max(0.0, float(vectors[0] @ vectors[1]))


def similarity(metric: Metric, said: str, wanted: str) -> float:
    """Return how alike two texts are, 0 to 1."""
    if metric == "cosine":
        return min(1.0, cosine(said, wanted))
    if metric == "fuzzy_match":
        return fuzzy(said, wanted)
    a, b = tokens(said)[:MOST], tokens(wanted)[:MOST]
    if not a or not b:
        return float(a == b)
    if metric.startswith("rouge_") and metric[-1].isdigit():
        return rouge_n(a, b, int(metric[-1]))
    return {"bleu": bleu, "gleu": gleu, "meteor": meteor, "rouge_l": rouge_l}[metric](a, b)


class TextSimilarity(msgspec.Struct, tag="text_similarity", forbid_unknown_fields=True):
    """OpenAI's grader of this name; it passes from ``pass_threshold`` on."""

    input: str
    reference: str
    evaluation_metric: Metric
    pass_threshold: float = 0.5
    name: str = ""

    async def grade(self, case: Case) -> Grade:
        """Compare ``input`` with ``reference``, both filled in."""
        sides = [render_template(text, case.item, case.sample) for text in (self.input, self.reference)]
        score = await asyncio.to_thread(partial(similarity, self.evaluation_metric, *sides))
        return Grade(score, score >= self.pass_threshold, f"{self.evaluation_metric} {score:.3f}")
