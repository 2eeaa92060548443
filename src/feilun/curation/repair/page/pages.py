"""Which lines of one page are its text and which its furniture: what stands around the text on every site.

This module knows the shape of pages: paragraphs in the middle, short lines and stock phrases before and behind. It does
not know HTML. Texts without paragraphs (poems, lists, code) have no furniture that could be told from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from feilun.curation.repair.characters import OLD, converted, one_of
from feilun.curation.repair.page.phrases import furniture_kind, opens_region

_LONG, _EDGE = 160, 16
_HAN = re.compile("(?:[^\u3400-\u9fff]*[\u3400-\u9fff]){25}")
_STOP = re.compile("[。！？；，,.!?;…:：]")
_LINK = re.compile("\\[[^\\]\n]*\\]\\([^)\n]*\\)|https?://\\S+")
_WIDE = re.compile(" {2,}")
_PIECES = re.compile("[|｜>»›·•/\t]| {2,}")
_KEYWORDS = (
    *("def", "class", "import", "from", "return", "if", "for", "while"),
    *("#include", "public", "private", "var", "let", "const"),
)
_HEADING = re.compile(
    "\\s*(?:#|第[一二三四五六七八九十百零\\d]+[编章节条部分篇]|[一二三四五六七八九十]+[、.]|[(（]?\\d+[)）.、]"
    "|[A-Z]\\.|[-*+] )"
)
_COMMENT = re.compile(
    "(?i)\\d+楼|网友|匿名|回复|沙发|\\d{1,2}:\\d\\d|(?:minutes?|hours?|days?|weeks?|months?|years?) ago|\\bsays\\b"
    "|\\breply\\b|刚刚|分钟前|小时前|天前"
)
_CODE = re.compile(
    "[{};]\\s*$|^\\s*(?:def|class|import|from|return|if|for|while|#include|public|private|var|let|const)\\b.*[:;({]"
    "|^ {4}|^\t",
    re.MULTILINE,
)


def is_paragraph(line: str) -> bool:
    """Tell whether a line is a paragraph: 25 Han characters or 12 words, with a mark that ends or parts sentences."""
    if len(line) < 25 or line.isspace():
        return False
    if "http" in line or "](" in line:
        links = sum(len(match[0]) for match in _LINK.finditer(line))
        if 2 * links > len(line):
            return False
    if len(line) > 25 and not line.isascii() and _HAN.match(line, 0, 400):
        return _STOP.search(line) is not None
    spaces = line.count(" ")
    return spaces >= 11 and line.rstrip()[-1:] in '.!?"”’):…;,。！？' and _parts(line) * 4 < spaces


def _parts(line: str) -> int:
    """Return how many places ``_PIECES`` finds."""
    return sum(map(line.count, "|｜>»›·•/\t")) + (len(_WIDE.findall(line)) if "  " in line else 0)


def _is_code(lines: Sequence[str]) -> bool:
    """Tell whether a quarter of the first lines look like code."""
    head = lines[:200]
    text = "\n".join(head)
    if not any(mark in text for mark in ("{", "}", ";", "\t", "    ")) and not any(
        line.lstrip().startswith(_KEYWORDS) for line in head
    ):
        return False
    return len(_CODE.findall(text)) * 4 > len(head)


def _is_menu(line: str) -> bool:
    """Tell whether a line is a row of links: three short pieces or more, or nothing but links."""
    if len(line) > _LONG or _HEADING.match(line):
        return False
    pieces = [piece.strip() for piece in _PIECES.split(line) if piece.strip()]
    links = _LINK.findall(line)
    if len(links) >= 2 and 10 * len(_LINK.sub("", line).strip()) < 5 * len(line):
        return True
    digits = sum(char.isdigit() for char in line)
    longest = max(map(len, pieces), default=0)
    return len(pieces) >= 4 and longest <= 16 and 4 * digits < len(line) and not re.search("[。！？；=￥¥$]", line)


def _kinds(lines: Sequence[str], paragraphs: Sequence[bool]) -> list[str]:
    filled = [i for i, line in enumerate(lines) if line.strip()]
    edges = {*filled[:_EDGE], *filled[-_EDGE:]}  # paragraphs in the middle stay whatever they say
    short = [i for i in filled if len(lines[i].strip()) <= _LONG and (not paragraphs[i] or i in edges)]
    if not short:
        return [""] * len(lines)
    joined = "\n".join(lines[i].strip() for i in short)
    if one_of(OLD).search(joined):
        joined = converted(joined, "tw2s")
    kinds = [""] * len(lines)
    for i, line in zip(short, joined.split("\n"), strict=True):
        kind = furniture_kind(line)
        region = not paragraphs[i] and opens_region(line)
        kinds[i] = f"region {kind or 'related'}" if region else kind
        if not kinds[i] and not paragraphs[i] and _is_menu(line):
            kinds[i] = "menu"
    return kinds


def _region(lines: Sequence[str], paragraphs: Sequence[bool], kinds: Sequence[str], last: int) -> int:
    """Return where the comments or related articles begin that end a page; the number of lines if nowhere."""
    total = sum(len(line) for line, long in zip(lines, paragraphs, strict=True) if long)
    for start, kind in enumerate(kinds):
        if not kind.startswith("region"):
            continue
        behind = [i for i in range(start + 1, len(lines)) if lines[i].strip()]
        prose = [i for i in behind if paragraphs[i] and not kinds[i]]
        said = {j for i, j in zip([start, *behind], behind, strict=False) if _COMMENT.search(lines[i] + lines[j])}
        told = sum(len(lines[i]) for i in prose if i not in said)
        odd = sum(kinds[i] != "" or _COMMENT.search(lines[i]) is not None for i in behind)
        if start > last or (10 * told <= total and 2 * len(prose) <= len(behind) and odd >= max(1, len(prose))):
            return start
    return len(lines)


def furniture_lines(lines: Sequence[str], shared: Callable[[str], bool]) -> dict[int, str]:
    """Return the lines of a page that are furniture, each with its kind.

    ``shared`` tells whether a line stands in many documents: such lines go only before and behind the text.
    """
    paragraphs = [is_paragraph(line) for line in lines]
    if sum(paragraphs) < 2 or _is_code(lines):
        return _edges(lines, shared)
    kinds = _kinds(lines, paragraphs)
    texts = [i for i, long in enumerate(paragraphs) if long and not kinds[i]]
    if not texts:
        return {}
    if len(texts) == sum(map(bool, map(str.strip, lines))):
        return _repeats(lines, texts[0], paragraphs)
    if not any(_is_of_a_site(kind) for kind in kinds):
        # A notice, a tender, a letter: addresses, numbers and dates at its end are what it says.
        kinds = ["" if kind in _TELLING else kind for kind in kinds]
    region = _region(lines, paragraphs, kinds, texts[-1])
    first, last = texts[0], max((i for i in texts if i < region), default=texts[0])
    gone: dict[int, str] = {}
    for i, line in enumerate(lines):
        bare = line.strip()
        if not bare:
            continue
        kind = kinds[i].removeprefix("region ")
        outside = not first <= i <= last
        if i > region or (i == region and region > first):
            gone[i] = kind if kind and kind != "menu" else "related"
        elif outside and (kind or (shared(line) and not _HEADING.match(line))):
            gone[i] = {"menu": "navigation", "": "shared"}.get(kind, kind)
        elif (
            not outside
            and kind
            and kind != "menu"
            and not kinds[i].startswith("region")
            and len(bare) <= 60
            and not paragraphs[i]
        ):
            if kind not in _TELLING and (len(bare) > 2 or kind == "advertising"):
                gone[i] = kind
        elif kind == "rights" and len(bare) <= 120 and i - first <= 6:
            gone[i] = kind
    gone |= _repeats(lines, first, paragraphs)
    gone |= _strays(lines, gone, first, last, region)
    return gone


def answer_edges(lines: Sequence[str]) -> dict[int, str]:
    """Return the stock phrases of sites before and behind an answer that was copied from a page, each with its kind.

    An answer has no paragraphs to tell its text by: only what is furniture wherever it stands is, in one run from the
    first or the last line. Nothing is furniture where nothing else is left.
    """
    gone: dict[int, str] = {}
    filled = [i for i, line in enumerate(lines) if line.strip()]
    for order in (filled, filled[::-1]):
        for i in order:
            line = lines[i].strip()
            if len(line) > _LONG or is_paragraph(line):
                break
            kind = furniture_kind(converted(line, "tw2s")) or ("menu" if _is_menu(line) else "")
            if not kind or kind in _TELLING:
                break
            gone[i] = {"menu": "navigation"}.get(kind, kind)
    return gone if len(gone) < len(filled) else {}


_TELLING = {"contact", "numbers", "disclaimer"}  # an answer may well end with these


def _is_of_a_site(kind: str) -> bool:
    """Tell whether furniture of this kind stands on pages of sites alone."""
    return kind != "" and kind not in _TELLING


def _edges(lines: Sequence[str], shared: Callable[[str], bool]) -> dict[int, str]:
    """Return the lines that many documents share, in one run from the first or the last line."""
    gone: dict[int, str] = {}
    filled = [i for i, line in enumerate(lines) if line.strip()]
    for order in (filled, filled[::-1]):
        for i in order:
            if not shared(lines[i]) or _HEADING.match(lines[i]):
                break
            gone[i] = "shared"
    left = sum(len(lines[i]) for i in filled if i not in gone)
    return gone if 3 * left >= sum(len(lines[i]) for i in filled) else {}


def _repeats(lines: Sequence[str], first: int, paragraphs: Sequence[bool]) -> dict[int, str]:
    """Return the places where the title stands again (texts of pictures) three times or more."""
    bares = [line.strip() for line in lines]
    if len(bares) - len(set(bares)) < 2:
        return {}
    title = next(filter(None, bares), "")
    gone: dict[int, str] = {}
    places: dict[str, list[int]] = {}
    for i, bare in enumerate(bares):
        if 8 <= len(bare) <= len(title) and not (paragraphs[i] and i < first) and bare in title:
            places.setdefault(bare, []).append(i)
    for found in places.values():
        if len(found) >= 3:
            gone |= dict.fromkeys([i for i in found if i], "title")
    return gone


def _strays(lines: Sequence[str], gone: dict[int, str], first: int, last: int, region: int) -> dict[int, str]:
    """Return short lines between furniture: labels, slogans, names of writers among rows that go anyway."""
    stray: dict[int, str] = {}
    head = [i for i in range(first) if lines[i].strip()]
    tail = [i for i in range(last + 1, len(lines)) if lines[i].strip()]
    for zone in (head, tail):
        if sum(i in gone for i in zone) * 3 < len(zone):
            continue
        title = max((i for i in zone if i not in gone), key=lambda i: len(lines[i]), default=-1) if zone is head else -1
        for place, i in enumerate(zone):
            line = lines[i].strip()
            if i == title or i in gone or len(line) > 14 or _STOP.search(line) or _HEADING.match(line):
                continue
            beside = [zone[j] in gone for j in (place - 1, place + 1) if 0 <= j < len(zone)]
            if beside and (all(beside) if zone is tail else len(beside) == 2 and all(beside)):
                stray[i] = "navigation"
    if region < len(lines):
        before = [i for i in range(last + 1, region) if lines[i].strip()]
        if (
            before
            and " " in lines[before[-1]].strip()
            and len(lines[before[-1]]) < 40
            and not _STOP.search(lines[before[-1]])
        ):
            stray[before[-1]] = "about"
    return stray
