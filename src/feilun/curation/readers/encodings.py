"""Bytes -> text: which encoding it is, also where a file holds lines in several.

This module knows the encodings that offices use. It does not know what the texts are.
"""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from feilun.curation.documents import MAX_CHARACTERS, Unreadable

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LEGACY = ("gb18030", "big5", "cp1252", "cp1251", "shift_jis", "euc_kr")
_EVERYDAY = frozenset("的一是不在有我人这個个了上大中为為年用出国國于於，。、；：？！")
_KNOWN = re.compile("[\\s\\x20-\\x7e\u00a0-\u024f\u2010-\u206f\u3000-\u9fff\uff00-\uffef]")
_MOST_BYTES = 4 * MAX_CHARACTERS


def encoding_of(data: bytes) -> str:
    """Return the encoding of a text file; raise Unreadable (``wrong_name``) if it is no text at all."""
    for bom, name in _BOMS:
        if data.startswith(bom):
            return name
    head = data[: 1 << 20]
    if b"\0" in head[:4096]:
        return _wide(head[:4096])
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) == len(data))
    except UnicodeDecodeError:
        return _legacy(head)
    return "utf-8"


def _wide(head: bytes) -> str:
    """Return which UTF-16 a text with NUL bytes and without a mark is: the one with more everyday characters."""
    best, most = "", 0
    for name in ("utf-16-le", "utf-16-be"):
        text = head.decode(name, errors="replace")
        known = sum(bool(_KNOWN.match(char)) for char in text)
        everyday = sum(char.isascii() or char in _EVERYDAY for char in text)
        if known >= 0.95 * len(text) and everyday > most and "\0" not in text:
            best, most = name, everyday
    if not best:
        raise Unreadable("wrong_name", "It holds binary data, not text.")
    return best


def _legacy(head: bytes) -> str:
    """Choose between the legacy encodings: the first that decodes into mostly common Chinese, else the guess."""
    sample = head[:200_000]
    for name in ("gb18030", "big5"):
        text = sample.decode(name, errors="replace")
        common = sum("\u4e00" <= char <= "\u9fa5" for char in text)
        foreign = sum(ord(char) > 127 for char in text)
        rare = sum(char == "\ufffd" or "\ue000" <= char <= "\uf8ff" for char in text)
        ideograms = _EVERYDAY & set(text)
        if foreign and common >= 0.6 * foreign and rare <= 0.01 * foreign and ideograms:
            return name
    best = from_bytes(sample, cp_isolation=list(_LEGACY)).best()
    if best is None:
        raise Unreadable("wrong_name", "It holds binary data, not text.")
    return best.encoding


def decode(data: bytes, notes: list[str] | None = None) -> str:
    """Return the text of ``data``, bytes that fit nowhere replaced; raise Unreadable for binary data.

    Lines that are no UTF-8 in a file that is UTF-8 elsewhere are read as what they are; ``notes`` say so.
    """
    said = [] if notes is None else notes
    if len(data) > _MOST_BYTES:
        data = data[: data.rfind(b"\n", 0, _MOST_BYTES) + 1 or _MOST_BYTES]
        said.append(f"only the first {len(data)} bytes were read")
    if any(data.startswith(bom) for bom, _ in _BOMS[1:]) or b"\0" in data[:4096]:
        return data.decode(encoding_of(data), errors="replace").lstrip("\ufeff")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = _mixed(data, said)
    return text.lstrip("\ufeff")


def _mixed(data: bytes, notes: list[str]) -> str:
    """Decode line by line: UTF-8, UTF-8 with damage, or the legacy encoding that the other lines are in."""
    lines = data.split(b"\n")
    kinds = [_kind(line) for line in lines]
    others = b"\n".join(line for line, kind in zip(lines, kinds, strict=True) if kind == "other")
    if not others:
        damaged = kinds.count("damaged")
        notes.append(f"{damaged} lines hold bytes that are no UTF-8; they were replaced")
        return data.decode("utf-8", errors="replace")
    encoding = _legacy(others[: 1 << 20])
    # Two bytes of a Chinese encoding can look like one letter of UTF-8, three hardly ever do.
    proof = 0x800 if encoding in {"gb18030", "big5", "big5hkscs", "shift_jis", "cp932", "euc_kr", "cp949"} else 0x80
    known = ("utf-8" if kind in {"utf-8", "damaged"} else "" for kind in kinds)
    sure = [name and any(ord(char) >= proof for char in _utf8(line)) for name, line in zip(known, lines, strict=True)]
    if not any(sure):
        return data.decode(encoding, errors="replace")
    mixed = sum(kind == "other" for kind in kinds)
    notes.append(f"mixed encodings: {mixed} lines are {encoding}, the others UTF-8")
    return "\n".join(
        _utf8(line) if is_utf8 or line.isascii() else line.decode(encoding, errors="replace")
        for line, is_utf8 in zip(lines, sure, strict=True)
    )


def _utf8(line: bytes) -> str:
    return line.decode("utf-8", errors="replace")


def _kind(line: bytes) -> str:
    """Return what a line is: ``ascii``, ``utf-8``, UTF-8 with some wrong bytes (``damaged``), or ``other``."""
    if line.isascii():
        return "ascii"
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        text = _utf8(line)
        wrong = text.count("\ufffd")
        right = sum(ord(char) >= 0x800 for char in text) - wrong
        return "damaged" if right >= 3 * wrong else "other"
    return "utf-8"
