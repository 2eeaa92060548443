"""HTML -> blocks by headings: running text, nested lists, tables; menus, page heads and feet, and scripts are removed.

This module knows beautifulsoup4 and translates what it raises. It does not know what the text means.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections import Counter
from collections.abc import Iterator

from bs4 import BeautifulSoup, FeatureNotFound, ParserRejectedMarkup, Tag, XMLParsedAsHTMLWarning
from bs4.element import NavigableString, PageElement

from feilun.curation.documents import MAX_COLUMNS, MAX_ROWS, Block, Unreadable
from feilun.curation.readers.encodings import declared
from feilun.curation.readers.outline import Sections
from feilun.curation.readers.text import capped, decode, raised, struck, table_rows

_DROPPED = (
    "nav", "header", "footer", "script", "style", "noscript", "template", "aside", "svg", "head", "button", "select",
    "input", "textarea", "iframe", "object", "canvas", "rp", "rt",
)  # fmt: skip
_STRUCK = {"del", "s", "strike"}
_HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6, "summary": 7}
_LINES = {
    "p", "div", "br", "tr", "section", "article", "blockquote", "pre", "ul", "ol", "dl", "main", "details", "table",
    "figure", "figcaption", "caption", "form", "fieldset", "address", "hr",
}  # fmt: skip
_SINGLE = {"br", "tr", "td", "th"}
_HIDDEN = re.compile(r"(?i)display\s*:\s*none|visibility\s*:\s*hidden")
_LINE_THROUGH = re.compile(r"(?i)text-decoration[^;]*line-through")
_DEEPEST = 12  # lists within lists
_MOST_CELLS = 1_000_000
_MARK = re.compile(r" *(?:-|\d+\.)")
_ITEM = re.compile(r" *(?:-|\d+\.)(?: |$)")


def read_html(data: bytes, notes: list[str]) -> list[Block]:
    """Return text blocks by heading and table blocks."""
    return html_blocks(_html_text(data, notes), notes)


def html_blocks(text: str, notes: list[str], where: str = "") -> list[Block]:
    """Return the blocks of a page; ``where`` goes before the headings in every place; raise Unreadable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
            soup = BeautifulSoup(capped(text, notes).replace("\0", ""), "lxml")
        for tag in soup.find_all(_dropped):
            if tag.parent is not None and not tag.decomposed:
                tag.decompose()
        for tag in soup.find_all(["sup", "sub"]):
            tag.replace_with(raised(tag.get_text(), tag.name == "sub"))
        for tag in soup.find_all(_is_struck):
            _strike(tag)
        return list(_blocks(soup, Sections(where), notes))
    except (ParserRejectedMarkup, FeatureNotFound, RecursionError, AssertionError, ValueError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("damaged", f"({type(error).__name__})") from error


def _dropped(tag: Tag) -> bool:
    """Tell whether a tag is furniture or hidden; of heads only the page's is furniture."""
    if tag.name == "header":
        return tag.find_parent(["article", "main"]) is None
    hidden = tag.has_attr("hidden") or _HIDDEN.search(str(tag.get("style", ""))) is not None
    return tag.name in _DROPPED or hidden


def _is_struck(tag: Tag) -> bool:
    return tag.name in _STRUCK or _LINE_THROUGH.search(str(tag.get("style", ""))) is not None


def _strike(tag: Tag) -> None:
    """Mark the words in a tag as struck out."""
    tag.smooth()
    for said in tag.find_all(string=True):
        # Comments are strings, too; what stands in two such tags is marked once.
        if type(said) is NavigableString and not said.startswith("~~"):
            said.replace_with(struck(re.sub(r"\s+", " ", said)))


def _html_text(data: bytes, notes: list[str]) -> str:
    named = re.search(rb"charset=[\"']?([\w-]+)", data[:2048])
    text = declared(data, named[1].decode("ascii")) if named else None
    return decode(data, notes) if text is None else text


def _blocks(soup: BeautifulSoup, sections: Sections, notes: list[str]) -> Iterator[Block]:
    """Walk the tree without recursion: a deep page must not exhaust the stack."""
    parts: list[str] = []
    numbers: Counter[int] = Counter()
    node: PageElement | None = next(iter(soup.contents), None)
    while node is not None:
        if isinstance(node, Tag) and node.name in _HEADINGS:
            sections.add(_joined(parts))
            yield from sections.head(_HEADINGS[node.name], _words(node))
            node = _after(node)
            continue
        if isinstance(node, Tag) and node.name == "table" and _is_table(node):
            caption = node.find("caption")
            parts.append("" if caption is None else f"\n\n{_words(caption)}")
            sections.add(_joined(parts))
            yield from sections.table(table_rows(_rows(node), notes))
            node = _after(node)
            continue
        parts.append(_piece(node, numbers))
        node = node.next_element
    sections.add(_joined(parts))
    yield from sections.close()


def _joined(parts: list[str]) -> str:
    """Return the pieces as paragraphs, and empty them; the mark of an item stands before its first words."""
    lines: list[str] = []
    for raw in "".join(parts).split("\n"):
        line = raw.rstrip()
        if line[:1] == " " and line[1:2] != " ":
            line = line[1:]
        if lines and _MARK.fullmatch(lines[-1]) and not _ITEM.match(line):
            lines[-1] += f" {line.lstrip()}" if line else ""
        elif line or (lines and lines[-1]):
            lines.append(line)
    parts.clear()
    return "\n".join(line for line in lines if not _MARK.fullmatch(line)).strip("\n")


def _piece(node: PageElement, numbers: Counter[int]) -> str:
    """Return what a node begins with: its words, or the line and the mark that it opens."""
    if isinstance(node, Tag):
        if node.name == "li":
            return _mark(node, numbers)
        if node.name in {"dt", "dd"}:
            return "\n\nQ: " if node.name == "dt" else "\nA: "
        if node.name in _SINGLE:
            return "\n"
        return "\n\n" if node.name in _LINES and not _in_item(node) else "\n" if node.name in _LINES else ""
    if type(node) is not NavigableString:
        return ""
    around = (node.parent, node.parent.parent if node.parent is not None else None)
    if any(tag is not None and tag.name == "pre" for tag in around):
        return str(node)
    return re.sub(r"\s+", " ", node)


def _in_item(node: Tag) -> bool:
    return node.parent is not None and node.parent.name == "li"


def _mark(item: Tag, numbers: Counter[int]) -> str:
    """Return the new line and the mark of a list's item, indented by the lists around it."""
    around = itertools.islice(item.parents, 3 * _DEEPEST)
    depth = min(sum(tag.name in {"ul", "ol", "menu"} for tag in around) - 1, _DEEPEST)
    mark = "-"
    if item.parent is not None and item.parent.name == "ol":
        start = str(item.parent.get("start", "1"))
        numbers[id(item.parent)] += 1
        mark = f"{numbers[id(item.parent)] - 1 + (int(start) if start.isdecimal() else 1)}."
    return f"\n{'    ' * max(depth, 0)}{mark} "


def _is_table(table: Tag) -> bool:
    """Tell whether a table holds data; one around other tables, headings or a single column lays out a page."""
    if table.get("role") in {"presentation", "none"} or table.find(["table", *_HEADINGS]) is not None:
        return False
    return any(len(row.find_all(["td", "th"], recursive=False)) > 1 for row in table.find_all("tr"))


def _words(tag: Tag) -> str:
    """Return what stands in a tag on one line: blanks where lines end, none where only the look changes."""
    pieces: list[str] = []
    waiting: list[PageElement | str] = [tag]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Tag):
            apart = [" "] if node.name in _LINES | _SINGLE | _HEADINGS.keys() | {"li", "dt", "dd"} else []
            waiting += [*apart, *reversed(node.contents), *apart]
        elif type(node) in {str, NavigableString}:
            pieces.append(str(node))
    return " ".join("".join(pieces).split())


def _rows(table: Tag) -> Iterator[list[str]]:
    """Yield the rows; a cell that spans rows or columns stands in each of them."""
    hanging: dict[int, tuple[int, str]] = {}  # column -> rows that a cell from above still covers, and its text
    left = _MOST_CELLS
    for row in table.find_all("tr", limit=MAX_ROWS + 1):
        cells: list[str] = []
        for cell in row.find_all(["td", "th"], recursive=False):
            _hang(hanging, cells)
            text = _words(cell)
            down = _span(cell, "rowspan", MAX_ROWS) - 1
            for _ in range(_span(cell, "colspan", MAX_COLUMNS)):
                if down and len(cells) < MAX_COLUMNS:
                    hanging[len(cells)] = (down, text)
                cells.append(text)
        _hang(hanging, cells)
        left -= len(cells)
        if left < 0:
            return
        yield cells


def _hang(hanging: dict[int, tuple[int, str]], cells: list[str]) -> None:
    """Add to a row what hangs down into its next places."""
    while (over := hanging.get(len(cells))) is not None and over[0]:
        hanging[len(cells)] = (over[0] - 1, over[1])
        cells.append(over[1])


def _span(cell: Tag, name: str, most: int) -> int:
    text = str(cell.get(name, "1")).strip()
    return min(max(int(text), 1), most) if text.isdecimal() and len(text) < 8 else 1


def _after(tag: Tag) -> PageElement | None:
    """Return the element after the whole of ``tag``."""
    node: PageElement | None = tag
    while node is not None and node.next_sibling is None:
        node = node.parent
    return None if node is None else node.next_sibling
