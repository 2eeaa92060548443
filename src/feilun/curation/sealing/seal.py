"""Take out of a training set what gives an exam away, and say of each record which question it was, and how hidden.

This module knows records, exam items and the order in which they are compared. It does not know where either comes from
nor what is trained.

A record is compared in every form that it may have (``disguise``), message by message and across its turns: by runs of
clauses and windows of words, by what it shares with an item (``copies.contamination``: GPT-3's containment of n-grams)
and, if an embedding model is at hand, by meaning (``meaning``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from feilun.curation.copies.alike import same_figures
from feilun.curation.copies.contamination import (
    CONTAINED,
    MEANING,
    OPTIONS,
    PART,
    PERHAPS,
    SAME,
    SLIP,
    Decontaminate,
    Hit,
)
from feilun.curation.sealing.disguise import across, forms
from feilun.curation.sealing.meaning import same_meaning
from feilun.curation.sealing.runs import Runs, asked_for
from feilun.curation.sealing.secret import Secrecy, asked, secrecy
from feilun.curation.sealing.shares import bag, choices_in, holds, same_words, share
from feilun.curation.sealing.windows import Windows
from feilun.records import JSON, EvalItem, Record, normalise_text

SHUFFLED = "exam_shuffled"
WORDS: dict[str, tuple[str, str]] = {
    SAME: ("is or holds the question", "就是或包含该考题"),
    CONTAINED: ("holds most of the question", "包含该考题的大部分"),
    SLIP: ("holds the question but for one character", "包含该考题，只差一个字符"),
    PART: ("is a part of the question", "是该考题的一部分"),
    OPTIONS: ("holds the question with its choices in another order", "包含打乱选项顺序的该考题"),
    SHUFFLED: ("holds the words of the question in another order", "包含打乱词序的该考题"),
    MEANING: ("asks the same in other words", "换了说法问同一个问题"),
    PERHAPS: ("shares half of the question", "与该考题有一半相同"),
}
_ORDER = (SAME, OPTIONS, SHUFFLED, SLIP, CONTAINED, PART, MEANING, PERHAPS)
LOOSE, STRICT, WHOLLY = 0.75, 0.9, 0.985  # share of all of an item's shingles that a record has, close together
_TELLING = 12  # characters of a question with choices that tells without them
_SHOWN = 80
_BATCH = 512  # records looked at together
Embed = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True, slots=True)
class Leak:
    """A record that gives an item away: ``how`` (a key of :data:`WORDS`), and how much of it (``score``, 0-1)."""

    record: Record
    item: EvalItem
    how: str
    score: float

    def as_json(self) -> JSON:
        """Return the leak for a report, in both languages."""
        en, zh = WORDS[self.how]
        return {
            "record": self.record.id,
            "text": " ".join("\n".join(_texts(self.record)[0]).split())[:_SHOWN],
            "item": self.item.id,
            "exam": str(self.item.meta.get("exam", "")),
            "question": " ".join(self.item.question.split())[:_SHOWN],
            "how": self.how,
            "en": en,
            "zh": zh,
            "score": round(self.score, 3),
        }


@dataclass(frozen=True, slots=True)
class Sealed:
    """``kept`` may be trained on; ``removed`` gave something away; ``noted`` is kept, but a person may look at it."""

    kept: list[Record]
    removed: list[Leak] = field(default_factory=list)
    noted: list[Leak] = field(default_factory=list)
    items: int = 0
    meaning: bool = False

    def as_json(self) -> JSON:
        """Return what a report shows: how many, how, and each."""
        return {
            "items": self.items,
            "records": len(self.kept) + len(self.removed),
            "removed": len(self.removed),
            "by": dict(sorted(Counter(leak.how for leak in self.removed).items())),
            "by_meaning": self.meaning,
            "leaks": [leak.as_json() for leak in self.removed],
            "noted": [leak.as_json() for leak in self.noted],
        }


def seal(records: Sequence[Record], items: Iterable[EvalItem], embed: Embed | None = None) -> Sealed:
    """Return the records without those that give an item away.

    ``embed`` gives unit vectors (n × d) of texts; without it records are not compared by meaning. How far the secret of
    an item goes is :func:`feilun.curation.sealing.secret.secrecy`.
    """
    exam = _Exam(items)
    removed: dict[int, Leak] = {}
    noted: dict[int, Leak] = {}
    for start in range(0, len(records), _BATCH) if exam.texts else ():
        for number, hit in exam.look(records[start : start + _BATCH]):
            leak = Leak(records[start + number], exam.items[hit.exam], hit.reason, hit.score)
            into = noted if hit.reason == PERHAPS else removed
            if (known := into.get(start + number)) is None or _rank(leak) < _rank(known):
                into[start + number] = leak
    if embed is not None:
        left = [number for number in range(len(records)) if number not in removed]
        for at, hit in exam.compare([records[number] for number in left], embed):
            removed[left[at]] = Leak(records[left[at]], exam.items[hit.exam], MEANING, hit.score)
    kept = [record for number, record in enumerate(records) if number not in removed]
    unsure = [noted[number] for number in sorted(noted) if number not in removed]
    return Sealed(kept, [removed[n] for n in sorted(removed)], unsure, len(exam.items), embed is not None)


def _texts(record: Record) -> tuple[list[str], list[str]]:
    """Return the texts of a record in which an item may stand: each by itself, and those across its turns."""
    told = []
    for message in record.messages:
        role = str(message.get("role", ""))
        # What is said in parts is one text; calls of tools and thoughts are texts of their own.
        told.append((role, "\n".join(_strings(message.get("content")))))
        told += [("", text) for name in message.keys() - {"role", "content"} for text in _strings(message[name])]
    told += [("", text) for text in (record.text, *_strings(record.meta.get("item")))]
    told = [(role, text) for role, text in told if text.strip()]
    return [text for _, text in told], across(told)


def _strings(value: Any) -> Iterator[str]:
    """Yield the texts in a value, at any depth, but for pictures and sounds."""
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, str):
            if not value.startswith("data:"):
                yield value
        elif isinstance(value, Mapping):
            left += [*value.values()][::-1]
        elif isinstance(value, list | tuple):
            left += value[::-1]


class _Exam:
    """Items, in every form, ready to be looked for."""

    def __init__(self, items: Iterable[EvalItem]) -> None:
        # The same question in two exams is one secret, as far as the further of both goes.
        levels = list(Secrecy)
        self.items = sorted(items, key=lambda item: levels.index(secrecy(item)))
        self._levels = [secrecy(item) for item in self.items]
        self._asked = [asked(item) for item in self.items]
        often = Counter(normalise_text(stem) for _, stem, _ in self._asked)
        known: dict[str, int] = {}
        for number, (whole, stem, _) in enumerate(self._asked):
            for text in (whole, stem) if often[normalise_text(stem)] == 1 else (whole,):
                for form in forms(text):
                    known.setdefault(form, number)
                    if self._levels[number] is not Secrecy.WHOLE:
                        known.setdefault(asked_for(form), number)
        found = {form: number for form, number in known.items() if form.strip()}
        self.texts, self._owners = list(found), list(found.values())
        self._parts, self._runs, self._windows = Decontaminate(self.texts), Runs(self.texts), Windows(self.texts)
        self._longest = 2 * max(map(len, self.texts), default=0)  # beyond, a text has more than an item
        self._bags: dict[str, int] = {}
        for place, text in enumerate(self.texts):
            if inside := bag(text):
                self._bags.setdefault(inside, place)

    def look(self, records: Sequence[Record]) -> list[tuple[int, Hit]]:
        """Return (record, hit) for every item that a record gives away; ``hit.exam`` is the number of the item."""
        whole: dict[str, list[int]] = {}
        parts: dict[str, list[int]] = {}
        for number, record in enumerate(records):
            each, together = _texts(record)
            for into, texts in ((parts, [*each, *together]), (whole, together)):
                for form in dict.fromkeys(form for text in texts for form in forms(text)):
                    into.setdefault(form, []).append(number)
        texts = list(whole)
        found = [
            (texts[at], Hit(SAME if run.ordered else SHUFFLED, run.item, 1.0)) for at, run in self._runs.look(texts)
        ]
        for at, item, ordered in self._windows.look(texts):
            found.append((texts[at], Hit(SAME if ordered else SHUFFLED, item, 1.0)))
        texts = list(parts)
        found += [(texts[at], hit) for at, hit in self._parts.look(texts)]
        sure = [(text, told) for text, hit in found if (told := self._sure(hit, text)) is not None]
        # Where all is there in another order, no choice is whole, so that nothing more can be asked of such a text.
        bags = ((text, self._bags.get(bag(text))) for text in parts if len(text) <= self._longest)
        sure += [
            (text, Hit(SHUFFLED, self._owners[place], 1.0))
            for text, place in bags
            if place is not None and same_figures(self.texts[place], text, ordered=False)
        ]
        return [(number, hit) for text, hit in sure for number in parts[text]]

    def compare(self, records: Sequence[Record], embed: Embed) -> list[tuple[int, Hit]]:
        """Return (record, hit) for records that ask an item in other words, where the question itself is secret."""
        wide = [number for number, level in enumerate(self._levels) if level is Secrecy.QUESTION]
        texts = [_texts(record)[0] for record in records]
        found = same_meaning(texts, [self._asked[number][0] for number in wide], embed) if wide else []
        hits = [(at, wide[which], score) for at, which, score in found]
        return [(at, Hit(MEANING, n, score)) for at, n, score in hits if self._asks(n, "\n".join(texts[at]))]

    def _sure(self, hit: Hit, text: str) -> Hit | None:
        """Return the hit, with the number of its item, if it holds for that item."""
        number = self._owners[hit.exam]
        level, score, item = self._levels[number], hit.score, self.texts[hit.exam]
        if hit.reason not in {PART, PERHAPS} and not same_figures(item, text, ordered=hit.reason in {SAME, CONTAINED}):
            return None
        if hit.reason not in {SAME, OPTIONS, SHUFFLED}:
            if level is Secrecy.WHOLE or (level is Secrecy.WORDING and hit.reason not in {CONTAINED, SLIP}):
                return None
            if hit.reason == CONTAINED:
                # What tells items apart may be the subject alone: the question itself must be there.
                score, strict = share(item, text), level is not Secrecy.QUESTION
                if score < (STRICT if strict else LOOSE):
                    return None
                if strict and score < WHOLLY and not same_words(item, text):
                    return None
        return Hit(hit.reason, number, score) if self._asks(number, text) else None

    def _asks(self, number: int, text: str) -> bool:
        """Tell whether a text like an item with choices asks it: many questions differ in their choices only."""
        _, stem, offered = self._asked[number]
        if not offered:
            return True
        if not choices_in(text):
            return len(normalise_text(stem)) >= _TELLING or all(holds(text, choice) for choice in offered)
        return 2 * sum(holds(text, choice) for choice in offered) >= len(offered)


def _rank(leak: Leak) -> tuple[int, float]:
    return _ORDER.index(leak.how), -leak.score
