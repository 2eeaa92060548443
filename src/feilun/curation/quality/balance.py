"""What a table is made of, and what is too much of one thing.

This module knows languages, formats and topics of rows, and shares. It does not know what a table is for.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from feilun.curation.quality.figures import characters as kind
from feilun.curation.quality.figures.characters import codes, kinds
from feilun.curation.seam import Mending, Note, Operator, Parameter, Row, Ruling, Surroundings
from feilun.records import JSON

_LOOKED_AT = 2_000  # characters


def language_of(row: Row) -> str:
    """Return the row's language; where nobody has looked, ``zh`` or ``en`` by its script, else ``other``."""
    if row.lang:
        return row.lang
    found = np.bincount(kinds(codes([row.text[:_LOOKED_AT]])[0]), minlength=kind.KINDS)
    han, latin = found[kind.HAN] + found[kind.FUNCTION], found[kind.VOWEL] + found[kind.CONSONANT]
    if han == latin == 0 or found[kind.LETTER] > max(han, latin):
        return "other"
    return "zh" if 3 * han >= latin else "en"


def format_of(row: Row) -> str:
    """Return the kind of row: ``preference``, ``labelled``, ``chat``, ``dialogue`` (several turns) or ``text``."""
    roles = set(row.roles)
    if {"chosen", "rejected"} & roles:
        return "preference"
    if "label" in roles:
        return "labelled"
    if "assistant" in roles or "user" in roles:
        return "dialogue" if row.roles.count("user") > 1 else "chat"
    return "text"


def _topic_of(row: Row) -> str:
    return str(row.meta.get("topic") or "")


def _label_of(row: Row) -> str:
    return next((text for role, text in zip(row.roles, row.texts, strict=True) if role == "label"), "")


BY: dict[str, Callable[[Row], str]] = {
    "language": language_of,
    "format": format_of,
    "topic": _topic_of,
    "label": _label_of,
    "source": lambda row: row.source,
}


def most_kept(counts: Mapping[str, int], share: float) -> int:
    """Return how many rows of one class may stay so that none has more than ``share`` of what stays.

    A share that so few classes cannot keep (two cannot each have a third) is raised to what they can.
    """
    share = max(share, 1.0 / max(1, len(counts)))
    low, high = 0, max(counts.values(), default=0)
    while low < high:
        middle = (low + high + 1) // 2
        kept = [min(count, middle) for count in counts.values()]
        low, high = (middle, high) if max(kept) <= share * sum(kept) + 1e-9 else (low, middle - 1)
    return low


@dataclass(frozen=True, slots=True)
class Balance:
    """Tells the shares of classes, and flags or drops what a class has beyond ``share``, chosen by a hash of ids."""

    by: str
    share: float
    action: Literal["drop", "flag"]

    def sketch(self, rows: Sequence[Row]) -> list[tuple[str, str, str, str, int]]:
        """Return id, class, and, for the report, language, format and size (characters) of each row."""
        of = BY[self.by]
        return [(row.id, of(row), language_of(row), format_of(row), sum(map(len, row.texts))) for row in rows]

    def decide(self, sketches: Sequence[list[tuple[str, str, str, str, int]]]) -> JSON:
        """Return the rows in excess, and the shares for the report."""
        rows = [one for sketch in sketches for one in sketch]
        counts = Counter(one[1] for one in rows if one[1])
        excess: dict[str, str] = {}
        if self.share < 1.0 and len(counts) > 1:
            most = most_kept(counts, self.share)
            for name in sorted(counts):
                if counts[name] > most:
                    own = sorted((one[0] for one in rows if one[1] == name), key=_draw)
                    excess |= dict.fromkeys(own[most:], f"{name}: {counts[name]} > {most}")
        shares = {
            "language": _shares(one[2] for one in rows),
            "format": _shares(one[3] for one in rows),
            self.by: _shares(one[1] for one in rows),
            "length": _lengths([one[4] for one in rows]),
        }
        return {"excess": excess, "report": {"rows": len(rows), "excess": len(excess), "shares": shares}}

    def apply(self, rows: Sequence[Row], decided: Mapping[str, Any]) -> list[Sequence[Ruling | Mending]]:
        """Return a ruling for each row in excess."""
        excess = decided["excess"]
        return [[Ruling(self.action, Note("too_much", excess[row.id]))] if row.id in excess else [] for row in rows]


def _draw(name: str) -> tuple[str, str]:
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest(), name


def _shares(names: Any) -> JSON:
    counts = Counter(names)
    whole = max(1, sum(counts.values()))
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:50]
    return {name: {"rows": many, "share": round(many / whole, 4)} for name, many in ordered}


def _lengths(sizes: list[int]) -> JSON:
    if not sizes:
        return {}
    marks = (0, 10, 50, 90, 100)
    return {f"p{mark}": int(np.percentile(sizes, mark, method="nearest")) for mark in marks}


def _make(_: Surroundings, by: str, share: float, action: str) -> Balance:
    return Balance(by, share, "drop" if action == "drop" else "flag")


BALANCE = Operator(
    name="balance",
    version=1,
    about=(
        "Tells how rows are shared among languages, formats, topics, labels or sources; thins out what is too much.",
        "统计语言、格式、主题、标签或来源的占比，并可削减过多的部分。",
    ),
    origin="Downsampling of over-represented domains, as in LLaMA's and Gopher's mixtures; rows drawn by hash",
    reasons={"too_much": ("There is too much of this kind.", "此类数据占比过高。")},
    make=_make,
    parameters={
        "by": Parameter("language", ("what rows are grouped by", "分组依据"), choices=tuple(BY)),
        "share": Parameter(1.0, ("the largest share that one class may have", "单类最大占比"), 0.01, 1.0),
        "action": Parameter("flag", ("what happens to the excess", "超出部分如何处理"), choices=("flag", "drop")),
    },
)
