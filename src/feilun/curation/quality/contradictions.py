"""The same question with different answers: named, for a person to decide; where a date stands, the newest holds.

This module knows rows with questions and answers, and their dates. It does not know how questions are compared.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from feilun.curation.quality.figures.questions import Answer, Question, answer, clash, question
from feilun.curation.seam import Mending, Note, Operator, Parameter, Row, Ruling, Surroundings
from feilun.records import JSON, derived_id

_DATED = ("date", "day", "effective", "updated", "modified", "created")
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_./年]?([01]\d|[1-9](?=[-_./月]))[-_./月]?([0-3]\d|[1-9](?!\d))?(?!\d)")
_SHOWN = 60
_RIVALS = 40  # different answers to one question that are compared with each other


@dataclass(frozen=True, slots=True)
class Said:
    """One question and answer of a row, without their texts but for a few words to show."""

    row: str
    key: str
    kinds: tuple[str, ...]
    day: str
    answer: Answer
    shown: str
    place: str


def day_of(row: Row) -> str:
    """Return the day that a row's meta or its file's name tells (ISO), or nothing."""
    for key in _DATED:
        found = _DAY.search(str(row.meta.get(key, "")))
        if found:
            return "-".join(part.zfill(2) for part in found.groups() if part)
    named = _DAY.search(row.name)
    return "-".join(part.zfill(2) for part in named.groups() if part) if named else ""


def asked(row: Row) -> Iterator[tuple[Question, str]]:
    """Yield the questions of a row with their answers; later turns only if they can be understood alone."""
    turns = list(zip(row.roles, row.texts, strict=True))
    first = True
    for (role, text), (next_role, said) in pairwise(turns):
        if role in {"user", "prompt"} and next_role in {"assistant", "chosen"}:
            found = question(text)
            if found is not None and said.strip() and (first or len(found.key) >= 12):
                yield found, said
            first = False


@dataclass(frozen=True, slots=True)
class Contradictions:
    """Flags answers that others contradict; ``older`` says what becomes of those that a newer one outdates."""

    older: Literal["flag", "drop"]

    def sketch(self, rows: Sequence[Row]) -> list[Said]:
        """Return what every answer says that can be contradicted."""
        found = []
        for row in rows:
            system = "\n".join(text for role, text in zip(row.roles, row.texts, strict=True) if role == "system")
            for one, said in asked(row):
                key = derived_id("q", one.key, system)
                shown = " ".join(said.split())[:_SHOWN]
                place = f"{row.name} {row.place}".strip()
                found.append(Said(row.id, key, one.kinds, day_of(row), answer(said), shown, place))
        return found

    def decide(self, sketches: Sequence[list[Said]]) -> JSON:
        """Return, for each row that is contradicted, what to say of it."""
        groups: dict[str, list[Said]] = defaultdict(list)
        for sketch in sketches:
            for said in sketch:
                groups[said.key].append(said)
        rows: dict[str, tuple[str, str]] = {}
        shown = []
        for group in groups.values():
            if len({said.answer.digest for said in group}) < 2:
                continue
            told = _clashes(group)
            for name, found in told.items():
                rows.setdefault(name, found)
            if told:
                shown.append([f"{said.place}: {said.shown}" for said in group if said.row in told][:5])
        return {"rows": rows, "report": {"questions": len(shown), "rows": len(rows), "examples": shown[:20]}}

    def apply(self, rows: Sequence[Row], decided: Mapping[str, Any]) -> list[Sequence[Ruling | Mending]]:
        """Return a ruling for each row that is contradicted."""
        return [self._rulings(decided["rows"].get(row.id)) for row in rows]

    def _rulings(self, found: tuple[str, str] | None) -> list[Ruling | Mending]:
        if found is None:
            return []
        reason, detail = found
        if reason == "newest":
            return [Ruling("note", Note(reason, detail))]
        return [Ruling(self.older if reason == "outdated" else "flag", Note(reason, detail))]


def _clashes(group: Sequence[Said]) -> dict[str, tuple[str, str]]:
    """Return reason and detail by row; of two that contradict each other the newer one outdates the older one."""
    rivals: dict[str, list[Said]] = defaultdict(list)
    for said in sorted(group, key=lambda one: (one.row, one.place)):
        rivals[said.answer.digest].append(said)
    # One answer may stand in many rows, and all of them are told; answers are compared once. The newest stands for all.
    chosen = [max(same, key=lambda one: one.day) for same in list(rivals.values())[:_RIVALS]]
    told: dict[str, tuple[str, str]] = {}
    for place, one in enumerate(chosen):
        for other in chosen[place + 1 :]:
            if one.kinds and other.kinds and one.kinds != other.kinds:
                continue
            if not clash(one.answer, other.answer)[0]:
                continue
            for mine, yours in ((one, other), (other, one)):
                found = _told(mine, yours)
                for row in rivals[mine.answer.digest]:
                    if told.get(row.row, ("newest",))[0] == "newest":
                        told[row.row] = found
    return told


def _told(mine: Said, yours: Said) -> tuple[str, str]:
    reason, sides = clash(mine.answer, yours.answer)
    said = f"{sides}; ".lstrip("; ") + f"{yours.place}: “{yours.shown}”"
    if mine.day and yours.day and mine.day != yours.day:
        return ("outdated" if mine.day < yours.day else "newest"), f"{mine.day} / {yours.day}; {reason} {said}"
    return reason, said


def _make(_: Surroundings, older: str) -> Contradictions:
    return Contradictions("drop" if older == "drop" else "flag")


CONTRADICTIONS = Operator(
    name="contradictions",
    version=3,
    about=(
        "Finds the same question with different answers: other figures, other dates, yes against no.",
        "发现同一问题的不同回答：数字不同、日期不同、肯定与否定相反。",
    ),
    origin="Kinds of contradiction after de Marneffe, Rafferty and Manning, Finding Contradictions in Text (ACL 2008)",
    reasons={
        "numbers": ("Another answer to the same question has other figures.", "同一问题的另一回答数字不同。"),
        "dates": ("Another answer to the same question has other dates.", "同一问题的另一回答日期不同。"),
        "negation": ("Another answer to the same question says the opposite.", "同一问题的另一回答意思相反。"),
        "different": ("Another answer to the same question is quite different.", "同一问题的另一回答完全不同。"),
        "outdated": ("A newer answer to the same question contradicts this one.", "同一问题有更新的、与之矛盾的回答。"),
        "newest": (
            "The newest of answers that contradict each other; it holds.",
            "互相矛盾的回答中最新的一条，以此为准。",
        ),
    },
    make=_make,
    parameters={
        "older": Parameter("flag", ("what happens to outdated answers", "过时回答如何处理"), choices=("flag", "drop"))
    },
)
