"""XLSX -> blocks, one table block per sheet.

This module knows openpyxl and translates what it raises. It does not know what tables mean.
"""

from __future__ import annotations

import io
import warnings

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from feilun.curation.documents import Block, Unreadable
from feilun.curation.readers.packages import DAMAGE, check_zip
from feilun.curation.readers.text import table_rows


def read_xlsx(data: bytes, notes: list[str]) -> list[Block]:
    """Return one table block per sheet."""
    check_zip(data, "xl/workbook.xml")
    blocks: list[Block] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            for sheet in book.worksheets:
                # A sheet may declare a million columns; the declaration is not needed for reading.
                sheet.reset_dimensions()
                rows = table_rows(sheet.iter_rows(values_only=True), notes)
                if any(any(row) for row in rows):
                    blocks.append(Block("table", f"sheet {sheet.title}", sheet.title, rows=rows))
            book.close()
    except (InvalidFileException, *DAMAGE) as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error
    return blocks
