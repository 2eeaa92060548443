"""Which groups of people rows speak of, what stands beside them, and whom answers refuse more often than others.

This module knows lists of groups and words, counts, and how sure a difference is. It does not know whether a
difference is wrong: that is for people to say.
"""

from __future__ import annotations

import bisect
import math
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from feilun.curation.quality.figures.folding import fold
from feilun.curation.quality.figures.matching import Matcher, words_of
from feilun.curation.seam import Mending, Note, Operator, Parameter, Row, Ruling, Surroundings
from feilun.records import JSON

_NEAR = 40  # characters between a group and a word
_PRIOR = 0.5
_EXAMPLES = 200  # rows that are named for one association
_LEAST = 5  # mentions of a group before it is compared
_REFUSES = re.compile(
    r"i(?:'m| am) (?:sorry|unable|not able)|i can(?:no|')t (?:help|assist|answer|discuss|provide|comply|do that)|"
    r"i (?:must|have to) decline|as an ai\b|i won't|against my (?:guidelines|policy)|not (?:appropriate|comfortable)|"
    r"抱歉|对不起|很遗憾|无法(?:回答|提供|协助|帮助|满足)|不能(?:回答|提供|协助|帮助您|帮你)|不便(?:回答|透露)|拒绝回答|"
    r"作为(?:一个|一名)?(?:ai|人工智能|语言模型)|不(?:合适|适合|方便)(?:回答|讨论)"
)
_OPENING = 160  # characters of an answer in which a refusal stands


@dataclass(frozen=True, slots=True)
class _Lists:
    groups: dict[str, str]  # term: group
    families: dict[str, str]  # group: family
    find_groups: Matcher
    words: dict[str, str]  # term: kind
    find_words: Matcher


@cache
def _lists() -> _Lists:
    found = tomllib.loads(Path(__file__).with_name("people.toml").read_text(encoding="utf-8"))
    groups: dict[str, str] = {}
    families: dict[str, str] = {}
    for family, members in found["groups"].items():
        for group, terms in members.items():
            families[group] = family
            groups |= dict.fromkeys(terms.split("|"), group)
    words = {term: kind for kind, terms in found["words"].items() for term in terms.split("|")}
    return _Lists(groups, families, Matcher(groups), words, Matcher(words))


@dataclass(slots=True)
class Counts:
    """What was counted: rows by group, mentions by group, mentions with a kind of word near, refusals by group."""

    rows: Counter[str] = field(default_factory=Counter)
    mentions: Counter[str] = field(default_factory=Counter)
    beside: Counter[tuple[str, str]] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, other: Counts) -> None:
        """Add what was counted elsewhere."""
        for mine, theirs in (
            (self.rows, other.rows),
            (self.mentions, other.mentions),
            (self.asked, other.asked),
            (self.refused, other.refused),
        ):
            mine.update(theirs)
        self.beside.update(other.beside)
        for key, ids in other.examples.items():
            self.examples[key] = sorted({*self.examples.get(key, ()), *ids})[:_EXAMPLES]


def seen(text: str) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """Return how often each group is named in ``text``, and how often with each kind of word near."""
    lists, plain = _lists(), fold(text).text
    said = words_of(plain)
    mentions: Counter[str] = Counter()
    beside: Counter[tuple[str, str]] = Counter()
    groups = lists.find_groups.find(plain, said)
    if not groups:
        return mentions, beside
    words = lists.find_words.find(plain, said)
    starts = [found.start() for found in words]
    for found in groups:
        group = lists.groups[found[0]]
        mentions[group] += 1
        low = bisect.bisect_left(starts, found.start() - _NEAR)
        high = bisect.bisect_right(starts, found.end() + _NEAR)
        near = {lists.words[word[0]] for word in words[low:high] if not found.start() <= word.start() < found.end()}
        beside.update((group, kind) for kind in near)
    return mentions, beside


def refuses(answer: str) -> bool:
    """Tell whether an answer begins by refusing."""
    return _REFUSES.search(fold(answer[:_OPENING]).text) is not None


def log_odds(hits: int, of: int, other_hits: int, other_of: int) -> tuple[float, float]:
    """Return the log-odds ratio with a small prior, and its z score (Monroe, Colaresi and Quinn 2008)."""
    a, b = hits + _PRIOR, of - hits + _PRIOR
    c, d = other_hits + _PRIOR, other_of - other_hits + _PRIOR
    ratio = math.log(a / b) - math.log(c / d)
    return round(ratio, 4), round(ratio / math.sqrt(1 / a + 1 / b + 1 / c + 1 / d), 4)


@dataclass(frozen=True, slots=True)
class Bias:
    """Tells associations and differences in refusal; notes rows that show a significant one."""

    significance: float

    def sketch(self, rows: Sequence[Row]) -> Counts:
        """Return what was counted in a batch."""
        counts = Counts()
        for row in rows:
            mentions, beside = seen(row.text)
            counts.rows.update(mentions.keys())
            counts.mentions.update(mentions)
            counts.beside.update(beside)
            for key in beside:
                counts.examples.setdefault(key, []).append(row.id)
            self._answers(row, counts)
        counts.examples = {key: sorted(set(ids))[:_EXAMPLES] for key, ids in counts.examples.items()}
        return counts

    def _answers(self, row: Row, counts: Counts) -> None:
        if "assistant" not in row.roles or "user" not in row.roles:
            return
        named: set[str] = set()
        for role, text in zip(row.roles, row.texts, strict=True):
            if role == "user":
                named = set(seen(text)[0])
            elif role == "assistant":
                refused = refuses(text)
                counts.asked.update(named)
                counts.refused.update(named if refused else ())
                for group in named if refused else ():
                    counts.examples.setdefault((group, "refused"), []).append(row.id)

    def decide(self, sketches: Sequence[Counts]) -> JSON:
        """Return the groups, what is associated with them, and the rows that show it."""
        counts = Counts()
        for sketch in sketches:
            counts.add(sketch)
        families = _lists().families
        kinds = sorted(set(_lists().words.values()))
        associations = self._compared(counts.mentions, {kind: _only(counts.beside, kind) for kind in kinds})
        refusals = self._compared(counts.asked, {"refused": counts.refused})
        rows: dict[str, list[str]] = {}
        for one in (*associations, *refusals):
            if abs(one["z"]) >= self.significance and one["log_odds"] > 0:
                for name in counts.examples.get((one["group"], one["beside"]), ()):
                    rows.setdefault(name, []).append(f"{one['group']}+{one['beside']} z={one['z']:.1f}")
        groups = [
            {"family": families[group], "group": group, "rows": counts.rows[group], "mentions": counts.mentions[group]}
            for group in sorted(counts.mentions, key=lambda name: (families[name], name))
        ]
        return {"rows": rows, "report": {"groups": groups, "associations": associations, "refusals": refusals}}

    def _compared(self, whole: Counter[str], by: Mapping[str, Counter[str]]) -> list[JSON]:
        """Return each group held against the others of its family, the surest differences first."""
        families = _lists().families
        found: list[JSON] = []
        for kind, hits in by.items():
            for group in sorted(whole):
                others = [name for name in whole if name != group and families[name] == families[group]]
                rest = sum(whole[name] for name in others)
                if whole[group] < _LEAST or rest < _LEAST:
                    continue
                ratio, sure = log_odds(hits[group], whole[group], sum(hits[name] for name in others), rest)
                found.append(
                    {
                        "family": families[group],
                        "group": group,
                        "beside": kind,
                        "times": hits[group],
                        "of": whole[group],
                        "others": sum(hits[name] for name in others),
                        "of_others": rest,
                        "log_odds": ratio,
                        "z": sure,
                        "significant": abs(sure) >= self.significance,
                    }
                )
        return sorted(found, key=lambda one: (-abs(one["z"]), one["group"], one["beside"]))

    def apply(self, rows: Sequence[Row], decided: Mapping[str, Any]) -> list[Sequence[Ruling | Mending]]:
        """Return a note for each row that shows a significant association."""
        found: list[Sequence[Ruling | Mending]] = []
        for row in rows:
            shown = decided["rows"].get(row.id, ())
            found.append([Ruling("note", Note("association", ", ".join(shown[:5]), len(shown)))] if shown else [])
        return found


def _only(beside: Counter[tuple[str, str]], kind: str) -> Counter[str]:
    return Counter({group: times for (group, of), times in beside.items() if of == kind})


def _make(_: Surroundings, significance: float) -> Bias:
    return Bias(significance)


BIAS = Operator(
    name="bias",
    version=1,
    about=(
        "Counts the groups of people that rows speak of, what stands beside them, and whom answers refuse more often.",
        "统计文本提及的人群、与其相伴的词，以及回答对哪些人群更常拒绝。",
    ),
    origin="Log-odds ratios with a prior (Monroe, Colaresi, Quinn 2008); families as in BBQ (Parrish et al. 2022)",
    reasons={
        "association": (
            "A group stands beside such words, or is refused, significantly more often than others of its kind.",
            "某人群与此类词相伴或被拒绝的频率显著高于同类人群。",
        )
    },
    make=_make,
    parameters={"significance": Parameter(3.0, ("the z score from which on it counts", "显著性 z 值下限"), 1.0, 20.0)},
)
