"""Text and Markdown -> blocks, and what readers of tables share.

This module knows line formats. It does not know which blocks hold questions and answers.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

from feilun.curation.documents import MAX_CELL, MAX_CHARACTERS, MAX_COLUMNS, MAX_ROWS, Block
from feilun.curation.readers.encodings import decode, encoding_of
from feilun.curation.readers.outline import Outline

__all__ = ["capped", "cell_text", "decode", "encoding_of", "raised", "read_markdown", "read_text", "table_rows"]

_HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r" {0,3}(?:={3,}|-{3,})")
_TITLE = re.compile(r" {0,3}[^\s|>*+-]")

_POWER = re.compile(r"[-+−*/.()=]{0,9}(?:[A-Za-z]?\d[-+−*/.()=A-Za-z\d]{0,30}|[A-Za-z][-+−*/=]\d{1,9})")
_RAISED = str.maketrans("0123456789+-−=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ")
_LOWERED = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")


def capped(text: str, notes: list[str]) -> str:
    """Return at most MAX_CHARACTERS of ``text``; a cut is noted."""
    if len(text) > MAX_CHARACTERS:
        notes.append(f"only the first {MAX_CHARACTERS} characters were read")
    return text[:MAX_CHARACTERS]


def read_text(data: bytes, notes: list[str]) -> list[Block]:
    """Return a plain text as one block."""
    return [Block("text", text=capped(decode(data, notes), notes))]


def read_markdown(data: bytes, notes: list[str]) -> list[Block]:
    """Return one text block per heading (marked by signs or underlined) and one table block per table."""
    blocks: list[Block] = []
    lines: list[str] = []
    outline, heading, start, fenced = Outline(), "", 1, False

    def enter(level: int, title: str, number: int) -> None:
        nonlocal heading, start
        if any(line.strip() for line in lines) or heading:
            blocks.extend(_split_tables(lines, heading, outline.place(f"line {start}")))
        lines.clear()
        outline.enter(level, title)
        heading, start = title, number

    for number, line in enumerate(capped(decode(data, notes), notes).splitlines(), 1):
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        match = None if fenced else _HEADING.match(line)
        under = None if fenced or match else _UNDERLINE.fullmatch(line.rstrip())
        if match:
            enter(len(match[1]), match[2], number)
        elif under and lines and _TITLE.match(lines[-1]) and not "".join(lines[-2:-1]).strip():
            title = lines.pop().strip()
            enter(1 if under[0].lstrip()[0] == "=" else 2, title, number - 1)
        else:
            lines.append(line)
    enter(1, "", 0)
    return blocks


def _split_tables(lines: list[str], heading: str, place: str) -> Iterator[Block]:
    """Yield the text and the pipe tables of one section, in order."""
    found = False
    for is_table, group in itertools.groupby(lines, key=lambda line: line.strip().startswith("|")):
        part = list(group)
        rows = tuple(
            cells
            for cells in (_pipe_cells(line) for line in part)
            if not all(re.fullmatch(r"\s*:?-{2,}:?\s*", cell) for cell in cells)
        )
        if is_table and len(part) > 1:
            found = True
            yield Block("table", place, heading, rows=rows)
        elif any(line.strip() for line in part):
            found = True
            yield Block("text", place, heading, text="\n".join(part))
    if not found:
        yield Block("text", place, heading)


def _pipe_cells(line: str) -> tuple[str, ...]:
    cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return tuple(cell.strip().replace("\\|", "|") for cell in cells[:MAX_COLUMNS])


def table_rows(rows: Iterable[Iterable[Any]], notes: list[str]) -> tuple[tuple[str, ...], ...]:
    """Return the rows as cells of text within the caps; a broken row ends the table; cuts are noted."""
    kept: list[tuple[str, ...]] = []
    budget, wide, cut = MAX_CHARACTERS, False, 0
    iterator = iter(rows)
    while True:
        try:
            row = next(iterator, None)
        except csv.Error as error:
            notes.append(f"the table breaks off at row {len(kept) + 1}: {error}")
            break
        if row is None:
            break
        whole = [cell_text(cell) for cell in itertools.islice(row, MAX_COLUMNS + 1)]
        cells = tuple(text[:MAX_CELL] for text in whole[:MAX_COLUMNS])
        budget -= sum(map(len, cells))
        if len(kept) >= MAX_ROWS or budget < 0:
            notes.append(f"only the first {len(kept)} rows were read")
            break
        wide |= any(whole[MAX_COLUMNS:])
        cut += sum(len(text) > MAX_CELL for text in whole[:MAX_COLUMNS])
        kept.append(cells)
    tell_cut(wide, cut, "", notes)
    return tuple(kept)


def tell_cut(wide: bool, cut: int, where: str, notes: list[str]) -> None:
    """Note that a table has more columns, or cells that are longer, than are read."""
    if wide:
        notes.append(f"only the first {MAX_COLUMNS} columns{where} were read")
    if cut:
        notes.append(f"{cut} cells{where} were cut at {MAX_CELL} characters")


def cell_text(value: Any) -> str:
    """Return a cell as a person reads it: no ``None``, no ``12.0`` for 12, days without a midnight."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value).removesuffix(" 00:00:00").lstrip("\ufeff").strip()


_LINE = re.compile(r"(\S(?:[^\r\n]*\S)?)")


def struck(text: str, mark: str = "~~") -> str:
    """Return text that is struck out with Markdown's marks of that, line by line: ``~~$20~~``.

    It was withdrawn, but somebody may have to know of it: neither leaving it out nor saying it plainly would be right.
    """
    return _LINE.sub(lambda line: f"{mark}{line[1]}{mark}", text)


def raised(text: str, below: bool = False) -> str:
    """Return raised or lowered text so that ``10`` and a raised ``5`` are not 105: ``10⁵``, ``H₂``, ``2^(2x)``.

    Words (1st, ™) and marks of notes in brackets stay as they are.
    """
    inner = text.strip()
    if not any(char.isdigit() for char in inner) or not _POWER.fullmatch(inner):
        return text
    shown = inner.translate(_LOWERED if below else _RAISED)
    return shown if not any(char.isascii() for char in shown) else f"{'_' if below else '^'}({inner})"
