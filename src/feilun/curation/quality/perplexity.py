"""How probable a local model finds texts, held against the whole table: both extremes are worth a look.

This module knows mean log-probabilities and their distribution. It does not know the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from feilun.curation.seam import Mending, Note, Operator, Parameter, Row, Ruling, Surroundings
from feilun.records import JSON

_LEAST = 20  # rows before a table has a distribution
_LONGEST = 4_000  # characters of a row that the model is asked about
_TO_DEVIATION = 1.4826  # of a median absolute deviation, for normal distributions
_SPREAD = 0.05  # nats; tables of like rows have no extremes


@dataclass(frozen=True, slots=True)
class Perplexity:
    """Flags rows whose mean log-probability is more than ``deviations`` from the table's median."""

    around: Surroundings
    deviations: float

    def sketch(self, rows: Sequence[Row]) -> list[tuple[str, str, float]]:
        """Return id, language and mean log-probability of each row that says something."""
        said = [row for row in rows if row.text.strip()]
        if self.around.likelihood is None or not said:
            return [(min(row.id for row in rows), "", math.nan)] if rows else []
        found = self.around.likelihood([("", row.text[:_LONGEST]) for row in said])
        return [(row.id, row.lang, round(float(one), 4)) for row, one in zip(said, found, strict=True)]

    def decide(self, sketches: Sequence[list[tuple[str, str, float]]]) -> JSON:
        """Return, by language, the bounds beyond which a row is extreme; and the row that tells of a missing model."""
        rows = [one for sketch in sketches for one in sketch]
        known = [one for one in rows if not math.isnan(one[2])]
        if not known:
            return {"missing": min((one[0] for one in rows), default=""), "report": {"model": False}}
        bounds: dict[str, Any] = {}
        extreme: dict[str, tuple[str, float]] = {}
        for lang in sorted({one[1] for one in known}):
            values = np.array([one[2] for one in known if one[1] == lang])
            middle = float(np.median(values))
            spread = max(_TO_DEVIATION * float(np.median(np.abs(values - middle))), _SPREAD)
            bounds[lang] = {"rows": len(values), "median": round(middle, 4), "deviation": round(spread, 4)}
            if len(values) < _LEAST:
                continue
            for name, code, value in known:
                if code == lang and abs(value - middle) > self.deviations * spread:
                    extreme[name] = ("improbable" if value < middle else "too_probable", value)
        return {"extreme": extreme, "report": {"model": True, "languages": bounds, "flagged": len(extreme)}}

    def apply(self, rows: Sequence[Row], decided: Mapping[str, Any]) -> list[Sequence[Ruling | Mending]]:
        """Return a flag for each extreme row."""
        return [self._rulings(row, decided) for row in rows]

    def _rulings(self, row: Row, decided: Mapping[str, Any]) -> list[Ruling | Mending]:
        if decided.get("missing") == row.id:
            return [Ruling("note", Note("no_model"))]
        found = decided.get("extreme", {}).get(row.id)
        if found is None:
            return []
        reason, value = found
        perplexity = math.exp(min(-value, 50.0))
        detail = f"perplexity {perplexity:.1f}, {value:.2f} nats a token"
        return [Ruling("flag", Note(reason, detail), value, {"perplexity": round(perplexity, 2)})]


def _make(around: Surroundings, deviations: float) -> Perplexity:
    return Perplexity(around, deviations)


PERPLEXITY = Operator(
    name="perplexity",
    version=1,
    about=(
        "Flags texts that the local model finds far less, or far more, probable than the others of their language.",
        "标出本地模型认为远比同语言其他文本更不可能或更可能的文本。",
    ),
    origin="CCNet (Wenzek et al. 2020); both ends after Ankner et al. 2024; robust deviations from the median",
    reasons={
        "improbable": (
            "The model finds the text very improbable: noise, or something new.",
            "模型认为文本极不可能：噪声或新内容。",
        ),
        "too_probable": (
            "The model knows the text by heart, or it repeats itself.",
            "模型对文本过于熟悉，或文本自我重复。",
        ),
        "no_model": ("There is no local model to ask; nothing was measured.", "没有可用的本地模型，未测量。"),
    },
    make=_make,
    parameters={
        "deviations": Parameter(4.0, ("deviations from the median that are extreme", "偏离中位数的倍数"), 1.0, 100.0)
    },
)
