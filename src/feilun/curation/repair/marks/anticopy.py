"""Marks that sites put into texts against copying: readings behind characters, odd signs, lookalike letters.

This module knows such marks and how they differ from a gloss, which explains one rare or ambiguous word once. It does
not know where texts come from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from feilun.curation.repair.characters import Joined, bits_of, common_han, measured
from feilun.curation.repair.marks.readings import LETTERS, TONED, fitting, is_toned, readings
from feilun.curation.repair.marks.realign import BROKEN, realigned
from feilun.curation.seam import Mended, Note

_H = "\u3400-\u4dbf\u4e00-\u9fff"
_ZHUYIN = "\u3105-\u312f\u02c7\u02ca\u02cb\u02d9"
_READING = f"[{LETTERS}][{LETTERS}' \u2019-]{{0,40}}[1-5]?"
_BRACKETED = re.compile(
    f"(?P<han>[{_H}]{{1,8}}) ?(?P<open>[(（\\[【〔{{<《/〈｛［])\\s?(?P<said>{_READING})\\s?[)）\\]】〕}}>》/〉｝］]"
)
_BEFORE = re.compile(f"(?<![{_H}])?(?P<open>[(（\\[【])(?P<said>[{LETTERS}]{{1,6}}[1-5]?)[)）\\]】](?P<han>[{_H}])")
_BARE = re.compile(f"(?P<han>[{_H}])(?P<open>)(?P<said>[{LETTERS}]{{1,6}}[1-5]?)(?![{LETTERS}0-9])")
_SPOKEN = re.compile(f"(?P<han>[{_H}])(?P<open>[(（\\[]?)(?P<said>[{_ZHUYIN}]{{1,4}})[)）\\]]?")
_TONED_BRACKET = re.compile(f"[(（\\[【](?=[^)）]*[{TONED}])[a-zü{TONED}]{{1,6}}[)）\\]】]")
_HINT = re.compile(
    f"[{_H}] ?[(（\\[【〔{{<《/〈｛［]\\s?[{LETTERS}]|[{_H}][{LETTERS}]{{1,6}}[1-5]?[{_H}，。、；：？！]"
    f"|[{_H}][(（\\[]?[{_ZHUYIN}]"
    f"|[(（\\[【][{LETTERS}]{{1,6}}[1-5]?[)）\\]】][{_H}]"
)
_TEACHES = re.compile("读音|讀音|读作|讀作|读成|讀成|拼音|注音|多音字|生字|声母|聲母|韵母|韻母|通假|释义|釋義|同音")
_LESSON = re.compile("声调|聲調|拼读|拼讀|对外汉语|對外漢語|汉语课|漢語課|识字|識字|认读|朗读|课文|課文|生词|生詞|辨析")
_SIGNS = "*_~^`|丨·•.=+#@%&¥\\- \u2027\u00b7\u30fb\u200b-\u200d\u2060"
_BETWEEN = re.compile(f"[{_H}](?P<sign>[{_SIGNS}]{{1,3}})(?:[{_H}](?P=sign)){{6,}}[{_H}]")
_HIDDEN = re.compile(f"(?<=[{_H}])[\u200b-\u200d\u2060\ufeff\u00ad]+(?=[{_H}])")
_STRUCK = re.compile("(?<=\\w)[\u0334-\u0338\u0489\u20d2-\u20dc]")
_MIXED = re.compile("[^\\W\\d_]*(?:[A-Za-z][\u0370-\u04ff]|[\u0370-\u04ff][A-Za-z])[^\\W\\d_]*")
_READINGS, _SIGNED, _MIXED_UP = 1, 2, 4
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕһԁԛԝАВЕКМНОРСТХУІЈЅοανρυΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aeopcyxijshdqwABEKMHOPCTXYIJSoavpuABEZHIKMNOPTYX"
)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A reading beside characters: where it stands, whose it is, and whether Chinese goes on right behind it."""

    start: int
    end: int
    han: str
    said: str
    style: str
    inside: bool


def _marks(text: str) -> list[_Mark]:
    found: dict[int, _Mark] = {}
    for pattern, style in ((_BRACKETED, ""), (_BARE, "bare"), (_SPOKEN, "zhuyin"), (_BEFORE, "before")):
        for match in pattern.finditer(text):
            han, said = match["han"], match["said"].strip()
            start, end = match.start("open"), match.end()
            start = match.end("han") if not style else start
            count = 1 if style == "zhuyin" else fitting(han, said)
            if not count or (style != "zhuyin" and said[0].isupper() and not is_toned(said)) or start in found:
                continue
            if style == "before":
                end = match.start("han")
            behind = text[end : end + 1]
            inside = style == "before" or "\u3400" <= behind <= "\u9fff"
            owner = han[-count:] if style != "before" else han
            found[start] = _Mark(start, end, owner, said, style or match["open"], inside)
    kept: list[_Mark] = []
    for mark in sorted(found.values(), key=lambda each: each.start):
        if not kept or mark.start >= kept[-1].end:
            kept.append(mark)
    return kept


def _is_everyday(mark: _Mark) -> bool:
    return all(char in common_han() for char in mark.han)


def _is_ambiguous(mark: _Mark) -> bool:
    return any(len(readings(char)) > 1 for char in mark.han)


def _to_remove(text: str, marks: list[_Mark]) -> list[_Mark]:
    """Return the marks that are no glosses.

    Marks against copying stand behind everyday characters, in the middle of sentences, many of them, the same again
    and again. A gloss explains a rare or ambiguous character, once, or stands at the end of a word in a list.
    """
    if not marks or _is_lesson(text):
        return []
    sure = [mark for mark in marks if is_toned(mark.said) or mark.style == "zhuyin" or len(mark.han) == 1]
    untoned = sum(not is_toned(mark.said) and mark.style != "zhuyin" for mark in sure)
    if len(marks) < 8:
        marks = sure if untoned >= 3 or len(sure) >= untoned + 2 else [m for m in sure if is_toned(m.said)]
    if not marks:
        return []
    pairs = Counter((mark.han, mark.said) for mark in marks)
    again = len(marks) - len(pairs)
    everyday = [mark for mark in marks if _is_everyday(mark)]
    inside = sum(mark.inside for mark in marks)
    if len(marks) < 3:
        teaches = _TEACHES.search(text) is not None
        likely = [mark for mark in everyday if mark.inside and len(mark.han) == 1 and not teaches]
        return [] if all(map(_is_ambiguous, likely)) else likely
    if 5 * len(everyday) < 3 * len(marks) or 2 * inside < len(marks) or (not again and _TEACHES.search(text)):
        return []
    style = Counter(mark.style for mark in marks).most_common(1)[0][0]
    return [mark for mark in marks if mark.style == style or _is_everyday(mark) or pairs[(mark.han, mark.said)] > 1]


def _is_lesson(text: str) -> bool:
    """Tell whether a text teaches how characters are read: it speaks of it twice, or in its first line."""
    head = text.lstrip().partition("\n")[0][:80]
    times = len(_TEACHES.findall(text)) + len(_LESSON.findall(text))
    return times >= 2 or _TEACHES.search(head) is not None or _LESSON.search(head) is not None


def _without(text: str, marks: list[_Mark]) -> str:
    parts, done = [], 0
    for mark in marks:
        parts.append(text[done : mark.start])
        done = mark.end
    return "".join([*parts, text[done:]])


def _one_alphabet(match: re.Match[str]) -> str:
    word = match[0]
    plain = word.translate(_LOOKALIKES)
    latin = sum(char < "\u0250" for char in word)
    return plain if 2 * latin > len(word) > 3 and all(char < "\u0250" for char in plain) else word


_KINDS = (
    f"[{_H}]",
    "[(（\\[【〔{<《/〈｛［]",
    f"[{LETTERS}]",
    f"[{TONED}{TONED.upper()}]",
    "[A-Za-z]",
    "[\u0370-\u04ff]",
    f"[{_ZHUYIN}]",
    f"[{_SIGNS}]",
    "[\u0334-\u0338\u0489\u20d2-\u20dc]",
    "[\u200b-\u200d\u2060\ufeff\u00ad]",
)


@cache
def _table() -> np.ndarray:
    chars = "".join(map(chr, range(0x10000)))
    return bits_of([re.findall(kind, chars) for kind in _KINDS])


def _looks(joined: Joined) -> np.ndarray:
    """Return for each text how much in it may be a mark."""
    kinds = _table()[joined.codes]
    han, opening, letter, toned, latin, alike, zhuyin, signs, struck, hidden = (
        kinds & (1 << place) != 0 for place in range(len(_KINDS))
    )
    bare = joined.count(joined.both(joined.both(han, letter), joined.both(letter, letter | han)))
    bracket = joined.count(joined.both(joined.both(han, opening), joined.both(opening, letter)))
    bracket += joined.count(joined.both(joined.both(opening, letter), joined.both(letter, toned)))
    spaced = joined.count(joined.both(joined.both(han, signs), joined.both(signs, han)))
    mixed = joined.count(joined.both(latin, alike) | joined.both(alike, latin))
    bare = ((bare >= 3) & ((joined.count(toned) > 0) | (8 * bare >= joined.sizes))) | (joined.count(zhuyin) > 0)
    signed = (joined.count(joined.both(hidden, han)) > 0) | (joined.count(struck) > 4) | (spaced >= 7)
    return np.asarray(((bracket > 0) | bare) * _READINGS + signed * _SIGNED + (mixed > 0) * _MIXED_UP)


def _unsigned(text: str, notes: list[Note]) -> str:
    """Return a text without signs between its characters, visible or not, and note what was taken out."""
    mended, hidden = _HIDDEN.subn("", text)
    if hidden:
        notes.append(Note("hidden", "", hidden))
    mended, struck = _STRUCK.subn("", mended) if len(_STRUCK.findall(mended)) >= 5 else (mended, 0)
    between = list(_BETWEEN.finditer(mended))
    if between or struck:
        mended = _BETWEEN.sub(lambda match: match[0].replace(match["sign"], ""), mended)
        notes.append(Note("signs", between[0][0][:24] if between else "", struck + len(between)))
    return mended


@dataclass(frozen=True, slots=True)
class Anticopy:
    """Removes marks against copying; glosses stay."""

    def mend(self, texts: Sequence[str], langs: Sequence[str]) -> list[Mended | None]:
        """Return the texts without such marks; None where there were none."""
        del langs
        looks = measured(texts, _looks).tolist()
        return [self._one(text, look) if look else None for text, look in zip(texts, looks, strict=True)]

    def _one(self, text: str, look: int) -> Mended | None:
        notes: list[Note] = []
        mended = _unsigned(text, notes) if look & _SIGNED else text
        if look & _READINGS and _HINT.search(mended):
            mended = self._readings(mended, notes)
        if look & _MIXED_UP:
            plain = _MIXED.sub(_one_alphabet, mended)
            if plain != mended:
                notes.append(Note("lookalike", "", sum(a != b for a, b in zip(plain, mended, strict=True))))
                mended = plain
        return Mended(mended, tuple(notes)) if notes else None

    def _readings(self, text: str, notes: list[Note]) -> str:
        marks = _to_remove(text, _marks(text))
        if not marks:
            return text
        mended = _without(text, marks)
        times = len(marks)
        if times >= 5:
            mended, again = realigned(mended)
            if again:
                notes.append(Note("realigned", "", again))
            mended, more = _TONED_BRACKET.subn("", BROKEN.sub("\ufffd", mended))
            times += more
        first = marks[0]
        notes.insert(0, Note("reading", text[max(0, first.start - 6) : first.end + 6].replace("\n", " "), times))
        return mended
