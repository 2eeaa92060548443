"""Encodings, separators, headers, kinds of columns, old spreadsheets and Parquet."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from feilun.curation.documents import MAX_ROWS, Unreadable
from feilun.curation.readers.encodings import decode
from feilun.curation.readers.tabular import columns_of, header_row, kind_of, separator
from feilun.curation.scan import parse

CHINESE = "中文柜台每周四开放。请问贵社的中文柜台是星期几营业？"
TRADITIONAL = "中文櫃台在每個星期四開放，這是我們的服務說明。"


@pytest.mark.parametrize(
    ("other", "text"), [("gb18030", CHINESE), ("cp950", TRADITIONAL), ("cp1252", "Le café est fermé à Noël.")]
)
def test_mixed_encodings_are_read_line_by_line(other: str, text: str) -> None:
    """Lines in another encoding within a UTF-8 file are read as what they are, and the file says so."""
    lines = [text.encode("utf-8"), b"plain words"] * 5 + [text.encode(other)] * 3 + [text.encode("utf-8")]
    document = parse("a.txt", b"\n".join(lines))
    assert document.blocks[0].text.split("\n") == [text, "plain words"] * 5 + [text] * 4
    assert document.notes == (f"mixed encodings: 3 lines are {other}, the others UTF-8",)
    assert not parse("a.txt", text.encode("utf-8")).notes


def test_legacy_text_after_a_long_plain_beginning() -> None:
    """What follows after megabytes of ASCII counts as well."""
    text = decode(b"plain line\n" * 200_000 + CHINESE.encode("gb18030"))
    assert text.endswith(CHINESE)


def test_damaged_utf8_stays_utf8() -> None:
    """A broken byte among Chinese UTF-8 is replaced, and does not turn the line into another encoding."""
    notes: list[str] = []
    data = (CHINESE * 2).encode()
    text = decode(data[:30] + b"\xff" + data[30:] + b"\n" + data, notes)
    assert text == CHINESE[:10] + "\ufffd" + CHINESE[10:] + CHINESE + "\n" + CHINESE * 2
    assert notes == ["1 lines hold bytes that are no UTF-8; they were replaced"]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_separators_are_told_by_the_shape_of_lines(mark: str) -> None:
    """Other separators within cells do not mislead."""
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=mark)
    writer.writerow(["id", "remark", "fee"])
    for number in range(30):
        writer.writerow([number, "one, two; three | four, five\tsix, seven", "1,5"])
    rows = parse("a.csv", stream.getvalue().encode()).blocks[0].rows
    assert {len(row) for row in rows} == {3}
    assert rows[1] == ("0", "one, two; three | four, five\tsix, seven", "1,5")


def test_a_quote_that_nobody_closes_costs_no_rows() -> None:
    """A line with an open quote is a row by itself, whatever the size of the file, and the document names the line."""
    lines = ["name,remark", "a,fine", 'b,"twelve inches', *(f"c{number},fine" for number in range(2_000))]
    document = parse("a.csv", "\n".join(lines).encode())
    assert len(document.blocks[0].rows) == len(lines)
    assert document.blocks[0].rows[-1] == ("c1999", "fine")
    assert document.notes == ("a quote is not closed in line 3; what is cut there may be wrong",)
    small = parse("a.csv", b'question,answer\n"unclosed,hello\nb,"c, d"\ne,f "so" g\nh,"x\ny"\n')
    assert small.blocks[0].rows == (
        ("question", "answer"), ('"unclosed', "hello"), ("b", "c, d"), ("e", 'f "so" g'), ("h", "x\ny")
    )  # fmt: skip
    assert small.notes == ("a quote is not closed in line 2; what is cut there may be wrong",)
    quoted = parse("b.csv", b'name,remark\na,"one\ntwo\nthree"\nb,x\n')
    assert quoted.blocks[0].rows[1] == ("a", "one\ntwo\nthree")
    assert not quoted.notes


def test_quotes_marked_by_backslashes_and_excels_separator_line() -> None:
    """Quotes within cells may have a backslash; a backslash before a closing quote is one; ``sep=;`` is no row."""
    rows = parse("a.csv", b'question,answer\nA?,"he said \\"no\\", twice"\nB?,"C:\\dir"\n').blocks[0].rows
    assert rows[1:] == (("A?", 'he said "no", twice'), ("B?", "C:\\dir"))
    rows = parse("a.csv", b'path,name\n"C:\\dir\\","a, b"\n"D:\\","c"\n').blocks[0].rows
    assert rows[1:] == (("C:\\dir\\", "a, b"), ("D:\\", "c"))
    rows = parse("a.csv", "\ufeffsep=;\r\nquestion;answer\r\nA?;1,5\r\n".encode()).blocks[0].rows
    assert rows == (("question", "answer"), ("A?", "1,5"))
    many = "".join(f'a{number},"b\n' for number in range(20_000))
    assert len(parse("a.csv", many.encode()).blocks[0].rows) == 20_000


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("1,234.5", "number"), ("-3", "number"), ("12%", "number"), ("￥5元", "number"), ("1e-3", "number"),
        ("2024-01-05", "day"), ("2024年1月5日", "day"), ("5.1.2024", "day"), ("2024/1/5 09:40:00", "day"),
        ("9:40", "time"), ("是", "truth"), ("False", "truth"), ("words", "text"), ("-", "text"), ("  ", "empty"),
        ("1.2.3", "text"), ("138-0000-0000", "text"),
    ],
)  # fmt: skip
def test_kinds_of_values(value: str, kind: str) -> None:
    """Numbers, days, times and truths are told as people write them in both languages."""
    assert kind_of(value) == kind


def test_headers_and_columns() -> None:
    """A header is told from data, also below a title; columns get their kind and the share of empty cells."""
    rows = (("Report", "", ""), ("name", "opened", "fee"), ("Ann", "2024-01-05", "5"), ("Bob", "2024-02-01", ""))
    assert header_row(rows) == 1
    assert [(c.name, c.kind, c.empty) for c in columns_of(rows)] == [
        ("name", "text", 0.0),
        ("opened", "day", 0.0),
        ("fee", "number", 0.5),
    ]
    assert header_row((("5", "2024-01-05"), ("6", "2024-01-06"))) is None
    assert [c.name for c in columns_of((("5", "x"), ("6", "y")))] == ["column 1", "column 2"]
    assert columns_of(()) == []


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_table_or_refused(data: bytes) -> None:
    """No bytes raise anything but Unreadable, whatever table they are said to be."""
    for name in ("a.csv", "a.xls", "a.parquet", "a.ods"):
        with contextlib.suppress(Unreadable):
            document = parse(name, data)
            assert columns_of(document.blocks[0].rows) is not None
    assert separator([data.decode("latin-1")]) in ",;\t|"


def written(table: pa.Table) -> bytes:
    """Return a Parquet file."""
    stream = io.BytesIO()
    parquet.write_table(table, stream)
    return stream.getvalue()


def test_parquet_tables_and_conversations() -> None:
    """Plain columns are a table, columns of messages are conversations, broken files are refused."""
    plain = parse("a.parquet", written(pa.table({"name": ["Ann", None], "fee": [5.0, 6.5], "tags": [["a"], []]})))
    assert plain.blocks[0].rows == (("name", "fee", "tags"), ("Ann", "5", '["a"]'), ("", "6.5", "[]"))
    talk = [[{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}]]
    (block,) = parse("a.parquet", written(pa.table({"messages": talk, "id": [1]}))).blocks
    assert (block.kind, block.place, block.turns) == ("turns", "row 1", (("user", "Q?"), ("assistant", "A.")))
    labelled = parse("a.parquet", written(pa.table({"text": ["good", "bad"], "label": [1, 0]}))).blocks
    assert [(b.text, b.parts, b.place) for b in labelled] == [
        ("good", (("label", "1"),), "row 1"),
        ("bad", (("label", "0"),), "row 2"),
    ]
    mixed = parse("a.parquet", written(pa.table({"messages": [None, *talk, []], "id": [0, 1, 2]})))
    assert [block.place for block in mixed.blocks] == ["row 2"]
    assert any("2 items hold nothing of a known shape and were left out: row 1, row 3" in each for each in mixed.notes)
    for data, reason in ((written(pa.table({"a": [1]}))[:-9] + b"PAR1", "damaged"), (b"none", "wrong_name")):
        with pytest.raises(Unreadable) as caught:
            parse("a.parquet", data)
        assert caught.value.reason == reason


def test_long_parquet_tables_are_capped_and_said() -> None:
    """Rows beyond the cap are not read."""
    document = parse("a.parquet", written(pa.table({"n": pa.array(range(MAX_ROWS + 5))})))
    assert len(document.blocks[0].rows) <= MAX_ROWS
    assert any("only the first" in note for note in document.notes)


def test_tables_of_labels_and_preferences() -> None:
    """A table whose header says so holds labelled texts or preferences, each with its row."""
    (first, _) = parse("a.csv", "text,label\n很好,正面\n很差,负面\n".encode()).blocks
    assert (first.text, first.parts, first.place) == ("很好", (("label", "正面"),), "row 2")
    (block,) = parse("b.tsv", b"prompt\tchosen\trejected\nWhy?\tBecause.\tNo idea.\n").blocks
    assert (block.turns, block.parts) == ((("user", "Why?"), ("assistant", "Because.")), (("rejected", "No idea."),))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "product,category,review,price\nKettle,kitchen,Leaks,59\nLamp,home,Bright,89\n"),
        ("a.csv", "student,class,content,grade\n张三,三年级二班,作文写得很好,A\n"),
        ("a.csv", "text,label,intent\nGood,1,praise\n"),
        ("a.jsonl", '{"sku": "A1", "text": "Kettle", "price": 59}\n{"sku": "A2", "text": "Lamp", "price": 89}\n'),
        ("a.json", '[{"id": 1, "content": "Fees.", "audience": "all"}]'),
        ("a.json", '[{"sku": "A1", "price": 199}, {"sku": "A2", "name": "Kettle"}]'),
    ],
)
def test_no_column_is_lost(name: str, text: str) -> None:
    """What has columns that a labelled text has no place for stays a table, and so do flat objects."""
    (block,) = parse(name, text.encode()).blocks
    assert block.kind == "table"
    values = re.findall(r"[\w一-鿿]+", text)
    assert set(values) <= {word for row in block.rows for cell in row for word in re.findall(r"[\w一-鿿]+", cell)}


def test_columns_beside_a_labelled_text() -> None:
    """An id, a title, a day and a split make no table of labelled texts; what else lies beside a text is told."""
    (block,) = parse("a.csv", b"id,title,text,label,label_text,date,split\n1,T,Fine,1,good,2024-01-02,train\n").blocks
    assert (block.kind, block.text, block.heading, block.day) == ("text", "Fine", "T", "2024-01-02")
    document = parse("a.jsonl", b'{"text": "Fine", "tags": ["a"]}\n{"text": "Bad", "tags": []}')
    assert [each.kind for each in document.blocks] == ["text", "text"]
    assert document.notes == ("these columns were left out: tags",)
    (answered, _) = parse("a.json", b'{"What is the fee?": "Two yuan.", "When open?": "Nine."}').blocks
    assert (answered.kind, answered.turns) == ("pair", (("user", "What is the fee?"), ("assistant", "Two yuan.")))
    plain = {"product": ["Kettle"], "category": ["home"], "review": ["Leaks"], "price": [59]}
    (table,) = parse("a.parquet", written(pa.table(plain))).blocks
    assert table.rows == (tuple(plain), ("Kettle", "home", "Leaks", "59"))


def sheet(rows: str) -> bytes:
    """Return an ODS workbook with one sheet of the given rows (XML)."""
    stream = io.BytesIO()
    space = 'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
    space += ' xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'
    space += ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'
    body = f'<table:table table:name="FAQ">{rows}</table:table>'
    content = f"<office:document-content {space}><office:body><office:spreadsheet>{body}"
    content += "</office:spreadsheet></office:body></office:document-content>"
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr("content.xml", content)
    return stream.getvalue()


def test_other_spreadsheets() -> None:
    """A sheet keeps its name and the range of its cells; a file that is none is refused."""
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    row = "<table:table-row>{}</table:table-row>"
    rows = "".join(
        row.format("".join(cell.format(text) for text in texts)) for texts in (["Q", "A"], ["Fee?", "Five."])
    )
    (block,) = parse("a.ods", sheet(rows)).blocks
    assert (block.place, block.rows) == ("sheet FAQ!A1:B2", (("Q", "A"), ("Fee?", "Five.")))
    with pytest.raises(Unreadable) as caught:
        parse("a.xls", b"no sheet")
    assert caught.value.reason == "wrong_name"


def test_old_excel(tmp_path: Path) -> None:
    """A BIFF 2 worksheet, the oldest Excel format, is read or refused, never a crash."""
    records = [(0x0009, b"\x02\x00\x10\x00"), (0x0004, b"\x00\x00\x00\x00\0\0\0\x03Fee"), (0x000A, b"")]
    data = b"".join(kind.to_bytes(2, "little") + len(body).to_bytes(2, "little") + body for kind, body in records)
    (tmp_path / "a.xls").write_bytes(data)
    with contextlib.suppress(Unreadable):
        assert parse("a.xls", data).blocks
