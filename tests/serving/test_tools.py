"""Tool calls: how they are shown, read from text, and answered by the face."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as some
from msgspec import convert
from tests.serving.faces import Up, up

from feilun.engines.fake import FakeEngine
from feilun.engines.schema import call_text
from feilun.records import ModelVersion
from feilun.serving.answers import read_chat
from feilun.serving.requests import ChatRequest
from feilun.serving.tools import Reader, grammar

MODEL = "model-a"
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "the weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
                "required": ["city", "days"],
            },
        },
    }
    for name in ("get_weather", "get_wind")
]


@pytest_asyncio.fixture
async def here() -> AsyncIterator[Up]:
    """Give a face before a fake engine that has one model."""
    engine = FakeEngine()
    await engine.load(ModelVersion(MODEL, "", MODEL, "base", "", "", {}))
    async with up(engine) as found:
        yield found


def say(text: str) -> list[Any]:
    """Return messages."""
    return [{"role": "user", "content": text}]


def read(pieces: list[str], *, first: bool = False, cut: bool = False) -> tuple[str, list[tuple[str, str]]]:
    """Return the text and the calls (name, arguments) that a reader finds in pieces."""
    reader, text, calls = Reader(first=first), "", list[list[str]]()
    for piece in [*(found for each in pieces for found in reader.push(each)), *reader.close(cut=cut)]:
        text += piece.text
        if piece.name:
            calls.append([piece.name, ""])
        elif piece.call >= 0:
            calls[piece.call][1] += piece.arguments
    return text, [(name, arguments) for name, arguments in calls]


CALLS = some.tuples(some.sampled_from(["f", "get.it"]), some.dictionaries(some.text(), some.text()))


@settings(max_examples=60, deadline=None)
@given(
    some.lists(
        some.tuples(some.sampled_from(["f", "get.it"]), some.dictionaries(some.text(), some.text())), max_size=3
    ),
    some.sampled_from(["", "Let me see. ", "a < b <tool"]),
    some.integers(1, 9),
)
def test_calls_are_read_however_they_are_cut(wanted: list[Any], before: str, size: int) -> None:
    """Whatever the arguments hold and wherever the text is cut, the same calls come out."""
    text = before + "\n".join(call_text(name, arguments) for name, arguments in wanted)
    said, calls = read([text[at : at + size] for at in range(0, len(text), size)])
    assert said == before
    assert [(name, json.loads(arguments)) for name, arguments in calls] == wanted


def test_what_is_no_call_stays_text() -> None:
    """A text that only begins like a call is text; a call that was cut off keeps what there is of its arguments.

    What was cut before its name is told is nothing: not text either.
    """
    assert read(["x <tool_ca"]) == ("x <tool_ca", [])
    assert read(['<tool_call>\n{"name": "f']) == ("", [])
    assert read(["x <tool_ca"], cut=True) == ("x ", [])
    assert read(['<tool_call>\n{"name": "f", "arguments": {"a": "b']) == ("", [("f", '{"a": "b')])


def test_formed_answers_may_quote_calls() -> None:
    """An answer that has to look in some way is read as it is, whatever it quotes; a call still comes first."""
    quoting = json.dumps({"a": call_text("f", {})})
    assert read([*quoting], first=True) == (quoting, [])
    assert read([*call_text("f", {"b": 1})], first=True) == ("", [("f", '{"b": 1}')])


def test_templates_that_know_tools_get_them() -> None:
    """A template that shows tools gets tools and calls; another gets them as text, the task in the system message."""
    messages = [
        {"role": "system", "content": "Be brief."},
        *say("the wind?"),
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_wind", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "calm"},
    ]
    body = json.dumps({"model": MODEL, "messages": messages, "tools": TOOLS}).encode()
    [knowing] = read_chat(body, lambda _: "{{ tools }} <tool_call>", 100).requests
    assert [tool["function"]["name"] for tool in knowing.tools] == ["get_weather", "get_wind"]
    assert knowing.messages[2]["tool_calls"][0]["function"]["arguments"] == {"a": 1}
    assert knowing.messages[3] == {"role": "tool", "content": "calm", "tool_call_id": "c1"}
    [plain] = read_chat(body, lambda _: "{{ messages }}", 100).requests
    assert plain.tools == ()
    system, _, called, answered = (message["content"] for message in plain.messages)
    assert system.startswith("Be brief.")
    assert '"name": "get_weather"' in system
    assert called == call_text("get_wind", {"a": 1})
    assert "calm" in answered
    assert {message["role"] for message in plain.messages} == {"system", "user", "assistant"}


def test_none_shows_no_tools() -> None:
    """With tool_choice none the model sees no tools and answers plainly."""
    body = {"model": MODEL, "messages": say("x"), "tools": TOOLS, "tool_choice": "none"}
    asked = read_chat(json.dumps(body).encode(), lambda _: "", 100)
    assert asked.requests[0].grammar == ""
    assert asked.requests[0].messages == ({"role": "user", "content": "x"},)
    assert grammar(convert(body, ChatRequest)) == ""


async def test_forced_calls(here: Up) -> None:
    """Required and a named function give calls whose arguments conform to the schema."""
    named: Any = {"type": "function", "function": {"name": "get_wind"}}
    for choice, name in (("required", "get_weather"), (named, "get_wind")):
        answer = await here.client.chat.completions.create(
            model=MODEL, messages=say("hello"), tools=TOOLS, tool_choice=choice
        )
        message = answer.choices[0].message
        assert answer.choices[0].finish_reason == "tool_calls"
        assert message.content is None
        [call] = message.tool_calls or []
        assert call.type == "function"
        assert call.id.startswith("call_")
        assert (call.function.name, json.loads(call.function.arguments)) == (name, {"city": "", "days": 2})


async def test_auto_leaves_the_choice(here: Up) -> None:
    """The model answers in words, or calls what it was asked to call, one or several."""
    answer = await here.client.chat.completions.create(model=MODEL, messages=say("hello"), tools=TOOLS)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("You said: hello", "stop")
    both = await here.client.chat.completions.create(model=MODEL, messages=say("get_weather and get_wind"), tools=TOOLS)
    calls = both.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls if call.type == "function"] == ["get_weather", "get_wind"]
    assert len({call.id for call in calls}) == 2


async def test_streamed_calls(here: Up) -> None:
    """Id and name come once, the arguments in pieces, by index; the end says tool_calls."""
    stream = await here.client.chat.completions.create(
        model=MODEL, messages=say("get_weather and get_wind"), tools=TOOLS, tool_choice="required", stream=True
    )
    names, arguments, finish, ids = dict[int, str](), {0: "", 1: ""}, None, set[str]()
    pieces = 0
    async for chunk in stream:
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            assert not choice.delta.content
            for call in choice.delta.tool_calls or []:
                assert call.function is not None
                if call.id:
                    assert call.index not in names
                    ids.add(call.id)
                    names[call.index] = call.function.name or ""
                pieces += 1
                arguments[call.index] += call.function.arguments or ""
    assert names == {0: "get_weather", 1: "get_wind"}
    assert [json.loads(each) for each in arguments.values()] == [{"city": "", "days": 2}] * 2
    assert (finish, len(ids)) == ("tool_calls", 2)
    assert pieces > 4


FORM: Any = {
    "type": "json_schema",
    "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"q": {"const": 7}}, "required": ["q"]}},
}


async def test_a_format_beside_tools(here: Up) -> None:
    """With tools that may be called and a format: a call, or an answer in the format, whole and streamed."""
    wanted: dict[str, Any] = {"model": MODEL, "tools": TOOLS, "response_format": FORM}
    answer = await here.client.chat.completions.create(messages=say("hello"), **wanted)
    assert json.loads(answer.choices[0].message.content or "") == {"q": 7}
    assert answer.choices[0].finish_reason == "stop"
    called = await here.client.chat.completions.create(messages=say("get_wind"), **wanted)
    assert [call.type for call in called.choices[0].message.tool_calls or []] == ["function"]
    assert called.choices[0].message.content is None
    forced = await here.client.chat.completions.create(messages=say("hello"), tool_choice="required", **wanted)
    assert forced.choices[0].finish_reason == "tool_calls"
    text = ""
    async for chunk in await here.client.chat.completions.create(messages=say("hello"), stream=True, **wanted):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert json.loads(text) == {"q": 7}


@pytest.mark.parametrize("stop", ["\n", "{", "}", '"', "<", "tool_call", "name", "</tool_call>"])
async def test_stop_texts_do_not_cut_calls(here: Up, stop: str) -> None:
    """Stop texts end text: calls are whole, whatever stop texts stand in them, and text beside calls still ends."""
    wanted: dict[str, Any] = {"model": MODEL, "tools": TOOLS, "stop": stop}
    forced = await here.client.chat.completions.create(messages=say("hi"), tool_choice="required", **wanted)
    assert (forced.choices[0].finish_reason, forced.choices[0].message.content) == ("tool_calls", None)
    [call] = forced.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "", "days": 2}
    text = await here.client.chat.completions.create(messages=say(f"a {stop} b"), **wanted)
    assert (text.choices[0].message.content or "").rstrip() == "You said: a"
    assert text.choices[0].finish_reason == "stop"
    assert text.choices[0].model_dump()["stop_reason"] == stop


async def test_a_cut_call_is_no_text(here: Up) -> None:
    """However early the tokens run out, nothing of a forced call's markup is given as text, and the end is named."""
    for most in range(1, 12):
        answer = await here.client.chat.completions.create(
            model=MODEL, messages=say("hi"), tools=TOOLS, tool_choice="required", max_tokens=most
        )
        choice = answer.choices[0]
        assert not choice.message.content, most
        assert choice.finish_reason == ("length" if most < 10 else choice.finish_reason)
