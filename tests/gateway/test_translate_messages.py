"""The Anthropic messages API as chat and back, both ways round, against the official client's own types."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter
from tests.gateway.blocks import ASK, OBJECTS, use

from feilun.errors import (
    BadRequest,
    BudgetExhausted,
    EngineDown,
    FeilunError,
    Forbidden,
    ModelNotFound,
    Unauthorized,
    UpstreamError,
    UpstreamTimeout,
)
from feilun.gateway.surface.anthropic_out import OWN, FromAnthropicStream, from_anthropic, to_anthropic
from feilun.gateway.surface.messages import MessageStream, error_body, error_status, from_chat, to_chat
from feilun.gateway.surface.requests import MessagesRequest

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
TOOL = {"name": "weather", "description": "d", "input_schema": {"type": "object"}}
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}}


def request(**fields: Any) -> MessagesRequest:
    """Return a request as it is parsed."""
    return msgspec.convert({"model": "m", "max_tokens": 9, "messages": ASK, **fields}, MessagesRequest)


def answer(message: dict, finish: str = "stop", **more: Any) -> dict:
    """Return a whole completion of chat."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, **more}
    return {"id": "trace-01abc", "created": 5, "model": "m", "choices": [choice], "usage": USAGE}


def chunk(delta: dict, finish: str | None = None) -> dict:
    """Return a chunk of a completion of chat."""
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "trace-01abc", "created": 5, "model": "m", "choices": choices}


def test_options_become_those_of_chat() -> None:
    """Every option that chat has another name for arrives under that name."""
    asked = request(
        system=[{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}],
        stop_sequences=["END"],
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        metadata={"user_id": "u"},
        tools=[TOOL],
        tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
        thinking={"type": "disabled"},
    )
    body = to_chat(asked)
    assert body.pop(OWN) == msgspec.to_builtins(asked)
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be\nbrief."}, {"role": "user", "content": "hello"}],
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["END"],
        "user": "u",
        "tools": [
            {"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object"}}}
        ],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
        },
    }
    for given_choice, wanted in (("auto", "auto"), ("any", "required"), ("none", "none")):
        assert to_chat(request(tools=[TOOL], tool_choice={"type": given_choice}))["tool_choice"] == wanted


def test_blocks_become_messages() -> None:
    """Results of tools come right behind their calls, images and texts after them; thoughts are left out."""
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "Look"}, _image(), _document("doc")]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"城": "北京"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Here:"},
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "sunny"}, _image()]},
            ],
        },
    ]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    assert to_chat(request(messages=turns))["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Look"}, picture, {"type": "text", "text": "doc"}]},
        {"role": "assistant", "content": "I look.", "tool_calls": [use("t1", "weather", '{"城": "北京"}')]},
        {"role": "tool", "tool_call_id": "t1", "content": "sunny"},
        {"role": "user", "content": [{"type": "text", "text": "Here:"}, picture]},
    ]


def _image() -> dict:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}


def _document(text: str) -> dict:
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}}


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice.name"),
        ({"messages": [*ASK, {"role": "assistant", "content": "He"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "search_result"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"system": [_image()]}, "system[0]"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]},
            "messages[0].content[0].source.type",
        ),
    ],
)
def test_what_cannot_be_translated_is_refused_by_name(wrong: dict, param: str) -> None:
    """Tools of the provider, beginnings of answers, and blocks that are unknown or broken are named."""
    wanted = request(**wrong)
    with pytest.raises(BadRequest) as caught:
        to_chat(wanted)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("message", "finish", "more", "expected"),
    [
        ({"content": "Hi"}, "stop", {}, ("end_turn", None)),
        ({"content": "Hi"}, "length", {}, ("max_tokens", None)),
        ({"content": "Hi"}, "content_filter", {}, ("refusal", None)),
        ({"content": "Hi"}, "stop", {"stop_reason": "END"}, ("stop_sequence", "END")),
        ({"content": None, "tool_calls": [use("t", "f", "{}")]}, "tool_calls", {}, ("tool_use", None)),
        ({"content": None, "tool_calls": [use("t", "f", "{}")]}, "stop", {}, ("tool_use", None)),
    ],
)
def test_a_whole_answer_is_a_message_of_the_client(message: dict, finish: str, more: dict, expected: Any) -> None:
    """Reasons, blocks and usage are where the client's types have them; all input tokens add up."""
    found = Message.model_validate(from_chat(answer(message, finish, **more), ["END"]), strict=True)
    assert (found.stop_reason, found.stop_sequence) == expected
    assert found.content[0].type == ("tool_use" if "tool_calls" in message else "text")
    assert found.usage.input_tokens + found.usage.cache_read_input_tokens == 11
    assert found.usage.output_tokens == 7


def accumulated(events: list[dict]) -> dict:
    """Return the message that events add up to, as clients add them."""
    message: dict = {}
    raw: dict[int, str] = {}
    for event in events:
        if event["type"] == "message_start":
            message = json.loads(json.dumps(event["message"]))
        elif event["type"] == "content_block_start":
            assert event["index"] == len(message["content"])
            message["content"].append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            block, delta = message["content"][event["index"]], event["delta"]
            name = delta["type"].removesuffix("_delta")
            if name in {"text", "thinking", "signature"}:
                block[name] += delta[name]
            else:
                raw[event["index"]] = raw.get(event["index"], "") + delta["partial_json"]
        elif event["type"] == "content_block_stop" and event["index"] in raw:
            message["content"][event["index"]]["input"] = json.loads(raw[event["index"]])
        elif event["type"] == "message_delta":
            message |= event["delta"] | {"usage": event["usage"]}
    return message


THOUGHTS = [
    {"type": "thinking", "thinking": "hm, so", "signature": "s1"},
    {"type": "redacted_thinking", "data": "x"},
    {"type": "thinking", "thinking": "yes", "signature": "s2"},
]


def test_thoughts_survive_the_way_from_a_provider() -> None:
    """Thinking blocks of a provider's answer come out as they went in, whole and streamed."""
    content = [*THOUGHTS, {"type": "text", "text": "four"}, {"type": "tool_use", "id": "t", "name": "f", "input": {}}]
    theirs = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content}
    theirs |= {"stop_reason": "tool_use", "usage": {"input_tokens": 3, "output_tokens": 4}}
    found = from_chat(from_anthropic(theirs))
    assert found["content"] == content
    Message.model_validate(found)

    inbound = FromAnthropicStream()
    chunks = inbound.feed({"type": "message_start", "message": {**theirs, "content": []}})
    for index, block in enumerate(content):
        empty = {"thinking": {"thinking": "", "signature": ""}, "text": {"text": ""}}.get(block["type"], {})
        chunks += inbound.feed({"type": "content_block_start", "index": index, "content_block": block | empty})
        deltas = [("text_delta", "text", block.get("text", ""))]
        if block["type"] == "thinking":
            deltas = [("thinking_delta", "thinking", piece) for piece in block["thinking"]]
            deltas.append(("signature_delta", "signature", block["signature"]))
        for kind, name, value in deltas:
            if value:
                delta = {"type": kind, name: value}
                chunks += inbound.feed({"type": "content_block_delta", "index": index, "delta": delta})
        chunks += inbound.feed({"type": "content_block_stop", "index": index})
    chunks += inbound.feed({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {}})
    outbound = MessageStream(chunks[0])
    events = [*outbound.begin(), *(event for each in chunks for event in outbound.feed(each)), *outbound.finish()]
    for event in events:
        if event["type"] != "ping":
            EVENT.validate_python(event)
    assert accumulated(events)["content"] == content


ARGUMENTS = st.dictionaries(st.text(max_size=4), st.text(max_size=4) | st.integers(), max_size=3)
CALLS = st.lists(ARGUMENTS, max_size=3)


@settings(max_examples=40, deadline=None)
@given(text=st.lists(st.text(min_size=1, max_size=5), max_size=4), calls=CALLS, size=st.integers(1, 9))
def test_a_stream_says_what_the_whole_answer_says(text: list[str], calls: list[dict], size: int) -> None:
    """Whatever pieces come: events are the client's, and add up to the message that a plain call gives."""
    finish = "tool_calls" if calls else "stop"
    chunks = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": piece}) for piece in text)]
    written = [json.dumps(each) for each in calls]
    for index, arguments in enumerate(written):
        head = {"index": index, **use(f"t{index}", "f", "")}
        chunks.append(chunk({"tool_calls": [head]}))
        for start in range(0, len(arguments), size):
            piece = {"arguments": arguments[start : start + size]}
            chunks.append(chunk({"tool_calls": [{"index": index, "function": piece}]}))
    stream = MessageStream(chunks[0])
    events = stream.begin()
    for each in [*chunks, chunk({}, finish), {"choices": [], "usage": USAGE}]:
        events += stream.feed(each)
    events += stream.finish()
    for event in events:
        if event["type"] != "ping":
            EVENT.validate_python(event)
    assert (events[0]["type"], events[-1]["type"]) == ("message_start", "message_stop")
    said: dict = {"content": "".join(text) or None}
    said["tool_calls"] = [use(f"t{index}", "f", arguments) for index, arguments in enumerate(written)]
    assert accumulated(events) == from_chat(answer(said, finish))


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=4),
    calls=CALLS,
    finish=st.sampled_from(["stop", "length", "content_filter"]),
)
def test_a_message_survives_the_way_there_and_back(texts: list[str], calls: list[dict], finish: str) -> None:
    """What chat says, written as a message and read by the translator for providers, is the same; streamed too."""
    said: dict = {"content": "".join(texts)}
    if calls:
        finish = "tool_calls"
        said["tool_calls"] = [
            use(f"t{index}", "f", json.dumps(each, ensure_ascii=False)) for index, each in enumerate(calls)
        ]
    back = from_anthropic(from_chat(answer(said, finish)))
    ChatCompletion.model_validate(back)
    assert back["choices"][0]["finish_reason"] == finish
    assert {name: back["choices"][0]["message"].get(name) for name in said} == said
    assert (back["usage"]["prompt_tokens"], back["usage"]["completion_tokens"]) == (11, 7)
    assert back["usage"]["prompt_tokens_details"]["cached_tokens"] == 4

    inbound = MessageStream(chunk({}))
    events = [*inbound.begin(), *inbound.feed(chunk({"content": said["content"]}))]
    for index, each in enumerate(said.get("tool_calls", [])):
        events += inbound.feed(chunk({"tool_calls": [{"index": index, **each}]}))
    events += [*inbound.feed(chunk({}, finish)), *inbound.feed({"choices": [], "usage": USAGE}), *inbound.finish()]
    outbound = FromAnthropicStream()
    chunks = [piece for event in events for piece in outbound.feed(event)]
    for piece in chunks:
        ChatCompletionChunk.model_validate(piece)
    deltas = [choice["delta"] for piece in chunks for choice in piece["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == said["content"]
    found: dict[int, str] = {}
    for delta in deltas:
        for call in delta.get("tool_calls", []):
            found[call["index"]] = found.get(call["index"], "") + call["function"]["arguments"]
    assert list(found.values()) == [each["function"]["arguments"] for each in said.get("tool_calls", [])]
    assert chunks[-1]["usage"] == back["usage"] == outbound.usage
    assert [c["finish_reason"] for p in chunks for c in p["choices"] if c["finish_reason"]] == [finish]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["say", "ask", "call", "show"]), min_size=1, max_size=6))
def test_a_conversation_survives_the_way_there_and_back(steps: list[str]) -> None:
    """Turns that chat sends to a provider are read back, by the other translator, as the same turns."""
    messages: list[dict] = [{"role": "system", "content": "Be brief."}]
    for number, step in enumerate(steps):
        if step == "say":
            messages += [{"role": "user", "content": f"u{number}"}, {"role": "assistant", "content": f"a{number}"}]
        elif step == "ask":
            messages += [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": "ok"}]
        elif step == "show":
            picture = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
            messages += [{"role": "user", "content": [{"type": "text", "text": "see"}, picture]}]
            messages += [{"role": "assistant", "content": "seen"}]
        else:
            calls = [use(f"t{number}", "f", '{"x": 1}'), use(f"s{number}", "g", "{}")]
            messages += [{"role": "user", "content": "go"}, {"role": "assistant", "content": None, "tool_calls": calls}]
            messages += [{"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in calls]
            messages += [{"role": "assistant", "content": "so"}]
    messages.append({"role": "user", "content": "last"})
    sent = to_anthropic({"model": "m", "messages": messages, "max_tokens": 9})
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant"] * (len(sent["messages"]) // 2) + [
        "user"
    ]
    assert to_chat(msgspec.convert(sent, MessagesRequest))["messages"] == messages


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (BadRequest("m", param="p"), 400, "invalid_request_error"),
        (Unauthorized("m"), 401, "authentication_error"),
        (Forbidden("m"), 403, "permission_error"),
        (ModelNotFound("m"), 404, "not_found_error"),
        (BudgetExhausted("m"), 429, "rate_limit_error"),
        (EngineDown("m"), 529, "overloaded_error"),
        (UpstreamTimeout("m"), 504, "timeout_error"),
        (UpstreamError("m"), 502, "api_error"),
        (FeilunError("m"), 500, "api_error"),
    ],
)
def test_errors_have_the_shape_of_the_api(error: FeilunError, status: int, kind: str) -> None:
    """Every error has the type and the status that clients of this API look at."""
    assert error_status(error) == status
    body = error_body(error)
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    assert body["error"]["message"].endswith("m")


@settings(max_examples=50, deadline=None)
@given(blocks=st.lists(OBJECTS, max_size=3), role=st.sampled_from(["user", "assistant", "system"]), more=OBJECTS)
def test_whatever_is_sent_is_translated_or_refused(blocks: Any, role: str, more: Any) -> None:
    """No combination of blocks makes any error but ours, in either direction."""
    for fields in (
        {"messages": [{"role": role, "content": blocks}, *ASK]},
        {"system": blocks, "output_config": more},
        {"output_config": {"format": more}},
    ):
        try:
            to_anthropic(to_chat(request(**fields)))
        except BadRequest:
            continue
    for body in ({"messages": blocks}, {"messages": ASK, "tools": blocks, "tool_choice": more, "stop": more}):
        try:
            to_anthropic({"model": "m", **body})
        except BadRequest:
            continue
