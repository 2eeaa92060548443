"""XLS workbooks say what their cells show; what they do not show is nowhere, and damage is told."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
from collections.abc import Callable
from typing import Any

import pytest
import xlwt

from feilun.curation import Unreadable, parse


def book(fill: Callable[[Any], None], name: str = "费率", dates_1904: bool = False) -> bytes:
    """Return an XLS workbook with one sheet, filled by ``fill``."""
    made = xlwt.Workbook()
    made.dates_1904 = dates_1904
    fill(made.add_sheet(name))
    stream = io.BytesIO()
    made.save(stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (0.0385, "0.00%", "3.85%"),
        (42, "00000", "00042"),
        (1234.5, '"¥"#,##0.00', "¥1,234.50"),
        (1234.5, "General", "1234.5"),
        (12, "General", "12"),
        (dt.date(2024, 1, 5), "YYYY/M/D", "2024-01-05"),
        (dt.datetime.fromisoformat("2024-01-05 09:30"), "yyyy-mm-dd hh:mm", "2024-01-05 09:30:00"),
        (1.5, "[h]:mm", "36:00"),
        (True, "General", "True"),
        ("开户费", "General", "开户费"),
    ],
)
@pytest.mark.parametrize("since_1904", [False, True])
def test_a_cell_says_what_it_shows(value: object, code: str, text: str, since_1904: bool) -> None:
    """Percent, leading zeros, money, days of both calendars, hours beyond a day."""

    def fill(sheet: Any) -> None:
        sheet.write(0, 0, value, xlwt.easyxf(num_format_str=code))

    (block,) = parse("a.xls", book(fill, dates_1904=since_1904)).blocks
    assert (block.place, block.text) == ("sheet 费率!A1", text)


def test_tables_keep_their_places_and_merged_cells() -> None:
    """A table has its range; a merged cell says the same in every row that it covers."""

    def fill(sheet: Any) -> None:
        for row, cells in enumerate((("部门", "业务", "费用"), ("", "开户", 5), ("", "转账", 2.5)), 2):
            for column, cell in enumerate(cells, 1):
                if cell != "":
                    sheet.write(row, column, cell)
        sheet.write_merge(3, 4, 1, 1, "柜台")

    (block,) = parse("a.xls", book(fill)).blocks
    assert block.place == "sheet 费率!B3:D5"
    assert block.rows == (("部门", "业务", "费用"), ("柜台", "开户", "5"), ("柜台", "转账", "2.5"))


def test_damage_is_told() -> None:
    """Any beginning of a workbook, and any with a piece of zeros, is read or refused, never a crash."""
    whole = book(lambda sheet: [sheet.write(row, 0, f"第{row}行") for row in range(300)])
    read = 0
    for at in range(64, len(whole), 997):
        for data in (whole[:at], whole[:at] + bytes(64) + whole[at + 64 :]):
            with contextlib.suppress(Unreadable):
                read += bool(parse("a.xls", data).blocks)
    assert read
    with pytest.raises(Unreadable):
        parse("a.xls", whole[:600])
