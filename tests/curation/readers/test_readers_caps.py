"""What is not read of a table is noted."""

from __future__ import annotations

import io

import openpyxl

from feilun.curation import parse


def book(*rows: list[str]) -> bytes:
    """Return a workbook with one sheet."""
    stream = io.BytesIO()
    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    made.save(stream)
    return stream.getvalue()


def test_columns_and_cells_that_are_cut_are_noted() -> None:
    """Of wide tables the first columns are read, of long cells the beginning."""
    wide = [f"c{number}" for number in range(250)]
    columns, cells = "only the first 200 columns", "1 cells"
    assert parse("a.csv", f"{','.join(wide)}\n".encode() * 2).notes[0].startswith(columns)
    assert parse("a.xlsx", book(wide, wide)).notes[0].startswith(columns)
    assert parse("a.csv", b"name,text\nlong," + b"x" * 20_001).notes[0].startswith(cells)
    document = parse("a.xlsx", book(["name", "text"], ["long", "x" * 20_001]))
    assert document.notes[0].startswith(cells)
    assert len(document.blocks[0].rows[1][1]) == 20_000
    assert parse("a.csv", b"name,text\nlong," + b"x" * 20_000).notes == ()


def test_formulas_without_values_are_noted() -> None:
    """Programs that compute nothing save no values."""
    assert "1 formulas" in parse("a.xlsx", book(["a", "b"], ["1", "=1+1"])).notes[0]
