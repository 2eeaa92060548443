"""PDF, pictures, HTML, books, old Word documents; and the share of words found in other people's documents."""

from __future__ import annotations

import importlib.util
import io
import re
import struct
import sys
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import pytest
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen import canvas

from feilun.curation.documents import Block, Unreadable
from feilun.curation.readers.paged import pictures
from feilun.curation.readers.paged.layout import Box, Line, flowed, ruled
from feilun.curation.scan import parse

SHARED = next(
    (p / "shared" / "data" for p in Path(__file__).resolve().parents if (p / "shared" / "data").is_dir()), Path("none")
)
FIXTURES = SHARED / "docling_fixtures"
WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")
needs_ocr = pytest.mark.skipif(
    importlib.util.find_spec("rapidocr_onnxruntime") is None, reason="the extra feilun[ocr] is not installed"
)


def page(*lines: tuple[float, float, str], rules: bool = False, size: int = 12) -> bytes:
    """Return a PDF with one page of lines at (x, y); with rules around four cells if it is wanted."""
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    stream = io.BytesIO()
    sheet = canvas.Canvas(stream, pagesize=A4)
    sheet.setFont("STSong-Light", size)
    for x, y, text in lines:
        sheet.drawString(x, y, text)
    if rules:
        sheet.grid([70, 200, 330], [560, 590, 620])
    sheet.save()
    return stream.getvalue()


def reason(name: str, data: bytes) -> str:
    """Return why a file cannot be read."""
    with pytest.raises(Unreadable) as caught:
        parse(name, data)
    return caught.value.reason


def test_sentences_flow_over_lines() -> None:
    """Lines of a paragraph are one, Chinese without a space; items, labels and full stops end a line."""
    lines = [
        (72, 760, "贷款办法说明社员申请贷款应当提交身份证明和收入证明以及用途说明等材料办"),
        (72, 744, "理时限为五个工作日每季度的第一个星期一付息到期还本提前还款不收取任何费"),
        (72, 728, "用。"),
        (72, 712, "Q: When?"),
        (72, 696, "A: Now."),
    ]
    text = parse("a.pdf", page(*lines)).blocks[0].text
    assert text == "".join(each[2] for each in lines[:3]) + "\nQ: When?\nA: Now."


def test_ruled_tables_are_tables() -> None:
    """Cells between rules are rows; a frame around one text is no table; page numbers are left out."""
    data = page(
        (80, 600, "期限"), (210, 600, "利率"), (80, 570, "一年"), (210, 570, "3.5%"), (72, 700, "利率表"),
        (290, 30, "第 3 页"),
        rules=True,
    )  # fmt: skip
    blocks = parse("a.pdf", data).blocks
    assert [(b.kind, b.place, b.text) for b in blocks] == [("text", "page 1", "利率表"), ("table", "page 1", "")]
    assert blocks[1].rows == (("期限", "利率"), ("一年", "3.5%"))
    assert [b.kind for b in parse("a.pdf", page((80, 600, "only"), (80, 570, "framed"), rules=True)).blocks] == ["text"]


def test_letters_of_a_line_above_are_in_no_cell() -> None:
    """A sign is in the cell that its middle is in, however tight the rules are."""
    lines = [(80, 623, "paying by agency"), (80, 593, "gjpqy"), (210, 593, "5"), (80, 570, "B"), (210, 570, "6")]
    table = parse("a.pdf", page(*lines, rules=True)).blocks[-1]
    assert table.rows == (("gjpqy", "5"), ("B", "6"))


@pytest.mark.parametrize(
    ("pages", "kept"),
    [
        ([[(72, 800, "Fee"), (300, 800, "1")]], ["1"]),
        ([[(72, 400, "Fees"), (300, 40, "412")]], ["412"]),
        ([[(72, 400, "Fees"), (300, 40, "1")]], []),
        ([[(72, 400, "Fees"), (300, 40, "17")], [(72, 400, "Rates"), (90, 40, "18")]], []),
    ],
)
def test_figures_are_kept_that_number_no_page(pages: list[list[tuple[float, float, str]]], kept: list[str]) -> None:
    """A page's number stands alone, and is its own or counted on by the next page."""
    stream = io.BytesIO()
    sheet = canvas.Canvas(stream, pagesize=A4)
    for lines in pages:
        for x, y, text in lines:
            sheet.drawString(x, y, text)
        sheet.showPage()
    sheet.save()
    said = " ".join(block.text for block in parse("a.pdf", stream.getvalue()).blocks)
    assert [word for word in said.split() if word.isdecimal()] == kept


def test_layout_by_places_alone() -> None:
    """A word that was parted is joined; a gap makes a paragraph; strokes that do not close are no table."""
    lines = [
        Line("a long line that is par\x02", Box(0, 90, 200, 100)),
        Line("ted", Box(0, 78, 20, 88)),
        Line("x", Box(0, 20, 5, 30)),
    ]
    assert flowed(lines, 220) == "a long line that is parted\n\nx"
    assert ruled([Box(0, 0, 100, 1), Box(0, 50, 100, 51)]) == []


def test_many_strokes_are_not_compared_with_each_other_for_ever() -> None:
    """A drawing of thousands of loose strokes is no table, and is told at once."""
    assert ruled(Box(x * 7.0, y * 9.0, x * 7.0 + 5, y * 9.0 + 1) for x in range(60) for y in range(60)) == []


@pytest.mark.parametrize("data", [b"%PDF-1.7\nnothing", b"%PDF-1.4\n" + bytes(range(256)) * 40])
def test_broken_pdf(data: bytes) -> None:
    """Garbage behind the right first bytes is damaged."""
    assert reason("a.pdf", data) == "damaged"


@needs_ocr
@pytest.mark.slow
def test_scans_are_recognised() -> None:
    """A picture of a page, Chinese and English, gives its text; so does a PDF that holds nothing but the picture."""
    images = pytest.importorskip("PIL.Image")
    # A picture that lies here: what a page without fonts of its own looks like depends on the fonts of the machine.
    picture = images.open(Path(__file__).with_name("scan.png")).convert("RGB")
    for name, form in (("a.png", "PNG"), ("b.pdf", "PDF")):
        stream = io.BytesIO()
        picture.save(stream, form)
        document = parse(name, stream.getvalue())
        said = "".join(document.blocks[0].text.split())
        assert "信用社贷款管理办法" in said
        assert "Thefeeis25dollars" in said
    assert document.notes == ("1 pages are scans; their text was recognised",)
    assert document.blocks[0].place == "page 1"
    blank = io.BytesIO()
    images.new("RGB", (200, 200), "white").save(blank, "PNG")
    assert reason("a.png", blank.getvalue()) == "no_text"


def test_recognition_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, a picture is left out with the command that installs it."""
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(Unreadable, match=r"feilun\[ocr\]"):
        pictures.read_picture(b"\x89PNG", [])


@needs_ocr
def test_damaged_and_huge_pictures() -> None:
    """A broken picture is damaged, and one of too many pixels is refused before it is unpacked."""
    assert reason("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 50) == "damaged"
    sizes = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    chunks = (b"IHDR" + sizes, b"IDAT" + zlib.compress(bytes(99)), b"IEND")
    packed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    assert reason("a.png", b"\x89PNG\r\n\x1a\n" + b"".join(packed)) == "zip_bomb"


def test_columns_of_recognised_prose_are_read_one_after_the_other() -> None:
    """Long lines in two columns are read by columns, short cells of a table by rows."""

    def column(x: float, name: str, wide: float) -> list[pictures.Word]:
        return [pictures.Word(f"{name}{i}", x, 30.0 * i, x + wide, 30.0 * i + 20) for i in range(5)]

    order = "".join(
        "".join(word.text for word in part) for part in pictures.columns(column(0, "a", 400) + column(450, "b", 400))
    )
    assert order == "a0a1a2a3a4b0b1b2b3b4"


def test_html_lists_tables_and_path() -> None:
    """Nested lists are indented, spanning cells stand everywhere, hidden text is gone, layout tables are no tables."""
    text = """<h1>指南</h1><form><div style="display: none">hid</div><ul><li>one<ul><li><p>deep</p></ul><li>two</ul>
    <ol start=3><li>x</ol><h2>表</h2><table><tr><th rowspan=2>A<th colspan=2>B<tr><td>1<td>2</table>
    <table><tr><td><h3>side</h3><pre>a
      b</pre></td></tr></table></form>"""
    blocks = parse("a.html", text.encode()).blocks
    assert blocks[0].text.split() == ["-", "one", "-", "deep", "-", "two", "3.", "x"]
    assert "\n    - deep" in blocks[0].text
    assert next(b for b in blocks if b.kind == "table") == Block(
        "table", "指南 › 表", "表", rows=(("A", "B", "B"), ("A", "1", "2"))
    )
    assert (blocks[-1].place, blocks[-1].text) == ("指南 › 表 › side", "a\n      b")


def epub(*chapters: str, locked: bool = False) -> bytes:
    """Return a book."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(
            "META-INF/container.xml", '<container><rootfiles><rootfile full-path="OPS/p.opf"/></rootfiles></container>'
        )
        names = [f"c{number}" for number, _ in enumerate(chapters)]
        items = "".join(f'<item id="{n}" href="t%20{n}.xhtml" media-type="application/xhtml+xml"/>' for n in names)
        spine = "".join(f'<itemref idref="{name}"/>' for name in reversed(names))
        archive.writestr("OPS/p.opf", f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>")
        for name, text in zip(names, chapters, strict=True):
            archive.writestr(f"OPS/t {name}.xhtml", f"<html><body>{text}</body></html>")
        if locked:
            archive.writestr("META-INF/encryption.xml", '<e><d><EncryptionMethod Algorithm="aes"/></d></e>')
    return stream.getvalue()


def test_books_are_read_in_the_order_of_their_spine() -> None:
    """Chapters come as the spine says, each block with its chapter and headings; protected books are refused."""
    blocks = parse("a.epub", epub("<h1>下</h1><p>second</p>", "<h1>上</h1><p>first</p>")).blocks
    assert [(b.place, b.text) for b in blocks] == [("chapter 1 · 上", "first"), ("chapter 2 · 下", "second")]
    assert reason("a.epub", epub("<p>x</p>", locked=True)) == "encrypted"


def compound(streams: dict[str, bytes]) -> bytes:
    """Return a compound file with these streams (each is padded to 4096 bytes, so that none is a small one)."""
    names = list(streams)
    bodies = [streams[name].ljust(4096, b"\0") for name in names]
    assert all(len(body) % 512 == 0 for body in bodies)
    fat = [0xFFFFFFFD, 0xFFFFFFFE]
    entries = [
        struct.pack(
            "<64sHBBIII36xIQ", "Root Entry".encode("utf-16-le"), 22, 5, 1, 0xFFFFFFFF, 0xFFFFFFFF, 1, 0xFFFFFFFE, 0
        )
    ]
    for at, (name, body) in enumerate(zip(names, bodies, strict=True), 1):
        first, count = len(fat), len(body) // 512
        fat += [*range(first + 1, first + count), 0xFFFFFFFE]
        right = at + 1 if at < len(names) else 0xFFFFFFFF
        wide = name.encode("utf-16-le")
        entries.append(
            struct.pack("<64sHBBIII36xIQ", wide, len(wide) + 2, 2, 1, 0xFFFFFFFF, right, 0xFFFFFFFF, first, len(body))
        )
    head = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        62,
        3,
        0xFFFE,
        9,
        6,
        0,
        1,
        1,
        0,
        4096,
        0xFFFFFFFE,
        0,
        0xFFFFFFFE,
        0,
    )
    head += struct.pack("<I", 0) + b"\xff" * (4 * 108)
    table = struct.pack(f"<{len(fat)}I", *fat).ljust(512, b"\xff")
    return head + table + b"".join(entries).ljust(512, b"\0") + b"".join(bodies)


def old_word(text: str, *, flags: int = 0, version: int = 0xC1, heading: int = 0) -> bytes:
    """Return a DOC with one piece of wide text; the first paragraph is a heading of the level, if it is given."""
    raw = text.encode("utf-16-le")
    main = bytearray(4096)
    struct.pack_into("<HH", main, 0, 0xA5EC, version)
    struct.pack_into("<H", main, 10, flags)
    struct.pack_into("<i", main, 0x4C, len(text))
    main[1024 : 1024 + len(raw)] = raw
    clx = b"\x02" + struct.pack("<I", 16) + struct.pack("<IIHIH", 0, len(text), 0, 1024, 0)
    first = 1024 + 2 * (text.index("\r") + 1)
    main[512:1024] = bytes(512)
    struct.pack_into("<III", main, 512, 1024, first, 1024 + len(raw))
    main[512 + 12], main[512 + 25], main[1023] = 100, 110, 2
    struct.pack_into("<BH", main, 512 + 200, 2, heading)
    struct.pack_into("<BHHB", main, 512 + 220, 3, 0, 0x2416, 0)
    papx = struct.pack("<III", 1024, 1024 + len(raw), 1)
    struct.pack_into("<II", main, 0x9A + 8 * 33, 0, len(clx))
    struct.pack_into("<II", main, 0x9A + 8 * 13, 64, len(papx))
    return compound({"WordDocument": bytes(main), "0Table": clx.ljust(64, b"\0") + papx})


def test_old_word_documents() -> None:
    """The pieces' text is read, with headings, without the codes of fields; locked and older files are refused."""
    blocks = parse("a.doc", old_word("总则\r第一条 见\x13 HYPERLINK x \x14附件\x15。\rend\x07", heading=1)).blocks
    assert [(b.heading, b.text) for b in blocks] == [("总则", "第一条 见附件。\n\nend")]
    assert reason("a.doc", old_word("x\r", flags=0x100)) == "encrypted"
    assert reason("a.doc", old_word("x\r", version=0x68)) == "unsupported"
    assert reason("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600) == "damaged"
    assert reason("a.doc", compound({"Other": b""})) == "wrong_name"


@pytest.mark.parametrize(
    ("kind", "least"), [("docx", 0.99), ("pptx", 0.98), ("pdf", 0.98), ("md", 0.98), ("csv", 0.99)]
)
def test_words_of_other_peoples_documents(kind: str, least: float) -> None:
    """Nearly all words that are expected of docling's test documents are found (``make bench-parsing`` says more)."""
    if not (FIXTURES / kind).is_dir():
        pytest.skip("the test data docling_fixtures is not here")
    shares = []
    for wanted in sorted((FIXTURES / kind / "groundtruth").iterdir()):
        name = wanted.name.removesuffix(".md")
        source = FIXTURES / kind / "sources" / (name if "." in name else f"{name}.{kind}")
        document = parse(source.name, source.read_bytes())
        said = "\n".join(
            f"{b.heading}\n{b.text}\n" + "\n".join(" | ".join(row) for row in b.rows) for b in document.blocks
        )
        plain = re.sub(r"<!--.*?-->|\]\([^)\s]*\)|</?[a-z]+>", " ", wanted.read_text(encoding="utf-8"))
        plain = re.sub(r"&(lt|gt|amp);", " ", plain).replace("\\_", "_")
        expected = Counter(WORD.findall(plain.casefold()))
        found = Counter(WORD.findall(re.sub(r"&(lt|gt|amp);", " ", said).casefold()))
        shares.append((expected & found).total() / max(expected.total(), 1))
        assert shares[-1] > 0.9, name
    assert sum(shares) / len(shares) >= least
