"""Which rows are for training and which for an exam, so that nothing of the one is in the other.

This module knows sources, conversations and near copies. It does not know what is trained or asked.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feilun.curation.quality.figures.groups import Groups, signature
from feilun.curation.seam import Mending, Note, Operator, Parameter, Row, Ruling, Surroundings
from feilun.records import JSON

_CONVERSATION = ("conversation", "conversation_id", "thread", "session", "group")


@dataclass(frozen=True, slots=True)
class Kin:
    """What ties the rows of a batch to others: id, source and conversation of each, and their signatures (n × 64)."""

    rows: list[tuple[str, str, str]]
    signatures: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Split:
    """Puts whole groups of rows into ``exam`` or ``train``: by source, conversation and near copies."""

    share: float
    by: str
    likeness: float
    seed: str

    def sketch(self, rows: Sequence[Row]) -> Kin:
        """Return what ties each row to others."""
        signatures = [signature(row.text) for row in rows]
        return Kin([(row.id, row.source, _conversation(row)) for row in rows], np.array(signatures, np.uint32))

    def decide(self, sketches: Sequence[Kin]) -> JSON:
        """Return the rows of the exam: groups whose hash falls into the share; at least one group on either side."""
        given = [one for sketch in sketches for one in sketch.rows]
        order = sorted(range(len(given)), key=given.__getitem__)
        kin = [given[place] for place in order]
        groups = Groups(len(kin))
        # A row's id may stand twice; both are of one mind.
        groups.join_same(row for row, _, _ in kin)
        groups.join_same(conversation or None for _, _, conversation in kin)
        if self.by == "source":
            groups.join_same(source for _, source, _ in kin)
        if kin:
            signatures = np.concatenate([sketch.signatures for sketch in sketches if sketch.rows])
            groups.join_near(signatures[order], self.likeness)
        roots = [groups.root(place) for place in range(len(kin))]
        names: dict[int, str] = {}
        for (row, _, _), root in zip(kin, roots, strict=True):
            names.setdefault(root, row)
        sizes = Counter(roots)
        draws = {root: _draw(name, self.seed) for root, name in names.items()}
        chosen = {root for root, draw in draws.items() if draw < self.share}
        if len(draws) > 1 and 0.0 < self.share < 1.0:
            ordered = sorted(draws, key=lambda root: (draws[root], names[root]))
            chosen = chosen or {min(ordered, key=lambda root: (abs(sizes[root] / len(kin) - self.share), draws[root]))}
            if len(chosen) == len(draws):
                chosen.discard(ordered[-1])
        exam = frozenset(row for (row, _, _), root in zip(kin, roots, strict=True) if root in chosen)
        report = {
            "rows": len(kin),
            "groups": len(draws),
            "exam": sum(sizes[root] for root in chosen),
            "largest_group": max(sizes.values(), default=0),
            "one_group": len(draws) == 1,
        }
        return {"exam": exam, "report": report}

    def apply(self, rows: Sequence[Row], decided: Mapping[str, Any]) -> list[Sequence[Ruling | Mending]]:
        """Return a note for each row: its part stands in ``meta["split"]``."""
        return [[_PARTS["exam" if row.id in decided["exam"] else "train"]] for row in rows]


_PARTS = {part: Ruling("note", Note(part), 0.0, {"split": part}) for part in ("train", "exam")}


def _conversation(row: Row) -> str:
    found = next((str(row.meta[key]) for key in _CONVERSATION if row.meta.get(key)), "")
    return f"{row.source} {found}" if found else ""


def _draw(name: str, seed: str) -> float:
    """Return a number from 0 to 1 that a group's name and the seed always give."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode("utf-8", "replace")).digest()[:7]) / 2**56


def _make(_: Surroundings, share: float, by: str, likeness: float, seed: str) -> Split:
    return Split(share, by, likeness, seed)


SPLIT = Operator(
    name="split",
    version=1,
    about=(
        "Parts rows into train and exam so that no source, conversation or near copy is in both.",
        "划分训练与考题，同一来源、同一对话、近似副本不会同时出现在两边。",
    ),
    origin="Leakage between splits as catalogued by Kapoor and Narayanan 2023; near copies by MinHash (Broder 1997)",
    reasons={
        "train": ("The row is for training.", "该行用于训练。"),
        "exam": ("The row is for the exam.", "该行用于考题。"),
    },
    make=_make,
    parameters={
        "share": Parameter(0.1, ("the share of groups that goes to the exam", "划入考题的组占比"), 0.0, 1.0),
        "by": Parameter("source", ("what is never parted", "不可拆分的单位"), choices=("source", "conversation")),
        "likeness": Parameter(0.7, ("from which likeness on rows stay together", "视为近似副本的相似度"), 0.3, 1.0),
        "seed": Parameter("", ("another seed draws other groups", "随机种子")),
    },
)
