"""XLS (Excel 97 and before) -> blocks: every table of every sheet, with its range of cells.

This module knows how xlrd tells of cells, their formats and merged ranges. It does not know the records behind them,
nor what tables mean. What is no such workbook, whatever its name, is left to whoever reads the other binary ones.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import xlrd
from xlrd.biffh import XLRDError, error_text_from_code
from xlrd.compdoc import CompDocError
from xlrd.sheet import Cell, Sheet

from feilun.curation.documents import MAX_CELL, MAX_CHARACTERS, MAX_COLUMNS, MAX_ROWS, Block, Unreadable
from feilun.curation.readers.office.grid import Line
from feilun.curation.readers.office.sheets import figure, fill, tables
from feilun.curation.readers.tabular import read_calamine

_BEGINNINGS = (b"\xd0\xcf\x11\xe0", b"\x09\x08", b"\x09\x04", b"\x09\x02", b"\x09\x00")
# What xlrd raises at a file that is damaged.
_DAMAGE = (
    CompDocError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    struct.error,
)


def read_xls(data: bytes, notes: list[str]) -> list[Block]:
    """Return a table block for each table of a sheet; numbers as their cells show them. Raises Unreadable."""
    if not data.startswith(_BEGINNINGS):
        return read_calamine(data, notes)
    try:
        book = xlrd.open_workbook(file_contents=data, formatting_info=True, ragged_rows=True, logfile=io.StringIO())
        return [block for sheet in book.sheets() for block in _blocks(book, sheet, notes)]
    except XLRDError as error:
        reason = "encrypted" if "encrypt" in str(error).lower() else "damaged"
        raise Unreadable(reason, f"({type(error).__name__})") from error
    except _DAMAGE as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error


def _blocks(book: xlrd.Book, sheet: Sheet, notes: list[str]) -> Iterator[Block]:
    lines: dict[int, Line] = {}
    budget = MAX_CHARACTERS
    for row in range(sheet.nrows):
        line: Line = {}
        for at, cell in enumerate(sheet.row(row)[: MAX_COLUMNS + 1], 1):
            if text := _text(book, cell).strip()[: MAX_CELL + 1]:
                line[at] = text
        budget -= sum(map(len, line.values()))
        if line:
            lines[row + 1] = line
        if len(lines) > MAX_ROWS or budget < 0:
            lines.popitem()
            notes.append(f"only the first {len(lines)} rows of the sheet {sheet.name} were read")
            break
    fill(lines, [(left + 1, top + 1, right, bottom) for top, bottom, left, right in sheet.merged_cells])
    yield from tables(lines, sheet.name, notes)


def _text(book: xlrd.Book, cell: Cell) -> str:
    """Return a cell as a person reads it."""
    match cell.ctype:
        case xlrd.XL_CELL_TEXT:
            return str(cell.value)
        case xlrd.XL_CELL_BOOLEAN:
            return str(bool(cell.value))
        case xlrd.XL_CELL_ERROR:
            return str(error_text_from_code.get(int(cell.value), ""))
        case xlrd.XL_CELL_NUMBER | xlrd.XL_CELL_DATE:
            code = book.format_map[book.xf_list[cell.xf_index or 0].format_key].format_str
            try:
                return figure(float(cell.value), code, book.datemode == 1)
            except (ValueError, OverflowError):
                return f"{cell.value:.15g}"
        case _:
            return ""
