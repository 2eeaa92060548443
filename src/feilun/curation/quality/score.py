"""A quality score that says which figure sank a text.

This module knows bounds for figures, and what kind of text each holds for. It does not know how figures are measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feilun.curation.quality.figures.characters import pieces
from feilun.curation.quality.figures.signals import Figures, Signals, measure
from feilun.curation.seam import Note, Operator, Parameter, Row, Ruling, Surroundings, Words

SIGNALS: dict[str, Words] = {
    "junk": ("characters that mean nothing", "无意义字符"),
    "symbols": ("symbols instead of words", "符号过多"),
    "digits": ("digits instead of words", "数字过多"),
    "sense": ("few letters", "文字过少"),
    "run": ("one character again and again", "单个字符反复"),
    "repeated": ("the same passage again and again", "内容反复"),
    "function": ("Chinese without the characters that make sentences", "缺少虚词，不成句"),
    "stop_words": ("words without those that make sentences", "缺少功能词，不成句"),
    "vowels": ("letters that make no words", "字母不成词"),
    "word": ("words far too long or short", "词长异常"),
    "stretch": ("letters without a space for too long", "连续字符过长，无空格"),
    "short_lines": ("scraps of lines", "零碎短行"),
    "ended_lines": ("lines without an end", "行无句末标点"),
    "ellipses": ("lines broken off by dots", "省略号结尾"),
    "bullets": ("bullets only", "全是列表符号"),
}
# Labels are no texts, what was rejected may be bad, and what a system is told need not read well.
_UNJUDGED = frozenset({"label", "rejected", "system"})
_SMALL = 60  # visible characters; of a shorter text shares say little


def _ramp(figure: Figures, good: float, bad: float) -> Figures:
    """Return 0 up to ``good``, 1 from ``bad`` on (which may be below ``good``), and what lies between."""
    return np.clip((figure - good) / (bad - good), 0.0, 1.0)


def faults(signals: Signals) -> dict[str, Figures]:
    """Return by how much (0–1) each figure speaks against each text."""
    s = signals
    # Tables, programs and formulas are no prose, and need not look like it.
    table = (s.cells >= 0.5) | ((s.code >= 0.4) & (s.lines >= 2)) | (s.formula >= 0.05)
    prose = ~table
    long = s.size >= _SMALL
    wide = s.han >= 0.5
    narrow = (s.han < 0.2) & (s.latin >= 0.6 * s.sense * s.size)
    # Of sentences there are signs: a poem's short lines have them, a menu's have not.
    bare = np.where(wide, _ramp(s.function, 0.16, 0.08), _ramp(s.stop_words, 0.15, 0.05))
    mild = np.where(table, 0.4, 1.0)
    return {
        "junk": _ramp(s.junk, 0.01, 0.12),
        "symbols": np.where(long, _ramp(s.symbols, 0.2, 0.5), _ramp(s.symbols, 0.6, 1.0) * (s.size >= 10))
        * np.where(s.cells >= 0.5, 0.4, 1.0),
        "digits": _ramp(s.digits, 0.75, 1.0) * long * prose,
        "sense": np.maximum(_ramp(s.sense + s.digits, 0.5, 0.2) * prose, _ramp(s.sense + s.digits, 0.2, 0.05)) * long,
        "run": _ramp(s.run, 0.4, 0.8) * (s.size >= 20),
        "repeated": _ramp(s.repeated, 0.55, 0.85) * mild,
        "function": _ramp(s.function, 0.06, 0.015) * wide * (s.size * s.sense * s.han >= 80) * prose,
        "stop_words": _ramp(s.stop_words, 0.08, 0.01) * narrow * (s.words >= 40) * (s.numbered < 0.5) * prose * 0.6,
        "vowels": _ramp(s.vowels, 0.29, 0.2) * narrow * (s.latin >= 30) * ((s.words <= 1) | (s.spaced >= 0.5)) * prose,
        "word": np.maximum(_ramp(s.word, 11, 18), _ramp(s.word, 2.6, 1.6) * (s.digits < 0.15))
        * narrow
        * (s.words >= 15)
        * prose,
        "stretch": _ramp(s.stretch, 40, 90) * narrow * (s.size >= 200) * prose,
        "short_lines": _ramp(s.short_lines, 0.5, 0.9)
        * bare
        * (s.lines >= 10)
        * (s.size >= 60)
        * (s.numbered < 0.5)
        * prose,
        "ended_lines": _ramp(s.ended_lines, 0.12, 0.0) * (s.lines >= 12) * (s.numbered < 0.5) * bare * prose * 0.5,
        "ellipses": _ramp(s.ellipses, 0.3, 0.9) * (s.lines >= 5),
        "bullets": _ramp(s.bullets, 0.9, 1.0) * (s.lines >= 12) * bare * 0.4,
    }


@dataclass(frozen=True, slots=True)
class Quality:
    """Drops, or flags, rows whose score is below ``lowest``; ``scores`` notes everybody's score."""

    lowest: float
    action: str
    scores: bool

    def judge(self, rows: Sequence[Row]) -> list[Sequence[Ruling]]:
        """Return a ruling for each row whose worst text scores too low, with the figure that spoke most against it."""
        texts, owners = [], []
        for number, row in enumerate(rows):
            for role, text in zip(row.roles, row.texts, strict=True):
                if role not in _UNJUDGED and text and not text.isspace():
                    texts.append(text)
                    owners.append(number)
        worst: dict[int, tuple[float, str, float]] = {}
        for start, end in pieces(texts):
            for number, found in zip(owners[start:end], _scored(texts[start:end]), strict=True):
                if number not in worst or found[0] < worst[number][0]:
                    worst[number] = found
        return [self._ruling(*worst[number]) if number in worst else [] for number in range(len(rows))]

    def _ruling(self, score: float, name: str, figure: float) -> list[Ruling]:
        if score < self.lowest:
            note = Note("low_quality", f"{name} {figure:.2f}: {' / '.join(SIGNALS[name])}")
            meta = {"quality": score}
            return [Ruling("drop" if self.action == "drop" else "flag", note, score, meta)]
        return [Ruling("note", Note("scored"), score, {"quality": score})] if self.scores else []


def _scored(texts: Sequence[str]) -> list[tuple[float, str, float]]:
    """Return the score of each text, the name of the figure that spoke most against it, and that figure."""
    signals = measure(texts)
    against = faults(signals)
    names = list(against)
    amounts = np.stack(list(against.values()), axis=1)
    scores = np.round(np.prod(1.0 - amounts, axis=1), 4).tolist()
    worst = [names[place] for place in amounts.argmax(1)]
    return [
        (score, name, float(getattr(signals, name)[number]))
        for number, (score, name) in enumerate(zip(scores, worst, strict=True))
    ]


def _make(_: Surroundings, lowest: float, action: str, scores: bool) -> Quality:
    return Quality(lowest, action, scores)


QUALITY = Operator(
    name="quality",
    version=1,
    about=(
        "Scores how much a text is like one that people write for people, and drops debris.",
        "为文本的书写质量打分，剔除残渣文本。",
    ),
    origin="Rules of Gopher (Rae et al. 2021), C4 (Raffel et al. 2020), FineWeb (Penedo et al. 2024), for Chinese too",
    reasons={
        "low_quality": ("The text scores too low; the detail names why.", "文本质量得分过低，原因见详情。"),
        "scored": ("The quality score of the text.", "文本质量得分。"),
    },
    make=_make,
    parameters={
        "lowest": Parameter(0.35, ("the least score that stays", "保留的最低得分"), 0.0, 1.0),
        "action": Parameter("drop", ("what happens below it", "低于时如何处理"), choices=("drop", "flag")),
        "scores": Parameter(False, ("note every row's score", "记录每行得分")),
    },
)
