"""Disguises taken off: signs that nobody sees, codes and tags, letters of other alphabets, the other script of Chinese.

This module knows in which forms one text may be written. It does not know exams nor records.
"""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from urllib.parse import unquote

from feilun.curation.repair.characters import converter, spellings

# Letters that look like Latin ones, and are taken for them in texts that are mostly Latin (Unicode UTS 39).
_LIKE, _LATINS = (
    "аеорсухкмнтвіѕјԁԛԝАВЕКМНОРСТХІЅЈαοενικρτυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxkmhtbisjdqwABEKMHOPCTXISJaoevikptuxABEZHIKMNOPTYX",
)
_LOOKALIKES = str.maketrans(_LIKE, _LATINS)
_OTHER = re.compile(r"[\u0370-\u03ff\u0400-\u052f]")
_LATIN = re.compile(r"[A-Za-z]")
# Code points that show nothing and that Unicode's general category does not tell: fillers, joiners, selectors.
_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
_SELECTORS = "".join(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
_DROPPED = str.maketrans("", "", _FILLERS + _SELECTORS)
_FORMATS = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]+")
_ENTITY = re.compile(r"&(?:#\d{2,6}|#x[0-9a-fA-F]{2,5}|[a-z]{2,8});")
_ESCAPE = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,5})\}|x([0-9a-fA-F]{2}))")
_PERCENT = re.compile(r"%[0-9a-fA-F]{2}")
_LINE = re.compile(r"\\+[nrt\"/]")
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_DEEP = 3  # codes within codes
_PICTURES = re.compile(r"[\u2190-\u2bff\U0001f000-\U0001faff]")
_MANY = 3


def plain(text: str) -> str:
    """Return a text decoded, without signs that nobody sees, with Latin letters where others only look like them."""
    text = _decoded(text)
    if text.isascii():
        return text
    text = _decoded(_FORMATS.sub("", text.translate(_DROPPED)))
    other = _OTHER.findall(text)
    if other and (2 * len(other) < len(_LATIN.findall(text)) or set(other) <= set(_LIKE)):
        text = text.translate(_LOOKALIKES)
    # Marks upon marks on Latin letters hide them: é is a letter, a̶ is an a.
    return unicodedata.normalize("NFC", text)


def _decoded(text: str) -> str:
    """Return a text with what codes of HTML and JSON stand for, also codes within codes."""
    for _ in range(_DEEP):
        before = text
        if "&" in text and _ENTITY.search(text):
            text = html.unescape(text)
        if "\\" in text and _ESCAPE.search(text):
            text = _ESCAPE.sub(lambda code: chr(int(code[code.lastindex or 1], 16)), text)
            # A character beyond the first plane is written as two halves.
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        if text == before:
            break
    return text


def forms(text: str) -> tuple[str, ...]:
    """Return the forms in which a text is compared: without disguise, in mainland words, without pictures."""
    bare = plain(text)
    found = [bare]
    if not bare.isascii():
        if not _traditional().isdisjoint(bare):
            found.append(converter("tw2sp").convert(bare))
        if len(_PICTURES.findall(bare)) >= _MANY:
            found.append(_PICTURES.sub("", bare))
    if "\\" in bare and '"' in bare:
        found.append(_LINE.sub(" ", bare))
    if bare.count("%") >= _MANY and _PERCENT.search(bare):
        found.append(unquote(bare))
    if "</" in bare or "<br" in bare:
        found.append(_TAG.sub("", bare))
    return tuple(dict.fromkeys(found))


def across(messages: Sequence[tuple[str, str]]) -> list[str]:
    """Return the texts across the turns of (role, text): all together and, of several turns, each side's together."""
    often = Counter(role for role, _ in messages)
    # A word that was cut in two turns is whole again.
    sides = ["".join(text for role, text in messages if role == one) for one, count in often.items() if count > 1]
    return list(dict.fromkeys(["\n".join(text for _, text in messages), *sides])) if messages else []


@functools.cache
def _traditional() -> frozenset[str]:
    return spellings()[1]
