"""Counts of what happened to rows, with examples, and of what rows are like.

This module knows ledgers and rows, one batch at a time. It does not know words for people, but for those that operators
bring with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from feilun.curation.seam import Entry, Operator, Row, Words
from feilun.records import JSON

EXAMPLES = 5
PLACES = 2  # of one row that examples may show: what was cut before a text, and behind it
BINS = 16  # of lengths: the first holds empty texts, each other one twice the length of the one before
_PLAIN, _SHOWN = ("row", "name"), ("place", "detail", "before", "after")  # fields of an example
_FAILED: Words = ("The operator failed at this row; the log says why.", "处理此行时出错，原因见日志。")
_EMPTIED: Words = ("Nothing was left of it.", "处理后没有剩下内容。")
_ASIDE: Words = ("Set aside for a person to look at.", "留待人工查看。")


@dataclass(slots=True)
class _Count:
    rows: int = 0
    times: int = 0
    examples: list[JSON] = field(default_factory=list)


@dataclass(slots=True)
class Counts:
    """What happened to the rows of one shard; no row is in two. Examples are as they were found."""

    found: dict[tuple[str, str, str], _Count] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)
    files: dict[str, Counter[str]] = field(default_factory=dict)

    @staticmethod
    def of(entries: Iterable[Entry]) -> Counts:
        """Return the counts of entries."""
        counts = Counts()
        seen: Counter[tuple[str, str, str, str]] = Counter()
        acted: set[tuple[str, str]] = set()
        for entry in entries:
            key = entry.operator, entry.action, entry.reason
            count = counts.found.setdefault(key, _Count())
            count.times += entry.times
            seen[(*key, entry.row)] += 1
            count.rows += seen[(*key, entry.row)] == 1
            if seen[(*key, entry.row)] <= PLACES and len(count.examples) < EXAMPLES:
                count.examples.append({name: getattr(entry, name) for name in (*_PLAIN, *_SHOWN, "source")})
            if (entry.action, entry.row) not in acted:
                acted.add((entry.action, entry.row))
                counts.rows[entry.action] += 1
                counts.files.setdefault(entry.name, Counter())[entry.action] += 1
        return counts


class Tally:
    """Counts what happened in all shards."""

    def __init__(
        self, operators: Mapping[str, Operator], others: Mapping[str, Words], shown: Callable[[str, str], str]
    ) -> None:
        """Take the words of reasons from operators, and ``others`` for what is done without one.

        ``shown`` returns of a source's id and a piece of its text what examples may show.
        """
        self._operators, self._others, self._shown = operators, others, shown
        self._counts: dict[tuple[str, str, str], _Count] = {}
        self.rows: Counter[str] = Counter()  # rows by what happened to them, each once
        self.files: dict[str, Counter[str]] = {}

    def add(self, counts: Counts) -> None:
        """Add the counts of a shard."""
        for key, found in counts.found.items():
            count = self._counts.setdefault(key, _Count())
            count.rows += found.rows
            count.times += found.times
            for example in found.examples[: EXAMPLES - len(count.examples)]:
                shown = {name: self._shown(example["source"], example[name]) for name in _SHOWN}
                count.examples.append({**{name: example[name] for name in _PLAIN}, **shown})
        self.rows.update(counts.rows)
        for name, done in counts.files.items():
            self.files.setdefault(name, Counter()).update(done)

    def words(self, operator: str, reason: str) -> Words:
        """Return what a reason means."""
        if operator in self._operators and reason in self._operators[operator].reasons:
            return self._operators[operator].reasons[reason]
        own = {"failed": _FAILED, "emptied": _EMPTIED, "for_a_person": _ASIDE}
        return own.get(reason) or self._others.get(reason) or (reason, reason)

    def findings(self) -> list[JSON]:
        """Return what was found, by operator, action and reason; the most frequent first within an operator."""
        order = {name: place for place, name in enumerate(self._operators)}
        found = []
        for (operator, action, reason), count in self._counts.items():
            en, zh = self.words(operator, reason)
            counted: JSON = {"rows": count.rows, "times": count.times, "en": en, "zh": zh, "examples": count.examples}
            found.append({"operator": operator, "action": action, "reason": reason, **counted})
        return sorted(found, key=lambda f: (order.get(f["operator"], -1), -f["rows"], f["action"], f["reason"]))


@dataclass(slots=True)
class Shape:
    """What rows are like: languages, lengths, roles, topics, files, split."""

    rows: int = 0
    characters: int = 0
    languages: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    topics: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    flagged: int = 0

    def add(self, rows: Iterable[Row], sealed: Collection[str] = ()) -> None:
        """Count rows; of ``sealed`` sources topics are not told."""
        for row in rows:
            size = sum(map(len, row.texts))
            self.rows += 1
            self.characters += size
            self.languages[row.lang or "?"] += 1
            self.lengths[min(BINS - 1, size.bit_length())] += 1
            self.forms[" → ".join(row.roles) if len(row.roles) < 6 else f"{len(row.roles)} turns"] += 1
            self.files[row.name] += 1
            self.flagged += bool(row.meta.get("flags"))
            if row.meta.get("topic") and row.source not in sealed:
                self.topics[str(row.meta["topic"])[:80]] += 1
            if row.meta.get("split"):
                self.splits[str(row.meta["split"])] += 1

    def join(self, other: Shape) -> None:
        """Count the rows of another one as well."""
        self.rows += other.rows
        self.characters += other.characters
        self.flagged += other.flagged
        for name in ("languages", "lengths", "forms", "topics", "files", "splits"):
            getattr(self, name).update(getattr(other, name))

    def as_json(self) -> dict[str, Any]:
        """Return the counts as plain values, the most frequent first."""
        told: dict[str, Any] = {"rows": self.rows, "characters": self.characters, "flagged": self.flagged}
        told["lengths"] = [self.lengths[place] for place in range(BINS)]
        for name in ("languages", "forms", "topics", "files", "splits"):
            counted: Counter[str] = getattr(self, name)
            told[name] = dict(sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:50])
        return told
