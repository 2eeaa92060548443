"""Sensitive terms: what stands in a text, of which category, in which words around it, and how much that says.

A strong term weighs 0.8, a weak one 0.35, a group of people beside a word of contempt 0.6 (a place beside a single
character 0.35); a category's score is 1 minus the product of what its different terms leave, in the stretch of the text
where they leave least. Sober words around (medicine, law, reports, protest) and a negation before make a term weigh
less; that a hospital or a court is named does not for strong insults, sales of drugs and one's own suicide.
This module knows texts and lists of terms. It does not know what is done with a row that is flagged, and it is blind to
what is only meant.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from feilun.curation.quality.figures.folding import Folded, Joined, fold, fold_all
from feilun.curation.quality.figures.matching import Matcher, Sieve, words_of
from feilun.curation.seam import Note, Operator, Parameter, Row, Ruling, Surroundings

STRONG, WEAK, TOGETHER = 0.8, 0.35, 0.6
SOBER, NEGATED = 0.25, 0.5
_NEAR = 12  # characters between a group and a word of contempt
_FAR = 48  # characters from the begin of a group to that of a word of contempt, at most
_AROUND = 40  # characters in which sober words are looked for
_STRETCH = 200  # characters in which terms count together
_SHOWN = 12
_DIRECT = frozenset({"insult", "drugs", "self_harm"})  # whose strong terms are said by somebody, not told of
_ACTIONS: dict[str, Literal["drop", "flag", "note"]] = {"drop": "drop", "flag": "flag", "note": "note"}
CATEGORIES = ("insult", "hate", "sexual", "gambling", "drugs", "violence", "self_harm", "fraud", "workspace")


@dataclass(frozen=True, slots=True)
class Hit:
    """A term as listed, its category, its weight here, and where in the original text it stands."""

    category: str
    term: str
    weight: float
    where: slice


@dataclass(frozen=True, slots=True)
class _Lists:
    terms: dict[str, tuple[str, float]]
    matcher: Matcher
    sieve: Sieve
    groups: Matcher
    whom: frozenset[str]
    places: frozenset[str]
    contempt: Matcher
    what: frozenset[str]
    sober: re.Pattern[str]
    houses: re.Pattern[str]
    negation: re.Pattern[str]
    names: dict[str, tuple[str, str]]


@cache
def _lists() -> _Lists:
    found = tomllib.loads(Path(__file__).with_name("terms.toml").read_text(encoding="utf-8"))

    def words(category: str, key: str) -> list[str]:
        english = [term.strip() for term in found[category].get(f"en_{key}", "").replace("\n", "").split("|")]
        return [fold(term).text for term in [*found[category].get(key, "").split(), *english] if term]

    terms = {
        term: (category, weight)
        for key, weight in (("weak", WEAK), ("strong", STRONG))
        for category in CATEGORIES[:-1]
        for term in words(category, key)
    }
    sober, houses, negation = ("".join(found["sober"][key].split("\n")) for key in ("any", "houses", "negation"))
    groups = [*words("hate", "groups"), *words("hate", "places")]
    contempt = words("hate", "contempt")
    return _Lists(
        terms,
        Matcher(terms),
        Sieve([*terms, *groups, *contempt]),
        Matcher(groups),
        frozenset(groups),
        frozenset(words("hate", "places")),
        Matcher(contempt),
        frozenset(contempt),
        re.compile(sober),
        re.compile(houses),
        re.compile(f"(?:{negation})[^。！？.!?,，]{{0,4}}$"),
        {name: (en, zh) for name, (en, zh) in found["names"].items()},
    )


def hits(text: str, terms: Sequence[str] = ()) -> list[Hit]:
    """Return the terms that stand in ``text``; ``terms`` are the workspace's own."""
    return _hits(fold(text), _own(tuple(terms)))


@dataclass(frozen=True, slots=True)
class _Own:
    """The workspace's terms: as they were given, by how they are folded."""

    named: dict[str, str]
    matcher: Matcher
    sieve: Sieve


@cache
def _own(terms: tuple[str, ...]) -> _Own:
    named = {fold(term.strip()).text: term.strip() for term in terms if fold(term.strip()).text.strip()}
    return _Own(named, Matcher(named), Sieve(named))


def _suspects(joined: Joined, own: _Own, lowest: float) -> list[int]:
    """Return the numbers of the texts in which a category may score ``lowest``: most texts are none of them."""
    lists, plain = _lists(), joined.whole.text
    found = lists.sieve.find(plain)
    suspects = set(joined.owners([place for place, _ in own.sieve.find(plain)]))
    terms: dict[tuple[int, str], set[str]] = {}
    whom: list[int] = []
    what: list[int] = []
    for (place, term), number in zip(found, joined.owners([place for place, _ in found]), strict=True):
        if term in lists.terms:
            terms.setdefault((number, lists.terms[term][0]), set()).add(term)
        if term in lists.whom:
            whom.append(place)
        if term in lists.what:
            what.append(place)
    for (number, _), told in terms.items():
        if round(1.0 - math.prod(1.0 - lists.terms[term][1] for term in told), 4) >= lowest:
            suspects.add(number)
    groups, words = np.array(sorted(whom)), np.array(what)
    near = np.searchsorted(groups, words - _FAR) < np.searchsorted(groups, words + _FAR)
    suspects.update(joined.owners(words[near].tolist()))
    return sorted(suspects)


def _hits(folded: Folded, own: _Own) -> list[Hit]:
    lists, plain = _lists(), folded.text
    said = words_of(plain)
    found = [
        Hit("workspace", own.named[match[0]], STRONG, folded.original(match.start(), match.end()))
        for match in own.matcher.find(plain, said)
    ]
    for match in lists.matcher.find(plain, said):
        category, weight = lists.terms[match[0]]
        direct = weight == STRONG and category in _DIRECT
        weight *= _context(plain, match.start(), match.end(), direct)
        found.append(Hit(category, match[0], weight, folded.original(match.start(), match.end())))
    for start, end, both in _together(plain, said, lists):
        whom, what = both.split("+", 1)
        weight = WEAK if whom in lists.places and len(what) == 1 else TOGETHER
        weight *= _context(plain, start, end, False)
        found.append(Hit("hate", both, weight, folded.original(start, end)))
    return found


def _context(plain: str, start: int, end: int, direct: bool) -> float:
    """Return by what the words around make a term weigh less."""
    around = plain[max(0, start - _AROUND) : end + _AROUND]
    lists = _lists()
    sober = lists.sober.search(around) or (not direct and lists.houses.search(around))
    return (SOBER if sober else 1.0) * (NEGATED if lists.negation.search(plain[max(0, start - 8) : start]) else 1.0)


def _together(plain: str, said: frozenset[str], lists: _Lists) -> Iterator[tuple[int, int, str]]:
    """Yield groups with a word of contempt near, in the same sentence: from where to where, and both words."""
    groups = [(found.start(), found.end()) for found in lists.groups.find(plain, said)]
    if not groups:
        return
    words = [(found.start(), found.end()) for found in lists.contempt.find(plain, said)]
    first = 0
    for start, end in words:
        while first < len(groups) and groups[first][1] < start - _NEAR:
            first += 1
        for begin, finish in groups[first : first + 3]:
            between = plain[min(end, finish) : max(start, begin)]
            if len(between) <= _NEAR and not any(mark in between for mark in "。！？!?\n"):
                yield min(begin, start), max(finish, end), f"{plain[begin:finish]}+{plain[start:end]}"
                break


def _worst(found: list[Hit]) -> tuple[float, list[Hit]]:
    """Return the highest score of any stretch of text, and the different terms that stand there."""
    best: tuple[float, list[Hit]] = (0.0, [])
    ordered = sorted(found, key=lambda hit: (hit.where.start, hit.term))
    for place, first in enumerate(ordered):
        terms: dict[str, Hit] = {}
        for hit in ordered[place:]:
            if hit.where.start > first.where.start + _STRETCH:
                break
            if hit.term not in terms or terms[hit.term].weight < hit.weight:
                terms[hit.term] = hit
        score = round(1.0 - math.prod(1.0 - hit.weight for hit in terms.values()), 4)
        if score > best[0]:
            best = score, list(terms.values())
    return best


@dataclass(frozen=True, slots=True)
class Sensitive:
    """Flags (or notes, or drops) rows in which a category scores at least ``lowest``."""

    terms: tuple[str, ...]
    action: str
    lowest: float
    categories: tuple[str, ...]

    def judge(self, rows: Sequence[Row]) -> list[Sequence[Ruling]]:
        """Return a ruling for each category of each row that scores enough, with the terms and the words around."""
        texts = [row.text for row in rows]
        found: list[Sequence[Ruling]] = [()] * len(texts)
        own, first = _own(self.terms), 0
        for joined in fold_all(texts):
            for number in _suspects(joined, own, self.lowest):
                found[first + number] = self._rulings(texts[first + number], joined.text(number))
            first += len(joined.begins) - 1
        return found

    def _rulings(self, text: str, folded: Folded) -> list[Ruling]:
        by_category: dict[str, list[Hit]] = {}
        for hit in _hits(folded, _own(self.terms)):
            by_category.setdefault(hit.category, []).append(hit)
        rulings = []
        for category in CATEGORIES:
            score, found = _worst(by_category.get(category, []))
            if found and score >= self.lowest and (not self.categories or category in self.categories):
                rulings.append(self._ruling(text, category, found, score))
        return rulings

    def _ruling(self, text: str, category: str, found: list[Hit], score: float) -> Ruling:
        worst = max(found, key=lambda hit: hit.weight)
        before = text[max(0, worst.where.start - _SHOWN) : worst.where.start]
        after = text[worst.where.stop : worst.where.stop + _SHOWN]
        said = text[worst.where][:_AROUND]
        names = " / ".join(_lists().names[category])
        terms = ", ".join(hit.term for hit in sorted(found, key=lambda hit: -hit.weight)[:5])
        detail = f"{names}: {terms} (…{before}[{said}]{after}…)".replace("\n", " ")
        return Ruling(_ACTIONS[self.action], Note(category, detail, len(found)), score)


def _make(around: Surroundings, action: str, lowest: float, categories: tuple[str, ...]) -> Sensitive:
    return Sensitive(around.terms, action, lowest, categories)


SENSITIVE = Operator(
    name="sensitive",
    version=1,
    about=(
        "Finds insults, hatred, sexual content, gambling, drugs, violence, self-harm, fraud, the workspace's terms.",
        "发现辱骂、歧视、色情、赌博、毒品、暴力、自伤、欺诈，以及工作区词表中的词。",
    ),
    origin="Own lists; contexts, because lists alone silence those whom they should protect (Dodge et al. 2021)",
    reasons={
        "insult": ("Insults were found.", "含辱骂用语。"),
        "hate": ("Contempt for a group of people was found.", "含对群体的歧视。"),
        "sexual": ("Sexual content was found.", "含色情内容。"),
        "gambling": ("Gambling was found.", "涉及赌博。"),
        "drugs": ("Drugs were found.", "涉及毒品。"),
        "violence": ("Violence was found.", "含暴力内容。"),
        "self_harm": ("Self-harm was found; perhaps somebody needs help.", "涉及自伤，可能有人需要帮助。"),
        "fraud": ("Fraud or forgery was found.", "涉及欺诈或伪造。"),
        "workspace": ("A term of the workspace's own list was found.", "命中工作区词表。"),
    },
    make=_make,
    parameters={
        "action": Parameter("flag", ("what happens to such rows", "如何处理"), choices=("flag", "note", "drop")),
        "lowest": Parameter(0.5, ("the least score that counts", "最低得分"), 0.0, 1.0),
        "categories": Parameter(
            (), ("only these categories; empty: all", "仅限这些类别；空为全部"), choices=CATEGORIES
        ),
    },
)
