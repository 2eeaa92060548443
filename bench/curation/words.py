"""Sentences in English and Chinese, made by a small grammar from words of everyday work.

Knows words and how a sentence is built. Does not know documents, copies or personal data. Words are chosen by Zipf's
law, each document has a subject whose words it prefers, names and figures are drawn anew: so sentences repeat phrases,
as people's do, but hardly ever each other.
"""

from __future__ import annotations

import random
from itertools import accumulate
from pathlib import Path

WORDS = Path(__file__).with_name("words.txt")  # a line: language, kind (as in frames), words
FRAMES_EN = (
    "The {a} {n} {v} the {n} of the {n}.",
    "In {p}, the {n} {d} {v} a {a} {n}.",
    "Before the {n} {v} the {a} {n}, someone {v} the {n} in {p}.",
    "A {n} that {v} the {n} is {d} more {a} than the {n}.",
    "About {f} of the {n} came from the {a} {n} near {p}.",
    "When the {n} is {a}, the {n} {v} the {n} and the {n} {v} it {d}.",
    "The {n} in {p} {v} {f} {n} reports, but the {a} {n} {v} only the {n}.",
    "Nobody {d} {v} the {n} because the {n} and the {n} were too {a}.",
    "If a {a} {n} {v} the {n}, the {n} must be {a} for at least {f} days.",
    "For the {n}, the {a} {n} of {p} {v} what the {n} needs.",
    "Since {y}, each {n} {v} its {a} {n} with the help of the {n}.",
    "It was the {n}, not the {n}, that {d} {v} the {a} {n} in {y}.",
)

FRAMES_ZH = (
    "{a}{n}{d}{v}了{n}的{n}。",
    "在{p}，{n}{d}{v}{a}{n}。",
    "{n}{v}{n}之前，有人在{p}{v}了{a}{n}。",
    "能够{v}{n}的{n}比{n}更加{a}。",
    "大约{f}份{n}来自{p}附近的{a}{n}。",
    "当{n}变得{a}时，{n}负责{v}{n}，{n}则{d}{v}。",
    "{p}的{n}{v}了{f}份{n}，而{a}{n}只{v}{n}。",
    "由于{n}和{n}过于{a}，没有人{d}{v}{n}。",
    "如果{a}{n}需要{v}{n}，那么{n}至少应当保留{f}天。",
    "为了{n}，{p}的{a}{n}{v}了{n}所需要的{n}。",
    "自{y}年以来，每个{n}都在{n}的帮助下{v}{a}{n}。",
    "{d}{v}{a}{n}的并不是{n}，而是{y}年的{n}。",
)


class Sentences:
    """Sentences of one language; ``about`` chooses what a document is about."""

    def __init__(self, random_: random.Random, chinese: bool) -> None:
        """Begin with a random source that nobody else uses."""
        self._random = random_
        self._chinese = chinese
        self._frames = FRAMES_ZH if chinese else FRAMES_EN
        lines = [line.split() for line in WORDS.read_text(encoding="utf-8").splitlines()]
        self._words = {kind: words for lang, kind, *words in lines if lang == ("zh" if chinese else "en")}
        self._weights = {
            kind: list(accumulate(1 / (rank + 8) for rank in range(len(w)))) for kind, w in self._words.items()
        }
        self._preferred: list[str] = []
        self.about()

    def about(self) -> None:
        """Begin a document: it will prefer some words."""
        self._preferred = self._random.sample(self._words["n"], 12)

    def one(self) -> str:
        """Return a sentence."""
        frame = self._random.choice(self._frames)
        parts = frame.replace("}", "{").split("{")
        parts[1::2] = [self._word(kind) for kind in parts[1::2]]
        text = "".join(parts)
        return text if self._chinese else text[0].upper() + text[1:]

    def many(self, count: int) -> list[str]:
        """Return sentences."""
        return [self.one() for _ in range(count)]

    def _word(self, kind: str) -> str:
        rng = self._random
        if kind == "f":
            return str(int(rng.expovariate(1 / 60)) + 2)
        if kind == "y":
            return str(1990 + int(rng.random() * 36))
        if kind == "n" and rng.random() < 0.35:
            return self._preferred[int(rng.random() * 12)]
        return rng.choices(self._words[kind], cum_weights=self._weights[kind])[0]
