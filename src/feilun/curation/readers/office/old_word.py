"""DOC (Word 97 to 2003) -> blocks: text by headings, tables, foot and end notes, text boxes.

This module knows the binary Word format ([MS-DOC]): the piece table says where the text is, the paragraph pages say
what is a heading and what is in a table. It does not know what tables mean. Page heads and feet, remarks and the codes
of fields are left out; numbers that Word gives to list items are not kept in the text, and are missing here.
"""

from __future__ import annotations

import bisect
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import olefile

from feilun.curation.documents import MAX_CHARACTERS, Block, Unreadable
from feilun.curation.readers.office.ole import open_ole, stream_of
from feilun.curation.readers.outline import Sections
from feilun.curation.readers.text import table_rows

_WORD_97 = 0xC1
_ENCRYPTED, _TABLE_1 = 0x0100, 0x0200
_CLX, _PAPX = 33, 13  # numbers of the (offset, length) pairs in the file's head
_PAIRS = 0x9A
_LENGTHS = 0x4C  # of the text, the foot notes, heads and feet, macros, remarks, end notes, text boxes
_IN_TABLE, _ROW_END, _OUTLINE = 0x2416, 0x2417, 0x2640
_SIZES = (1, 1, 2, 4, 2, 2, 0, 3)  # of what a property says, by the upper three bits of its code
_MARK = re.compile("[\r\x07\x0c]")
_SIGNS = {0x0B: "\n", 0x0E: "\n", 0x1E: "-", 0xA0: " "} | dict.fromkeys((*range(1, 9), *range(0x0F, 0x16), 0x1F), "")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of text: its first and last character, where its bytes begin, how wide a character is."""

    first: int
    last: int
    offset: int
    width: int


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a paragraph is: a heading of a level or 0, in a table or not, the end of a row or not."""

    level: int = 0
    in_table: bool = False
    row_end: bool = False


def read_doc(data: bytes, notes: list[str]) -> list[Block]:
    """Return one text block per heading and one table block per table, in reading order."""
    if data.startswith(b"{\\rtf"):
        raise Unreadable("wrong_name", "It is an RTF file.")
    ole = open_ole(data)
    try:
        return list(_blocks(ole, notes))
    except (struct.error, IndexError, ValueError, TypeError, AttributeError, OSError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("damaged", f"({type(error).__name__})") from error
    finally:
        ole.close()


def _blocks(ole: olefile.OleFileIO, notes: list[str]) -> Iterator[Block]:
    main = stream_of(ole, "WordDocument")
    version, flags = struct.unpack_from("<H", main, 2)[0], struct.unpack_from("<H", main, 10)[0]
    if flags & _ENCRYPTED:
        raise Unreadable("encrypted")
    if version < _WORD_97:
        raise Unreadable("unsupported", "It was written by Word 95 or an older one.")
    table = stream_of(ole, "1Table" if flags & _TABLE_1 else "0Table")
    pieces = list(_pieces(_part(main, table, _CLX)))
    text = "".join(_text(main, piece) for piece in pieces)
    if len(text) > MAX_CHARACTERS:
        notes.append(f"only the first {MAX_CHARACTERS} characters were read")
    body, feet, heads, macros, remarks, ends, boxes = struct.unpack_from("<7i", main, _LENGTHS)
    kinds = _Kinds(main, _part(main, table, _PAPX), pieces)
    yield from _paragraphs(text[:body][:MAX_CHARACTERS], kinds, notes)
    after = body
    for place, length in (
        ("footnotes", feet),
        ("", heads),
        ("", macros),
        ("", remarks),
        ("endnotes", ends),
        ("text boxes", boxes),
    ):
        said = [line for part in _MARK.split(text[after : after + length]) if (line := _plain(part))]
        if place and said:
            yield Block("text", place, text="\n\n".join(said))
        after += max(length, 0)


def _part(main: bytes, table: bytes, number: int) -> bytes:
    offset, length = struct.unpack_from("<II", main, _PAIRS + 8 * number)
    return table[offset : offset + length]


def _pieces(clx: bytes) -> Iterator[_Piece]:
    """Yield the pieces of the text in order."""
    at = 0
    while clx[at] == 1:  # properties that pieces share
        at += 3 + int(struct.unpack_from("<H", clx, at + 1)[0])
    length = struct.unpack_from("<I", clx, at + 1)[0]
    plc = clx[at + 5 : at + 5 + length]
    count = (len(plc) - 4) // 12
    places = struct.unpack_from(f"<{count + 1}I", plc)
    for number in range(count):
        where = struct.unpack_from("<I", plc, 4 * (count + 1) + 8 * number + 2)[0]
        narrow = bool(where & 0x40000000)
        offset = (where & 0x3FFFFFFF) // (2 if narrow else 1)
        if places[number + 1] > places[number]:
            yield _Piece(places[number], places[number + 1], offset, 1 if narrow else 2)


def _text(main: bytes, piece: _Piece) -> str:
    raw = main[piece.offset : piece.offset + (piece.last - piece.first) * piece.width]
    if piece.width == 1:
        return raw.decode("cp1252", errors="replace").ljust(piece.last - piece.first)
    # A character outside the basic plane counts twice, as it is stored: each half keeps its place.
    return "".join(map(chr, memoryview(raw[: len(raw) // 2 * 2]).cast("H"))).ljust(piece.last - piece.first)


class _Kinds:
    """What each paragraph is, by the place of its end mark."""

    def __init__(self, main: bytes, plc: bytes, pieces: list[_Piece]) -> None:
        self._pieces = pieces
        self._firsts = [piece.first for piece in pieces]
        found: dict[int, _Kind] = {}
        count = max((len(plc) - 4) // 8, 0)
        for number in range(count):
            page = (struct.unpack_from("<I", plc, 4 * (count + 1) + 4 * number)[0] & 0x3FFFFF) * 512
            found.update(_runs(main[page : page + 512]))
        self._starts = sorted(found)
        self._found = [found[start] for start in self._starts]

    def at(self, place: int) -> _Kind:
        """Return what the paragraph is that ends with the character at ``place``."""
        piece = self._pieces[max(bisect.bisect_right(self._firsts, place) - 1, 0)]
        offset = piece.offset + (place - piece.first) * piece.width
        number = bisect.bisect_right(self._starts, offset) - 1
        return self._found[number] if number >= 0 else _Kind()


def _runs(page: bytes) -> Iterator[tuple[int, _Kind]]:
    """Yield where each paragraph of a page of properties begins, and what it is."""
    count = page[511] if len(page) == 512 else 0
    for number in range(min(count, 29)):
        start = struct.unpack_from("<I", page, 4 * number)[0]
        at = 2 * page[4 * (count + 1) + 13 * number]
        if not at:
            yield start, _Kind()
            continue
        size = 2 * page[at] - 1 if page[at] else 2 * page[at + 1]
        begin = at + (1 if page[at] else 2)
        yield start, _kind(page[begin : begin + size])


def _kind(data: bytes) -> _Kind:
    """Return what the style and the properties of a paragraph say; styles 1 to 9 are the headings."""
    if len(data) < 2:
        return _Kind()
    style = struct.unpack_from("<H", data)[0]
    level, in_table, row_end, at = style if 1 <= style <= 9 else 0, False, False, 2
    while at + 2 < len(data):
        code = struct.unpack_from("<H", data, at)[0]
        size = _SIZES[code >> 13]
        value = data[at + 2]
        if code == _OUTLINE:
            level = value + 1 if value < 9 else level
        in_table |= code == _IN_TABLE and bool(value)
        row_end |= code == _ROW_END and bool(value)
        if code == 0xD608:  # the definition of a table, whose length takes two bytes
            size = 1 + int(struct.unpack_from("<H", data.ljust(at + 4, b"\0"), at + 2)[0])
        at += 2 + (size or 1 + value)
    return _Kind(level, in_table, row_end)


def _paragraphs(text: str, kinds: _Kinds, notes: list[str]) -> Iterator[Block]:
    """Yield the blocks of the body."""
    sections, start = Sections(), 0
    rows, cells, cell = list[list[str]](), list[str](), list[str]()
    for mark in (*_MARK.finditer(text), None):
        end = len(text) if mark is None else mark.start()
        kind, said = kinds.at(end), _plain(text[start:end])
        start = end + 1
        if kind.in_table and mark is not None:
            if kind.row_end:
                rows.append(cells)
                cells, cell = [], []
                continue
            cell.append(said)
            if mark[0] == "\x07":
                cells.append("\n".join(filter(None, cell)))
                cell = []
            continue
        if rows:
            yield from sections.table(table_rows(rows, notes))
            rows = []
        if kind.level and said:
            yield from sections.head(kind.level, " ".join(said.split()))
        else:
            sections.add(said)
    yield from sections.close()


def _plain(text: str) -> str:
    """Return what a paragraph shows: the results of its fields without their codes, no anchors."""
    while "\x13" in text:
        shown = re.sub("\x13[^\x13\x14\x15]*(?:\x14([^\x13\x15]*))?\x15", lambda match: match[1] or "", text)
        if shown == text:
            # A field that goes on in another paragraph.
            text = re.sub("\x13[^\x13\x14\x15]*\x14?", "", text)
            break
        text = shown
    return text.translate(_SIGNS).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").strip()
