"""Places where characters were lost: signs that stand for a character, doubled or stranded marks, brackets of nothing.

This module knows what a gap looks like in Chinese and English. It does not know what stood there, and changes nothing:
such texts are flagged for a person.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from feilun.curation.repair.characters import Joined, bits_of, measured
from feilun.curation.seam import Note, Row, Ruling

_H = "\u4e00-\u9fff"
_SURE = {
    "replaced": re.compile("\ufffd+"),
    "boxes": re.compile(f"(?<=[{_H}，。])[□■\ue000-\uf8ff]{{1,3}}(?=[{_H}，。])"),
    "questions": re.compile(
        f"(?<=[{_H}])(?<![吗呢吧啊嘛么])[?？]{{2,}}(?=[{_H}])(?![吗呢吧啊你我他她])|(?<=[A-Za-z])\\?(?=[a-z])(?<=[a-z]\\?)"
    ),
    "misread": re.compile("锟斤拷|[烫屯]{6,}|ï¿½"),
}
_LIKELY = {
    "doubled": re.compile(f"[，、；：。][，、；：](?=[{_H}])|[、][的了着](?=[{_H}])|(?<=[{_H}])[，、]{{2,}}"),
    "repeated": re.compile(
        f"(?<![目现现存所内外正潜实自彼好大小真美女标靶有端的])(?<=[{_H}，])(的的|在在|了了|和和"
        f"|是是)(?![确喀士其然谐平睦气解])(?=[{_H}A-Za-z])"
    ),
    "empty": re.compile("（）|\\(\\)(?=[\u4e00-\u9fff])|《》|“”|「」|【】|『』"),
    "stranded": re.compile(f"(?m)^[，。、；：）》”](?=[{_H}])|[（《“「【](?=[，。、；：])"),
}
# Neither addresses nor boxes to tick have gaps: ``/search?query=``, ``□男 □女``.
_NO_GAPS = re.compile(
    "(?:https?://|www\\.)[!-~]+|(?<![!-~])[!-~]{0,200}\\?[a-z_]+=[!-~]{0,400}"
    "|(?m:(?:^|(?<=[\\s:：(（、]))[□■☑☐][^□■\n]{1,12}(?:[□■☑☐][^□■\n]{1,12})+)"
)
_CHOICES = re.compile(r"(?<![A-Za-z0-9])A[.、．:：)）].{1,200}?\sB[.、．:：)）]", re.DOTALL)
_BLANK = re.compile("（[ \u3000]*）|[(] *[)]|《》|□+")
_HINT = re.compile(
    "[\ufffd□■\ue000-\uf8ff锟烫屯]|[?？]{2}|[a-z]\\?[a-z]|[，、；：。][，、；：的了着]|的的|在在|了了|和和"
    "|是是|[（《“「【][）》”」】，。、；：]|ï¿½"
    "|\n[，。、；：）》”]|[(]\\)"
)


@cache
def _table() -> np.ndarray:
    private = map(chr, range(0xE000, 0xF900))
    marks = "，、；：。（《“「【『"
    sure = f"\ufffd□■锟烫屯ï{''.join(private)}"
    return bits_of((sure, "的在了和是", marks, marks + "的了着）》”」』】", "?？", "\n", "，。、；：）》”"))


def _looks(joined: Joined) -> np.ndarray:
    """Return for each text at how many places something may be missing."""
    kinds = _table()[joined.codes]
    sure, small, marks, follows, asks, ends, stranded = (kinds & (1 << place) != 0 for place in range(7))
    same = joined.codes[:-1] == joined.codes[1:]
    near = joined.codes[1:] - 0x61 < 26
    found = sure[:-1] | (small[:-1] & same) | joined.both(marks, follows) | joined.both(asks, asks)
    found |= (asks[:-1] & near) | joined.both(ends, stranded)
    return joined.count(found)


def lost_places(text: str) -> tuple[Counter[str], str]:
    """Return how often each kind of loss was seen, and the surroundings of the first one of the surest kind.

    Kinds that sound texts show now and then (a doubled comma, an empty bracket) count from the second place on, or
    beside a sure one.
    """
    found: Counter[str] = Counter()
    if not _HINT.search(text):
        return found, ""
    plain = _NO_GAPS.sub("", text)
    if _CHOICES.search(text):  # exams leave blanks
        plain = _BLANK.sub("", plain)
    shown = ""
    for kinds, least in ((_SURE, 1), (_LIKELY, 2)):
        seen = {kind: list(pattern.finditer(plain)) for kind, pattern in kinds.items()}
        total = sum(map(len, seen.values()))
        if total >= least or (total and found):
            for kind, places in seen.items():
                found.update({kind: len(places)} if places else {})
            if total and not shown:
                first = next(places[0] for places in seen.values() if places)
                shown = plain[max(0, first.start() - 12) : first.end() + 12].replace("\n", " ")
    return found, shown


@dataclass(frozen=True, slots=True)
class Lost:
    """Flags rows in which characters are missing."""

    least: int = 1

    def judge(self, rows: Sequence[Row]) -> list[Sequence[Ruling]]:
        """Return a flag with the number of places and an example."""
        texts = [row.text for row in rows]
        looks = measured(texts, _looks).tolist()
        return [self._one(text) if look else () for text, look in zip(texts, looks, strict=True)]

    def _one(self, text: str) -> Sequence[Ruling]:
        found, shown = lost_places(text)
        times = sum(found.values())
        if times < self.least:
            return ()
        kinds = ", ".join(f"{kind} {count}" for kind, count in found.items())
        return (Ruling("flag", Note("lost", f"{shown} ({kinds})", times), float(times), {"lost": times}),)
