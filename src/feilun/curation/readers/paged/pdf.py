"""PDF -> blocks: one text block per page, ruled tables as tables; pages that are pictures go to text recognition.

This module knows pdfium (through pypdfium2) and translates what it raises. It does not know what the text means.
"""

from __future__ import annotations

import ctypes
import itertools
import re
import time
from collections.abc import Iterator

import pypdfium2
import pypdfium2.raw as pdfium_c

from feilun.curation.documents import MAX_CHARACTERS, MAX_PAGES, Block, Unreadable
from feilun.curation.readers.paged.layout import HYPHEN, Box, Line, Table, flowed, ruled
from feilun.curation.readers.paged.pictures import recognise
from feilun.curation.readers.text import table_rows

SECONDS = 90.0  # for a whole file; recognition of many pages is what takes long
_FEW = 40  # characters: a page with fewer and a large picture is a scan
_LARGE = 0.4  # of the page's area
_PIXELS = 2000  # of the longer side of a page that is recognised
_MOST_STROKES = 20_000  # on a page; a map has more, and no tables
_MARGIN = 0.36  # of the height, from the middle: beyond it, a figure by itself is the number of the page
_PAGE_NUMBER = re.compile(r"[-–— ]*(?:page |第 ?)?\d{1,4}(?: ?页| ?(?:/|of) ?\d{1,4})?[-–— ]*", re.IGNORECASE)
_MOST_NUMBERS = 8  # on a page that may be its own
_SAME = 6.0  # points: lines at this height on two pages stand in the same place
_UNMAPPED = re.compile("[\ufffd\ufffe\uffff\ue000-\uf8ff\x00-\x01\x03-\x08\x0e-\x1f]")


def read_pdf(data: bytes, notes: list[str]) -> list[Block]:
    """Return the pages' blocks; raise Unreadable for encrypted and damaged files, and where nothing can be read."""
    if b"%PDF-" not in data[:1024]:
        raise Unreadable("wrong_name")
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        locked = getattr(error, "err_code", None) in {pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY}
        raise Unreadable("encrypted" if locked else "damaged") from error
    try:
        blocks = list(_pages(document, notes))
    finally:
        document.close()
    if not blocks:
        raise Unreadable("no_text")
    return blocks


def _pages(document: pypdfium2.PdfDocument, notes: list[str]) -> Iterator[Block]:
    began, size, scans, lost = time.monotonic(), 0, 0, list[int]()
    shifts = {0}  # by how much the printed numbers of pages are ahead of their places
    missing: Unreadable | None = None
    for number in range(1, len(document) + 1):
        if number > MAX_PAGES or size > MAX_CHARACTERS or time.monotonic() - began > SECONDS:
            notes.append(f"only the first {number - 1} pages were read")
            break
        try:
            page = document[number - 1]
            blocks = list(_page(page, number, shifts))
            if _scanned(page, blocks):
                found = _recognised(page, f"page {number}") if missing is None else []
                scans += bool(found)
                blocks = found or blocks
            page.close()
        except pypdfium2.PdfiumError:
            lost.append(number)
            continue
        except Unreadable as error:
            missing = error
        for block in blocks:
            size += len(block.text)
            yield block
    if scans:
        notes.append(f"{scans} pages are scans; their text was recognised")
    if lost:
        notes.append(f"damaged pages were left out: {', '.join(map(str, lost[:20]))}")
    if missing is not None:
        if not size:
            raise missing
        notes.append(f"pages that are pictures were left out: {missing}")


def _page(page: pypdfium2.PdfPage, number: int, shifts: set[int]) -> Iterator[Block]:
    """Yield the text of a page, and its ruled tables."""
    place = f"page {number}"
    textpage = page.get_textpage()
    frames = ruled(_strokes(page))
    signs = list(_signs(textpage)) if frames else []
    tables = {table: cells for table in frames if _tells(cells := list(_cells(signs, table)))}
    width, height = page.get_size()
    lines = list(_lines(textpage))
    numbers = {
        line
        for line in itertools.islice(_alone(lines, height), _MOST_NUMBERS)
        if _counts(page.pdf, number, line, shifts)
    }
    text = flowed(
        [line for line in lines if line not in numbers and not any(table.box.holds(line.box) for table in tables)],
        width,
    )
    if text.strip():
        yield Block("text", place, text=text)
    for cells in tables.values():
        yield Block("table", place, rows=table_rows(cells, []))
    textpage.close()


def _alone(lines: list[Line], height: float) -> Iterator[Line]:
    """Yield what may be the number of a page: in the upper or lower margin, with nothing beside it."""
    for line in lines:
        middle = (line.box.bottom + line.box.top) / 2
        if not _PAGE_NUMBER.fullmatch(line.text) or abs(line.box.bottom / height - 0.5) <= _MARGIN:
            continue
        if not any(other.box.bottom <= middle <= other.box.top for other in lines if other is not line):
            yield line


def _counts(document: pypdfium2.PdfDocument, number: int, line: Line, shifts: set[int]) -> bool:
    """Tell whether a line is the number of its page: by its words, or as a page beside it is numbered so, too."""
    if not line.text.isdecimal() or (shift := int(line.text) - number) in shifts:
        return True
    for beside in (number + 1, number - 1):
        if 1 <= beside <= len(document):
            page = document[beside - 1]
            others = list(_alone(list(_lines(page.get_textpage())), page.get_size()[1]))
            page.close()
            if any(
                each.text == str(beside + shift) and abs(each.box.bottom - line.box.bottom) < _SAME for each in others
            ):
                shifts.add(shift)
                return True
    return False


def _tells(cells: list[list[str]]) -> bool:
    """Tell whether a ruled grid is a table: text in two rows and in two columns; others only frame a text."""
    return sum(map(any, cells)) > 1 and sum(map(any, itertools.zip_longest(*cells))) > 1


def _lines(textpage: pypdfium2.PdfTextPage) -> Iterator[Line]:
    """Yield the lines of a page in the order in which the page draws them."""
    start = 0
    for raw in re.split(f"(?<={HYPHEN})|(\r?\n)", textpage.get_text_range().replace("\ufffe", HYPHEN)):
        content = (raw or "").strip()
        if content.strip(HYPHEN):
            first = start + len(raw) - len(raw.lstrip())
            yield Line(content, _around(textpage, first, start + len(raw.rstrip(f"{HYPHEN}\r\n\t ")) - 1))
        start += len(raw or "")


def _around(textpage: pypdfium2.PdfTextPage, first: int, last: int) -> Box:
    """Return the box of a line, by its first and last characters."""
    count = textpage.count_chars()
    begin, end = (textpage.get_charbox(min(at, count - 1), loose=True) for at in (first, last))
    return Box(begin[0], min(begin[1], end[1]), max(begin[2], end[2]), max(begin[3], end[3]))


def _strokes(page: pypdfium2.PdfPage) -> list[Box]:
    """Return the boxes of the straight lines that are drawn on a page, the sides of rectangles among them."""
    boxes: list[Box] = []
    for drawn in page.get_objects(filter=[pdfium_c.FPDF_PAGEOBJ_PATH], max_depth=3):
        boxes += _sides(drawn)
        if len(boxes) > _MOST_STROKES:
            return []
    return boxes


def _sides(drawn: pypdfium2.PdfObject) -> Iterator[Box]:
    """Yield the straight lines of a path, in places of the page."""
    matrix = drawn.get_matrix()
    x, y = ctypes.c_float(), ctypes.c_float()
    here = first = (0.0, 0.0)
    for number in range(min(pdfium_c.FPDFPath_CountSegments(drawn.raw), _MOST_STROKES)):
        segment = pdfium_c.FPDFPath_GetPathSegment(drawn.raw, number)
        pdfium_c.FPDFPathSegment_GetPoint(segment, x, y)
        before, here = here, matrix.on_point(x.value, y.value)
        match pdfium_c.FPDFPathSegment_GetType(segment):
            case pdfium_c.FPDF_SEGMENT_MOVETO:
                first = here
            case pdfium_c.FPDF_SEGMENT_LINETO:
                yield _span(before, here)
        if pdfium_c.FPDFPathSegment_GetClose(segment):
            yield _span(here, first)


def _span(one: tuple[float, float], two: tuple[float, float]) -> Box:
    return Box(min(one[0], two[0]), min(one[1], two[1]), max(one[0], two[0]), max(one[1], two[1]))


def _signs(textpage: pypdfium2.PdfTextPage) -> Iterator[tuple[str, tuple[float, float] | None]]:
    """Yield the signs of a page with their middles; blanks that only part words have none."""
    for at in range(textpage.count_chars()):
        sign = chr(pdfium_c.FPDFText_GetUnicode(textpage.raw, at)).replace("\ufffe", HYPHEN)
        if pdfium_c.FPDFText_IsGenerated(textpage.raw, at) == 1:
            yield sign, None
        else:
            left, bottom, right, top = textpage.get_charbox(at, loose=True)
            yield sign, ((left + right) / 2, (bottom + top) / 2)


def _cells(signs: list[tuple[str, tuple[float, float] | None]], table: Table) -> Iterator[list[str]]:
    """Yield the rows of a table; a sign is in the cell that its middle is in."""
    said: dict[Box, list[str]] = {}
    inside: Box | None = None
    for sign, middle in signs:
        if middle is not None:
            inside = table.cell(*middle)
        if inside is not None:
            said.setdefault(inside, []).append(sign)
    for row in table.cells:
        texts = ("".join(said.get(cell, [])).encode("utf-16-le", "surrogatepass") for cell in row)
        yield [_joined(text.decode("utf-16-le", "replace")) for text in texts]


def _joined(text: str) -> str:
    return " ".join(text.replace(f"{HYPHEN}\r\n", "").replace(HYPHEN, "").split())


def _scanned(page: pypdfium2.PdfPage, blocks: list[Block]) -> bool:
    """Tell whether what was read cannot be the page: next to nothing on a picture, or signs without meaning."""
    text = "".join(block.text + "".join(map("".join, block.rows)) for block in blocks)
    if len(text.strip()) < _FEW:
        return _pictured(page)
    return len(_UNMAPPED.findall(text)) > 0.3 * len(text)


def _pictured(page: pypdfium2.PdfPage) -> bool:
    """Tell whether pictures fill much of the page."""
    width, height = page.get_size()
    area = 0.0
    for picture in itertools.islice(page.get_objects(filter=[pdfium_c.FPDF_PAGEOBJ_IMAGE], max_depth=3), 1000):
        left, bottom, right, top = picture.get_bounds()
        area += max(right - left, 0) * max(top - bottom, 0)
    return bool(area > _LARGE * width * height)


def _recognised(page: pypdfium2.PdfPage, place: str) -> list[Block]:
    scale = _PIXELS / max(*page.get_size(), 1)
    text = recognise(page.render(scale=min(scale, 4.0)).to_numpy())
    return [Block("text", place, text=text)] if text else []
