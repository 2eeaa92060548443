"""The responses API as chat and back: fields, items, streams, against the official client's own types."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseItem, ResponseStreamEvent
from pydantic import TypeAdapter

from feilun.errors import BadRequest, EngineDown, RateLimited, UpstreamError
from feilun.gateway.surface import items, responses
from feilun.gateway.surface.requests import ResponsesRequest
from feilun.gateway.surface.response_stream import ResponseStream

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ITEM: TypeAdapter[Any] = TypeAdapter(ResponseItem)
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}
USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 4},
}


def request(**fields: Any) -> ResponsesRequest:
    """Return a request as it is parsed."""
    return msgspec.convert({"model": "m", "input": "hello", **fields}, ResponsesRequest)


def answer(message: dict, finish: str = "stop") -> dict:
    """Return a whole completion of chat."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "trace-01abc", "created": 5, "model": "m", "choices": [choice], "usage": USAGE}


def chunk(delta: dict, finish: str | None = None) -> dict:
    """Return a chunk of a completion of chat."""
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "trace-01abc", "created": 5, "model": "m", "choices": choices}


def call(index: int, arguments: str, **first: str) -> dict:
    """Return a delta that calls a function, or goes on with its arguments."""
    function = {"arguments": arguments, **({"name": first["name"]} if first else {})}
    return {"tool_calls": [{"index": index, "function": function, **({"id": first["id"]} if first else {})}]}


def asked(wanted: ResponsesRequest) -> dict:
    """Return what chat is asked for a request without a past."""
    responses.check(wanted)
    return responses.to_chat(wanted, items.completed(wanted.input))


def streamed(chunks: list[dict], **fields: Any) -> tuple[ResponseStream, list[dict]]:
    """Return the stream of a response, and all its events."""
    stream = ResponseStream(request(**fields), chunks[0])
    events = stream.begin()
    for each in [*chunks, {"choices": [], "usage": USAGE}]:
        events += stream.feed(each)
    return stream, events + stream.finish()


def test_options_become_those_of_chat() -> None:
    """Every option that chat has another name for arrives under that name, and nothing else arrives."""
    wanted = request(
        instructions="Be brief.",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=9,
        store=False,
        user="u",
        top_logprobs=2,
        tools=[TOOL],
        tool_choice={"type": "function", "name": "weather"},
        parallel_tool_calls=False,
        text={
            "format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": True},
            "verbosity": "low",
        },
        service_tier="flex",
        reasoning={"effort": "low"},
        metadata={"a": "b"},
    )
    assert responses.to_chat(wanted, items.completed("hello")) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 9,
        "user": "u",
        "store": False,
        "reasoning_effort": "low",
        "verbosity": "low",
        "service_tier": "flex",
        "logprobs": True,
        "top_logprobs": 2,
        "tools": [
            {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}, "strict": True}}
        ],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True},
        },
    }
    assert responses.to_chat(request(), items.completed("hi")) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
    }


def test_allowed_tools_leave_the_others_out() -> None:
    """A choice among allowed tools shows the model those alone."""
    other = {**TOOL, "name": "other"}
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "other"}]}
    body = responses.to_chat(request(tools=[TOOL, other], tool_choice=choice), items.completed("hi"))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["other"]
    assert body["tool_choice"] == "required"


def test_items_become_messages() -> None:
    """Parts, images, calls and their outputs become the messages that chat has for them, in order."""
    given_items = [
        {"role": "developer", "content": "Rules."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is it?"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait."}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [
                {"type": "input_text", "text": "seen"},
                {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
            ],
        },
        {"type": "function_call_output", "call_id": "c2", "output": "2"},
        {"role": "user", "content": "And?"},
    ]
    found = items.completed(given_items)
    items.check_calls(found)
    assert items.to_messages(found) == [
        {"role": "system", "content": "Rules."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "auto"}},
            ],
        },
        {
            "role": "assistant",
            "content": "Wait.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "seen"},
        {"role": "tool", "tool_call_id": "c2", "content": "2"},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}}],
        },
        {"role": "user", "content": "And?"},
    ]
    for item in items.numbered(found, "resp_01abc"):
        ITEM.validate_python(item)
        assert items.owner(item["id"]) == "resp_01abc"


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ([{"type": "web_search_call"}], "input[0]"),
        ([{"role": "ghost", "content": "x"}], "input[0].role"),
        ([{"role": "user", "content": 3}], "input[0].content"),
        ([{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}], "input[0].content[0]"),
        ([{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}], "input[0].content[0]"),
        ([{"type": "function_call", "call_id": "c", "name": "f"}], "input[0].arguments"),
        ([{"type": "function_call_output", "call_id": "c", "output": "x"}], "input"),
        ([{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}], "input"),
    ],
)
def test_items_that_cannot_be_answered_are_named(wrong: list[dict], param: str) -> None:
    """What is wrong with an input is told with its place."""
    with pytest.raises(BadRequest) as caught:
        items.check_calls(items.completed(wrong))
    assert caught.value.param == param


@pytest.mark.parametrize(
    "wrong",
    [
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "function"}]},
        {"background": True},
        {"conversation": "conv_1"},
        {"prompt": {"id": "p"}},
        {"tool_choice": "maybe"},
        {"tool_choice": {"type": "function", "name": "nobody"}},
        {"tool_choice": "required"},
        {"text": {"format": {"type": "grammar"}}},
        {"text": {"format": {"type": "json_schema", "name": "s"}}},
        {"input": []},
    ],
)
def test_what_is_not_served_is_refused_by_name(wrong: dict) -> None:
    """Built-in tools, background and the like are client errors that say which field it is."""
    with pytest.raises(BadRequest) as caught:
        asked(request(**wrong))
    assert caught.value.param.split("[")[0].split(".")[0] == next(iter(wrong))


def test_a_whole_answer_is_a_response_of_the_client() -> None:
    """Text, calls, limits and usage are where the client's types have them, and ids belong together."""
    said = {"content": "Let me look.", "tool_calls": [call(0, "{}", id="c1", name="weather")["tool_calls"][0]]}
    found = responses.from_chat(request(tools=[TOOL], metadata={"k": "v"}), answer(said, "tool_calls"))
    parsed = Response.model_validate(found, strict=True)
    assert (parsed.output_text, parsed.status, parsed.metadata) == ("Let me look.", "completed", {"k": "v"})
    assert [item.type for item in parsed.output] == ["message", "function_call"]
    assert parsed.output[1].call_id == "c1"
    assert (parsed.usage.input_tokens, parsed.usage.input_tokens_details.cached_tokens) == (11, 4)
    assert parsed.usage.total_tokens == 18
    assert {items.owner(item.id) for item in parsed.output} == {parsed.id} == {"resp_01abc"}
    short = Response.model_validate(responses.from_chat(request(), answer({"content": "Le"}, "length")))
    assert (short.status, short.incomplete_details.reason) == ("incomplete", "max_output_tokens")


PIECES = st.lists(st.text(min_size=1, max_size=6), max_size=5)


@settings(max_examples=40, deadline=None)
@given(text=PIECES, refused=PIECES, calls=st.lists(PIECES, max_size=3), cut=st.booleans())
def test_a_stream_says_what_the_whole_answer_says(
    text: list[str], refused: list[str], calls: list[list[str]], cut: bool
) -> None:
    """Whatever pieces come: events are the client's, numbered, and end in the response that a plain call gives."""
    finish = "length" if cut else "stop"
    deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in text)]
    deltas += [{"refusal": piece} for piece in refused]
    for index, pieces in enumerate(calls):
        deltas.append(call(index, "", id=f"c{index}", name="weather"))
        deltas += [call(index, piece) for piece in pieces]
    stream, events = streamed([*map(chunk, deltas), chunk({}, finish)], tools=[TOOL])
    for event in events:
        EVENT.validate_python(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1]["type"] == ("response.incomplete" if cut else "response.completed")
    whole: dict = {"content": "".join(text) or None, "refusal": "".join(refused) or None}
    whole["tool_calls"] = [
        {"id": f"c{index}", "function": {"name": "weather", "arguments": "".join(pieces)}}
        for index, pieces in enumerate(calls)
    ]
    expected = responses.from_chat(request(tools=[TOOL]), answer(whole, finish))
    assert events[-1]["response"] == stream.response == expected


def test_the_events_of_a_message_and_a_call_come_in_their_order() -> None:
    """The order is the real API's: an item is added, said and done before the next one."""
    chunks = [chunk({"content": "Hi"}), chunk(call(0, "", id="c", name="weather")), chunk(call(0, "{}"), "tool_calls")]
    _, events = streamed(chunks, tools=[TOOL])
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]


def test_a_refusal_is_streamed_as_one() -> None:
    """A refusal has events and a part of its own, and is no text."""
    stream, events = streamed([chunk({"refusal": "I can"}), chunk({"refusal": "not."}, "stop")])
    assert [event["type"] for event in events if "refusal" in event["type"]] == [
        "response.refusal.delta",
        "response.refusal.delta",
        "response.refusal.done",
    ]
    parsed = Response.model_validate(stream.response)
    assert parsed.output_text == ""
    assert [part.model_dump() for part in parsed.output[0].content] == [{"type": "refusal", "refusal": "I cannot."}]


def test_log_probabilities_are_told_in_the_stream_and_in_the_end() -> None:
    """Tokens come with every piece, and all of them with the finished text."""
    token = {"token": "费", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "收", "logprob": -1.0}]}
    piece = chunk({"content": "费"})
    piece["choices"][0]["logprobs"] = {"content": [token]}
    stream, events = streamed([piece, chunk({}, "stop")], include=["message.output_text.logprobs"])
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert deltas[0]["logprobs"][0]["top_logprobs"] == [{"token": "收", "logprob": -1.0}]
    kept = Response.model_validate(stream.response).output[0].content[0].logprobs
    assert kept[0].bytes == list("费".encode())


@pytest.mark.parametrize(
    ("error", "code"), [(EngineDown("It stopped."), "server_error"), (RateLimited("Too much."), "rate_limit_exceeded")]
)
def test_a_stream_that_breaks_off_ends_in_a_failed_response(error: Any, code: str) -> None:
    """The last event names the error and keeps its number."""
    stream = ResponseStream(request(), chunk({}))
    events = [*stream.begin(), *stream.feed(chunk({"content": "Hal"})), *stream.fail(error)]
    last = EVENT.validate_python(events[-1])
    assert (last.type, last.response.status, last.response.error.code) == ("response.failed", "failed", code)
    assert last.sequence_number == len(events) - 1


def test_calls_whose_arguments_are_mixed_are_an_error_rather_than_lost() -> None:
    """A piece of a call that was closed cannot be told any more; the stream says so."""
    stream = ResponseStream(request(tools=[TOOL]), chunk({}))
    stream.feed(chunk(call(0, "{", id="a", name="weather")))
    stream.feed(chunk(call(1, "{", id="b", name="weather")))
    with pytest.raises(UpstreamError, match="mixed"):
        stream.feed(chunk(call(0, "}")))


def test_the_oldest_messages_go_first_and_calls_go_with_their_answers() -> None:
    """What truncation leaves keeps the rules, the last message, and no answer of a tool without its call."""
    talk = [{"role": "system", "content": "s"}]
    for number in range(3):
        talk.append({"role": "user", "content": str(number)})
        talk.append({"role": "assistant", "content": None, "tool_calls": [{"id": f"c{number}"}]})
        talk.append({"role": "tool", "tool_call_id": f"c{number}", "content": "x"})
    talk.append({"role": "user", "content": "last"})
    left = talk
    while len(shorter := items.without_oldest(left)) < len(left):
        assert shorter[0] == talk[0]
        assert shorter[-1] == talk[-1]
        assert shorter[1]["role"] != "tool"
        left = shorter
    assert left == [talk[0], talk[-1]]


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
WORDS = [
    "type",
    "role",
    "content",
    "text",
    "id",
    "call_id",
    "name",
    "arguments",
    "output",
    "tools",
    "mode",
    "image_url",
]
KINDS = ["message", "function_call", "function_call_output", "item_reference", "reasoning", "user", "input_text"]
KINDS += ["input_image", "output_text", "refusal", "function", "allowed_tools", "json_schema", "assistant"]
ANY = st.recursive(
    SCALARS | st.sampled_from(KINDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(WORDS), ANY, max_size=6)


@settings(max_examples=50, deadline=None)
@given(inputs=st.lists(OBJECTS, max_size=3), tools=st.lists(OBJECTS, max_size=2), choice=OBJECTS, form=OBJECTS)
def test_whatever_is_sent_is_translated_or_refused(inputs: Any, tools: Any, choice: Any, form: Any) -> None:
    """No combination of fields makes any error but ours, and what is accepted can be shown again."""
    for fields in ({"input": inputs}, {"tools": [*tools, TOOL], "tool_choice": choice}, {"text": {"format": form}}):
        wanted = request(**fields)
        try:
            asked(wanted)
            items.check_calls(items.completed(wanted.input))
        except BadRequest:
            continue
        Response.model_validate(responses.from_chat(wanted, answer({"content": "x"})))
