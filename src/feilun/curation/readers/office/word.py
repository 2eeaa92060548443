"""DOCX -> blocks in reading order: headings with numbers, lists, tables, text boxes, equations, notes.

This module knows WordprocessingML (ECMA-376 part 1, 17). It does not know what tables mean. Page heads and feet,
comments and text that is deleted or hidden are left out, what is struck out is marked; merged cells say the same in
every cell that they cover.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from feilun.curation.documents import MAX_CHARACTERS, MAX_COLUMNS, Block, Unreadable
from feilun.curation.readers.office.equations import latex
from feilun.curation.readers.office.numbering import Numbering
from feilun.curation.readers.office.ooxml import Package, Relation, child, on, value, whole
from feilun.curation.readers.office.styles import Styles
from feilun.curation.readers.office.symbols import symbol
from feilun.curation.readers.outline import Sections
from feilun.curation.readers.packages import DAMAGE, check_zip
from feilun.curation.readers.text import raised, struck, table_rows

_SKIPPED = {
    "del", "moveFrom", "instrText", "delText", "rPr", "pPr", "tblPr", "tcPr", "trPr", "sdtPr", "sectPr", "Fallback",
    "annotationRef", "footnoteRef", "endnoteRef", "proofErr", "rt", "binData", "oleObject",
}  # fmt: skip


def read_docx(data: bytes, notes: list[str]) -> list[Block]:
    """Return one text block per heading and one table block per table, in reading order."""
    check_zip(data, "[Content_Types].xml")
    try:
        return list(_Word(Package(data)).blocks(notes))
    except (ParseError, *DAMAGE) as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error


_STRUCK = "\0"  # where struck text begins and ends; no XML holds it


@dataclass(frozen=True, slots=True)
class _Paragraph:
    """What a paragraph says; ``level`` is that of a heading or 0, ``boxes`` the text boxes that hang on it."""

    text: str
    level: int
    listed: bool
    boxes: tuple[Element, ...]


class _Word:
    """A document that is being read: its lists count along, its notes are collected."""

    def __init__(self, package: Package) -> None:
        self._main = package.main()
        self._package = package
        self._links: dict[str, Relation] = package.relations(self._main)
        self._styles = Styles(package.xml(package.related(self._main, "styles")))
        self._left: Counter[str] = Counter()
        self._numbering = Numbering(package.xml(package.related(self._main, "numbering")))

    def blocks(self, notes: list[str]) -> Iterator[Block]:
        """Yield the blocks of the body, then the foot and end notes."""
        root = self._package.xml(self._main)
        body = None if root is None else root.find("body")
        if body is None:
            raise Unreadable("damaged" if root is None else "wrong_name")
        sections, size = Sections(), 0
        for item in _flat(body):
            if size > MAX_CHARACTERS:
                notes.append(f"only the first {MAX_CHARACTERS} characters were read")
                break
            if item.tag == "tbl":
                rows = table_rows(self._rows(item), notes)
                size += sum(len(cell) for row in rows for cell in row)
                yield from sections.table(rows)
                continue
            paragraph = self._paragraph(item)
            size += len(paragraph.text)
            if paragraph.level and paragraph.text:
                yield from sections.head(paragraph.level, paragraph.text)
            else:
                sections.add(paragraph.text, paragraph.listed)
            sections.add("\n\n".join(self._boxes(paragraph.boxes)))
        yield from sections.close()
        yield from self._notes()
        notes.extend(f"{times} {what}" for what, times in sorted(self._left.items()))

    def _boxes(self, boxes: Iterable[Element]) -> list[str]:
        """Return the paragraphs of text boxes, and of those within them."""
        return [text for box in boxes if (text := self._cell(box))]

    def _notes(self) -> Iterator[Block]:
        for kind in ("footnotes", "endnotes"):
            root = self._package.xml(self._package.related(self._main, kind))
            lines = [
                f"[^{note.get('id', '')}]: {text}"
                for note in (() if root is None else root)
                if note.get("type", "normal") == "normal" and (text := self._cell(note))
            ]
            if lines:
                yield Block("text", kind, text="\n\n".join(lines))

    def _rows(self, table: Element) -> Iterator[list[str]]:
        """Yield the rows of a table; a merged cell stands in every place that it covers."""
        above: list[str] = []
        for row in _flat(table, "tr"):
            cells = [""] * whole(value(row, "trPr", "gridBefore"), MAX_COLUMNS)
            for cell in _flat(row, "tc"):
                span = max(whole(value(cell, "tcPr", "gridSpan"), MAX_COLUMNS), 1)
                merge = child(cell, "tcPr", "vMerge")
                goes_on = merge is not None and merge.get("val", "continue") == "continue"
                at = len(cells)
                text = above[at] if goes_on and at < len(above) else self._cell(cell)
                cells += [text] * span
            yield cells
            above = cells[:MAX_COLUMNS]

    def _cell(self, cell: Element) -> str:
        """Return the text of a cell, a text box or a note; tables within it row by row."""
        lines: list[str] = []
        for item in _flat(cell):
            if item.tag == "tbl":
                lines += ["\n".join(" | ".join(row) for row in self._rows(item))]
            else:
                paragraph = self._paragraph(item)
                lines += [paragraph.text] if paragraph.text else []
                lines += self._boxes(paragraph.boxes)
        return "\n".join(lines)

    def _paragraph(self, item: Element) -> _Paragraph:
        properties = item.find("pPr")
        style = value(properties, "pStyle") or self._styles.default
        boxes: list[Element] = []
        text = "".join(self._inline(item, boxes)).strip()
        # What is struck out at a stretch may be written down in several runs.
        text = text.replace(_STRUCK + _STRUCK, "").replace(_STRUCK, "~~")
        level = self._styles.level(style, properties)
        number, depth = self._numbered(properties, style)
        mark = self._numbering.mark(number, depth) if number and (text or boxes) else ""
        if mark and text:
            text = f"{mark} {text}" if level else f"{'    ' * depth}{mark} {text}"
        return _Paragraph(text, level, bool(mark) and not level, tuple(boxes))

    def _numbered(self, properties: Element | None, style: str) -> tuple[str, int]:
        """Return the list and the level that a paragraph is in, by itself or by its style; list 0 is none."""
        own = child(properties, "numPr")
        number, depth = value(own, "numId"), value(own, "ilvl")
        if not number:
            number, inherited, holder = self._styles.numbering(style)
            depth = depth or inherited or str(self._numbering.depth_of_style(number, holder))
        return ("" if number == "0" else number), whole(depth, 8)

    def _inline(self, item: Iterable[Element], boxes: list[Element]) -> Iterator[str]:
        """Yield the pieces of what stands in a paragraph; text boxes are put aside."""
        for part in item:
            match part.tag:
                case "t":
                    yield part.text or ""
                case "txbxContent":
                    boxes.append(part)
                case "r" if (look := part.find("rPr")) is not None:
                    yield from self._run(part, look, boxes)
                case "sym":
                    yield self._symbol(part)
                case "hyperlink":
                    yield self._link(part, boxes)
                case "sdt" if (box := child(part, "sdtPr", "checkbox")) is not None:
                    yield _ticked(on(box, "checked"))
                case "AlternateContent":
                    choice, other = part.find("Choice"), part.find("Fallback")
                    chosen = other if choice is None or (other is not None and not _says(choice)) else choice
                    yield from () if chosen is None else self._inline(chosen, boxes)
                case tag if tag in _SIGNS:
                    yield _SIGNS[tag](part)
                case tag if tag not in _SKIPPED:
                    yield from self._inline(part, boxes)

    def _run(self, part: Element, look: Element, boxes: list[Element]) -> Iterator[str]:
        """Yield the pieces of a run by its look: nothing if it is hidden, raised figures and struck text as such."""
        text = "".join(piece for child in part for piece in self._inline([child], boxes))
        if text.strip() and on(look, "vanish"):
            self._left["runs of hidden text were left out"] += 1
        else:
            place = value(look, "vertAlign")
            text = raised(text, place == "subscript") if place in {"superscript", "subscript"} else text
            yield struck(text, _STRUCK) if on(look, "strike") or on(look, "dstrike") else text

    def _symbol(self, part: Element) -> str:
        font, code = part.get("font", ""), part.get("char", "")
        sign = symbol(font, int(code, 16)) if re.fullmatch("[0-9A-Fa-f]{1,6}", code) else ""
        if not sign:
            self._left[f"signs of the font {font[:40]} are not known and were left out"] += 1
        return sign

    def _link(self, part: Element, boxes: list[Element]) -> str:
        """Return the words of a link, and in brackets where it leads if that is outside and not said already."""
        text = "".join(self._inline(part, boxes))
        link = self._links.get(part.get("r:id", ""))
        address = link.target if link is not None and link.outside else ""
        known = address.removeprefix("mailto:").rstrip("/")
        return f"{text} ({address})" if text.strip() and known and known not in text else text


def _flat(item: Element, *wanted: str) -> Iterator[Element]:
    """Yield the paragraphs and tables (or what is wanted) below ``item``, out of the wrappers of controls and edits."""
    for part in item:
        if part.tag in (wanted or ("p", "tbl")):
            yield part
        elif part.tag not in _SKIPPED:
            yield from _flat(part, *wanted)


def _says(item: Element) -> bool:
    return any(part.text for part in item.iter("t"))


def _ticked(yes: bool) -> str:
    return "[x] " if yes else "[ ] "


def _field(part: Element) -> str:
    """Return the tick of a form's old check box; other fields say nothing by themselves."""
    box = part.find("checkBox")
    return "" if box is None else _ticked(on(box, "default" if box.find("checked") is None else "checked"))


_SIGNS: dict[str, Callable[[Element], str]] = {
    **dict.fromkeys(("tab", "ptab"), lambda _: "\t"),
    **dict.fromkeys(("br", "cr"), lambda _: "\n"),
    "noBreakHyphen": lambda _: "-",
    "oMath": lambda part: f" ${latex(part)}$ ",
    "oMathPara": lambda part: "".join(f"\n$${latex(equation)}$$\n" for equation in part.iter("oMath")),
    "ffData": _field,
    **dict.fromkeys(("footnoteReference", "endnoteReference"), lambda part: f"[^{part.get('id', '')}]"),
}
