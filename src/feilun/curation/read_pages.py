"""PDF and HTML -> blocks.

This module knows pypdf and beautifulsoup4 and translates what they raise. It does not know what the text means.
"""

from __future__ import annotations

import io
import logging
import re
import time
import warnings
from collections.abc import Iterator

from bs4 import BeautifulSoup, FeatureNotFound, ParserRejectedMarkup, Tag, XMLParsedAsHTMLWarning
from bs4.element import NavigableString, PageElement
from pypdf import PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, PyPdfError

from feilun.curation.documents import MAX_CHARACTERS, MAX_PAGES, Block, Unreadable
from feilun.curation.read_text import capped, decode, table_rows

SECONDS = 120.0
_PAGE_NUMBER = re.compile(r"\A\s*(?:page |第 ?)?\d{1,4}(?: ?页| ?(?:/|of) ?\d{1,4})?[ \t]*(?:\n|\Z)", re.IGNORECASE)
_DROPPED = ("nav", "header", "footer", "script", "style", "noscript", "template", "aside", "svg", "form", "head")
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6", "summary"}
_LINES = {"p", "li", "div", "br", "tr", "section", "article", "blockquote", "pre", "ul", "ol", "dl", "main", "details"}
# What pypdf is seen to raise on damaged files besides its own errors.
_PDF_ERRORS = (PyPdfError, ValueError, KeyError, IndexError, TypeError, AttributeError, OSError, ArithmeticError)
_PDF_DEEP = (RecursionError, NotImplementedError, AssertionError, MemoryError, EOFError)


def read_pdf(data: bytes, notes: list[str]) -> list[Block]:
    """Return one text block per page; raise Unreadable for encrypted, damaged, slow or text-free files."""
    blocks: list[Block] = []
    size, began = 0, time.monotonic()
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader = PdfReader(io.BytesIO(data))
            if reader.is_encrypted and not reader.decrypt(""):
                raise Unreadable("encrypted")
            for number, page in enumerate(reader.pages, 1):
                if number > MAX_PAGES or size > MAX_CHARACTERS:
                    notes.append(f"only the first {number - 1} pages were read")
                    break
                if time.monotonic() - began > SECONDS:
                    raise Unreadable("too_slow")
                text = _PAGE_NUMBER.sub("", page.extract_text())
                size += len(text)
                if text.strip():
                    blocks.append(Block("text", f"page {number}", text=text))
    except (FileNotDecryptedError, DependencyError) as error:
        raise Unreadable("encrypted") from error
    except (*_PDF_ERRORS, *_PDF_DEEP) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("damaged", f"({type(error).__name__})") from error
    if not blocks:
        raise Unreadable("no_text")
    return blocks


def read_html(data: bytes, notes: list[str]) -> list[Block]:
    """Return text blocks by heading and table blocks; menus, page heads and feet, and scripts are removed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
            soup = BeautifulSoup(capped(_html_text(data), notes), "html.parser")
    except (ParserRejectedMarkup, FeatureNotFound, RecursionError, AssertionError, ValueError) as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error
    for tag in soup.find_all(_DROPPED):
        # The heading of an article may stand in its own <header>; only the page's is furniture.
        if not (tag.name == "header" and tag.find_parent(["article", "main"])):
            tag.decompose()
    return list(_blocks(soup, notes))


def _html_text(data: bytes) -> str:
    declared = re.search(rb"charset=[\"']?([\w-]+)", data[:2048])
    if declared:
        name = declared[1].decode("ascii").lower()
        try:
            return data.decode("gb18030" if name in {"gb2312", "gbk"} else name)
        except (UnicodeDecodeError, LookupError):
            pass
    return decode(data)


def _blocks(soup: BeautifulSoup, notes: list[str]) -> Iterator[Block]:
    """Walk the tree without recursion: a deep page must not exhaust the stack."""
    heading, parts = "", list[str]()
    node: PageElement | None = next(iter(soup.contents), None)
    while node is not None:
        if isinstance(node, Tag) and (node.name in _HEADINGS or node.name == "table"):
            text = re.sub(r"\n\s*\n+", "\n\n", "".join(parts)).strip()
            if text or heading:
                yield Block("text", heading=heading, text=text)
            parts.clear()
            if node.name == "table":
                rows = (
                    [c.get_text(" ", strip=True) for c in row.find_all(["td", "th"])] for row in node.find_all("tr")
                )
                yield Block("table", heading=heading, rows=table_rows(rows, notes))
                heading = ""
            else:
                heading = node.get_text(" ", strip=True)
            node = _after(node)
            continue
        if isinstance(node, Tag) and node.name in {"dt", "dd"}:
            parts.append("\n\nQ: " if node.name == "dt" else "\nA: ")
        elif isinstance(node, Tag) and node.name in _LINES:
            parts.append("\n" if node.name in {"br", "li", "tr"} else "\n\n")
        elif type(node) is NavigableString:
            parts.append(re.sub(r"\s+", " ", node))
        node = node.next_element
    text = re.sub(r"\n\s*\n+", "\n\n", "".join(parts)).strip()
    if text or heading:
        yield Block("text", heading=heading, text=text)


def _after(tag: Tag) -> PageElement | None:
    """Return the element after the whole of ``tag``."""
    node: PageElement | None = tag
    while node is not None and node.next_sibling is None:
        node = node.parent
    return None if node is None else node.next_sibling
