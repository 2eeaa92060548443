"""JSON is told by its looks: conversations, batches, preferences, labels, texts; what is broken is set aside."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.curation.documents import Block, Unreadable
from feilun.curation.pairs import extract
from feilun.curation.readers.shapes import read_json
from feilun.curation.scan import parse

SHARED = next(
    (p / "shared" / "data" for p in Path(__file__).resolve().parents if (p / "shared" / "data").is_dir()), Path("none")
)
ASKED, SAID = {"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}
PAIR = (("user", "Q?"), ("assistant", "A."))
SYSTEM = ("system", "Be kind.")
RULE = {"role": "system", "content": "Be kind."}


def only(value: Any) -> Block:
    """Return the one block that a value holds, the same in JSON, in a list, indented, and in JSONL."""
    forms = [json.dumps(value), json.dumps([value]), json.dumps([value], indent=2), json.dumps(value) + "\n\n"]
    found = [read_json(form.encode(), []) for form in forms]
    assert [len(blocks) for blocks in found] == [1] * len(forms)
    assert len({(b.kind, b.heading, b.text, b.turns, b.parts) for (b,) in found}) == 1
    return found[0][0]


@pytest.mark.parametrize(
    ("value", "turns", "parts"),
    [
        ({"messages": [RULE, ASKED, SAID]}, PAIR, (SYSTEM,)),
        ({"messages": [{"role": "developer", "content": "Be kind."}, ASKED, SAID]}, PAIR, (SYSTEM,)),
        ({"messages": [ASKED, SAID], "label": False}, PAIR, (("label", "false"),)),
        ({"conversations": [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A."}], "system": "Be kind."},
         PAIR, (SYSTEM,)),
        ({"conversations": [{"from": "human", "value": "Q?"}, {"from": "bing", "value": "A."}]}, PAIR, ()),
        ({"conversation": [{"human": "Q?", "assistant": "A."}]}, PAIR, ()),
        ({"input": "Q?", "output": "A."}, PAIR, ()),
        ({"instruction": "Q?", "context": "More", "response": "A."}, (("user", "Q?\nMore"), ("assistant", "A.")), ()),
        ({"question": "Q?", "answer": 5}, (("user", "Q?"), ("assistant", "5")), ()),
        ({"question": "Q?", "answer": False}, (("user", "Q?"), ("assistant", "false")), ()),
        ({"question": "Q?", "answer": ["Visa", "Mastercard"]}, (("user", "Q?"), ("assistant", "Visa\nMastercard")), ()),
        ({"version": "1", "data": [{"title": "t", "paragraphs": [{"context": "More", "qas": [
            {"id": "1", "question": "Q?", "answers": [{"text": "A.", "answer_start": 0}, {"text": "B."}]}]}]}]},
         (("user", "Q?\nMore"), ("assistant", "A.")), ()),
        ({"title": "t", "current_node": "c", "mapping": {
            "r": {"message": None, "parent": None, "children": ["a"]},
            "a": {"parent": "r", "children": ["b", "c"],
                  "message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["Q?"]}}},
            "b": {"parent": "a", "children": [],
                  "message": {"author": {"role": "assistant"}, "content": {"parts": ["An answer not shown."]}}},
            "c": {"parent": "a", "children": [],
                  "message": {"author": {"role": "assistant"}, "content": {"parts": ["A."]}}}}}, PAIR, ()),
        ({"messages": [ASKED, {**SAID, "weight": 0}, ASKED, {**SAID, "weight": 1}]},
         (("user", "Q?"), ("context", "A."), *PAIR), ()),
        ({"instruction": "Q?", "input": "", "output": "A.", "system": "Be kind."}, PAIR, (SYSTEM,)),
        ({"instruction": "Q?", "input": "More", "output": "A.", "history": [["P?", "B."]]},
         (("user", "P?"), ("assistant", "B."), ("user", "Q?\nMore"), ("assistant", "A.")), ()),
        ({"prompt": "Q?", "completion": "A.", "label": True}, PAIR, (("label", "true"),)),
        ({"prompt": [ASKED], "completion": [SAID]}, (), ()),
        ({"custom_id": "1", "method": "POST", "body": {"model": "m", "messages": [RULE, ASKED]}},
         (("user", "Q?"),), (SYSTEM,)),
        ({"custom_id": "1", "params": {"model": "m", "max_tokens": 9, "system": "Be kind.", "messages": [ASKED]}},
         (("user", "Q?"),), (SYSTEM,)),
        ({"custom_id": "1", "response": {"status_code": 200, "body": {"choices": [{"index": 0, "message": SAID}]}}},
         (("assistant", "A."),), ()),
        ({"custom_id": "1", "result": {"type": "succeeded", "message": {"role": "assistant",
          "content": [{"type": "text", "text": "A."}]}}}, (("assistant", "A."),), ()),
        ({"request": {"messages": [ASKED]}, "response": {"choices": [{"message": SAID}]}}, PAIR, ()),
        ({"prompt": "Q?", "chosen": "A.", "rejected": "B."}, PAIR, (("rejected", "B."),)),
        ({"question": "Q?", "chosen": "A.", "rejected": "B.", "system": "Be kind."},
         PAIR, (SYSTEM, ("rejected", "B."))),
        ({"prompt": [RULE, ASKED], "chosen": [SAID], "rejected": [{"role": "assistant", "content": "B."}]},
         PAIR, (SYSTEM, ("rejected", "B."))),
        ({"chosen": [ASKED, SAID], "rejected": [ASKED, {"role": "assistant", "content": "B."}]},
         PAIR, (("rejected", "B."),)),
        ({"chosen": "\n\nHuman: Q?\n\nAssistant: A.", "rejected": "\n\nHuman: Q?\n\nAssistant: B."},
         PAIR, (("rejected", "B."),)),
        ({"input": {"messages": [ASKED]}, "preferred_output": [SAID],
          "non_preferred_output": [{"role": "assistant", "content": "B."}]}, PAIR, (("rejected", "B."),)),
        ({"conversations": [{"from": "human", "value": "Q?"}], "chosen": {"from": "gpt", "value": "A."},
          "rejected": {"from": "gpt", "value": "B."}}, PAIR, (("rejected", "B."),)),
    ],
)  # fmt: skip
def test_conversations_and_preferences(value: dict[str, Any], turns: Any, parts: Any) -> None:
    """Each usual shape gives its turns, the better answer last, and what belongs to them beside."""
    if not turns:
        assert [b.turns for b in parse("a.json", json.dumps(value).encode()).blocks]
        return
    block = only(value)
    assert (block.turns, block.parts) == (turns, parts)


@pytest.mark.parametrize(
    ("value", "text", "parts"),
    [
        ({"text": "Some words."}, "Some words.", ()),
        ({"text": "Some words.", "label": 3}, "Some words.", (("label", "3"),)),
        ({"sentence": "几句话。", "label": "正面"}, "几句话。", (("label", "正面"),)),
        ({"text": "Some words.", "labels": ["a", "b"]}, "Some words.", (("label", "a|b"),)),
        ({"title": "T", "content": "Some words."}, "Some words.", ()),
    ],
)
def test_texts_and_labels(value: dict[str, Any], text: str, parts: Any) -> None:
    """Rows of text, with a label or without."""
    block = only(value)
    assert (block.kind, block.text, block.parts) == ("text", text, parts)


def test_broken_lines_are_set_aside() -> None:
    """Broken lines of JSONL are counted, places stay the numbers of the lines; other line ends of Unicode are text."""
    rows = [json.dumps({"text": f"row\u2028{number}"}, ensure_ascii=False) for number in range(6)]
    rows[2], rows[4] = rows[2][:-3], "not json"
    document = parse("a.jsonl", "\n".join(rows).encode())
    assert [(block.place, block.text) for block in document.blocks] == [
        (f"line {number + 1}", f"row\u2028{number}") for number in (0, 1, 3, 5)
    ]
    assert document.notes == ("2 lines are not valid JSON and were left out: line 3, line 5",)


def test_broken_lists_give_what_is_whole() -> None:
    """A pretty-printed list with a broken item, or cut off, gives the other items; values one after the other too."""
    items = [
        {"instruction": f"Q{number}?", "input": "", "output": {"a": 1} if number == 9 else "A."} for number in range(5)
    ]
    text = json.dumps(items, indent=2)
    broken = text.replace('"Q2?",', '"Q2?"')
    document = parse("a.json", broken.encode())
    assert [block.turns[0][1] for block in document.blocks] == ["Q0?", "Q1?", "Q3?", "Q4?"]
    assert document.notes == ("1 items are not valid JSON and were left out",)
    assert len(parse("b.json", text[:-40].encode()).blocks) == 4
    assert len(parse("c.json", "\n".join(json.dumps(item, indent=2) for item in items).encode()).blocks) == 5
    assert len(parse("d.json", json.dumps(items).replace('"Q2?",', '"Q2?"').encode()).blocks) == 4
    with pytest.raises(Unreadable) as caught:
        parse("e.json", b"{ no json at all")
    assert caught.value.reason == "damaged"


@pytest.mark.parametrize("mark", ["{", "[", '{"a":', '"', "{\n", "[{", "}{"])
def test_no_text_runs_away(mark: str) -> None:
    """A megabyte of one mark is refused at once (a runaway reader would meet the test's time limit)."""
    with contextlib.suppress(Unreadable):
        read_json((mark * (1_000_000 // len(mark))).encode(), [])


KEYS = "messages role content chosen rejected prompt text label response body choices message input history output from"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=5),
    max_leaves=15,
)


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_any_json_is_read_or_refused(value: Any) -> None:
    """No value raises anything but Unreadable, and every block holds texts."""
    with contextlib.suppress(Unreadable):
        for block in read_json(json.dumps(value).encode(), []):
            assert all(isinstance(text, str) for _, text in (*block.turns, *block.parts))


@pytest.mark.parametrize(
    ("name", "kind", "role"),
    [
        ("alpaca_zh_demo.json", "pair", ""),
        ("dpo_zh_demo.json", "pair", "rejected"),
        ("c4_demo.jsonl", "text", ""),
        ("glaive_toolcall_zh_demo.json", "turns", ""),
        ("identity.json", "pair", ""),
    ],
)
def test_public_samples(name: str, kind: str, role: str) -> None:
    """Every row of public samples has its shape."""
    path = SHARED / "llamafactory_demo" / "data" / name
    if not path.is_file():
        pytest.skip("the shared data is not here")
    blocks = parse(name, path.read_bytes()).blocks
    assert {block.kind for block in blocks} == {kind}
    assert all(dict(block.parts).get(role) for block in blocks) if role else len(blocks) > 10


def test_what_is_not_used_is_told_with_its_line() -> None:
    """Lines that are no JSON, and items of no known shape, are named in the notes; nothing vanishes."""
    lines = [
        '{"question": "Q?", "answer": "A."}',
        "not json",
        '{"nothing": 1}',
        '{"question": "Q?", "answer": NaN}',
        "{}",
    ]
    notes: list[str] = []
    assert len(read_json("\n".join([*lines, lines[0]]).encode(), notes)) == 2
    assert notes == [
        "1 lines are not valid JSON and were left out: line 2",
        "3 items hold nothing of a known shape and were left out: line 3, line 4, line 5",
    ]
    squad = {
        "context": "C.",
        "qas": [{"question": "Q?", "answers": [{"text": "A."}]}, {"question": "R?", "answers": []}],
    }
    notes.clear()
    assert len(read_json(json.dumps({"meta": {"n": 1}, "data": [squad]}).encode(), notes)) == 1
    assert notes == ["1 items hold nothing of a known shape and were left out: item 1 data 1 2"]


def test_answers_of_weight_zero_are_not_learned() -> None:
    """OpenAI's weight 0 keeps an answer, and the question that it belongs to, out of the pairs."""
    talk = {"messages": [ASKED, {**SAID, "weight": 0}, {"role": "user", "content": "And on Sunday?"}, SAID]}
    found = extract(parse("a.jsonl", json.dumps(talk).encode())).pairs
    assert [(pair.question, pair.answer) for pair in found] == [("And on Sunday?", "A.")]


def test_a_corpus_is_no_table() -> None:
    """Long texts stay texts although where they are from stands beside them; what is left out is told."""
    text = "The counter opens at nine. Bring your card and the form that was sent to you. " * 4
    rows = [{"text": f"{number}. {text}", "source": "web", "score": 0.5} for number in range(3)]
    found = parse("a.jsonl", "\n".join(map(json.dumps, rows)).encode())
    assert [block.text for block in found.blocks] == [row["text"] for row in rows]
    assert found.notes == ("these columns were left out: source, score",)
