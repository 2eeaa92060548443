"""Which files are read, which are left out with which reason, and what the permissions file grants."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zipfile
from pathlib import Path

import docx
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfWriter
from reportlab.pdfgen.canvas import Canvas

from feilun.curation.documents import MAX_BYTES, SKIPS, Unreadable
from feilun.curation.readers.packages import MAX_UNPACKED
from feilun.curation.rules import read_rules
from feilun.curation.scan import READERS, load, parse, scan
from feilun.errors import BadSource


def reason(name: str, data: bytes) -> str:
    """Return why a file of these bytes is not read."""
    with pytest.raises(Unreadable) as caught:
        parse(name, data)
    assert caught.value.message.startswith(SKIPS[caught.value.reason][0])
    return caught.value.reason


def pdf(*pages: str) -> bytes:
    """Return a PDF with one line per page."""
    stream = io.BytesIO()
    canvas = Canvas(stream)
    for text in pages:
        canvas.drawString(72, 720, text)
        canvas.showPage()
    canvas.save()
    return stream.getvalue()


def word(*paragraphs: str) -> bytes:
    """Return a Word file with these paragraphs."""
    stream, document = io.BytesIO(), docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    document.save(stream)
    return stream.getvalue()


def sheet(*rows: tuple[object, ...]) -> bytes:
    """Return an Excel file with these rows."""
    stream, book = io.BytesIO(), openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(stream)
    return stream.getvalue()


def zipped(parts: dict[str, bytes]) -> bytes:
    """Return a zip with these parts."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return stream.getvalue()


def test_password_protected_pdf_is_named() -> None:
    """A PDF that needs a password is left out as encrypted, with AES as well as with the old cipher."""
    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    writer.encrypt("secret", algorithm="RC4-128")
    stream = io.BytesIO()
    writer.write(stream)
    assert reason("a.pdf", stream.getvalue()) == "encrypted"


@pytest.mark.parametrize("ending", ["docx", "xlsx"])
def test_password_protected_office_file_is_named(ending: str) -> None:
    """An Office file with a password is an OLE file that holds an encrypted package."""
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
    assert reason(f"a.{ending}", ole + "EncryptedPackage".encode("utf-16-le")) == "encrypted"
    assert reason(f"a.{ending}", ole) == "wrong_name"


@pytest.mark.parametrize(("ending", "part"), [("docx", "word/document.xml"), ("xlsx", "xl/workbook.xml")])
def test_zip_bombs_are_refused_before_they_are_opened(ending: str, part: str) -> None:
    """A part that unpacks to 200 times its size, too many parts, and a declared size beyond the limit are refused."""
    assert reason(f"a.{ending}", zipped({part: bytes(30 << 20)})) == "zip_bomb"
    assert reason(f"a.{ending}", zipped({part: b"x", **{f"p{i}": b"" for i in range(10_001)}})) == "zip_bomb"
    lying = bytearray(zipped({part: b"<a/>"}))
    at = lying.rindex(b"PK\x01\x02")
    lying[at + 24 : at + 28] = struct.pack("<I", MAX_UNPACKED + 1)
    assert reason(f"a.{ending}", bytes(lying)) == "zip_bomb"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.pdf", b"\x89PNG\r\n\x1a\n" + bytes(50)),
        ("a.pdf", b"<html>hello</html>"),
        ("a.docx", b"just text"),
        ("a.xlsx", word("hello")),
        ("a.docx", sheet(("a", "b"))),
        ("a.txt", pdf("hello")),
        ("a.md", b"PK\x03\x04" + bytes(40)),
        ("a.csv", bytes(range(256)) * 20),
        ("a.txt", b"\x7fELF" + bytes(100)),
    ],
)
def test_wrongly_named_files_are_named(name: str, data: bytes) -> None:
    """Where the first bytes disagree with the ending, the file is left out."""
    assert reason(name, data) == "wrong_name"


@pytest.mark.parametrize("data", [b"", b"  \n\t ", b"\xef\xbb\xbf\n", b"\xff\xfe"])
def test_files_without_text_are_empty(data: bytes) -> None:
    """Nothing, blanks and a lone byte order mark are empty."""
    assert reason("a.txt", data) == "empty"


def test_damaged_files_are_named() -> None:
    """Half a file is damaged, a picture-only PDF has no text, broken JSON is damaged."""
    whole = word("hello " * 500)
    assert reason("a.docx", whole[: len(whole) // 2]) == "damaged"
    assert reason("a.xlsx", sheet(("a",))[:2000]) == "damaged"
    assert reason("a.pdf", b"%PDF-1.4\n garbage") == "damaged"
    assert reason("a.pdf", pdf("")) == "no_text"
    assert reason("a.json", b"{not json") == "damaged"
    assert reason("a.pptx", b"PK\x03\x04") == "damaged"
    assert reason("a.exe", b"MZ") == "unsupported"


@given(st.sampled_from(sorted(READERS)), st.binary(max_size=400), st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read_or_refused(ending: str, data: bytes, kind: int) -> None:
    """No bytes whatever raise anything but Unreadable: random ones, and real files with random damage."""
    whole = [b"", b"%PDF-1.4\n", pdf("hello"), word("hello"), sheet(("a", "b")), b'{"messages": ['][kind]
    at = len(data) * 7 % (len(whole) + 1)
    with contextlib.suppress(Unreadable):
        assert parse("a" + ending, whole[:at] + data + whole[at + len(data) :]).blocks


def test_folder_is_walked_without_traps(tmp_path: Path) -> None:
    """Links, hidden and temporary files are left out with a reason, pipes and huge files are never read."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("hello")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "dangling.txt").symlink_to(tmp_path / "nowhere")
    for name in ("~$a.docx", ".DS_Store", "Thumbs.db", "a.tmp"):
        (tmp_path / name).write_text("x")
    (tmp_path / "feilun-data").mkdir()
    for name in ("feilun.db", "report.html"):
        (tmp_path / "feilun-data" / name).write_text("x")
    os.mkfifo(tmp_path / "pipe.txt")
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    found, skipped, _ = scan([tmp_path])
    assert [item.name for item in found] == ["huge.txt", "pipe.txt", "sub/a.txt"]
    assert {item.name: item.reason for item in skipped} == {
        "sub/loop": "link",
        "dangling.txt": "link",
        "~$a.docx": "hidden",
        ".DS_Store": "hidden",
        "Thumbs.db": "hidden",
        "a.tmp": "hidden",
        "feilun-data": "hidden",
    }
    assert all(item.en and item.zh for item in skipped)
    for name, why in [("pipe.txt", "not_a_file"), ("huge.txt", "too_big"), ("gone.txt", "unreadable")]:
        with pytest.raises(Unreadable) as caught:
            load(tmp_path / name)
        assert caught.value.reason == why
    with pytest.raises(BadSource, match="no such file"):
        scan([tmp_path / "gone"])


def test_file_without_read_permission_is_named(tmp_path: Path) -> None:
    """A file that the system refuses is unreadable."""
    path = tmp_path / "a.txt"
    path.write_text("hello")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    with pytest.raises(Unreadable) as caught:
        load(path)
    assert caught.value.reason == "unreadable"


def rules(folder: Path, text: str) -> None:
    """Write a permissions file."""
    folder.mkdir(exist_ok=True)
    (folder / "feilun.permissions.yaml").write_text(text, encoding="utf-8")


def test_most_specific_permission_rule_wins(tmp_path: Path) -> None:
    """A rule for one file beats a pattern, a longer pattern a shorter one, an inner folder an outer one."""
    for name in ("policy/a.md", "policy/b.md", "policy/deep/c.md", "d.md", "e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("text")
    rules(
        tmp_path,
        """
"policy/a.md": {train: "no", until: 2027-01-01}
"policy/*.md": {train: yes, retrieve: no, mask: pseudonymise}
"policy/": {leave: true}
"**": {train: yes, leave: no}
"nothing/*": {train: no}
""",
    )
    rules(tmp_path / "policy" / "deep", '"c.md": {train: no, leave: no}')
    found, skipped, notes = scan([tmp_path])
    by_name = {item.name: item.permissions for item in found}
    a, b, c, d = (by_name[name] for name in ("policy/a.md", "policy/b.md", "policy/deep/c.md", "d.md"))
    assert (a.train, a.retrieve, a.leave, a.mask, a.until) == (False, False, True, "pseudonymise", "2027-01-01")
    assert (b.train, b.retrieve, b.leave, b.until) == (True, False, True, None)
    assert (c.train, c.retrieve, c.leave) == (False, True, False)
    assert (d.train, d.retrieve, d.leave) == (True, True, False)
    assert not skipped
    assert notes == ["The permission rule 'nothing/*' fits no file; check its spelling."]
    assert [item.permissions for item in scan([tmp_path / "policy" / "a.md"])[0]] == [a]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a.md: {trian: no}", "unknown key 'trian'"),
        ("a.md: {train: maybe}", "train must be yes or no"),
        ("a.md: {train: }", "train must be yes or no"),
        ("a.md: {until: soon}", "until must be a day"),
        ("a.md: {mask: all}", "mask must be"),
        ("a.md: no", "expected keys"),
        ("a.md: {}", "expected keys"),
        ("- a.md", "expected a mapping"),
        ("", "expected a mapping"),
        ("a.md: {train: no", "cannot be read"),
        ("a.md: {train: no}\na.md: {train: yes}", "given twice"),
        ("a.md: {train: no, train: yes}", "given twice"),
        ("[a]: {train: no}", "cannot be read"),
        ("a.md: !!python/object/apply:os.getcwd []", "cannot be read"),
    ],
)
def test_broken_permissions_stop_everything(tmp_path: Path, text: str, named: str) -> None:
    """A permissions file with any mistake is refused with the mistake's name; nothing is permitted by default."""
    (tmp_path / "a.md").write_text("text")
    rules(tmp_path, text)
    with pytest.raises(BadSource, match=named):
        scan([tmp_path])


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_permissions_text_is_rules_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """No text in a permissions file raises anything but BadSource."""
    path = tmp_path_factory.getbasetemp() / "feilun.permissions.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(BadSource):
        assert read_rules(path)
    path.unlink()
