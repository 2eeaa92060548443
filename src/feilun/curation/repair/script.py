"""Simplified and Traditional Chinese: which a text is written in, and mixed or mechanically converted text made one.

This module knows OpenCC and what people write by hand that no character table would. It does not know other languages,
apart from leaving Japanese alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from feilun.curation.repair.characters import KANA, OLD, SIMPLE, census, converted, han_counts
from feilun.curation.seam import Mended, Note

# Characters that Simplified merged: converting letter by letter leaves them, people who write Traditional do not.
_LEFT_OVER = re.compile(
    "于|(?<![皇太王母天影])后(?![冠妃宮土羿])|[這那哪心手家城夜]里|里[面邊頭]|云[計端服]|准備|制造|復雜|游戲|注冊|咨詢|采[訪取用集購]"
    "|占[據用有]|干[部活]|范圍|沖突|并[不且非]|斗爭|征[求收]|余[額下]|御寒|雇傭"
)
_BY_HAND = re.compile(
    "於|後|裡|裏|雲[計端服]|準備|製造|複雜|遊戲|註冊|諮詢|採[訪取用集購]|佔[據用有]|幹[部活]|範圍|衝突|並[不且非]|鬥爭|徵[求收]"
    "|餘[額下]|禦寒|僱傭|瞭解|週|隻"
)


def spelling(old: int, simple: int) -> str:
    """Return ``Hant``, ``Hans``, ``mixed`` or nothing from the counts of letters that only one of them has."""
    if old + simple < 1:
        return ""
    if old > 19 * simple:
        return "Hant"
    return "Hans" if simple > 19 * old else "mixed"


def is_mechanical(text: str) -> bool:
    """Tell whether a Traditional text was made from a Simplified one letter by letter (于 for 於, 后 for 後 …)."""
    left = len(_LEFT_OVER.findall(text))
    return left >= 3 and left >= 4 * len(_BY_HAND.findall(text))


def is_mixed(text: str) -> bool:
    """Tell whether the two are mixed within lines: whole lines of one of them are quotations, not damage."""
    lines = [line for line in text.split("\n") if line]
    counts = census(lines)
    both = (counts[:, OLD] > 0) & (counts[:, SIMPLE] > 0)
    least = counts[both][:, [OLD, SIMPLE]].min(axis=1).sum() if both.any() else 0
    return bool(least >= 3 and 50 * least >= counts[:, [OLD, SIMPLE]].sum())


@dataclass(frozen=True, slots=True)
class Script:
    """Converts Chinese to one script.

    ``to``: ``auto`` takes the script that most letters of a mixed text are of, and Simplified for a text that was
    mechanically converted from it. ``when``: ``needed`` only where a text is mixed or mechanically converted.
    """

    to: str = "auto"
    when: str = "needed"

    def mend(self, texts: Sequence[str], langs: Sequence[str]) -> list[Mended | None]:
        """Return converted texts; None for those that are left."""
        del langs
        counts = census(texts)
        han = han_counts(counts)
        found: list[Mended | None] = [None] * len(texts)
        for place in ((counts[:, OLD] + counts[:, SIMPLE] >= 2) & (counts[:, KANA] * 30 <= han)).nonzero()[0]:
            found[place] = self._one(texts[place], int(counts[place, OLD]), int(counts[place, SIMPLE]))
        return found

    def _one(self, text: str, old: int, simple: int) -> Mended | None:
        if self.when == "always" and self.to != "auto":
            return self._convert(text, self.to, "converted", old if self.to == "simplified" else simple)
        if old >= 8 and old > 2 * simple and is_mechanical(text):
            to = "simplified" if self.to == "auto" else self.to
            return self._convert(text, to, "mechanical", old)
        if old and simple and is_mixed(text):
            to = ("traditional" if old > simple else "simplified") if self.to == "auto" else self.to
            return self._convert(text, to, "mixed", min(old, simple))
        return None

    def _convert(self, text: str, to: str, reason: str, times: int) -> Mended | None:
        mended = converted(text, "tw2s" if to == "simplified" else "s2tw")
        return Mended(mended, (Note(reason, to, max(1, times)),)) if mended != text else None
