"""Text whose bytes were read in a wrong encoding (``ä¸­æ–‡``, ``ÖÐÎÄ``, ``涓枃``, ``锟斤拷``) read in the right one.

This module knows which misreadings happen to Chinese and Western text and how sound Chinese looks. It does not know
files: their encoding is told when they are read. Nothing is changed unless the new reading is clearly the better one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import ftfy
import numpy as np

from feilun.curation.repair.characters import HAN_CHARACTERS, Joined, bits_of, common_han, measured
from feilun.curation.seam import Mended, Note

_LOST = "\ufffd"
# A UTF-8 lead byte and what may follow it, both read as Latin-1 or Windows-1252.
_WESTERN = re.compile(
    "[\u00c2-\u00d6\u00d8-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u2122]"
)
_GBK_AS_LATIN = re.compile("(?:[\u00a1-\u00fe]{2}){2,}")
_NOT_GBK = re.compile("[\x80-\x9f€‚ƒ„†‡ˆ‰Š‹ŒŽ˜š›œžŸ]")
_LATIN_RUN = re.compile("[\u00a1-\u00fe]+(?:[ -~]{1,3}[\u00a1-\u00fe]+)*")
_REPLACED = re.compile("(?:锟斤拷){2,}锟?斤?|锟斤拷(?=[锟斤])|锟斤拷")
_ABOUT_CODES = re.compile("(?i)乱码|亂碼|编码|編碼|unicode|utf-?8|gbk")
_MEMORY = re.compile("[烫屯葺]{6,}")
_MARKS = re.compile("[，。、；：？！“”‘’（）《》—…·「」『』【】]")
_READINGS = (("gb18030", "utf-8"), ("gb18030", "big5"), ("cp950", "gb18030"))


@cache
def _rare() -> re.Pattern[str]:
    return re.compile(f"[{_ranges(sorted(set(HAN_CHARACTERS) - common_han()))}\ue000-\uf8ff]")


def _ranges(chars: Sequence[str]) -> str:
    """Return sorted characters as ranges of a pattern, which is compiled in no time."""
    parts, start, last = [], chars[0], chars[0]
    for char in [*chars[1:], "\uffff"]:
        if ord(char) != ord(last) + 1:
            parts.append(f"{start}-{last}")
            start = char
        last = char
    return "".join(parts)


@cache
def _rare_pairs() -> re.Pattern[str]:
    rare = _rare().pattern
    return re.compile(f"{rare}[^\n]{{0,2}}{rare}|[锛銆鈥][^\n]{{0,6}}{rare}")


@cache
def _table() -> np.ndarray:
    codes = [chr(code) for code in range(0x10000)]
    rare = filter(_rare().match, codes)
    follows = [char for char in codes[0x80:0x2200] if _WESTERN.match("\u00c3" + char)]
    leads = [char for char in codes[:0x100] if _WESTERN.match(char + "\u00a9")]
    return bits_of((rare, leads, follows, "锛銆鈥锟烫屯葺"))


def _looks(joined: Joined) -> np.ndarray:
    """Return for each text how many places look like misread bytes."""
    kinds = _table()[joined.codes]
    rare, leads, follows, known = (kinds & (1 << place) != 0 for place in range(4))
    ahead = np.append(rare, [False] * 3)
    near = ahead[1:-2] | ahead[2:-1] | ahead[3:]
    high = (joined.codes >= 0xA1) & (joined.codes <= 0xFE)
    pairs = joined.both(high, high)
    found = (rare & near)[:-1] | joined.both(leads, follows) | known[:-1]
    if len(pairs) > 3:
        found[:-2] |= pairs[:-2] & pairs[2:]
    return joined.count(found)


def _sound(text: str) -> float:
    """Return which share of the foreign letters of a text are everyday Chinese or its marks."""
    letters = [char for char in text if char > "\x7f"]
    good = sum(char in common_han() or _MARKS.match(char) is not None for char in letters)
    return good / len(letters) if letters else 0.0


def _read_again(run: str) -> tuple[str, int] | None:
    """Return the better reading of a run and how many characters of it are lost, or None."""
    before = _sound(run)
    if before > 0.72 or len(run) < 3:
        return None
    for read, true in _READINGS:
        for doubtful in (_LOST, "?" + _LOST):
            again = _reading(run, read, true, doubtful)
            lost = again.count(_LOST)
            kept = again.replace(_LOST, "")
            least = 2 if true == "utf-8" else 6
            if len(kept) >= least and lost <= 0.25 * len(again) and _sound(kept) >= max(0.93, before + 0.25):
                return again, lost
    return None


def _reading(run: str, read: str, true: str, doubtful: str) -> str:
    """Return the bytes of ``run`` read again; ``doubtful`` are characters that stand for bytes nobody knows."""
    raw = b""
    for piece in re.split(f"([{doubtful}])", run):
        try:
            raw += b"\xff" if piece and piece in doubtful else piece.encode(read)
        except UnicodeEncodeError:
            return ""
    return re.sub(f"{_LOST}+(?:[?]+{_LOST}*)?", _LOST, raw.decode(true, "replace"))


def _chinese_runs(line: str) -> str:
    """Return a line with its runs of GBK read again; letters that GB 2312 has no bytes for tell that it is UTF-8."""
    return line if _NOT_GBK.search(line) else _LATIN_RUN.sub(_chinese, line)


def _chinese(match: re.Match[str]) -> str:
    """Return a run of Latin letters read as GBK, where that is everyday Chinese throughout."""
    run = match[0]
    high = [char for char in run if char > "\xa0"]
    if len(high) < 6 or (len(high) % 2) or all(a <= b for a, b in itertools.pairwise(high)):
        return run
    raw = run.encode("latin-1")
    for encoding in ("utf-8", "gbk"):
        again = raw.decode(encoding, "replace")
        if _LOST not in again:
            return again if _sound(again) >= 0.97 else run
    return run


def _spans(text: str, suspicious: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Yield the lines (start, end) that a pattern has hits in."""
    end = -1
    for match in suspicious.finditer(text):
        if match.start() < end:
            continue
        start = text.rfind("\n", 0, match.start()) + 1
        end = text.find("\n", match.start())
        end = len(text) if end < 0 else end
        yield start, end


@dataclass(frozen=True, slots=True)
class Mojibake:
    """Reads wrongly decoded parts of texts again; what cannot be known any more becomes U+FFFD and is noted."""

    def mend(self, texts: Sequence[str], langs: Sequence[str]) -> list[Mended | None]:
        """Return the texts that could be read better; None for all others."""
        del langs
        rare = _rare_pairs()
        looks = measured(texts, _looks).tolist()
        return [self._one(text, rare) if look else None for text, look in zip(texts, looks, strict=True)]

    def _one(self, text: str, rare: re.Pattern[str]) -> Mended | None:
        times: dict[str, int] = {}
        mended = text
        if _GBK_AS_LATIN.search(mended):
            mended = _lines(mended, _GBK_AS_LATIN, _chinese_runs, times, "gbk_as_latin")
        if _WESTERN.search(mended):
            mended = _lines(mended, _WESTERN, ftfy.fix_encoding, times, "utf8_as_latin")
        if rare.search(mended):
            mended = _lines(mended, rare, lambda line: _again(line, times), times, "wrong_encoding")
        if "锟斤" in mended and (len(_REPLACED.findall(mended)) > 2 or not _ABOUT_CODES.search(mended)):
            mended, count = _REPLACED.subn(_LOST, mended)
            times["lost"] = times.get("lost", 0) + count
        if count := len(_MEMORY.findall(mended)):
            times["lost"] = times.get("lost", 0) + count
        if not times:
            return None
        first = next((i for i, (a, b) in enumerate(zip(text, mended, strict=False)) if a != b), 0)
        shown = f"{text[first : first + 24]} -> {mended[first : first + 24]}"
        return Mended(mended, tuple(Note(reason, shown, count) for reason, count in times.items()))


def _lines(
    text: str, suspicious: re.Pattern[str], fix: Callable[[str], str], times: dict[str, int], reason: str
) -> str:
    """Return ``text`` with ``fix`` done to its suspicious lines, and count the changed ones under ``reason``."""
    parts, done = [], 0
    for start, end in _spans(text, suspicious):
        line = text[start:end]
        fixed = fix(line)
        if fixed != line:
            times[reason] = times.get(reason, 0) + 1
            parts += [text[done:start], fixed]
            done = end
    return "".join([*parts, text[done:]])


def _again(line: str, times: dict[str, int]) -> str:
    """Return a line read again, as a whole or, where only a part was misread, from its first odd character on."""
    rare = list(_rare().finditer(line))
    start, last = rare[0].start(), rare[-1].end()
    ends = (len(line), last + 2, last + 1, last)
    spans = {(start, min(end, len(line))) for end in ends} | {(0, len(line))}
    found, best = (line, 0), 0.0
    for low, high in sorted(spans, key=lambda span: (span[0], -span[1])):
        part = _read_again(line[low:high])
        if part is None:
            continue
        whole = line[:low] + part[0] + line[high:]
        good = _sound(whole) * sum(char > "\x7f" for char in whole) - 2 * part[1]
        if good > best:
            found, best = (whole, part[1]), good
    if found[1]:
        times["lost"] = times.get("lost", 0) + found[1]
    return found[0]
