"""Encodings: what bytes say counts more than names, and no line costs its file."""

from __future__ import annotations

import pytest

from feilun.curation import parse
from feilun.curation.readers.encodings import declared, decode

CODECS = ["idna", "undefined", "unicode_escape", "rot13", "punycode", "raw_unicode_escape", "hex", "utf-7", "a\0b"]


@pytest.mark.parametrize("name", [*CODECS, "utf-16", "gbk"])
def test_bytes_count_more_than_what_they_are_called(name: str) -> None:
    """UTF-8 is read as UTF-8, and codecs of Python that are no encodings of texts are none."""
    text = "贷款利率是百分之三 \\u0041"
    assert declared(text.encode(), name) is None
    name = name.replace("\0", "")
    page = f'<meta charset="{name}"><p>{text}</p>'
    assert parse("a.html", page.encode()).blocks[0].text == text
    letter = f"From: a@b.c\nSubject: =?{name}?Q?News?=\nContent-Type: text/plain; charset={name}\n\n{text}"
    assert parse("a.eml", letter.encode()).blocks[-1].text == text


def test_wide_encodings_that_are_true_are_believed() -> None:
    """ASCII is no UTF-16 whatever it is called."""
    assert declared("利率 3%".encode("utf-16"), "utf-16") == "利率 3%"
    assert declared(b"Fee is two yuan", "utf-16") is None
    assert declared(b"Fee +IKw-", "utf-7") == "Fee €"


@pytest.mark.parametrize(
    ("lines", "notes"),
    [
        (["名称,备注".encode(), "贷款,".encode("gbk") + "利率低".encode()], ["mixed encodings: 1 lines are gb18030"]),
        (
            ["年利率百分之三。".encode(), "存款说明：安全可靠。".encode("gbk"), "營業時間：早上九點。".encode("big5")],
            ["1 lines are gb18030, 1 lines are cp950"],
        ),
        (["年利率百分之三。".encode(), b"\xff\xff\xfe\xff\x81"], ["1 lines hold bytes that fit no encoding"]),
    ],
)
def test_lines_in_several_encodings_are_read_one_by_one(lines: list[bytes], notes: list[str]) -> None:
    """Fields of a line may differ; what fits nothing is replaced, and noted."""
    said: list[str] = []
    text = decode(b"\n".join(lines), said)
    assert len(said) == len(notes)
    assert all(note in each for note, each in zip(notes, said, strict=True))
    assert ("\ufffd" in text) == ("replaced" in said[0])


def test_rare_names_are_no_korean() -> None:
    """Names that are only in GB 18030 are Chinese."""
    text = "姓名：喆、堃、䶮、𠮷\n"
    assert decode(text.encode("gb18030")) == text
