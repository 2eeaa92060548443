"""CSV, TSV, old and other spreadsheets, Parquet -> tables, with what their columns hold.

This module knows separators, quotes, headers and the kinds of values. It does not know what tables mean.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook, PasswordError, WorksheetNotFound, ZipError

from feilun.curation.documents import MAX_CELL, MAX_CHARACTERS, MAX_COLUMNS, MAX_ROWS, Block, Unreadable
from feilun.curation.readers.encodings import decode
from feilun.curation.readers.office.grid import Line
from feilun.curation.readers.office.sheets import tables
from feilun.curation.readers.packages import check_zip
from feilun.curation.readers.shapes import blocks_of, is_table, table_blocks, tell_unused
from feilun.curation.readers.text import cell_text, table_rows
from feilun.later import Later

pa, parquet = Later("pyarrow"), Later("pyarrow.parquet")
_SEPARATORS = ",;\t|"
_HEAD_LINES = 200
_HEAD_ROWS = 20  # of a Parquet file, by which its shape is known
_LONGEST_NAME = 80
_LONGEST_RECORD = 500  # lines
_PROBED = 2_000
_NAMED = 20
_SEPARATOR_LINE = re.compile(r"(?i)\ufeff?\"?sep=(.)\"?\r?\n?")
_BACKSLASHED = re.compile(r'(?<!\\)((?:\\\\)*)\\"')
_KINDS = (
    (
        "number",
        re.compile(r"[-+(]?\s*[$€£¥￥]?\s*(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d{1,3})?\s*[%元)]?"),
    ),
    (
        "day",
        re.compile(
            r"\d{4}([-/.])\d{1,2}\1\d{1,2}(?:[ T]\S{1,20})?|\d{4}年\d{1,2}月\d{1,2}日?|\d{1,2}([-/.])\d{1,2}\2\d{4}"
        ),
    ),
    ("time", re.compile(r"\d{1,2}:\d{2}(?::\d{2})?")),
    ("truth", re.compile(r"(?i)true|false|yes|no|是|否")),
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its name, the kind of most of its values, and the share of its cells that are empty.

    Kinds: ``number``, ``day``, ``time``, ``truth``, ``text``, ``empty``.
    """

    name: str
    kind: str
    empty: float


def read_csv(data: bytes, notes: list[str]) -> list[Block]:
    """Return a table of at most MAX_ROWS rows, or the preferences or labelled texts that its header speaks of.

    The separator (comma, semicolon, tab, bar) is the one by which most lines have the same number of cells.
    """
    text = decode(data, notes).replace("\0", "")
    lines = list(io.StringIO(text, newline=""))
    told = _SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    lines = lines[1:] if told else lines
    mark = told[1] if told else separator(lines[:_HEAD_LINES])
    lines, wrong = _doubled(lines, mark), list[int]()
    rows = table_rows(_records(lines, mark, wrong), notes)
    if unclosed := [number for number in wrong if lines[number - 1].count('"') % 2]:
        more = f" and {len(unclosed) - _NAMED} more" if len(unclosed) > _NAMED else ""
        where = ", ".join(str(number + (told is not None)) for number in unclosed[:_NAMED])
        notes.append(f"a quote is not closed in line {where}{more}; what is cut there may be wrong")
    return table_blocks(rows) or [Block("table", rows=rows)]


def separator(lines: Sequence[str]) -> str:
    """Return the character that separates the cells of these lines."""

    def fitness(mark: str) -> tuple[float, int, bool]:
        try:
            widths = Counter(len(row) for row in csv.reader([line[:MAX_CELL] for line in lines], delimiter=mark) if row)
        except csv.Error:
            return 0.0, 0, False
        wide = {width: times for width, times in widths.items() if width > 1}
        usual = max(wide, key=lambda width: (wide[width], width), default=1)
        return wide.get(usual, 0) / max(1, widths.total()), min(usual, 3), mark == ","

    return max(_SEPARATORS, key=fitness)


def _doubled(lines: list[str], mark: str) -> list[str]:
    """Return the lines with quotes doubled instead of marked by a backslash, if that is how the file has them."""
    if not any('\\"' in line for line in lines):
        return lines
    doubled = [_BACKSLASHED.sub(r'\1""', line) for line in lines]
    broken: tuple[list[int], list[int]] = ([], [])
    for some, found in zip((lines, doubled), broken, strict=True):
        for _ in _records(some[:_PROBED], mark, found):
            pass
    return doubled if len(broken[1]) < len(broken[0]) else lines


def _records(lines: Sequence[str], mark: str, wrong: list[int]) -> Iterator[list[str]]:
    """Yield the records; a line whose quotes are wrong is one by itself, and its number goes to ``wrong``."""
    start = 0
    while start < len(lines):
        reader = csv.reader((lines[number] for number in range(start, len(lines))), delimiter=mark, strict=True)
        first = start
        while True:
            try:
                record = next(reader, None)
            except csv.Error:
                record = []
                broken = True
            else:
                # Text in quotes may hold line ends, but hundreds of them come from a quote that nobody closed.
                broken = first + reader.line_num - start > _LONGEST_RECORD
            if broken:
                break
            if record is None:
                return
            start = first + reader.line_num
            yield record
        line = lines[start].rstrip("\r\n")[: 1 << 20]
        start += 1
        wrong.append(start)
        yield line.split(mark) if line.count('"') % 2 else _loosely(line, mark)


def _loosely(line: str, mark: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=mark), [])
    except csv.Error:
        return line.split(mark)


def kind_of(value: str) -> str:
    """Return what kind of value a cell holds."""
    value = value.strip()[:60]
    if not value:
        return "empty"
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(value) and any(map(str.isalnum, value))), "text")


def header_row(rows: Sequence[tuple[str, ...]]) -> int | None:
    """Return which of the first ten rows names the columns, or None if the table begins with its data.

    Names are short texts, all different; below them stand values of other kinds or longer, repeated or empty ones.
    """
    for index, row in enumerate(rows[:10]):
        names = [cell.strip() for cell in row if cell.strip()]
        if len(names) < 2:
            continue
        if len(set(names)) < len(names) or any(kind_of(n) != "text" or len(n) > _LONGEST_NAME for n in names):
            return None
        below = rows[index + 1 : index + 101]
        if not below:
            return index
        columns = list(itertools.zip_longest(*below, fillvalue=""))[: len(row)]
        typed = sum(_main_kind(cells) not in {"text", "empty"} for cells in columns)
        cells = [cell for column in columns for cell in column if cell]
        repeated = len(cells) - len(set(cells)) > len(cells) / 10
        longer = sum(map(len, cells)) / max(1, len(cells)) > 1.5 * sum(map(len, names)) / len(names)
        return index if typed or repeated or longer or not set(names) & set(cells) else None
    return None


def columns_of(rows: Sequence[tuple[str, ...]]) -> list[Column]:
    """Return what the columns of a table hold; those without a name are numbered."""
    start = header_row(rows)
    names = rows[start] if start is not None else ()
    body = rows[0 if start is None else start + 1 :]
    cells = list(itertools.zip_longest(*body, fillvalue="")) if body else [() for _ in names]
    found: list[Column] = []
    for number, column in enumerate(cells):
        name = names[number].strip() if number < len(names) else ""
        empty = sum(not cell.strip() for cell in column) / max(1, len(column))
        found.append(Column(name or f"column {number + 1}", _main_kind(column), round(empty, 4)))
    return found


def _main_kind(cells: Sequence[str]) -> str:
    """Return the kind of at least nine in ten cells that are not empty; ``text`` if there is none."""
    kinds = Counter(kind_of(cell) for cell in cells)
    kinds.pop("empty", None)
    if not kinds:
        return "empty"
    kind, times = kinds.most_common(1)[0]
    return kind if times >= 0.9 * kinds.total() else "text"


def read_calamine(data: bytes, notes: list[str]) -> list[Block]:
    """Return the tables of an XLSB, ODS or damaged XLS workbook, each with its range of cells."""
    if data.startswith(b"PK"):
        check_zip(data, "content.xml" if b"content.xml" in data else "[Content_Types].xml")
    elif not data.startswith((b"\xd0\xcf\x11\xe0", b"\x09\x08", b"\x09\x04", b"\x09\x02", b"\x09\x00")):
        raise Unreadable("wrong_name")
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        return [block for name in book.sheet_names for block in _sheet(book, name, notes)]
    except PasswordError as error:
        raise Unreadable("encrypted") from error
    except (CalamineError, ZipError, OSError, ValueError, OverflowError) as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error
    except BaseException as error:
        # Rust's panics, which some damage leads to, are no Exceptions.
        if type(error).__name__ != "PanicException":
            raise
        raise Unreadable("damaged", f"({type(error).__name__})") from error


def _sheet(book: CalamineWorkbook, name: str, notes: list[str]) -> Iterator[Block]:
    try:
        sheet = book.get_sheet_by_name(name)
    except WorksheetNotFound:
        return  # a chart
    lines: dict[int, Line] = {}
    budget = MAX_CHARACTERS
    for number, row in enumerate(sheet.iter_rows(), 1 + (sheet.start[0] if sheet.start else 0)):
        first = 1 + (sheet.start[1] if sheet.start else 0)
        line = {
            at: text for at, cell in enumerate(row[: MAX_COLUMNS + 1], first) if (text := _shown(cell)[: MAX_CELL + 1])
        }
        budget -= sum(map(len, line.values()))
        if line:
            lines[number] = line
        if len(lines) > MAX_ROWS or budget < 0:
            lines.popitem()
            notes.append(f"only the first {len(lines)} rows of the sheet {name} were read")
            break
    yield from tables(lines, name, notes)


def _shown(cell: Any) -> str:
    if isinstance(cell, float) and not cell.is_integer():
        return f"{cell:.15g}"
    if isinstance(cell, dt.datetime):
        cell = (cell + dt.timedelta(microseconds=500_000)).replace(microsecond=0)
    return cell_text(cell)


def read_parquet(data: bytes, notes: list[str]) -> list[Block]:
    """Return the rows of a Parquet file: as what their columns look like (conversations, texts), else as a table."""
    if not (data.startswith(b"PAR1") and data.endswith(b"PAR1")):
        raise Unreadable("encrypted" if data.startswith(b"PARE") else "wrong_name")
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        names = list(dict.fromkeys(file.schema_arrow.names))[:MAX_COLUMNS]
        if len(names) < len(file.schema_arrow.names):
            notes.append(f"only the first {len(names)} columns were read")
        if file.metadata.num_rows > MAX_ROWS:
            notes.append(f"only the first {MAX_ROWS} rows were read")
        batches = file.iter_batches(1_000, columns=names)
        rows = itertools.islice((row for batch in batches for row in batch.to_pylist()), MAX_ROWS)
        head = list(itertools.islice(rows, _HEAD_ROWS))
        if not head:
            return []
        every = itertools.chain(head, rows)
        if not is_table([_plain(row) for row in head]) and any(list(blocks_of(_plain(row), "")) for row in head):
            unused: list[str] = []
            shaped = (b for n, row in enumerate(every, 1) for b in blocks_of(_plain(row), f"row {n}", unused))
            kept = _budgeted(shaped, notes)
            tell_unused(unused, notes)
            return kept
        cells = ([_cell(row.get(name)) for name in names] for row in every)
        return [Block("table", rows=table_rows(itertools.chain([names], cells), notes))]
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError, UnicodeDecodeError) as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error


def _budgeted(blocks: Iterator[Block], notes: list[str]) -> list[Block]:
    kept: list[Block] = []
    budget = MAX_CHARACTERS
    for block in blocks:
        budget -= len(block.text) + sum(len(text) for _, text in (*block.turns, *block.parts))
        if budget < 0:
            notes.append(f"only the first {len(kept)} items were read")
            break
        kept.append(block)
    return kept


def _plain(value: Any) -> Any:
    """Return a value of Arrow's as JSON has them; what JSON has not (bytes, days) as text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else cell_text(value)


def _cell(value: Any) -> str:
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    return json.dumps(_plain(value), ensure_ascii=False) if isinstance(value, dict | list) else cell_text(value)
