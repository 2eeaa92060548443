"""Finds personal data in texts: all rules of the room over whole batches, one answer a text.

This module knows which rules find which kinds, and how batches are read as one text. It does not know what becomes of
what was found.

The rules begin at cheap signs (a row of digits, ``@``, words of forms), so that text without them costs little.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from feilun.curation.personal import addresses, names, network
from feilun.curation.personal import dates as days
from feilun.curation.personal.addresses import chinese_addresses, english_addresses, places, plates
from feilun.curation.personal.dates import birthdays, card_details, dates, stated_numbers
from feilun.curation.personal.folding import fold
from feilun.curation.personal.names import (
    called,
    chinese_names,
    english_names,
    listed_names,
    repeated,
    subjects,
    surely_named,
)
from feilun.curation.personal.naming import FIRST
from feilun.curation.personal.network import machines, mailboxes, secrets, webs
from feilun.curation.personal.numbers import numbers
from feilun.curation.personal.signs import At, Signs
from feilun.curation.personal.spans import USUAL, Span, settled, united

# No rule's pattern matches this, so none reaches from one text of a batch into the next.
_BETWEEN = "\n\0\n"
_AT_ONCE = 1 << 18  # characters: what is worked on at once stays near the processor
_NUMBERS = frozenset(
    ["RESIDENT_ID", "SSN", "REGION_ID", "PERMIT", "PASSPORT", "LICENCE", "CREDIT_CODE", "PHONE", "CARD", "IBAN"]
)
_FAMILIES: tuple[tuple[frozenset[str], Callable[[str, At], Iterator[Span]]], ...] = (
    (frozenset({"PLATE"}), plates),
    (frozenset({"EMAIL"}), mailboxes),
    (frozenset({"IP", "MAC"}), machines),
    (frozenset({"URL"}), webs),
    (frozenset({"SECRET"}), secrets),
    (frozenset({"BIRTHDAY"}), birthdays),
    (frozenset({"CARD_DETAIL"}), card_details),
    (frozenset({"ACCOUNT", "BANK_CODE", "CARD", "RESIDENT_ID"}), stated_numbers),
    (frozenset({"DATE"}), dates),
    (frozenset({"ADDRESS"}), chinese_addresses),
    (frozenset({"ADDRESS"}), english_addresses),
    (frozenset({"PLACE"}), places),
    (frozenset({"NAME"}), english_names),
    (frozenset({"NAME"}), listed_names),
    (frozenset({"NAME"}), subjects),
)
_SIGNS = Signs((*addresses.WORDS, *days.WORDS, *names.WORDS, *network.WORDS, "wj"), FIRST)
_NEAR = frozenset({"PHONE", "RESIDENT_ID", "CARD", "PASSPORT", "EMAIL"})


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds the ``kinds`` of personal data that are at least as sure as ``minimum``."""

    kinds: Collection[str] = USUAL
    minimum: float = 0.5

    def find(self, text: str) -> list[Span]:
        """Return what was found in ``text``, in order, without overlaps."""
        return self.find_all([text])[0]

    def find_all(self, texts: Sequence[str]) -> list[list[Span]]:
        """Return what was found in each text; what is found in one does not depend on the others."""
        found: list[list[Span]] = []
        begin, size = 0, 0
        for place, text in enumerate(texts):
            if size > _AT_ONCE:
                found += self._find_some(texts[begin:place])
                begin, size = place, 0
            size += len(text)
        return found + self._find_some(texts[begin:])

    def find_together(
        self, texts: Sequence[str], found: Sequence[list[Span]], names: Iterable[str]
    ) -> list[list[Span]]:
        """Return what was found in texts that belong together, with the names of each looked for in all.

        ``names`` are known from elsewhere.
        """
        if "NAME" not in self.kinds:
            return list(found)
        sure = dict.fromkeys((name.strip() for name in names), 1.0)
        for text, spans in zip(texts, found, strict=True):
            sure |= {name: max(sure.get(name, 0), c) for name, c in surely_named(text, spans).items()}
        if not sure:
            return list(found)
        whole = []
        for text, spans in zip(texts, found, strict=True):
            taken = [span for span in spans if span.kind != "NAME"]
            more = [*repeated(text, sure), *called(text, sure)]
            free = [one for one in more if all(one.end <= s.start or one.start >= s.end for s in taken)]
            whole.append([span for span in settled(united([*spans, *free])) if span.confidence >= self.minimum])
        return whole

    def _find_some(self, texts: Sequence[str]) -> list[list[Span]]:
        found: list[list[Span]] = [[] for _ in texts]
        whole = _BETWEEN.join(texts)
        starts = [0, *accumulate(len(text) + len(_BETWEEN) for text in texts)]
        folded = fold(whole)
        for span in self._candidates(folded.text):
            start, end = folded.original(span.start, span.end)
            row = bisect_right(starts, start) - 1
            if end <= starts[row + 1] - len(_BETWEEN):
                local = Span(span.kind, start - starts[row], end - starts[row], round(span.confidence, 3), span.rule)
                found[row].append(local)
        return [self._standing(text, spans) for text, spans in zip(texts, found, strict=True)]

    def _candidates(self, text: str) -> Iterator[Span]:
        low = text.lower()
        if len(low) != len(text):  # İ becomes two characters
            low = text.replace("İ", "I").lower()
        at = _SIGNS.at(text, low if len(low) == len(text) else text)
        near: list[Span] = []
        named = "NAME" in self.kinds
        # Numbers are looked for even if they are not asked for where they compete with each other or tell of names.
        if named or _NUMBERS & set(self.kinds):
            for span in numbers(text, at):
                if named and span.kind in _NEAR and span.confidence >= 0.5:
                    near.append(span)
                yield span
        for kinds, family in _FAMILIES:
            if kinds & set(self.kinds):
                yield from family(text, at)
        if named:
            yield from chinese_names(text, at, near)

    def _standing(self, text: str, spans: list[Span]) -> list[Span]:
        if not spans:
            return []
        stand = settled(spans)
        if "NAME" in self.kinds and (again := list(repeated(text, surely_named(text, stand)))):
            stand = settled(united([*stand, *again]))
        return [span for span in stand if span.kind in self.kinds and span.confidence >= self.minimum]
