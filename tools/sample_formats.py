"""Write the sample's office formats with fixed dates, so builds repeat."""

from __future__ import annotations

import datetime as dt
import html
import io
import re
import struct
import textwrap
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import docx
import openpyxl
from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate

FIXED = dt.datetime(2025, 4, 1, 9, 0, 0, tzinfo=dt.UTC)
STAMP = "2025-04-01T09:00:00Z"


def repack(data: bytes) -> bytes:
    """Return the same zip archive with fixed member dates and core dates."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            body = old.read(name)
            if name == "docProps/core.xml":
                body = re.sub(
                    rb"(<dcterms:(created|modified)[^>]*>)[^<]*",
                    rb"\g<1>" + STAMP.encode(),
                    body,
                )
            info = zipfile.ZipInfo(name, (2025, 4, 1, 9, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            new.writestr(info, body)
    return out.getvalue()


def blocks(text: str) -> list[tuple[str, str]]:
    """Split simple Markdown into (kind, text); kinds: h1, h2, li, p."""
    found: list[tuple[str, str]] = []
    fresh = True
    for raw in text.splitlines():
        line = raw.strip()
        if not line:
            fresh = True
            continue
        for mark, kind in (("## ", "h2"), ("# ", "h1"), ("- ", "li")):
            if line.startswith(mark):
                found.append((kind, line[len(mark) :]))
                fresh = True
                break
        else:
            keyed = re.match(r"[A-Z]\w*: |[^\x00-\x7f]+：", line) is not None
            if fresh or keyed or not found:
                found.append(("p", line))
            else:
                found[-1] = ("p", f"{found[-1][1]} {line}")
            fresh = False
    return found


def write_docx(path: Path, text: str) -> None:
    """Write text as a Word file; first and last blocks become page furniture."""
    parts = blocks(text)
    document: Any = docx.Document()
    section = document.sections[0]
    section.header.paragraphs[0].text = parts[0][1]
    section.footer.paragraphs[0].text = parts[-1][1]
    for kind, body in parts[1:-1]:
        if kind in ("h1", "h2"):
            document.add_heading(body, level=1 if kind == "h1" else 2)
        else:
            style = "List Bullet" if kind == "li" else None
            document.add_paragraph(body, style=style)
    props = document.core_properties
    props.author, props.title = "Pellmarsh Credit Union", path.stem
    props.created = props.modified = FIXED
    buffer = io.BytesIO()
    document.save(buffer)
    path.write_bytes(repack(buffer.getvalue()))


def write_pdf(path: Path, text: str) -> None:
    """Write text as a PDF with the first and last block on every page."""
    chinese = re.search(r"[\u4e00-\u9fff]", text) is not None
    font = "STSong-Light" if chinese else "Helvetica"
    if chinese:
        pdfmetrics.registerFont(UnicodeCIDFont(font))
    parts = blocks(text)
    wrap = "CJK" if chinese else None
    sizes = {"h1": 16, "h2": 12, "li": 10, "p": 10}
    flow: list[Any] = []
    for kind, body in parts[1:-1]:
        if kind == "h2" and flow:
            flow.append(PageBreak())
        size = sizes[kind]
        style = ParagraphStyle(
            kind,
            fontName=font,
            fontSize=size,
            leading=size * 1.4,
            spaceAfter=8,
            wordWrap=wrap,
        )
        flow.append(Paragraph(html.escape(body), style))

    def furniture(canvas: Any, page: Any) -> None:
        """Draw the running header and footer."""
        canvas.setFont(font, 6)
        canvas.drawString(40, A5[1] - 30, parts[0][1])
        for row, piece in enumerate(textwrap.wrap(parts[-1][1], 90)):
            canvas.drawString(40, 34 - row * 8, piece)
        canvas.drawRightString(A5[0] - 40, A5[1] - 30, str(page.page))

    pdf = SimpleDocTemplate(
        str(path),
        pagesize=A5,
        invariant=1,
        leftMargin=40,
        rightMargin=40,
        topMargin=45,
        bottomMargin=60,
        title=path.stem,
        author="Pellmarsh Credit Union",
    )
    pdf.build(flow, onFirstPage=furniture, onLaterPages=furniture)


def write_html(path: Path, text: str) -> None:
    """Write text as a small web page with navigation and a script as noise."""
    parts = blocks(text)
    rows: list[str] = []
    for kind, body in parts[1:-1]:
        rows.append(f"<{kind}>{html.escape(body)}</{kind}>")
    title = next((body for kind, body in parts if kind == "h1"), path.stem)
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">\n'
        f"<title>{html.escape(title)}</title>\n"
        "<style>body{font-family:serif}</style></head>\n<body>\n"
        f"<header>{html.escape(parts[0][1])}</header>\n"
        "<nav><a href='#'>Home</a> <a href='#'>Sign in</a></nav>\n<main>\n"
        + "\n".join(rows)
        + "\n</main>\n<script>window.seen = true;</script>\n"
        f"<footer>{html.escape(parts[-1][1])}</footer>\n</body>\n</html>\n"
    )
    path.write_text(page, encoding="utf-8", newline="\n")


def write_xlsx(path: Path, sheets: dict[str, Sequence[Sequence[Any]]]) -> None:
    """Write one workbook; sheets maps each sheet name to its rows."""
    book: Any = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    book.properties.creator = "Pellmarsh Credit Union"
    buffer = io.BytesIO()
    book.save(buffer)
    path.write_bytes(repack(buffer.getvalue()))


def png_bytes(width: int = 48, height: int = 32) -> bytes:
    """Return a small grey PNG image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        """Return one PNG chunk."""
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    line = b"\x00" + bytes(200 - column for column in range(width))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(line * height, 9))
        + chunk(b"IEND", b"")
    )
