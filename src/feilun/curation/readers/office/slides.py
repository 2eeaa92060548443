"""PPTX -> blocks: one text block per slide with its title, tables, charts, comments and the speaker's notes.

This module knows PresentationML and DrawingML (ECMA-376 part 1, 19 to 21). It does not know what slides mean. What a
slide only has from its layout is left out, so are dates, page numbers and feet.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from feilun.curation.documents import MAX_CHARACTERS, MAX_COLUMNS, MAX_PAGES, Block, Unreadable
from feilun.curation.readers.office.equations import latex
from feilun.curation.readers.office.ooxml import Package, child, value, whole
from feilun.curation.readers.packages import DAMAGE, check_zip
from feilun.curation.readers.text import table_rows

_FURNITURE = {"dt", "ftr", "sldNum", "hdr", "sldImg"}
_TITLES = {"title", "ctrTitle"}


def read_pptx(data: bytes, notes: list[str]) -> list[Block]:
    """Return the blocks of every slide in their order; hidden slides are read too."""
    check_zip(data, "[Content_Types].xml")
    try:
        return list(_blocks(Package(data), notes))
    except (ParseError, *DAMAGE) as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error


def _blocks(package: Package, notes: list[str]) -> Iterator[Block]:
    main = package.main()
    root = package.xml(main)
    if root is None or root.tag != "presentation":
        raise Unreadable("damaged" if root is None else "wrong_name")
    links, size = package.relations(main), 0
    authors = _authors(package, main)
    for number, entry in enumerate(root.iter("sldId"), 1):
        link = links.get(entry.get("r:id", ""))
        if number > MAX_PAGES or size > MAX_CHARACTERS:
            notes.append(f"only the first {number - 1} slides were read")
            return
        part = "" if link is None else link.target
        slide = package.xml(part)
        if slide is None:
            notes.append(f"slide {number} is damaged and was left out")
            continue
        for block in _Slide(package, part, f"slide {number}").blocks(slide, authors, notes):
            size += len(block.text)
            yield block


class _Slide:
    """A slide that is being read."""

    def __init__(self, package: Package, part: str, place: str) -> None:
        self._package = package
        self._place = place
        self._links = package.relations(part)

    def blocks(self, slide: Element, authors: dict[str, str], notes: list[str]) -> Iterator[Block]:
        """Yield the slide's text under its title, then its tables, then what was said about it."""
        shapes = list(_shapes(child(slide, "cSld", "spTree")))
        title = next((text for s in shapes if _kind(s) in _TITLES and (text := _text(s.find("txBody")))), "")
        heading, lines, tables = " ".join(title.split()), list[str](), list[Block]()
        for shape in shapes:
            if _kind(shape) in _FURNITURE or (_kind(shape) in _TITLES and _text(shape.find("txBody")) == title):
                continue
            data = child(shape, "graphic", "graphicData")
            if data is None:
                lines.append(_text(shape.find("txBody")))
            elif (table := data.find("tbl")) is not None:
                tables.append(Block("table", self._place, heading, rows=table_rows(_rows(table), notes)))
            elif (chart := data.find("chart")) is not None:
                tables += self._chart(chart.get("r:id", ""), heading, notes)
            elif (diagram := data.find("relIds")) is not None:
                lines.append(self._diagram(diagram.get("r:dm", "")))
        text = "\n\n".join(line for line in lines if line)
        if text or heading:
            yield Block("text", self._place, heading, text)
        yield from tables
        said = [*self._spoken(), *self._comments(authors)]
        if said:
            yield Block("text", f"{self._place} notes", text="\n\n".join(said))

    def _part(self, key: str) -> Element | None:
        link = self._links.get(key)
        return None if link is None or link.outside else self._package.xml(link.target)

    def _chart(self, key: str, heading: str, notes: list[str]) -> Iterator[Block]:
        """Yield the figures of a chart as a table: a row for each category, a column for each series."""
        root = self._part(key)
        chart = child(root, "chart")
        if root is None or chart is None:
            return
        title = _text(child(chart, "title", "tx", "rich")) or heading
        kinds = (each.tag for each in chart.iterfind("plotArea/*") if each.tag.endswith("Chart"))
        kind = re.sub(r"(?<=[a-z])(?=[A-Z3])|(?<=3D)", " ", next(kinds, "Chart")).capitalize()
        series = list(chart.iter("ser"))
        names = [next(iter(_points(each.find("tx"))), "") for each in series]
        columns = [_points(each.find("val")) or _points(each.find("yVal")) for each in series]
        heads = [_points(each.find("cat")) or _points(each.find("xVal")) for each in series]
        columns.insert(0, next(filter(None, heads), []))
        rows = list(itertools.zip_longest(*columns, fillvalue=""))
        yield Block("text", self._place, title, kind)
        if rows:
            yield Block("table", self._place, title, rows=table_rows([("", *names), *rows], notes))

    def _diagram(self, key: str) -> str:
        """Return the words of a diagram (SmartArt), in the order in which its data keeps them."""
        root = self._part(key)
        points = [] if root is None else [_text(point.find("t")) for point in root.iter("pt")]
        return "\n".join(f"- {text}" for text in points if text)

    def _spoken(self) -> Iterator[str]:
        """Yield the speaker's notes."""
        for link in self._links.values():
            if link.kind == "notesSlide" and (root := self._package.xml(link.target)) is not None:
                for shape in _shapes(child(root, "cSld", "spTree")):
                    if _kind(shape) == "body" and (text := _text(shape.find("txBody"))):
                        yield text

    def _comments(self, authors: dict[str, str]) -> Iterator[str]:
        """Yield the remarks of reviewers, old and new style, with who said it and when."""
        for link in self._links.values():
            root = self._package.xml(link.target) if link.kind == "comments" and not link.outside else None
            for remark in () if root is None else (e for e in root.iter() if e.tag in {"cm", "reply"}):
                text = (remark.findtext("text") or "") or _text(remark.find("txBody"))
                who = authors.get(remark.get("authorId", ""), "")
                when = remark.get("dt", "") or remark.get("created", "")
                if text.strip():
                    yield f"[author: {who}, time: {when}]: {text.strip()}"


def _authors(package: Package, main: str) -> dict[str, str]:
    """Return id -> name and initials of those who made remarks."""
    found = {}
    for kind in ("commentAuthors", "authors"):
        root = package.xml(package.related(main, kind))
        for author in () if root is None else root:
            name, initials = author.get("name", ""), author.get("initials", "")
            found[author.get("id", "")] = f"{name} ({initials})" if initials else name
    return found


def _shapes(tree: Element | None) -> Iterator[Element]:
    """Yield the shapes of a slide in the order in which it keeps them; groups and alternatives are opened."""
    for item in () if tree is None else tree:
        if item.tag == "grpSp" or item.tag == "Choice":
            yield from _shapes(item)
        elif item.tag == "AlternateContent":
            choice, other = item.find("Choice"), item.find("Fallback")
            chosen = list(_shapes(choice))
            yield from chosen or _shapes(other)
        else:
            yield item


def _kind(shape: Element) -> str:
    """Return what a placeholder is for (``title``, ``body``, ``ftr`` …), or nothing for other shapes."""
    place = next(iter(shape.iterfind("*/nvPr/ph")), None)
    return "" if place is None else place.get("type", "body")


def _text(body: Element | None) -> str:
    """Return the paragraphs of a shape as lines; those of a list have their marks."""
    lines, counts = list[str](), dict[int, int]()
    for paragraph in () if body is None else body.iter("p"):
        text = "".join(_runs(paragraph)).strip()
        properties = paragraph.find("pPr")
        level = whole("0" if properties is None else properties.get("lvl", "0"))
        for deeper in [other for other in counts if other > level]:
            del counts[deeper]
        mark = ""
        if (auto := child(properties, "buAutoNum")) is not None:
            counts[level] = counts.get(level, whole(auto.get("startAt", "1")) - 1) + 1
            mark = f"{counts[level]}. "
        else:
            counts.pop(level, None)
            if child(properties, "buChar") is not None or level:
                mark = "- "
        if text:
            lines.append(f"{'    ' * min(level, 8)}{mark}{text}")
    return "\n".join(lines)


def _runs(paragraph: Element) -> Iterator[str]:
    for item in paragraph:
        match item.tag:
            case "r" | "fld":
                yield item.findtext("t") or ""
            case "br":
                yield "\n"
            case "oMath":
                yield f" ${latex(item)}$ "
            case "m" | "oMathPara" | "AlternateContent" | "Choice":
                yield from _runs(item)


def _rows(table: Element) -> Iterator[list[str]]:
    """Yield the rows of a table; a merged cell stands in every place that it covers."""
    above: list[str] = []
    for row in table.findall("tr"):
        cells: list[str] = []
        for at, cell in enumerate(row.findall("tc")[:MAX_COLUMNS]):
            text = _text(cell.find("txBody"))
            if cell.get("hMerge") in {"1", "true"} and cells:
                text = cells[-1]
            elif cell.get("vMerge") in {"1", "true"} and at < len(above):
                text = above[at]
            cells.append(text)
        yield cells
        above = cells


def _points(data: Element | None) -> list[str]:
    """Return the cached values of a chart's reference, in their places."""
    found: dict[int, str] = {}
    for point in () if data is None else data.iter("pt"):
        index = point.get("idx", "")
        if index.isdecimal() and int(index) < 10_000:
            found[int(index)] = (point.findtext("v") or "").strip()
    literal = value(data, "v", name="none") or (data.findtext("v") if data is not None else "") or ""
    return [found.get(i, "") for i in range(max(found) + 1)] if found else [literal] if literal else []
