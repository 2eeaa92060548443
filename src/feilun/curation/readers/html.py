"""HTML -> blocks.

This module knows beautifulsoup4 and translates what they raise. It does not know what the text means.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

from bs4 import BeautifulSoup, FeatureNotFound, ParserRejectedMarkup, Tag, XMLParsedAsHTMLWarning
from bs4.element import NavigableString, PageElement

from feilun.curation.documents import Block, Unreadable
from feilun.curation.readers.text import capped, decode, table_rows

_DROPPED = ("nav", "header", "footer", "script", "style", "noscript", "template", "aside", "svg", "form", "head")
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6", "summary"}
_LINES = {"p", "li", "div", "br", "tr", "section", "article", "blockquote", "pre", "ul", "ol", "dl", "main", "details"}


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
