"""Training files: which forms, encodings and texts are read, and how those that are not are called."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from tests.gateway.test_training_methods import file_of, row, said, upload, user

from feilun.errors import BadRequest
from feilun.gateway.examples import LOOKS, check, read


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([*file_of("preference", 3), {**row("preference", 4), "non_preferred_output": [said("It is 4 crowns. ")]}], 4),
        ([*file_of("preference", 3), {**row("preference", 4), "preferred_output": []}], 4),
        ([*file_of("preference", 3), {**row("preference", 4), "preferred_output": [user("a")]}], 4),
        ([*file_of("preference", 3), {**row("preference", 4), "input": {"messages": [said("a")]}}], 4),
        ([*file_of("preference", 3), {**row("preference", 4), "more": 1}], 4),
        ([row("preference", 0), row("chat", 1)], 2),
        ([row("judged", 0), {**row("judged", 1), "liked": "yes"}], 2),
        ([row("judged", 0), row("prompt", 1)], 2),
        ([row("text", 0), {"text": " "}], 2),
        ([row("chat", 0), row("text", 1)], 2),
        ([row("chat", 0), {"messages": [user("a"), said("b")], "reference": 1}], 2),
        ([{"messages": [{"role": "system", "content": "a"}], "reference": 1}], 1),
    ],
)
def test_wrong_rows_are_named_at_upload(client: openai.OpenAI, rows: list[dict[str, Any]], says: int) -> None:
    """Both sides the same, a side that is missing or a person's, another form: the line is named."""
    with pytest.raises(openai.BadRequestError, match=f"line {says}: "):
        upload(client, rows)


def test_numbers_that_are_none_are_refused() -> None:
    """NaN is no JSON, wherever it stands; a file that only names one form for many lines is told once."""
    with pytest.raises(BadRequest, match="line 1: not JSON"):
        check(b'{"messages": [{"role": "user", "content": "a"}], "reference": NaN}', "rows")
    for look in LOOKS.values():
        assert check(b"\n".join([look.encode()] * 2), "rows") == 2


def lines(rows: list[dict[str, Any]], encoding: str = "utf-8") -> bytes:
    """Return rows as a file."""
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows).encode(encoding)


CHINESE = [
    {"messages": [user(f"第{number}號利率是多少？"), said(f"是百分之{number}，在這裡。")]} for number in range(12)
]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030", "big5", "utf-8-sig"])
def test_a_file_in_another_encoding_is_what_it_says(encoding: str) -> None:
    """Those that offices save, with a mark and without: the same examples as in UTF-8, at the same lines."""
    for rows in (CHINESE, file_of("preference")) if encoding[0] == "u" else (CHINESE,):
        assert read(lines(rows, encoding), "rows", "file") == read(lines(rows), "rows", "file")
    text = lines(CHINESE[:3]).decode() + "{nonsense 在}\n"
    with pytest.raises(BadRequest, match="line 4: not JSON"):
        check(text.encode(encoding), "rows")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"messages": [{"role": "user", "content": "\\ud800"}, {"role": "assistant", "content": "b"}]}', "half"),
        (b'{"messages": [{"role": "user", "content": "a"}], "\\uDC00": 1}', "half a character"),
        (b'{"text": "\xed\xa0\x80"}', "not UTF-8"),
        (b'{"text": "\xff"}', "not UTF-8"),
    ],
)
def test_a_text_that_is_none_is_named(client: openai.OpenAI, line: bytes, says: str) -> None:
    """Half a character, escaped or not, and damage in a file that is UTF-8 elsewhere: the line is named, with 400."""
    data = lines(CHINESE[:11]) + line + b"\n"
    with pytest.raises(openai.BadRequestError, match=f"rows.jsonl cannot be used: line 12: .*{says}"):
        client.files.create(file=("rows.jsonl", data), purpose="fine-tune")


@pytest.mark.parametrize(
    ("data", "says", "hint"),
    [
        (b'question,answer\nWho?,Me\n"Why, then?",So\n', "it looks like CSV", "Write every row as a JSON object"),
        ("问题\t答案\n谁\t我\n".encode("gb18030"), "a table", "Write every row"),
        (b"PK\x03\x04\0\0\xff\x00\x01\x02\xfe" * 40, "binary data", "feilun turn"),
        (json.dumps(file_of("chat"), indent=1).encode(), "one JSON text of many lines", "on a line of its own"),
        (b"Once upon a time\nthere was\n", "line 1: not JSON", "Each line is"),
        (b'{"text": 5}\n{"text": ""}\n', "line 1: a text that is empty", r'Each line is {"text"'),
        (b'{"preferred_output": 5}\n', "line 1: ", "preferred_output"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is(data: bytes, says: str, hint: str) -> None:
    """Tables, binary files, one JSON text, and the form that the lines were meant to have: with what to do."""
    with pytest.raises(BadRequest, match=says) as refused:
        check(data, "rows")
    assert hint in refused.value.hint
