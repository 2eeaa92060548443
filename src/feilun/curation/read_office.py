"""DOCX and XLSX -> blocks.

This module knows python-docx, openpyxl and the zip format below them, and translates what they raise. It does not
know what tables mean.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator

import docx
from docx.document import Document as Docx
from docx.opc.exceptions import OpcError
from docx.table import Table
from docx.text.paragraph import Paragraph
from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from feilun.curation.documents import MAX_CHARACTERS, Block, Unreadable
from feilun.curation.read_text import table_rows

MAX_UNPACKED = 500 * 1024 * 1024
MAX_PART = 100 * 1024 * 1024
MAX_RATIO = 200
MAX_PARTS = 10_000
_SMALL_PART = 10 * 1024 * 1024
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# What the two libraries are seen to raise on damaged files besides their own errors (XML errors are SyntaxErrors).
_ERRORS = (OpcError, InvalidFileException, SyntaxError, zipfile.BadZipFile, zlib.error, KeyError, ValueError)
_DEEP = (TypeError, AttributeError, IndexError, OSError, EOFError, RecursionError, NotImplementedError, MemoryError)


def check_zip(data: bytes, part: str) -> None:
    """Raise Unreadable unless ``data`` is a zip of sane size that holds ``part``; nothing is unpacked for this.

    Python's zip reader never unpacks more than the declared size, so a lying declaration cannot exceed the limits.
    """
    if data.startswith(_OLE):
        locked = "EncryptedPackage".encode("utf-16-le") in data
        raise Unreadable("encrypted") if locked else Unreadable("wrong_name", "It is an old Office file.")
    if not data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        raise Unreadable("wrong_name")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError) as error:
        raise Unreadable("damaged") from error
    total = sum(info.file_size for info in parts)
    large = [info for info in parts if info.file_size > _SMALL_PART]
    if (
        len(parts) > MAX_PARTS
        or total > MAX_UNPACKED
        or any(info.file_size > max(info.compress_size, 1) * MAX_RATIO for info in large)
        or any(info.file_size > MAX_PART for info in parts if info.filename.endswith((".xml", ".rels")))
        or total > max(len(data), _SMALL_PART) * MAX_RATIO
    ):
        raise Unreadable("zip_bomb")
    if any(info.flag_bits & 1 for info in parts):
        raise Unreadable("encrypted")
    if part not in {info.filename for info in parts}:
        raise Unreadable("wrong_name")


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
    except (*_ERRORS, *_DEEP) as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error
    return blocks


def read_docx(data: bytes, notes: list[str]) -> list[Block]:
    """Return one text block per heading and one table block per table, in reading order."""
    check_zip(data, "word/document.xml")
    try:
        return list(_docx_blocks(docx.Document(io.BytesIO(data)), notes))
    except (*_ERRORS, *_DEEP) as error:
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
