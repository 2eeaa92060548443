"""Rows whose label, or whose answer, does not belong to their text.

This module knows labelled rows and pairs of question and answer. It does not know how probabilities become a ranking.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feilun.curation.quality.figures.classifier import classes_of, features, left_out
from feilun.curation.quality.figures.labels import label_issues
from feilun.curation.seam import Mending, Note, Operator, Parameter, Row, Ruling, Surroundings
from feilun.records import JSON

_LONGEST = 1_500  # characters of a question or an answer that a model is asked about
_MEMBERS = 4  # rows that a class must have to be learnt
_LEAST = 20  # rows from which something can be learnt


@dataclass(frozen=True, slots=True)
class Labelled:
    """A labelled row: its features, or the probabilities that it brought along."""

    row: str
    label: str
    vector: NDArray[np.float16]
    chances: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is known of a batch: its labelled rows, and its questions with their answers."""

    labelled: list[Labelled]
    pairs: list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """Flags labels that confident learning finds wrong, and answers that fit another row's question as well."""

    around: Surroundings
    most: float
    surplus: float

    def sketch(self, rows: Sequence[Row]) -> Sketch:
        """Return features or probabilities of labelled rows; questions and answers if there is a model to ask."""
        with_label = [(row, label) for row in rows if (label := _label(row))]
        vectors = self._vectors([row.text for row, _ in with_label])
        labelled = [
            Labelled(row.id, label, vector, _chances(row))
            for (row, label), vector in zip(with_label, vectors, strict=True)
        ]
        pairs = []
        if self.around.likelihood is not None:
            pairs = [(row.id, *pair) for row in rows if not _label(row) and (pair := _pair(row)) is not None]
        return Sketch(labelled, pairs)

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float16]:
        found = features(texts)
        if self.around.embed is not None and texts:
            found = np.hstack([found, np.asarray(self.around.embed(texts), np.float32)])
        return found.astype(np.float16)

    def decide(self, sketches: Sequence[Sketch]) -> JSON:
        """Return reason, detail and score by row, and what was estimated for the report."""
        labelled = [one for sketch in sketches for one in sketch.labelled]
        rows, report = self._labels(labelled)
        unfit = self._unfit([one for sketch in sketches for one in sketch.pairs])
        return {"rows": rows | unfit, "report": {**report, "unfit_answers": len(unfit)}}

    def _labels(self, labelled: list[Labelled]) -> tuple[dict[str, tuple[str, str, float]], JSON]:
        brought = [one for one in labelled if one.chances]
        learnt = [] if len(brought) * 2 > len(labelled) else labelled
        known = learnt or brought
        members = Counter(one.label for one in known)
        known = [one for one in known if members[one.label] >= (_MEMBERS if learnt else 1)]
        names, numbers = classes_of([one.label for one in known])
        if len(names) < 2 or (learnt and len(known) < _LEAST):
            return {}, {"labelled": len(labelled), "classes": len(names), "flagged": 0}
        if learnt:
            chances = left_out(np.stack([one.vector for one in known]).astype(np.float32), numbers, len(names))
        else:
            names = tuple(sorted({*names, *(name for one in known for name, _ in one.chances)}))
            numbers = np.array([names.index(one.label) for one in known])
            chances = np.array([[dict(one.chances).get(name, 0.0) for name in names] for one in known])
        ranking = label_issues(numbers, np.round(chances, 6))
        found: dict[str, tuple[str, str, float]] = {}
        for place in ranking.order[: int(self.most * len(known))]:
            if not ranking.issue[place]:
                break
            one, better = known[place], int(ranking.suggested[place])
            said = (
                f"“{one.label}” {chances[place, numbers[place]]:.2f} → “{names[better]}” {chances[place, better]:.2f}"
            )
            found[one.row] = ("wrong_label", said, round(float(ranking.margin[place]), 4))
        confused = [
            {"given": names[i], "likely": names[j], "share": round(float(ranking.joint[i, j]), 4)}
            for i, j in np.argwhere(ranking.joint >= 0.001)
            if i != j
        ]
        confused.sort(key=lambda pair: (-pair["share"], pair["given"], pair["likely"]))
        noise = round(1.0 - float(np.trace(ranking.joint)), 4)
        told = {"labelled": len(labelled), "classes": len(names), "flagged": len(found), "estimated_share_wrong": noise}
        return found, {**told, "confused": confused[:20]}

    def _unfit(self, pairs: list[tuple[str, str, str]]) -> dict[str, tuple[str, str, float]]:
        """Return the answers that the model finds no more probable after their question than after another one."""
        if self.around.likelihood is None or len({question for _, question, _ in pairs}) < 2:
            return {}
        ordered = sorted(pairs, key=lambda pair: (hashlib.sha256(pair[0].encode()).digest(), pair[0]))
        questions = [question for _, question, _ in ordered]
        other = _others(questions)
        asked = [(question, answer) for _, question, answer in ordered]
        swapped = [(other[place], answer) for place, (_, _, answer) in enumerate(ordered)]
        found = np.round(np.array(self.around.likelihood([*asked, *swapped]), float), 4)
        gains = found[: len(asked)] - found[len(asked) :]
        return {
            name: ("unfit_answer", f"{gain:+.2f} nats a token against another row's question", round(float(gain), 4))
            for (name, _, _), gain in zip(ordered, gains, strict=True)
            if gain <= self.surplus
        }

    def apply(self, rows: Sequence[Row], decided: Mapping[str, Any]) -> list[Sequence[Ruling | Mending]]:
        """Return a flag for each row whose label or answer is doubted."""
        return [_ruling(decided["rows"].get(row.id)) for row in rows]


def _ruling(found: tuple[str, str, float] | None) -> list[Ruling | Mending]:
    if found is None:
        return []
    reason, detail, score = found
    return [Ruling("flag", Note(reason, detail), score)]


def _others(questions: Sequence[str]) -> list[str]:
    """Return for each question the next one that differs from it, going round."""
    found = list(questions)
    following = next(one for one in questions if one != questions[-1])
    for place in range(len(questions) - 1, -1, -1):
        after = questions[place + 1] if place + 1 < len(questions) else questions[0]
        if after != questions[place]:
            following = after
        found[place] = following
    return found


def _label(row: Row) -> str:
    return next((text.strip() for role, text in zip(row.roles, row.texts, strict=True) if role == "label"), "")


def _chances(row: Row) -> tuple[tuple[str, float], ...]:
    """Return the probabilities that a row brings: by class in ``probabilities``, or a list beside ``classes``."""
    given = row.meta.get("probabilities")
    if isinstance(given, list) and isinstance(row.meta.get("classes"), list):
        given = dict(zip(map(str, row.meta["classes"]), given, strict=False))
    if not isinstance(given, dict):
        return ()
    try:
        found = tuple(sorted((str(name), float(chance)) for name, chance in given.items()))
    except (TypeError, ValueError):
        return ()
    return found if np.isfinite([chance for _, chance in found]).all() else ()


def _pair(row: Row) -> tuple[str, str] | None:
    roles, texts = row.roles, row.texts
    for place in range(len(roles) - 1):
        if roles[place] in {"user", "prompt"} and roles[place + 1] in {"assistant", "chosen"}:
            question, answer = texts[place].strip()[:_LONGEST], texts[place + 1].strip()[:_LONGEST]
            return (question, answer) if question and answer else None
    return None


def _make(around: Surroundings, most: float, surplus: float) -> LabelErrors:
    return LabelErrors(around, most, surplus)


LABEL_ERRORS = Operator(
    name="label_errors",
    version=1,
    about=(
        "Flags labels that are probably wrong, and answers that have nothing to do with their question.",
        "标出很可能错误的标签，以及与问题无关的回答。",
    ),
    origin="Confident learning (Northcutt, Jiang, Chuang 2021); leave-one-out ridge regression on hashed words",
    reasons={
        "wrong_label": (
            "The label is probably wrong; the detail names a better one.",
            "标签很可能有误，详情给出更可能的标签。",
        ),
        "unfit_answer": (
            "The answer is as probable after another row's question as after its own.",
            "换成其他行的问题，此回答同样可能，疑似答非所问。",
        ),
    },
    make=_make,
    parameters={
        "most": Parameter(0.2, ("the largest share of rows that is flagged", "最多标出的行占比"), 0.0, 1.0),
        "surplus": Parameter(0.0, ("nats a token that a question must help", "问题须带来的每词元增益"), -10.0, 10.0),
    },
)
