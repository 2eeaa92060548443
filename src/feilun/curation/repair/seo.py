"""Pages written for search engines flagged: one phrase stuffed everywhere, sentences from a template, words that sell.

This module knows that such pages repeat a phrase far more often than people do, and what they sell. It does not know
search engines. Repetition alone is no sign: laws, songs and tables repeat too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from feilun.curation.repair.sieve import Sieve, matches
from feilun.curation.seam import Note, Row, Ruling

_SELLS = re.compile(
    "(?i)价格|多少钱|哪家好|哪里好|哪里有|厂家|批发|热线|电话|咨询|联系我们|客服|专业|优质|一站式|上门|排名|排行"
    "|推荐|加盟|代理|正规|口碑|免费|报价|实惠|首选"
    "|性价比|值得信赖|欢迎|费用|靠谱|服务商|近我|附近|官网|下载|品牌"
    r"|\b(?:best|cheap|affordable|near me|call (?:us|now|today)|free (?:quote|estimate|shipping)|top[- ]rated"
    r"|professional|trusted|reliable"
    r"|buy (?:now|online)|order now|contact us|discounts?|lowest price|prices?|services?"
    r"|quality|licensed|guaranteed|experts?|customers?|your area|click here)\b"
)
_SENTENCES = re.compile("[^。！？!?\n.]{8,}")
_WORD = re.compile(r"[a-z0-9']+|[\u4e00-\u9fff]")
_MOST = 20_000


@cache
def _sieve() -> Sieve:
    words = re.sub(r"\(\?i\)|\\b|\(\?:|\)", "", _SELLS.pattern).split("|")
    starts = (re.sub(r"[(\[?].*", "", word) for word in words)
    return Sieve([*(start for start in starts if len(start) > 1), "top-", "top "])


def _stuffed(units: Sequence[str], length: int) -> tuple[float, str, int]:
    """Return the share of a text that its most repeated run of ``length`` units covers, the run, and how often."""
    runs = Counter(zip(*(units[i:] for i in range(length)), strict=False))
    if not runs:
        return 0.0, "", 0
    run, times = min(runs.items(), key=lambda item: (-item[1], item[0]))
    return times * length / len(units), "".join(run) if run[0] > "\u2fff" else " ".join(run), times


def _from_template(text: str) -> tuple[float, str]:
    """Return which share of the sentences has a frame (first and last four letters) that four or more have."""
    sentences = [sentence.strip() for sentence in _SENTENCES.findall(text)]
    if len(sentences) < 6:
        return 0.0, ""
    frames: Counter[str] = Counter()
    for sentence in set(sentences):
        size = 4 if sentence[0] > "\u2fff" else 14
        frames[sentence[-size:]] += 1
        frames[sentence[:size]] += 1
    frame, times = min(frames.items(), key=lambda item: (-item[1], item[0]))
    return (times / len(sentences), frame) if times >= 4 else (0.0, "")


@dataclass(frozen=True, slots=True)
class Seo:
    """Flags rows that score at least ``least``."""

    least: float = 0.5

    def judge(self, rows: Sequence[Row]) -> list[Sequence[Ruling]]:
        """Return a flag with the score and the stuffed phrase for pages written for search engines."""
        texts = [row.text for row in rows]
        sells, spots = _sieve().spots(texts)
        return [
            self._one(text, places) if sold >= 3 and 250 * sold >= min(len(text), _MOST) else ()
            for text, sold, places in zip(texts, sells, spots, strict=True)
        ]

    def _one(self, text: str, spots: Sequence[int]) -> Sequence[Ruling]:
        if not len(text) >= 120:
            return ()
        head = text[:_MOST]
        selling = Counter(match[0].casefold() for match in matches(_SELLS, head, spots))
        if len(selling) < 3 or 250 * selling.total() < len(head):
            return ()
        units = _WORD.findall(head.casefold())
        chinese = sum(unit > "\u2fff" for unit in units) * 2 > len(units)
        covered, phrase, times = _stuffed(units, 4 if chinese else 3)
        framed, frame = _from_template(head)
        score = 0.0
        if times >= 5:
            score += min(1.0, covered / (0.17 if chinese else 0.12)) * 0.7
        score += min(1.0, framed / 0.5) * 0.3 + min(0.2, 0.02 * len(selling))
        score = round(min(1.0, score), 3)
        if score < self.least or (times < 5 and framed < 0.4):
            return ()
        return (Ruling("flag", Note("seo", f"{phrase} x {times}; {frame}".strip("; "), 1), score),)
