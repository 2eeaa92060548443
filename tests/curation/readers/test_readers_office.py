"""Word, slides and sheets: what is read of them, and what is refused."""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile

import docx
import openpyxl
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from feilun.curation.documents import Block, Unreadable
from feilun.curation.readers.office.grid import letters, regions
from feilun.curation.readers.office.numbering import written
from feilun.curation.scan import parse

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
A = "http://schemas.openxmlformats.org/drawingml/2006/main"
P = "http://schemas.openxmlformats.org/presentationml/2006/main"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
M = "http://schemas.openxmlformats.org/officeDocument/2006/math"


def package(main: str, parts: dict[str, str], links: dict[str, list[tuple[str, str, str]]] | None = None) -> bytes:
    """Return an Office package; ``links`` are part -> (id, kind, target) of what it points at."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        for part, found in {"": [("r", "officeDocument", main)], **(links or {})}.items():
            folder, _, name = part.rpartition("/")
            lines = "".join(f'<Relationship Id="{i}" Type="{R}/{kind}" Target="/{to}"/>' for i, kind, to in found)
            archive.writestr(f"{folder}/_rels/{name}.rels".lstrip("/"), f"<Relationships>{lines}</Relationships>")
        for name, text in parts.items():
            archive.writestr(name, text)
    return stream.getvalue()


def word(body: str, **parts: str) -> bytes:
    """Return a DOCX whose body is ``body``; other parts by the kind of their link."""
    main = f'<w:document xmlns:w="{W}" xmlns:m="{M}" xmlns:r="{R}"><w:body>{body}</w:body></w:document>'
    links = [(kind, kind, f"word/{kind}.xml") for kind in parts]
    files = {f"word/{kind}.xml": text for kind, text in parts.items()}
    return package("word/document.xml", {"word/document.xml": main, **files}, {"word/document.xml": links})


def para(text: str, properties: str = "") -> str:
    """Return a paragraph."""
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def text_of(blocks: tuple[Block, ...]) -> str:
    """Return all text of the blocks."""
    return "\n".join(f"{block.heading}\n{block.text}" for block in blocks)


def test_word_headings_have_numbers_and_a_path() -> None:
    """Numbered headings say their numbers; the place of a block is the path of headings above it."""
    levels = "".join(
        f'<w:lvl w:ilvl="{i}"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="{text}"/></w:lvl>'
        for i, text in enumerate(("%1", "%1.%2"))
    )
    numbering = (
        f'<w:numbering xmlns:w="{W}"><w:abstractNum w:abstractNumId="7">{levels}</w:abstractNum>'
        '<w:num w:numId="3"><w:abstractNumId w:val="7"/></w:num></w:numbering>'
    )
    styles = f'<w:styles xmlns:w="{W}">' + "".join(
        f'<w:style w:type="paragraph" w:styleId="h{n}"><w:name w:val="heading {n}"/><w:pPr><w:numPr>'
        f'<w:ilvl w:val="{n - 1}"/><w:numId w:val="3"/></w:numPr></w:pPr></w:style>'
        for n in (1, 2)
    )
    body = "".join(
        para(text, f'<w:pStyle w:val="{style}"/>' if style else "")
        for text, style in (
            ("贷款", "h1"), ("利率", "h2"), ("年利率百分之三。", ""), ("期限", "h2"),
            ("存款", "h1"), ("活期", "h2"), ("随时可取。", ""),
        )
    )  # fmt: skip
    blocks = parse("a.docx", word(body, numbering=numbering, styles=styles + "</w:styles>")).blocks
    assert [(b.heading, b.text) for b in blocks] == [
        ("1 贷款", ""), ("1.1 利率", "年利率百分之三。"), ("1.2 期限", ""), ("2 存款", ""), ("2.1 活期", "随时可取。"),
    ]  # fmt: skip
    assert blocks[1].place == "1 贷款 › 1.1 利率"


def test_word_controls_boxes_edits_and_notes() -> None:
    """Content controls, text boxes, inserted text, ticks and foot notes are read; deleted text and fields are not."""
    box = f"<w:r><w:pict><w:txbxContent>{para('in the box')}</w:txbxContent></w:pict></w:r>"
    tick = (
        '<w:sdt><w:sdtPr><checkbox xmlns="w14"><checked val="1"/></checkbox></w:sdtPr>'
        "<w:sdtContent><w:r><w:t>☒</w:t></w:r></w:sdtContent></w:sdt>"
    )
    body = (
        f"<w:sdt><w:sdtContent>{para('controlled')}</w:sdtContent></w:sdt>"
        f"<w:p><w:ins><w:r><w:t>inserted</w:t></w:r></w:ins><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>{box}</w:p>"
        f"<w:p>{tick}<w:r><w:instrText>PAGE</w:instrText><w:t>agreed</w:t><w:footnoteReference w:id='2'/></w:r></w:p>"
    )
    notes = f"<w:footnotes xmlns:w='{W}'><w:footnote w:id='2'>{para('small print')}</w:footnote></w:footnotes>"
    said = text_of(parse("a.docx", word(body, footnotes=notes)).blocks)
    for wanted in ("controlled", "inserted", "in the box", "[x] agreed[^2]", "[^2]: small print"):
        assert wanted in said
    assert "gone" not in said
    assert "PAGE" not in said


def test_word_merged_cells_and_nested_tables() -> None:
    """A merged cell says the same in all its places; a table in a cell is the cell's text."""
    stream, document = io.BytesIO(), docx.Document()
    table = document.add_table(3, 3)
    for row in range(3):
        for column in range(3):
            table.cell(row, column).text = f"{row}{column}"
    table.cell(0, 0).merge(table.cell(0, 1)).text = "宽"
    table.cell(1, 2).merge(table.cell(2, 2)).text = "高"
    table.cell(1, 0).add_table(1, 2).cell(0, 1).text = "inner"
    document.save(stream)
    rows = parse("a.docx", stream.getvalue()).blocks[0].rows
    assert rows[0] == ("宽", "宽", "02")
    assert [row[2] for row in rows[1:]] == ["高", "高"]
    assert "inner" in rows[1][0]


@pytest.mark.parametrize(
    ("inner", "wanted"),
    [
        ("<m:f><m:num><m:r><m:t>a</m:t></m:r></m:num><m:den><m:r><m:t>2</m:t></m:r></m:den></m:f>", r"\frac{a}{2}"),
        ("<m:sSup><m:e><m:r><m:t>x</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup>", "x^{2}"),
        ("<m:rad><m:deg/><m:e><m:r><m:t>π</m:t></m:r></m:e></m:rad>", r"\sqrt{\pi}"),
        ("<m:unknown><m:e><m:r><m:t>kept</m:t></m:r></m:e></m:unknown>", "kept"),
    ],
)
def test_equations_become_latex(inner: str, wanted: str) -> None:
    """Equations are written in LaTeX; elements that are not known keep their text."""
    body = f"<w:p><w:r><w:t>where </w:t></w:r><m:oMath>{inner}</m:oMath></w:p>"
    assert f"${wanted}$" in parse("a.docx", word(body)).blocks[0].text


def test_strict_namespaces_are_read() -> None:
    """A document of the strict variant says the same as a transitional one."""
    data = word(para("严格"))
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            text = old.read(name).decode().replace(W, "http://purl.oclc.org/ooxml/wordprocessingml/main")
            new.writestr(name, text.replace(R, "http://purl.oclc.org/ooxml/officeDocument/relationships"))
    assert parse("a.docx", stream.getvalue()).blocks[0].text == "严格"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_never_expanded(encoding: str) -> None:
    """A document type is refused in every part, whatever it would define, and in either encoding."""
    bomb = '<!DOCTYPE w [<!ENTITY a "boom"><!ENTITY b SYSTEM "file:///etc/hostname">]>'
    body = f'<w:document xmlns:w="{W}"><w:body>{para("&a;&b;")}</w:body></w:document>'
    main = f'<?xml version="1.0" encoding="{encoding}"?>{bomb}{body}'
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(word(""))) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            new.writestr(name, main.encode(encoding) if name == "word/document.xml" else old.read(name))
    with pytest.raises(Unreadable) as caught:
        parse("a.docx", stream.getvalue())
    assert caught.value.reason == "damaged"


def slide(*shapes: str) -> str:
    """Return a slide with these shapes."""
    return f'<p:sld xmlns:p="{P}" xmlns:a="{A}"><p:cSld><p:spTree>{"".join(shapes)}</p:spTree></p:cSld></p:sld>'


def shape(text: str, kind: str = "", mark: str = "") -> str:
    """Return a shape with paragraphs of text, a placeholder of ``kind`` if it is given."""
    place = f"<p:nvSpPr><p:nvPr><p:ph type='{kind}'/></p:nvPr></p:nvSpPr>" if kind else ""
    lines = "".join(f"<a:p><a:pPr>{mark}</a:pPr><a:r><a:t>{line}</a:t></a:r></a:p>" for line in text.split("\n"))
    return f"<p:sp>{place}<p:txBody>{lines}</p:txBody></p:sp>"


def test_slides_in_order_with_tables_lists_and_notes() -> None:
    """Slides come in the presentation's order, with title, numbered lists, groups, merged cells and speaker's notes."""
    wide = f"<a:tc gridSpan='2'>{shape('合计')}</a:tc><a:tc hMerge='1'/>".replace("p:txBody", "a:txBody")
    table = f"<a:graphic><a:graphicData><a:tbl><a:tr>{wide}</a:tr></a:tbl></a:graphicData></a:graphic>"
    table = table.replace("<p:sp>", "").replace("</p:sp>", "")
    listed = shape("one\ntwo", mark="<a:buAutoNum type='arabicPeriod'/>")
    first = slide(shape("业务介绍", "title"), listed, shape("7", "sldNum"))
    second = slide(f"<p:grpSp>{shape('grouped')}</p:grpSp>", f"<p:graphicFrame>{table}</p:graphicFrame>")
    spoken = slide(shape("say hello", "body")).replace("p:sld", "p:notes")
    order = "".join(f'<p:sldId id="{at}" r:id="{key}"/>' for at, key in enumerate("ba", 256))
    main = f'<p:presentation xmlns:p="{P}" xmlns:r="{R}"><p:sldIdLst>{order}</p:sldIdLst></p:presentation>'
    data = package(
        "ppt/presentation.xml",
        {"ppt/presentation.xml": main, "ppt/s1.xml": second, "ppt/s2.xml": first, "ppt/n.xml": spoken},
        {
            "ppt/presentation.xml": [("a", "slide", "ppt/s1.xml"), ("b", "slide", "ppt/s2.xml")],
            "ppt/s2.xml": [("n", "notesSlide", "ppt/n.xml")],
        },
    )
    blocks = parse("a.pptx", data).blocks
    assert [(b.place, b.heading, b.text) for b in blocks[:3]] == [
        ("slide 1", "业务介绍", "1. one\n2. two"),
        ("slide 1 notes", "", "say hello"),
        ("slide 2", "", "grouped"),
    ]
    assert blocks[3].rows == (("合计", "合计"),)


def book(*rows: tuple[object, ...], merge: str = "") -> bytes:
    """Return a workbook with one sheet."""
    stream, made = io.BytesIO(), openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    if merge:
        made.active.merge_cells(merge)
    made.save(stream)
    return stream.getvalue()


def test_sheets_give_every_table_with_its_range() -> None:
    """Tables apart are blocks of their own with their cells' range; a title by itself is a text."""
    data = book(("Rates 2026",), (), ("Term", "Rate", None, "Branch", "Town"), (12, 3.5, None, "North", "Pell"),
                (24, 4, None, "South", "Marsh"))  # fmt: skip
    blocks = parse("a.xlsx", data).blocks
    assert [(b.kind, b.place) for b in blocks] == [
        ("text", "sheet Sheet!A1"), ("table", "sheet Sheet!A3:B5"), ("table", "sheet Sheet!D3:E5"),
    ]  # fmt: skip
    assert blocks[1].rows == (("Term", "Rate"), ("12", "3.5"), ("24", "4"))


def test_sheets_fill_merged_cells_and_show_days() -> None:
    """Merged cells say the same everywhere; days, times, truths and sums of decimals look as people see them."""
    moment = dt.datetime.fromisoformat("2026-03-02 09:30")
    rows = (("部门", "日期", "额"), ("信贷", dt.date(2026, 3, 1), 0.1 + 0.2), (None, moment, True))
    data = book(*rows, merge="A2:A3")
    assert parse("a.xlsx", data).blocks[0].rows == (
        ("部门", "日期", "额"),
        ("信贷", "2026-03-01", "0.3"),
        ("信贷", "2026-03-02 09:30:00", "True"),
    )


def test_far_cells_cost_nothing() -> None:
    """A cell in the last row and column of a sheet is a table of its own, and nothing between is made up."""
    made = openpyxl.Workbook()
    made.active["A1"] = "first"
    made.active["XFD1048576"] = "last"
    stream = io.BytesIO()
    made.save(stream)
    blocks = parse("a.xlsx", stream.getvalue()).blocks
    assert [(b.text, b.place) for b in blocks] == [("first", "sheet Sheet!A1"), ("last", "sheet Sheet!XFD1048576")]


def test_a_gap_does_not_end_a_table_of_answers() -> None:
    """Blank rows between groups of rows keep their header; a header of its own begins another table."""
    lines = {1: {1: "question", 2: "answer"}, 2: {1: "Fee?", 2: "None."}, 4: {1: "Open?", 2: "At nine."}}
    assert [region.range for region in regions(lines)] == ["A1:B4"]
    lines |= {6: {1: "year", 2: "sum"}, 7: {1: "2025", 2: "17"}}
    assert [region.range for region in regions(lines)] == ["A1:B4", "A6:B7"]


def test_names_of_columns_and_numbers() -> None:
    """Columns and list numbers are written as Office writes them."""
    assert [letters(number) for number in (1, 26, 27, 702, 703, 16384)] == ["A", "Z", "AA", "ZZ", "AAA", "XFD"]
    assert written(28, "lowerLetter") == "bb"
    assert written(1994, "upperRoman") == "MCMXCIV"
    assert [written(n, "chineseCounting") for n in (3, 10, 21)] == ["三", "十", "二十一"]


@pytest.mark.parametrize("name", ["a.docx", "a.pptx", "a.xlsx"])
def test_another_kind_of_package_is_told(name: str) -> None:
    """A package under another's name is no damaged file, but a wrong name; garbage and half a file are damaged."""
    other = book(("a", "b")) if name != "a.xlsx" else word(para("x"))
    with pytest.raises(Unreadable) as caught:
        parse(name, other)
    assert caught.value.reason == "wrong_name"
    with pytest.raises(Unreadable) as caught:
        parse(name, other[: len(other) // 2])
    assert caught.value.reason == "damaged"


def test_links_say_where_they_lead() -> None:
    """A link keeps its words, and in brackets the address outside."""
    stream, document = io.BytesIO(), docx.Document()
    key = document.part.relate_to("https://example.org/form", R + "/hyperlink", is_external=True)
    link = f'<w:hyperlink {nsdecls("w", "r")} r:id="{key}"><w:r><w:t>the form</w:t></w:r></w:hyperlink>'
    document.add_paragraph("See ")
    next(document.element.body.iter(f"{{{W}}}p")).append(parse_xml(link))
    document.save(stream)
    assert re.search(r"See the form \(https://example\.org/form\)", parse("a.docx", stream.getvalue()).blocks[0].text)


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (0.0385, "0.00%", "3.85%"),
        (0.285, "0%", "29%"),
        (120, "$#,##0.00", "$120.00"),
        (120, '_("$"* #,##0.00_);_("$"* (#,##0.00);_("$"* "-"??_);_(@_)', "$120.00"),
        (-1234.5, "#,##0.00_);(#,##0.00)", "(1,234.50)"),
        (1234567.891, "[$¥-804]#,##0.00", "¥1,234,567.89"),
        (42, "00000", "00042"),
        (13800138000, "000-0000-0000", "138-0013-8000"),
        (12.5, '0.0"kg"', "12.5kg"),
        (1234567, '#,##0,"K"', "1,235K"),
        (-5, "0", "-5"),
        (-0.5, "0.0%;[Red]-0.0%", "-50.0%"),
        (1.5, "0.##", "1.5"),
        (1.25, "[h]:mm", "30:00"),
        (1.2604166667, "[h]:mm:ss", "30:15:00"),
        (0.5, "# ?/?", "0.5"),
        (2000, '[>999]0.0,"k";0', "2000"),
        (1234.5, "General", "1234.5"),
        (45351, "yyyy-mm-dd", "2024-02-29"),
        (1e300, "0." + "0" * 150, "1" + "0" * 300 + "." + "0" * 150),
    ],
)
def test_numbers_of_sheets_are_read_as_their_cells_show_them(number: float, code: str, text: str) -> None:
    """Percent, money, leading zeros, thousands, units and elapsed hours stand in the text as a person sees them."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet["A1"] = number
    sheet["A1"].number_format = code
    stream = io.BytesIO()
    book.save(stream)
    assert [block.text for block in parse("a.xlsx", stream.getvalue()).blocks] == [text]


def test_looks_that_change_what_a_word_document_says() -> None:
    """Raised figures are no digits, struck text is marked, hidden text left out and told, signs of fonts are read."""
    runs = [
        ("", "<w:t>10</w:t>"),
        ('<w:vertAlign w:val="superscript"/>', "<w:t>5</w:t>"),
        ("", "<w:t> H</w:t>"),
        ('<w:vertAlign w:val="subscript"/>', "<w:t>2</w:t>"),
        ("", "<w:t>O 1</w:t>"),
        ('<w:vertAlign w:val="superscript"/>', "<w:t>st</w:t>"),
        ("<w:vanish/>", "<w:t>hidden</w:t>"),
        ('<w:vanish w:val="0"/>', "<w:t> seen</w:t>"),
        ("<w:strike/>", "<w:t> $2</w:t>"),
        ("<w:dstrike/><w:b/>", "<w:t>0</w:t>"),
        (
            "",
            '<w:t> x</w:t><w:sym w:font="Symbol" w:char="F0B3"/><w:t>5 </w:t><w:sym w:font="Wingdings" w:char="F0FC"/>',
        ),
        ("", '<w:sym w:font="Webdings" w:char="F061"/><w:sym w:font="Arial" w:char="D800"/>'),
    ]
    body = "".join(f"<w:r><w:rPr>{look}</w:rPr>{inner}</w:r>" for look, inner in runs)
    document = parse("a.docx", word(f"<w:p>{body}</w:p>"))
    assert text_of(document.blocks).strip() == "10⁵ H₂O 1st seen ~~$20~~ x≥5 ✓"
    assert sorted(document.notes) == [
        "1 runs of hidden text were left out",
        "1 signs of the font Arial are not known and were left out",
        "1 signs of the font Webdings are not known and were left out",
    ]
