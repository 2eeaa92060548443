"""XLSX -> blocks: every table of every sheet, with its range of cells.

This module knows SpreadsheetML (ECMA-376 part 1, 18). It does not know what tables mean. Of formulas the values are
read that were saved with them; numbers are read as their cells show them, days as ISO days. A merged cell says the
same in every cell that it covers, unless it is a title that has its rows for itself.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

from feilun.curation.documents import MAX_CELL, MAX_CHARACTERS, MAX_COLUMNS, MAX_ROWS, Block, Unreadable
from feilun.curation.readers.office.formats import elapsed, shown
from feilun.curation.readers.office.grid import Line, regions
from feilun.curation.readers.office.ooxml import Package, child, value, whole
from feilun.curation.readers.packages import DAMAGE, check_zip
from feilun.curation.readers.text import tell_cut
from feilun.later import Later

numbers, days = Later("openpyxl.styles.numbers"), Later("openpyxl.utils.datetime")
_CELL = re.compile(r"\$?([A-Za-z]{1,3})\$?(\d{1,7})")
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
Range = tuple[int, int, int, int]  # first column and row, last column and row, counted from 1
_MOST_MERGED = 100_000  # cells that merged ranges may fill in one sheet


def read_xlsx(data: bytes, notes: list[str]) -> list[Block]:
    """Return a table block for each table of a sheet; a cell that stands alone is a text."""
    check_zip(data, "[Content_Types].xml")
    try:
        return list(_Book(Package(data), notes).blocks())
    except (ET.ParseError, *DAMAGE) as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error


class _Book:
    """A workbook that is being read."""

    def __init__(self, package: Package, notes: list[str]) -> None:
        self._package, self._notes = package, notes
        self._main = package.main()
        root = package.xml(self._main)
        if root is None or root.tag != "workbook":
            raise Unreadable("damaged" if root is None else "wrong_name")
        self._root = root
        self._unsaved = 0  # formulas whose values were not saved with them
        self._since_1904 = value(root, "workbookPr", name="date1904") in {"1", "true"}
        self._texts = self._shared()
        self._formats = self._number_formats()

    def _shared(self) -> list[str]:
        root = self._package.xml(self._package.related(self._main, "sharedStrings"))
        return [] if root is None else [_rich(item) for item in root.iter("si")]

    def _number_formats(self) -> dict[str, str]:
        """Return how each cell style shows numbers."""
        root = self._package.xml(self._package.related(self._main, "styles"))
        own = {} if root is None else {f.get("numFmtId", ""): f.get("formatCode", "") for f in root.iter("numFmt")}
        styles = child(root, "cellXfs")
        keys = [] if styles is None else [style.get("numFmtId", "") for style in styles]
        return {str(n): own.get(key) or numbers.BUILTIN_FORMATS.get(whole(key), "") for n, key in enumerate(keys)}

    def blocks(self) -> Iterator[Block]:
        """Yield the tables of all sheets in their order."""
        links = self._package.relations(self._main)
        for sheet in self._root.iter("sheet"):
            name, link = sheet.get("name", ""), links.get(sheet.get("r:id", ""))
            if link is None or link.kind != "worksheet" or link.target not in self._package:
                continue
            self._unsaved = 0
            yield from tables(self._lines(link.target, name), name, self._notes)
            if self._unsaved:
                self._notes.append(f"{self._unsaved} formulas of the sheet {name} were saved without values")

    def _lines(self, part: str, name: str) -> dict[int, Line]:
        """Return row -> column -> text of a sheet, within the caps; merged cells are filled."""
        lines: dict[int, Line] = {}
        merged: list[str] = []
        row, budget = 0, MAX_CHARACTERS
        with self._package.stream(part) as stream:
            for _, element in ET.iterparse(stream):
                tag = element.tag.rpartition("}")[2]
                if tag == "mergeCell":
                    merged.append(element.get("ref", ""))
                if tag != "row":
                    continue
                row = whole(element.get("r", ""), 1 << 20) or row + 1
                line = lines.setdefault(row, {})
                for at, text in self._cells(element):
                    line[at] = text
                    budget -= len(text)
                element.clear()
                if len(lines) >= MAX_ROWS or budget < 0:
                    self._notes.append(f"only the first {len(lines)} rows of the sheet {name} were read")
                    break
        fill(lines, (corners for ref in merged for corners in _corners(ref)))
        return lines

    def _cells(self, row: Element) -> Iterator[tuple[int, str]]:
        """Yield column and text of the cells of a row that say something."""
        at = 0
        for cell in row:
            match = _CELL.fullmatch(cell.get("r", ""))
            at = _column(match[1]) if match else at + 1
            text = self._text(cell).strip()
            if text:
                yield at, text[: MAX_CELL + 1]  # one more tells that it is cut

    def _text(self, cell: Element) -> str:
        """Return a cell as a person reads it: numbers as their format shows them, days as ISO days."""
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            return _rich(next((part for part in cell if part.tag.endswith("}is") or part.tag == "is"), cell))
        parts = {part.tag.rpartition("}")[2]: part.text or "" for part in cell}
        self._unsaved += "f" in parts and not parts.get("v") and kind != "str"
        raw = parts.get("v", "")
        if kind == "s":
            index = whole(raw, 1 << 30)
            return self._texts[index] if index < len(self._texts) else ""
        if kind == "b":
            return {"1": "True", "0": "False"}.get(raw, raw)
        if kind != "n" or not raw:
            return _plain(raw)
        code = self._formats.get(cell.get("s", "0"), "")
        try:
            return figure(float(raw), code, self._since_1904)
        except (ValueError, OverflowError):
            return raw


def tables(lines: dict[int, Line], name: str, notes: list[str]) -> Iterator[Block]:
    """Yield the tables of a sheet (row -> column -> text) with their ranges; a cell that stands alone is a text."""
    long = [(line, at) for line in lines.values() for at, text in line.items() if len(text) > MAX_CELL]
    for line, at in long:
        line[at] = line[at][:MAX_CELL]
    found = list(regions(lines))
    tell_cut(any(region.is_cut for region in found), len(long), f" of the sheet {name}", notes)
    for region in found:
        place = f"sheet {name}!{region.range}"
        if len(region.rows) == len(region.rows[0]) == 1:
            yield Block("text", place, name, region.rows[0][0])
        else:
            yield Block("table", place, name, rows=region.rows)


def figure(number: float, code: str, since_1904: bool = False) -> str:
    """Return a number as its format shows it, days as ISO days; raise ValueError or OverflowError for no day."""
    if numbers.is_date_format(code):
        return elapsed(number, code) or _day(
            number, days.CALENDAR_MAC_1904 if since_1904 else days.CALENDAR_WINDOWS_1900
        )
    return shown(number, code) or f"{number:.15g}"


def _day(number: float, epoch: dt.datetime) -> str:
    """Return a serial number as a day, a time, or both."""
    moment = days.from_excel(number, epoch)
    if isinstance(moment, dt.datetime):
        moment = (moment + dt.timedelta(microseconds=500_000)).replace(microsecond=0)
        return str(moment).removesuffix(" 00:00:00")
    return str(moment).partition(".")[0]


def _plain(text: str) -> str:
    """Undo the escapes of control characters; what they stand for is dropped, but for line ends and tabs."""
    signs = {"000A": "\n", "0009": "\t", "005F": "_"}
    return _ESCAPE.sub(lambda match: signs.get(match[1].upper(), ""), text)


def _rich(item: Element) -> str:
    """Return a text of one or several runs; how its signs are read aloud is left out."""
    pieces: list[str] = []
    for part in item:
        tag = part.tag.rpartition("}")[2]
        if tag == "t":
            pieces.append(part.text or "")
        elif tag == "r":
            pieces += [text.text or "" for text in part if text.tag.rpartition("}")[2] == "t"]
    return _plain("".join(pieces))


def _column(name: str) -> int:
    number = 0
    for char in name.upper():
        number = number * 26 + ord(char) - ord("A") + 1
    return number


def _corners(ref: str) -> Iterator[Range]:
    """Yield the corners of a range such as ``A1:B2``, nothing for what is none."""
    corners = [_CELL.fullmatch(corner) for corner in ref.split(":")]
    if len(corners) == 2 and corners[0] is not None and corners[1] is not None:
        yield _column(corners[0][1]), int(corners[0][2]), _column(corners[1][1]), int(corners[1][2])


def fill(lines: dict[int, Line], merged: Iterable[Range]) -> None:
    """Let merged cells say the same everywhere, but titles that have their rows for themselves."""
    left = _MOST_MERGED
    last = max(lines, default=0)
    for x, top, end, bottom in merged:
        text = lines.get(top, {}).get(x, "")
        rows, columns = range(top, min(bottom, last) + 1), range(x, min(end, x + MAX_COLUMNS) + 1)
        left -= len(rows) * len(columns)
        if not text or left < 0 or (len(columns) > 1 and all(set(lines.get(row, {})) <= {x} for row in rows)):
            continue
        for row, column in itertools.product(rows, columns):
            lines.setdefault(row, {})[column] = text
