"""DOCX -> blocks in reading order.

This module knows python-docx and translates what it raises. It does not know what tables mean.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import docx
from docx.document import Document as Docx
from docx.opc.exceptions import OpcError
from docx.table import Table
from docx.text.paragraph import Paragraph

from feilun.curation.documents import MAX_CHARACTERS, Block, Unreadable
from feilun.curation.readers.packages import DAMAGE, check_zip
from feilun.curation.readers.text import table_rows


def read_docx(data: bytes, notes: list[str]) -> list[Block]:
    """Return one text block per heading and one table block per table, in reading order."""
    check_zip(data, "word/document.xml")
    try:
        return list(_docx_blocks(docx.Document(io.BytesIO(data)), notes))
    except (OpcError, *DAMAGE) as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error


def _docx_blocks(document: Docx, notes: list[str]) -> Iterator[Block]:
    heading, lines, size = "", list[str](), 0
    for item in document.iter_inner_content():
        if size > MAX_CHARACTERS:
            notes.append(f"only the first {MAX_CHARACTERS} characters were read")
            break
        if isinstance(item, Table):
            if lines or heading:
                yield Block("text", heading=heading, text="\n\n".join(lines))
            lines = []
            rows = table_rows(([cell.text for cell in row.cells] for row in item.rows), notes)
            size += sum(len(cell) for row in rows for cell in row)
            yield Block("table", heading=heading, rows=rows)
        elif isinstance(item, Paragraph):
            style = (item.style.name or "") if item.style is not None else ""
            size += len(item.text)
            if re.match(r"(?i)heading \d|title|标题", style) and item.text.strip():
                if lines or heading:
                    yield Block("text", heading=heading, text="\n\n".join(lines))
                heading, lines = item.text.strip(), []
            elif item.text.strip():
                lines.append(item.text)
    if lines or heading:
        yield Block("text", heading=heading, text="\n\n".join(lines))
