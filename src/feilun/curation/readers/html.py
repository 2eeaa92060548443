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

_DROPPED = {
    "script", "style", "noscript", "template", "svg", "head", "button", "select", "input", "textarea", "iframe",
    "object", "canvas", "rp", "rt",
}  # fmt: skip
_FRAMES = ["nav", "header", "footer", "aside"]  # what stands around the text of a page, unless it is text itself
_STRUCK = {"del", "s", "strike"}
_HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6, "summary": 7}
_LINES = {
    "p", "div", "br", "tr", "section", "article", "blockquote", "pre", "ul", "ol", "dl", "main", "details", "table",
    "figure", "figcaption", "caption", "form", "fieldset", "address", "hr", "legend", "dialog", "hgroup", "center",
    "dir", "menu", "search", "nav", "header", "footer", "aside",
}  # fmt: skip
_SINGLE = {"br", "tr", "td", "th"}
_ENDS = _LINES - {"br", "hr"} | {"td", "th", "li", "dt", "dd"}
_END = "\v"  # where a line ends, if it is not at its end anyway
_ENDED = re.compile(r"\v[ \v]*(\n?)")
_HIDDEN = re.compile(r"(?i)display\s*:\s*none|visibility\s*:\s*hidden")
_FOLDED = re.compile(r"(?i)collaps|accordion|answer|faq|panel")  # what a click opens
_SENTENCE = re.compile(r"[^.!?。！？]{12,}[.!?](?:\s|$)|[^.!?。！？]{5,}[。！？]")
_OWNER = re.compile(r"(?i)©|\(c\)|copyright|rights? reserved|版权|版權|保留所有|备案|ICP|cookie")
_MOST_LINKED = 0.3  # the share of a text that is links; with more it is a menu
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
        _clear(soup, notes)
        for tag in soup.find_all(["sup", "sub"]):
            tag.replace_with(raised(tag.get_text(), tag.name == "sub"))
        for tag in soup.find_all(_is_struck):
            _strike(tag)
        return list(_blocks(soup, Sections(where), notes))
    except (ParserRejectedMarkup, FeatureNotFound, RecursionError, AssertionError, ValueError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("damaged", f"({type(error).__name__})") from error


def _clear(soup: BeautifulSoup, notes: list[str]) -> None:
    """Take out what is no text of the page; what holds sentences nevertheless is noted."""
    lost = 0
    for tag in soup.find_all(_dropped):
        if tag.parent is not None and not tag.decomposed:
            lost += tag.name not in _DROPPED and _has_sentences(tag.get_text(" "))
            tag.decompose()
    # The menus first: what is left tells whether a head is only one.
    for tag in [*soup.find_all("nav"), *soup.find_all(_FRAMES[1:])]:
        if tag.parent is not None and not tag.decomposed and not _is_text(tag, soup):
            lost += _has_sentences(tag.get_text(" "))
            tag.decompose()
    if lost:
        notes.append(f"{lost} parts with sentences were left out: hidden, or a menu, head, foot or margin of the page")


def _dropped(tag: Tag) -> bool:
    """Tell whether a tag is a tool of the page or hidden for good; a click opens the answers of questions."""
    if tag.name == "button" and (heading := tag.find_parent([*_HEADINGS])) is not None:
        return _words(heading) != _words(tag)
    if tag.name in _DROPPED:
        return True
    if tag.has_attr("hidden"):
        return str(tag["hidden"]).casefold() != "until-found"
    names = str(tag.get("class", ""))
    folded = _FOLDED.search(names) and "nav" not in names
    return _HIDDEN.search(str(tag.get("style", ""))) is not None and not folded


def _is_text(frame: Tag, soup: BeautifulSoup) -> bool:
    """Tell whether a head, foot, margin or menu is text that people read: more than links, logos and owners."""
    if frame.name == "nav":
        if frame.find(["main", "h1"]) is not None:
            return True
    elif frame.name == "header":
        if frame.find_parent(["article", "main", "section"]) is not None:
            return True
        title = frame.find("h1")
        linked = title is None or (title.find_parent("a") or title.find("a")) is not None
        if not linked and len(soup.find_all("h1", limit=2)) == 1:
            return True
    elif frame.find_parent(["blockquote", "figure"]) is not None or any(
        "note" in str(frame.get(name, "")) for name in ("epub:type", "role", "class")
    ):
        return True
    said = frame.get_text(" ")
    links = sum(len(link.get_text()) for link in frame.find_all("a"))
    return links <= _MOST_LINKED * len(said.strip()) and _has_sentences(said)


def _has_sentences(text: str) -> bool:
    return any(not _OWNER.search(said) for said in _SENTENCE.findall(text))


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
    # What says in plain ASCII that it is UTF-16 is not.
    named = re.search(rb"(?i)charset=[\"']?(?!utf-?16|utf-?32)([\w-]+)", data[:2048])
    text = declared(data, named[1].decode("ascii")) if named else None
    return decode(data, notes) if text is None else text


def _blocks(soup: BeautifulSoup, sections: Sections, notes: list[str]) -> Iterator[Block]:
    """Walk the tree without recursion: a deep page must not exhaust the stack."""
    parts: list[str] = []
    numbers: Counter[int] = Counter()
    waiting: list[tuple[PageElement, bool]] = [(soup, True)]
    while waiting:
        node, begins = waiting.pop()
        name = node.name if isinstance(node, Tag) else ""
        if not isinstance(node, Tag):
            parts.append(_said(node))
        elif not begins:
            parts.append(_END)
            if name == "details":
                sections.add(_joined(parts))
                yield from sections.leave(_HEADINGS["summary"])
        elif name in _HEADINGS:
            sections.add(_joined(parts))
            yield from sections.head(_HEADINGS[name], _words(node))
        elif name == "table" and _is_table(node):
            caption = node.find("caption")
            parts.append("" if caption is None else f"\n\n{_words(caption)}")
            sections.add(_joined(parts))
            yield from sections.table(table_rows(_rows(node), notes))
        else:
            parts.append(_opening(node, numbers))
            waiting += [(node, False)] if name in _ENDS else []
            waiting += [(inner, True) for inner in reversed(node.contents)]
    sections.add(_joined(parts))
    yield from sections.close()


def _joined(parts: list[str]) -> str:
    """Return the pieces as paragraphs, and empty them; the mark of an item stands before its first words."""
    lines: list[str] = []
    for raw in _ENDED.sub("\n", "".join(parts)).split("\n"):
        line = raw.rstrip()
        if line[:1] == " " and line[1:2] != " ":
            line = line[1:]
        if lines and _MARK.fullmatch(lines[-1]) and not _ITEM.match(line):
            lines[-1] += f" {line.lstrip()}" if line else ""
        elif line or (lines and lines[-1]):
            lines.append(line)
    parts.clear()
    return "\n".join(line for line in lines if not _MARK.fullmatch(line)).strip("\n")


def _opening(node: Tag, numbers: Counter[int]) -> str:
    """Return the line and the mark that a tag opens."""
    if node.name == "li":
        return _mark(node, numbers)
    if node.name in {"dt", "dd"}:
        return "\n\nQ: " if node.name == "dt" else "\nA: "
    if node.name in _SINGLE:
        return "\n"
    return "\n\n" if node.name in _LINES and not _in_item(node) else "\n" if node.name in _LINES else ""


def _said(node: PageElement) -> str:
    """Return the words of a string, with its blanks where they are meant."""
    if type(node) is not NavigableString:
        return ""
    if any(tag.name == "pre" for tag in itertools.islice(node.parents, _DEEPEST)):
        return str(node)
    return re.sub(r"\s+", " ", node)


def _in_item(node: Tag) -> bool:
    return node.parent is not None and node.parent.name == "li"


def _mark(item: Tag, numbers: Counter[int]) -> str:
    """Return the new line and the mark of a list's item, indented by the lists around it."""
    around = itertools.islice(item.parents, 3 * _DEEPEST)
    depth = min(sum(tag.name in {"ul", "ol", "menu", "dir"} for tag in around) - 1, _DEEPEST)
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
