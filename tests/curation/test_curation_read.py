"""Each format -> blocks; encodings; caps."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import docx
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.curation.documents import MAX_ROWS, Block, Document, Unreadable
from feilun.curation.pairs import extract
from feilun.curation.readers.text import decode
from feilun.curation.scan import parse

SHARED = next(
    (p / "shared" / "data" for p in Path(__file__).resolve().parents if (p / "shared" / "data").is_dir()), Path("none")
)


def pairs(name: str, data: bytes | str) -> list[tuple[str, str]]:
    """Return the pairs of a file."""
    document = parse(name, data.encode() if isinstance(data, str) else data, "source-1")
    return [(pair.question, pair.answer) for pair in extract(document).pairs]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030", "utf-32"])
def test_chinese_encodings_are_told(encoding: str) -> None:
    """Chinese text is decoded right from every encoding that offices use."""
    text = "中文柜台每周四开放。请问贵社的中文柜台是星期几营业？佩尔马什信用社的社员都可以来。"
    assert decode(text.encode(encoding)) == text


def test_western_and_traditional_encodings_are_told() -> None:
    """Big5 and Windows-1252 text is decoded right."""
    text = "信用社的中文櫃台在每個星期四開放，這是我們的服務說明，歡迎會員們來辦理業務。"
    assert decode(text.encode("big5")) == text
    western = "Le café est fermé à Noël – “désolé”. Les élèves étaient très fatigués après l’été.\n" * 3
    assert decode(western.encode("cp1252")) == western


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("gbk", "问题,答案\n房贷利率,3.85%\n挂失电话,95588"),
        ("gbk", "编号,金额"),
        ("gbk", "药品,剂量\n阿莫西林,0.5g\n布洛芬,0.2g"),
        ("gbk", "A级,B级,浙ICP备1号"),
        ("gbk", "A级B级C级"),
        ("gbk", "布洛芬"),
        ("gbk", "A座B座C座"),
        ("gbk", "開戶須知：請攜帶身分證。"),
        ("gb18030", "问：㐂𠮷怎么写？\n答：用GB18030。€"),
        ("gb18030", "姓名里的䶮怎么输入？请到柜台。😀"),
        ("cp950", "問：裏面的碁、銹怎麼寫？\n答：請查字典，費用€5。"),
        ("cp950", "科別,電話\n內科,8801"),
        ("big5hkscs", "喺邊度開戶？佢哋話要去銀行嘅櫃枱。"),
        ("cp949", "이름,전화\n홍길동,010"),
        ("cp949", "예금 금리는 얼마입니까? 연 3.5%입니다."),
        ("cp932", "口座を開設するには？本人確認書類を持参してください。"),
        ("euc_jp", "口座を開設するには？本人確認書類を持参してください。"),
        ("cp1252", "señor, año"),
        ("cp1252", "AÇÃO, INFORMAÇÃO"),
        ("cp1252", "Größe: 5 €, für die Straße – “groß”"),
        ("cp1251", "Привет, как дела?"),
        ("cp1251", "ПРИВЕТ МИР"),
    ],
)
def test_short_texts_are_told_from_texts_of_other_languages(encoding: str, text: str) -> None:
    """A few words are enough: the bytes of one language are rare syllables of another."""
    assert decode(text.encode(encoding)) == text


def test_one_byte_that_does_not_fit_refuses_no_file() -> None:
    """A broken or private character among Chinese is replaced; a stray NUL is left out and told; binary is refused."""
    text = decode("请到柜台办理开户手续。".encode("gbk") + b"\xff\n" + "欢迎".encode("gbk"))
    assert text.replace("\ufffd", "") == "请到柜台办理开户手续。\n欢迎"
    notes: list[str] = []
    assert decode("费用,五\0元\n欢迎\n".encode("gbk"), notes) == "费用,五元\n欢迎\n"
    assert notes == ["1 NUL bytes were left out"]
    assert [block.rows for block in parse("a.csv", b"question,answer\nFee?,5\0 euros\n").blocks] == [
        (("question", "answer"), ("Fee?", "5 euros"))
    ]
    with pytest.raises(Unreadable):
        decode(b"\x01\x02\xfe\xff" * 50)


@pytest.mark.parametrize(
    ("named", "true", "text"),
    [
        ("big5", "cp950", "開戶須知：請攜帶身分證。裏面"),
        ("big5", "big5hkscs", "佢哋話要去銀行嘅櫃枱。"),
        ("iso-8859-1", "cp1252", "Price “5” – €"),
        ("gb2312", "gb18030", "姓名：张䶮"),
    ],
)
def test_old_names_of_encodings_are_read_as_what_is_written_under_them(named: str, true: str, text: str) -> None:
    """Pages and letters that name an old standard hold what programs write under that name."""
    page = f'<meta charset="{named}"><p>{text}</p>'
    assert parse("a.html", page.encode(true)).blocks[0].text == text
    letter = f"From: a@b.c\r\nSubject: x\r\nContent-Type: text/plain; charset={named}\r\n\r\n".encode()
    assert text in parse("a.eml", letter + text.encode(true)).blocks[-1].text


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_decoding_never_raises_but_unreadable(data: bytes) -> None:
    """Any bytes are text or refused."""
    with contextlib.suppress(Unreadable):
        assert isinstance(decode(data), str)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_tables_with_title_rows_and_odd_headers(separator: str) -> None:
    """A byte order mark, blank rows, a title row and other columns do not hide the header."""
    rows = ["\ufeff", "Our FAQ", "", separator.join(["No", " QUESTION ", "Topic", "Answer"])]
    rows += [separator.join(["1", '"Who, or what; is|it?"', "people", "It is Ann."]), separator.join(["2", "", "", ""])]
    assert pairs("a.csv", "\n".join(rows)) == [("Who, or what; is|it?", "It is Ann.")]


@pytest.mark.parametrize(
    ("question", "answer"),
    [("question", "answer"), ("Q", "A"), ("问题", "答案"), ("问", "答"), ("Customer question", "Standard answer")],
)
def test_header_names(question: str, answer: str) -> None:
    """The usual names of the two columns are known in both languages."""
    assert pairs("a.csv", f"{question},{answer}\nHow much?,Five dollars.\n") == [("How much?", "Five dollars.")]


def test_bilingual_tables_pair_by_language() -> None:
    """A table with a pair of columns for each language gives both pairs."""
    text = "question (en),问题（中文）,answer (en),答案（中文）\nHow much?,多少钱？,Five.,五元。\n"
    assert pairs("a.csv", text) == [("How much?", "Five."), ("多少钱？", "五元。")]


def test_excel_sheets_and_cells() -> None:
    """Every sheet is read; figures look as people see them; a second sheet without pairs gives none."""
    stream, book = io.BytesIO(), openpyxl.Workbook()
    book.active.append(("Question", "Answer", "Status"))
    book.active.append(("How many?", 12.0, "current"))
    book.active.append((None, None, None))
    book.active.append(("How many then?", 11, "superseded"))
    book.create_sheet("notes").append(("owner", "desk"))
    book.save(stream)
    found = extract(parse("a.xlsx", stream.getvalue())).pairs
    assert [(p.question, p.answer, p.old, p.place) for p in found] == [
        ("How many?", "12", False, "sheet Sheet!A1:C4 row 2"),
        ("How many then?", "11", True, "sheet Sheet!A1:C4 row 4"),
    ]


def test_word_tables_and_lines_in_order() -> None:
    """A Word file gives the pairs of its tables and of its Q/A paragraphs; headings are kept."""
    stream, document = io.BytesIO(), docx.Document()
    document.add_heading("Opening", 1)
    document.add_paragraph("Q: When do you open?")
    document.add_paragraph("A: At 9:40.")
    table = document.add_table(2, 2)
    for cell, text in zip(
        [*table.rows[0].cells, *table.rows[1].cells], ["问题", "答案", "几点关门？", "下午五点。"], strict=True
    ):
        cell.text = text
    document.save(stream)
    assert pairs("a.docx", stream.getvalue()) == [("When do you open?", "At 9:40."), ("几点关门？", "下午五点。")]


def test_html_without_furniture() -> None:
    """Menus, heads, feet and scripts are gone; definition lists and asking headings are pairs."""
    page = """<html><head><title>x</title></head><body><nav>Menu</nav><header>Top</header><main>
    <h2>Do you lend?</h2><p>Yes, up to 8,650 dollars.</p><dl><dt>Who founded it?</dt><dd>Agnes.</dd></dl>
    <table><tr><th>Q</th><th>A</th></tr><tr><td>Fee?</td><td>None.</td></tr></table>
    </main><script>alert(1)</script><footer>Bottom</footer></body></html>"""
    document = parse("a.html", page.encode())
    text = "\n".join(block.heading + block.text for block in document.blocks)
    assert not any(word in text for word in ("Menu", "Top", "Bottom", "alert", "title"))
    found = [(pair.question, pair.answer) for pair in extract(document).pairs]
    assert ("Who founded it?", "Agnes.") in found
    assert ("Fee?", "None.") in found
    assert pairs("b.html", "<h2>Do you lend?</h2><p>Yes.</p>") == [("Do you lend?", "Yes.")]


def test_deep_html_does_not_exhaust_the_stack() -> None:
    """A page of fifty thousand open tags is read or refused, and never crashes."""
    document = parse("a.html", b"<div>" * 2_000 + b"hello there" + b"</div>" * 2_000)
    assert "hello there" in document.blocks[0].text


@pytest.mark.parametrize(
    "value",
    [
        {
            "messages": [
                {"role": "system", "content": "x"},
                {"role": "user", "content": "Q1?"},
                {"role": "assistant", "content": "A1"},
            ]
        },
        {"question": "Q1?", "answer": "A1"},
        {"prompt": "Q1?", "completion": "A1"},
        {"instruction": "Q1?", "input": "", "output": "A1"},
        {"conversations": [{"from": "human", "value": "Q1?"}, {"from": "gpt", "value": "A1"}]},
        [{"speaker": "客户", "text": "Q1?"}, {"speaker": "坐席", "text": "A1"}],
        {"data": {"chats": [{"turns": [{"role": "member", "text": "Q1?"}, {"role": "agent", "text": "A1"}]}]}},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Q1?"}]},
                {"role": "assistant", "content": "A1"},
            ]
        },
    ],
)
def test_chat_exports(value: object) -> None:
    """Every usual shape of a chat export gives its pair, as JSON and as JSONL."""
    assert pairs("a.json", json.dumps(value)) == [("Q1?", "A1")]
    assert pairs("a.jsonl", json.dumps(value) + "\nnot json\n") == [("Q1?", "A1")]


def test_big_tables_are_capped_and_said() -> None:
    """Rows beyond the cap are not read, and the document says so."""
    document = parse("a.csv", b"question,answer\n" + b"a?,b\n" * (MAX_ROWS + 5))
    assert len(document.blocks[0].rows) == MAX_ROWS
    assert document.notes == (f"only the first {MAX_ROWS} rows were read",)


def test_long_lines_and_nul_bytes_in_csv() -> None:
    """An unclosed quote and NUL bytes do not raise."""
    assert parse("a.csv", b'question,answer\n"' + b"x" * 300_000).blocks
    assert parse("b.csv", b"question,answer\n" + b"a?,b\n" * 2000 + b"c\0?,d\n").blocks


@given(st.lists(st.text(max_size=60), max_size=12))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_pairs_or_none(lines: list[str]) -> None:
    """Extraction never raises on arbitrary text, in any kind of block."""
    text = "\n".join(lines)
    blocks = (
        Block("text", heading=text[:50], text=text),
        Block(
            "text",
            text="\n".join(
                f"{label}{line}" for label, line in zip(["Q: ", "A: ", "Member: ", "Agent: "] * 3, lines, strict=False)
            ),
        ),
        Block("table", rows=(("question", "answer"), tuple(lines))),
        Block("turns", turns=tuple((("user", "assistant")[i % 2], line) for i, line in enumerate(lines))),
    )
    for pair in extract(Document("source-1", "a.txt", blocks)).pairs:
        assert isinstance(pair.question, str)


@pytest.mark.parametrize("mark", ["*", " ", "?", "#", "=", "Q", "a", "(", "：", "- ", "Member ", "1"])
def test_no_pattern_runs_away(mark: str) -> None:
    """Long runs of one character are read at once (a runaway pattern would meet the test's time limit)."""
    assert (
        extract(Document("s", "a.txt", (Block("text", heading=mark * 9000, text=mark * 200_000 + "\nx"),))) is not None
    )


@pytest.mark.parametrize("folder", ["docling_fixtures", "dirty_web_zh", "llamafactory_demo"])
def test_real_files(folder: str) -> None:
    """Real files of other people are read, or refused with a reason; none raises anything else."""
    root = SHARED / folder
    if not root.is_dir():
        pytest.skip(f"the test data {folder} is not here")
    read = 0
    for path in sorted(
        p for p in root.rglob("*") if p.is_file() and p.suffix in {".md", ".txt", ".docx", ".csv", ".pdf", ".jsonl"}
    ):
        with contextlib.suppress(Unreadable):
            read += bool(extract(parse(path.name, path.read_bytes())))
    assert read > 3


def test_pages_say_what_they_show() -> None:
    """In cells and headings only lines part words; raised figures are no digits; what is struck out is marked."""
    page = (
        "<h1>贷<em>款</em><br>利率</h1><p>It is <del>$20</del> <s>$18</s> $15, 10<sup>5</sup>, H<sub>2</sub>O,"
        " 1<sup>st</sup>, 2<sup>2x</sup>, seen<sup>[1]</sup>.</p>"
        "<table><tr><th>Fee</th><th>贷<em>款</em></th></tr>"
        "<tr><td>$<b>1</b>,<b>234</b>.50</td><td><p>3.<span>85</span>%</p><p>最<b>高</b></p></td></tr></table>"
    )
    text, table = parse("a.html", page.encode()).blocks
    assert text.heading == "贷款 利率"
    assert " ".join(text.text.split()) == "It is ~~$20~~ ~~$18~~ $15, 10⁵, H₂O, 1st, 2^(2x), seen[1]."
    assert table.rows == (("Fee", "贷款"), ("$1,234.50", "3.85% 最高"))
    (block,) = parse("a.jsonl", b'{"question":"How?","answer":"So."}\n\0\0\0\0').blocks
    assert block.turns[0] == ("user", "How?")
