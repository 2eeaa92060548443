"""The first moderation: rules in two languages over normalised text, with categories and scores as OpenAI has them.

It is rule-based: quick, the same every time, and blind to what is only meant. A score is 1 minus the product of what
every matching rule leaves (strong 0.2, weak 0.65); one of 0.5 or more flags. Sober contexts, such as prevention, make
it smaller. This module knows texts. It does not know who sends them, or what happens to a text that is flagged.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from feilun.records import JSON

MODEL = "feilun-rules-1"
FLAG = 0.5
STRONG, WEAK, EXCUSED = 0.8, 0.35, 0.4
CATEGORIES: tuple[str, ...] = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
_LETTERS = str.maketrans("013457@$!|", "oieastasii")
_LOOKALIKE = re.compile(r"(?<=[a-z])[013457@$!|]+(?=[a-z])")
_SPACED = re.compile(r"(?<![a-z0-9])[a-z](?:[\s._*\-/|·]{1,3}[a-z]){2,}(?![a-z0-9])")
_SEPARATORS = re.compile(r"[\s._*\-/|·]+")
_BETWEEN_HAN = re.compile(r"(?<=[\u4e00-\u9fff])[\s._*\-/|·~^+=#]+(?=[\u4e00-\u9fff])")
_NAME = re.compile(r"<([a-z_]+)>")
_QUOTES = str.maketrans({"’": "'", "‘": "'", "`": "'", "´": "'"})


def normalise(text: str) -> str:
    """Return text as rules see it: NFKC, without case, accents, invisible characters and gaps between letters."""
    plain = unicodedata.normalize("NFKD", text.translate(_QUOTES)).casefold()
    plain = "".join(char for char in plain if unicodedata.category(char) not in {"Mn", "Cf"})
    plain = unicodedata.normalize("NFKC", plain)
    plain = _LOOKALIKE.sub(lambda found: found[0].translate(_LETTERS), plain)
    plain = _SPACED.sub(lambda found: _SEPARATORS.sub("", found[0]), plain)
    return " ".join(_BETWEEN_HAN.sub("", plain).split())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of a text: a score (0–1) for every category."""

    scores: dict[str, float]

    @property
    def flagged(self) -> tuple[str, ...]:
        """Return the categories whose score is at least :data:`FLAG`."""
        return tuple(category for category, score in self.scores.items() if score >= FLAG)


@dataclass(frozen=True, slots=True)
class _Rules:
    """What ``terms.toml`` says, ready to be matched."""

    patterns: tuple[tuple[str, float, re.Pattern[str]], ...]
    excuses: dict[str, re.Pattern[str]]


@cache
def _rules() -> _Rules:
    found = tomllib.loads(Path(__file__).with_name("terms.toml").read_text(encoding="utf-8"))
    words: dict[str, str] = found["words"]

    def whole(pattern: str) -> str:
        return _NAME.sub(lambda name: words[name[1]], pattern)

    patterns = [
        (rule["category"], STRONG if rule.get("strong", True) else WEAK, re.compile(frame % whole(rule["pattern"])))
        for language, frame in (("en", r"\b(?:%s)\b"), ("zh", "(?:%s)"))
        for rule in found[language]
    ]
    return _Rules(tuple(patterns), {name: re.compile(pattern) for name, pattern in found["excuses"].items()})


def judge(text: str, extra: Mapping[str, Iterable[str]] | None = None) -> Verdict:
    """Return what the rules say; ``extra`` are further terms by category, each of which flags alone."""
    plain = normalise(text)
    left = dict.fromkeys(CATEGORIES, 1.0)
    for category, weight, pattern in _rules().patterns:
        # A weak word that is said again is as telling as another weak word.
        times = 1 if weight == STRONG else 2
        for _, _found in zip(range(times), pattern.finditer(plain), strict=False):
            left[category] *= 1 - weight
    scores = {category: 1 - value for category, value in left.items()}
    for category, pattern in _rules().excuses.items():
        named = [name for name in CATEGORIES if name.split("/")[0] == category and scores[name]]
        if named and pattern.search(plain):
            scores |= {name: scores[name] * EXCUSED for name in named}
    for category, terms in (extra or {}).items():
        if any(normalise(term) in plain for term in terms if term.strip()):
            scores[category] = max(scores[category], STRONG)
    for category in CATEGORIES:
        # What is of a narrower category is of the wider one as well.
        wider = category.split("/")[0]
        scores[wider] = max(scores[wider], 0.9 * scores[category] if category != wider else 0.0)
    return Verdict({category: round(scores[category], 4) for category in CATEGORIES})


def result(verdict: Verdict) -> JSON:
    """Return a verdict as the moderations API has it."""
    flagged = verdict.flagged
    return {
        "flagged": bool(flagged),
        "categories": {category: category in flagged for category in CATEGORIES},
        "category_scores": verdict.scores,
        "category_applied_input_types": {category: ["text"] for category in CATEGORIES},
    }
