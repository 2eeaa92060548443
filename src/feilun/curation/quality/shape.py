"""How long texts are, and whether answers were cut off.

This module knows roles, lengths and ends of sentences. It does not know whether a text is right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from feilun.curation.seam import Note, Operator, Parameter, Row, Ruling, Surroundings

_ANSWERS = frozenset({"assistant", "chosen", "rejected"})
_ENDS = ".!?。！？…;；\"'”’」』》）)]】}>`|~*_:："
_INSIDE = re.compile(r"[.!?](?=\s)|[。！？]")
_OPEN_WORDS = re.compile(
    r"(?:\b(?:and|or|but|the|a|an|of|to|in|for|with|by|is|are|was|were|that|which|because|if|as|from|than)"
    r"|[的和与或及在是把被让从对向为以但而并且则因若如此其比])$",
    re.IGNORECASE,
)
_LISTED = re.compile(r"^\s*(?:[-*•·]|\d{1,3}[.)、．]|[一二三四五六七八九十]{1,3}、|\||#)")
_TAIL = 400  # characters of an answer's end that are looked at
_SENTENCES = 60  # an answer from this length on is expected to end like its other sentences
_SHOWN = 40


def cut_off(text: str) -> bool:
    """Tell whether an answer seems to have been cut off.

    It is if a code block is left open, if its last words want others, or if it is long, has sentences with an end, and
    its last line, which is no list, table or code, has none. Short answers, names and figures need no end.
    """
    text = text.rstrip()
    if not text:
        return False
    if text.count("```") % 2:
        return True
    if text[-1] in _ENDS or not (text[-1].isalnum() or text[-1] in ",，、"):
        return False
    tail = text[-_TAIL:]
    last = tail.rsplit("\n", 1)[-1]
    if len(text) >= _SHOWN // 2 and (text[-1] in ",，、" or (_OPEN_WORDS.search(last) and len(last) >= 12)):
        return True
    if len(text) < _SENTENCES or _LISTED.match(last) or "://" in last or "\t" in last:
        return False
    # The last line breaks off only if it is more than a heading or a signature, and the text uses ends at all.
    return (len(last) >= _SHOWN or "\n" not in tail) and _INSIDE.search(tail) is not None


@dataclass(frozen=True, slots=True)
class Length:
    """Bounds for each role, in characters, and what happens to rows beyond them or with an answer cut off."""

    bounds: dict[str, tuple[int, int]]
    action: Literal["drop", "flag", "note"]
    truncated: Literal["drop", "flag", "note"]

    def judge(self, rows: Sequence[Row]) -> list[Sequence[Ruling]]:
        """Return rulings about rows with an empty, too short, too long or cut-off text."""
        return [self._rulings(row) for row in rows]

    def _rulings(self, row: Row) -> list[Ruling]:
        found: list[Ruling] = []
        for role, text in zip(row.roles, row.texts, strict=True):
            low, high = self.bounds.get(role, (0, 0))
            size = len(text.strip())
            if not high:
                continue
            if size < low:
                found.append(self._beyond("too_short", f"{role}: {size} < {low}"))
            elif size > high:
                found.append(self._beyond("too_long", f"{role}: {size} > {high}"))
            elif role in _ANSWERS and role != "rejected" and cut_off(text):
                found.append(Ruling(self.truncated, Note("cut_off", f"…{text.rstrip()[-_SHOWN:]}".replace("\n", " "))))
        return found

    def _beyond(self, reason: str, detail: str) -> Ruling:
        return Ruling(self.action, Note(reason, detail))


def _make(
    _: Surroundings, action: str, truncated: str, text_least: int, text_most: int, answer_least: int, turn_most: int
) -> Length:
    turn = (1, turn_most)
    answer = (answer_least, turn_most)
    bounds = {
        "text": (text_least, text_most),
        "system": (0, turn_most),
        "user": turn,
        "prompt": turn,
        "label": (1, 200),
    }
    bounds |= dict.fromkeys(_ANSWERS, answer)
    return Length(bounds, _ACTIONS[action], _ACTIONS[truncated])


_ACTIONS: dict[str, Literal["drop", "flag", "note"]] = {"drop": "drop", "flag": "flag", "note": "note"}

LENGTH = Operator(
    name="length",
    version=1,
    about=(
        "Finds texts that are empty, too short or too long for their role, and answers that were cut off.",
        "发现对其角色而言为空、过短或过长的文本，以及被截断的回答。",
    ),
    origin="Gopher (Rae et al. 2021) bounds lengths; answers cut off by a token limit are observed in exported chats",
    reasons={
        "too_short": ("A text is too short for its role.", "文本过短。"),
        "too_long": ("A text is too long for its role.", "文本过长。"),
        "cut_off": ("An answer seems to have been cut off.", "回答疑似被截断。"),
    },
    make=_make,
    parameters={
        "action": Parameter(
            "drop", ("what happens to rows beyond the bounds", "超限时如何处理"), choices=("drop", "flag")
        ),
        "truncated": Parameter(
            "flag", ("what happens to cut-off answers", "截断时如何处理"), choices=("flag", "drop", "note")
        ),
        "text_least": Parameter(1, ("least characters of a passage", "段落最少字数"), 0),
        "text_most": Parameter(1_000_000, ("most characters of a passage", "段落最多字数"), 1),
        "answer_least": Parameter(1, ("least characters of an answer", "回答最少字数"), 0),
        "turn_most": Parameter(100_000, ("most characters of a turn", "单轮最多字数"), 1),
    },
)
