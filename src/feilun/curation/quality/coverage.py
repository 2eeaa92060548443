"""Whether rows speak of what the exams ask.

A question is covered as far as one row holds its words, the rare ones counting more (inverse document frequency, Spärck
Jones 1972, among the exams' questions), or as far as a row's vector is near its own. This module knows texts. It does
not know answers: a row that speaks of a question need not answer it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feilun.curation.seam import Mending, Note, Operator, Parameter, Row, Ruling, Surroundings
from feilun.records import JSON

_SHOWN = 120
_LISTED = 200
_STOP_WORDS = (
    "what which who when where why how is are was were do does did the a an of for to in on at and or by with from can "
    "could should would may must i you it this that be have has if as your our my please there"
)
_STOP = frozenset(_STOP_WORDS.split())
_STOP_HAN = frozenset("的了是在有和与吗呢什么怎样如何哪谁几多少请问我你您们这那就也都要会能可以为对到得被把吧啊一个由")
_WORD = re.compile(r"[^\W_\u3400-\u9fff]+")
_HAN = re.compile(r"[\u3400-\u9fff]+")


def _pieces(text: str) -> set[str]:
    """Return the words of a text and, of Chinese, the pairs of characters; without those that say nothing."""
    plain = text.casefold()
    words = set(_WORD.findall(plain)) - _STOP
    found = {word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words}
    for run in _HAN.findall(plain):
        found.update(map(add, run, run[1:]) if len(run) > 1 else run)
    return {piece for piece in found if not _STOP_HAN.issuperset(piece)}


@dataclass(frozen=True)
class Asked:
    """The exams' questions, ready to be looked for: by piece, whose it is and what it weighs there."""

    questions: tuple[str, ...]
    weights: Mapping[str, Sequence[tuple[int, float]]]

    @classmethod
    @cache
    def of(cls, exams: tuple[str, ...]) -> Asked:
        """Return the questions, each once, in order of their texts."""
        questions = tuple(sorted({" ".join(text.split()) for text in exams if text.strip()}))
        found = [sorted(_pieces(text)) for text in questions]
        times = Counter(piece for pieces in found for piece in pieces)
        weights: dict[str, list[tuple[int, float]]] = {}
        for number, pieces in enumerate(found):
            telling = [math.log(1.0 + len(questions) / times[piece]) for piece in pieces]
            for piece, weight in zip(pieces, telling, strict=True):
                weights.setdefault(piece, []).append((number, weight / sum(telling)))
        return cls(questions, weights)

    def shares(self, text: str) -> list[tuple[int, float]]:
        """Return the questions of which ``text`` holds words, and how much of each (0–1)."""
        found: dict[int, float] = {}
        for piece in sorted(_pieces(text) & self.weights.keys()):
            for question, weight in self.weights[piece]:
                found[question] = found.get(question, 0.0) + weight
        return [(question, round(share, 4)) for question, share in sorted(found.items())]


@dataclass(frozen=True)
class Coverage:
    """Tells which of the exams' questions no row speaks of."""

    around: Surroundings
    least: float
    nearness: float

    def sketch(self, rows: Sequence[Row]) -> list[tuple[float, str, float, str]]:
        """Return for each question the best share of words with its row, and the nearest vector with its row."""
        asked = Asked.of(self.around.exams)
        best = [(0.0, "", 0.0, "")] * len(asked.questions)
        if not asked.questions:
            return []
        near = self._near(asked.questions, rows)
        for number, row in enumerate(rows):
            for question, share in asked.shares(row.text):
                best[question] = _better(best[question], (share, row.id, 0.0, ""))
            if near is None:
                continue
            for question in np.flatnonzero(near[number] > 0.0).tolist():
                found = (0.0, "", round(float(near[number, question]), 4), row.id)
                best[question] = _better(best[question], found)
        return best

    def _near(self, questions: Sequence[str], rows: Sequence[Row]) -> NDArray[np.float32] | None:
        if self.around.embed is None or not rows:
            return None
        own, theirs = self.around.embed([row.text for row in rows]), self.around.embed(questions)
        return np.asarray(own @ theirs.T, np.float32)

    def decide(self, sketches: Sequence[list[tuple[float, str, float, str]]]) -> JSON:
        """Return the questions that are covered, by row, and those that are not, the worst first."""
        questions = Asked.of(self.around.exams).questions
        best = [(0.0, "", 0.0, "")] * len(questions)
        for sketch in sketches:
            best = [_better(*each) for each in zip(best, sketch or best, strict=True)]
        rows: dict[str, list[str]] = {}
        missing = []
        for question, (share, row, near, nearest) in zip(questions, best, strict=True):
            if share >= self.least or (near >= self.nearness and near > 0.0):
                rows.setdefault(row if share >= self.least else nearest, []).append(question[:_SHOWN])
            else:
                missing.append({"question": question[:_SHOWN], "words": share, "nearness": near, "row": row})
        missing.sort(key=lambda one: (one["words"], one["nearness"], one["question"]))
        covered = len(questions) - len(missing)
        whole = round(covered / len(questions), 4) if questions else None
        report = {"questions": len(questions), "covered": covered, "share": whole, "missing": missing[:_LISTED]}
        return {"rows": rows, "report": report}

    def apply(self, rows: Sequence[Row], decided: Mapping[str, Any]) -> list[Sequence[Ruling | Mending]]:
        """Return a note for each row that speaks best of a question."""
        found: list[Sequence[Ruling | Mending]] = []
        for row in rows:
            asked = decided["rows"].get(row.id, ())
            found.append([Ruling("note", Note("covers", " | ".join(asked[:3]), len(asked)))] if asked else [])
        return found


def _better(one: tuple[float, str, float, str], other: tuple[float, str, float, str]) -> tuple[float, str, float, str]:
    """Return the better share with its row and the nearer vector with its row; of equals, the smaller id."""
    share, row = min((one[:2], other[:2]), key=lambda pair: (-pair[0], pair[1]))
    near, nearest = min((one[2:], other[2:]), key=lambda pair: (-pair[0], pair[1]))
    return share, row, near, nearest


def _make(around: Surroundings, least: float, nearness: float) -> Coverage:
    return Coverage(around, least, nearness)


COVERAGE = Operator(
    name="coverage",
    version=1,
    about=(
        "Tells which questions of the exams no row speaks of.",
        "列出没有任何数据涉及的考题。",
    ),
    origin="Inverse document frequency (Spärck Jones 1972); nearness of embeddings where a model is at hand",
    reasons={"covers": ("The row speaks of a question of an exam.", "该行涉及考题内容。")},
    make=_make,
    parameters={
        "least": Parameter(
            0.5, ("the share of a question's words that a row must hold", "须包含考题用词的占比"), 0.0, 1.0
        ),
        "nearness": Parameter(0.9, ("or how near its vector must be", "或向量相似度下限"), 0.0, 1.0),
    },
)
