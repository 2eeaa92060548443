"""Whether rows speak of what the exams ask.

A question is covered as far as one row holds its words, the rare ones counting more (inverse document frequency, Spärck
Jones 1972, among the exams' questions), or as far as a row's vector is near its own. This module knows texts. It does
not know answers: a row that speaks of a question need not answer it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feilun.curation.quality.figures.classifier import tokens
from feilun.curation.seam import Mending, Note, Operator, Parameter, Row, Ruling, Surroundings
from feilun.records import JSON

_SHOWN = 120
_LISTED = 200
_STOP = (
    "what which who when where why how is are was were do does did the a an of for to in on at and or by with from "
    "can could should would may must i you it this that be have has if as your our my please "
    "的 了 是 在 有 和 与 吗 呢 什 么 怎 样 如 何 哪 谁 几 多 少 请 问 我 你 您 们 这 那 就 也 都 要 会 能 可 以 为 对 到 得 被 把 吧 啊 一 个"
)


def _pieces(text: str) -> NDArray[np.uint64]:
    """Return the numbers of a text's words and, of Chinese, its pairs of characters; each once."""
    one = tokens(text)
    plain = one[~np.isin(one, _stop_numbers())].astype(np.uint64)
    pairs = one[:-1].astype(np.uint64) * np.uint64(1_000_003) + one[1:].astype(np.uint64)
    return np.unique(np.concatenate([plain, pairs]))


def _stop_numbers() -> NDArray[np.uint32]:
    return tokens(_STOP)


@dataclass(frozen=True)
class Asked:
    """The exams' questions, ready to be looked for: pieces, whose they are, and what each weighs."""

    questions: tuple[str, ...]
    pieces: NDArray[np.uint64] = field(repr=False)
    owners: NDArray[np.int64] = field(repr=False)
    weights: NDArray[np.float64] = field(repr=False)

    @classmethod
    def of(cls, exams: Sequence[str]) -> Asked:
        """Return the questions, each once, in order of their texts."""
        questions = tuple(sorted({" ".join(text.split()) for text in exams if text.strip()}))
        found = [_pieces(text) for text in questions]
        sizes = [len(one) for one in found]
        every = np.concatenate(found) if found else np.zeros(0, np.uint64)
        owners = np.repeat(np.arange(len(questions)), sizes)
        _, inverse, times = np.unique(every, return_inverse=True, return_counts=True)
        weights = np.log(1.0 + len(questions) / np.maximum(times[inverse], 1)) if len(every) else np.zeros(0)
        whole = np.bincount(owners, weights, len(questions))
        order = np.argsort(every, kind="stable")
        return cls(questions, every[order], owners[order], (weights / np.maximum(whole[owners], 1e-9))[order])

    def shares(self, text: str) -> list[tuple[int, float]]:
        """Return the questions of which ``text`` holds words, and how much of each (0–1)."""
        held = np.isin(self.pieces, _pieces(text), assume_unique=False)
        shares = np.bincount(self.owners[held], self.weights[held], len(self.questions))
        return [(int(question), round(float(shares[question]), 4)) for question in np.flatnonzero(shares)]


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
            for question in np.flatnonzero(near[number] > 0.0):
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
