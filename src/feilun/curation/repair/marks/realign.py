"""Text that lost the halves of its characters when marks were put into its GBK bytes, put together again.

Sites that put ``(reading)`` behind characters sometimes look for them in GBK bytes, and hit the second half of one
character with the first half of the next: ``們在`` holds the bytes of ``冊``, so ``(cè)`` is put into the middle of
``在`` and all that follows is read half a character off, ``們?cè)诟髯缘``. The bytes are all there but one,
and that one is known from the reading. This module knows GBK and such places. It does not know other damage.
"""

from __future__ import annotations

import re

from feilun.curation.repair.characters import common_han
from feilun.curation.repair.marks.readings import TONED, plain, readings

BROKEN = re.compile(f"\\?([a-zü]{{0,5}}[{TONED}][a-z]{{0,5}})\\)")
_INTO_OTHER = re.compile(f"\\((?=[^)]{{0,6}}[{TONED}])[a-zü{TONED}]{{1,6}}\\)")


def realigned(text: str) -> tuple[str, int]:
    """Return the text with its broken places read again, and how many they were."""
    if not BROKEN.search(text):
        return text, 0
    lines = text.split("\n")
    times = 0
    for place, line in enumerate(lines):
        if BROKEN.search(line) and (again := _line(line)) is not None:
            times += len(BROKEN.findall(line))
            lines[place] = again
    return "\n".join(lines), times


def _raw(text: str) -> bytes | None:
    try:
        return b"".join(b"\x80" if char == "€" else char.encode("gb18030") for char in text)
    except UnicodeEncodeError:
        return None


def _sound(text: str) -> float:
    letters = [char for char in text if char > "\u2fff"]
    return sum(char in common_han() or char in "，。、；：？！（）《》" for char in letters) / max(1, len(letters))


def _missing(before: int, reading: str, behind: str) -> bytes:
    """Return the bytes that go on behind a byte: one that makes a character of that reading of it, then the text.

    Of all such characters, and of the readings of the first plain letters as full-width ones (which later programs
    narrow), the one is taken that makes most sense of the text.
    """
    ways = [behind]
    for match in list(re.finditer("[!-~]", behind[:16]))[:2]:
        place = match.start()
        ways.append(behind[:place] + chr(ord(behind[place]) + 0xFEE0) + behind[place + 1 :])
    best, found = -1.0, b"\xff" + (_raw(behind) or b"")
    for code in (*range(0x40, 0x7F), *range(0x80, 0xFF)):
        char = bytes((before, code)).decode("gbk", "ignore")
        if len(char) != 1 or plain(reading) not in readings(char):
            continue
        for wide, raw in enumerate(map(_raw, ways)):
            told = (bytes([code]) + (raw or b""))[:40].decode("gb18030", "replace")
            score = _sound(told) - 0.1 * told.count("\ufffd", 0, -1) + (0.01 if char in common_han() else 0)
            if raw is not None and score > best + (0.05 if wide else 0):
                best, found = score, bytes([code]) + raw
    return found


def _line(line: str) -> str | None:
    pieces = BROKEN.split(_INTO_OTHER.sub("", line))
    stream = _raw(pieces[0])
    for reading, behind in zip(pieces[1::2], pieces[2::2], strict=True):
        if not stream:
            return None
        stream += _missing(stream[-1], reading, behind)
    again = re.sub("\ufffd+[?]?", "\ufffd", (stream or b"").decode("gb18030", "replace"))
    better = _sound(again) >= _sound(line)
    return again if better and again.count("\ufffd") <= 1 + len(pieces) // 2 else None
