"""Pairs against pairs: duplicates, corrections, contradictions.

This module compares questions and answers and decides which may stay. It does not know where pairs come from, nor
how the decision is shown.

Different wordings of one question are valuable, so only pairs whose question and answer are both equal but for marks,
case and width are duplicates; signs count, so ``O+`` and ``O-`` are two questions. For one question with several
answers the newest wins: a day stated in a written text, name or table beats a file's or a conversation's day, then the
later day, then the higher version, then what is written beats what was said. A tie is left to a person. Corrections win
over everything.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from feilun.curation.pairs import Age, Pair
from feilun.records import normalise_text
from feilun.signs import compared, values

CORRECTED = 0.75
SAME_STATEMENT = 0.5
_SIZE = 3


@dataclass(frozen=True, slots=True)
class Correction:
    """A right answer that somebody gave, kept as ``source``. Of two on one question the later (``created``) wins."""

    question: str
    answer: str
    source: str
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Clash:
    """One question with several answers, and which of them was kept (empty: a person must decide)."""

    question: str
    answers: tuple[Pair, ...]
    kept: str


Dropped = tuple[Pair, str]


def grams(text: str) -> frozenset[str]:
    """Return the character trigrams of the normalised text (the text itself if it is shorter)."""
    plain = normalise_text(text)
    return frozenset(plain[i : i + _SIZE] for i in range(max(1, len(plain) - _SIZE + 1)))


def likeness(one: str, other: str) -> float:
    """Return the Jaccard index of the character trigrams of two texts (0-1)."""
    a, b = grams(one), grams(other)
    return len(a & b) / len(a | b)


class Near:
    """A set of questions in which near ones are found by an inverted index of trigrams, without comparing all."""

    def __init__(self, questions: Iterable[str], threshold: float) -> None:
        """Index the questions; near means trigram Jaccard of at least ``threshold``."""
        self.questions = list(questions)
        self.threshold = threshold
        self._grams = [grams(question) for question in self.questions]
        self._index: dict[str, list[int]] = defaultdict(list)
        for number, parts in enumerate(self._grams):
            for part in parts:
                self._index[part].append(number)

    def find(self, question: str) -> int | None:
        """Return the index of the nearest question that is near enough (the first of equals), or None."""
        mine = grams(question)
        shared = Counter(number for part in mine for number in self._index.get(part, ()))
        best, score = None, self.threshold
        for number, count in sorted(shared.items()):
            jaccard = count / (len(mine) + len(self._grams[number]) - count)
            if jaccard >= score and (best is None or jaccard > score):
                best, score = number, jaccard
        return best


def same_subject(one: str, other: str) -> bool:
    """Tell whether every figure, sign and capitalised word of either question is in the other one too."""
    if values(one) != values(other):
        return False
    words = [set(normalise_text(text).split()) for text in (one, other)]
    for text, others in ((one, words[1]), (other, words[0])):
        marked = re.findall(r"\d[\d.,]*|(?<=\s)[A-Z][\w'’]+", text)
        if any(not set(normalise_text(mark).split()) <= others for mark in marked):
            return False
    return True


def drop_duplicates(pairs: Iterable[Pair]) -> tuple[list[Pair], list[Dropped]]:
    """Keep the newest of the pairs that say the same (its place is the first's), with the sources of all of them."""
    first: dict[tuple[str, str], Pair] = {}
    dropped: list[Dropped] = []
    for pair in pairs:
        kept = first.get(pair.key)
        if kept is None:
            first[pair.key] = pair
            continue
        dropped.append((pair, "duplicate"))
        sources = tuple(dict.fromkeys((*kept.sources, *pair.sources)))
        newest = max(kept.age, pair.age, key=rank)
        first[pair.key] = replace(kept, sources=sources, age=newest, topic=kept.topic or pair.topic)
    return list(first.values()), dropped


def rank(age: Age) -> tuple[bool, str, tuple[int, ...]]:
    """Return how new something is, comparable."""
    return age.stated, age.day, age.version


def apply_corrections(pairs: Sequence[Pair], corrections: Sequence[Correction]) -> tuple[list[Pair], list[Dropped]]:
    """Put the corrections in and take out what they contradict.

    A pair is contradicted if its question equals a corrected one, or is very near to it (trigram Jaccard ≥ 0.75 and the
    same names and figures), and its answer differs. The other wordings with the contradicted answer say the wrong thing
    too: they get the right answer if that is the same statement with something changed (Jaccard ≥ 0.5), else they go.
    """
    latest: dict[str, Correction] = {}
    for correction in sorted(corrections, key=lambda c: (c.created, c.source)):
        latest[compared(correction.question)] = correction
    given = list(latest.values())
    if not given:
        return list(pairs), []
    near = Near([correction.question for correction in given], CORRECTED)
    wrong: dict[str, Correction] = {}
    direct: set[int] = set()
    for number, pair in enumerate(pairs):
        hit = latest.get(pair.key[0])
        if hit is None and (index := near.find(pair.question)) is not None:
            hit = given[index] if same_subject(pair.question, given[index].question) else None
        if hit and pair.key[1] != compared(hit.answer):
            direct.add(number)
            wrong[pair.key[1]] = hit
    kept = [Pair(c.question, c.answer, (c.source,), "feedback", kind="feedback") for c in given]
    dropped: list[Dropped] = []
    for number, pair in enumerate(pairs):
        hit = wrong.get(pair.key[1]) if _is_statement(pair.key[1]) else None
        if number in direct or (hit and likeness(pair.answer, hit.answer) < SAME_STATEMENT):
            dropped.append((pair, "corrected"))
        elif hit:
            dropped.append((pair, "corrected"))
            kept.append(replace(pair, answer=hit.answer, sources=(*pair.sources, hit.source), kind="feedback"))
        else:
            kept.append(pair)
    return kept, dropped


def _is_statement(answer: str) -> bool:
    """Tell whether an answer says what it is about, unlike "yes" or "five dollars", which many questions share."""
    han = sum("\u4e00" <= char <= "\u9fff" for char in answer)
    return len(answer.split()) - han >= 4 or han >= 6


def settle(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Dropped], list[Clash]]:
    """Keep one answer per question: corrections first, then the newest; where that does not decide, none."""
    by_question: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_question[pair.key[0]].append(pair)
    kept: list[Pair] = []
    dropped: list[Dropped] = []
    clashes: list[Clash] = []
    for rivals in by_question.values():
        if len(rivals) == 1:
            kept.extend(rivals)
            continue
        best = max(_authority(pair) for pair in rivals)
        winners = [pair for pair in rivals if _authority(pair) == best]
        if len(winners) == 1:
            kept.append(winners[0])
            dropped.extend((pair, "older_answer") for pair in rivals if pair is not winners[0])
        else:
            dropped.extend((pair, "conflict") for pair in rivals)
        clashes.append(Clash(rivals[0].question, tuple(rivals), winners[0].answer if len(winners) == 1 else ""))
    return kept, dropped, clashes


def _authority(pair: Pair) -> tuple[bool, tuple[bool, str, tuple[int, ...]], bool]:
    return pair.kind == "feedback", rank(pair.age), pair.kind != "talk"


def drop_exam(
    pairs: Sequence[Pair], questions: Sequence[str], threshold: float = 0.9
) -> tuple[list[Pair], list[Dropped]]:
    """Take out the pairs that an exam asks, or nearly: trigram Jaccard ≥ ``threshold``, and the same figures."""
    exact = {compared(question) for question in questions}
    near = Near(questions, threshold)
    kept: list[Pair] = []
    dropped: list[Dropped] = []
    for pair in pairs:
        found = near.find(pair.question)
        asked = found is not None and values(pair.question) == values(near.questions[found])
        if asked or pair.key[0] in exact:
            dropped.append((pair, "in_exam"))
        else:
            kept.append(pair)
    return kept, dropped
