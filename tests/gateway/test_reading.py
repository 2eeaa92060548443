"""What an upstream says is read while it passes: names become ours, the end is held back, garbage is found."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.errors import UpstreamError
from feilun.gateway.hotpath.calls import Call, read
from feilun.gateway.hotpath.reading import Reading
from feilun.records import JSON, Key, Usage

KEY = Key("key-1", "bank", "k", "owner", "", "")


def call(**more: object) -> Call:
    """Return a streamed chat."""
    body: JSON = {"model": "help", "stream": True, "messages": [{"role": "user", "content": "Hi"}], **more}
    return read(KEY, "chat", "/v1/chat/completions", body, {})


def event(choices: list[JSON], **more: object) -> bytes:
    """Return an event as a provider sends it."""
    return f"data: {json.dumps({'id': 'up-1', 'model': 'gpt', 'choices': choices, **more})}\n\n".encode()


def piece(text: str, index: int = 0, finish: str | None = None) -> JSON:
    """Return a choice of a chunk."""
    return {"index": index, "delta": {"content": text}, "finish_reason": finish}


STREAM = (
    event([piece("Hel")])
    + event([piece("lo “世界”")])
    + event([piece("", finish="stop")])
    + event([], usage={"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}})
    + b"data: [DONE]\n\n"
)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_however_the_bytes_are_cut_the_same_is_read(cuts: list[int]) -> None:
    """Text, usage, what is sent at once and what is held back do not depend on how the network cuts the stream."""
    one = call()
    reading, sent, at = Reading(one, "openai"), b"", 0
    for cut in [*cuts, len(STREAM)]:
        sent += reading.feed(STREAM[at : at + cut])
        at += cut
    assert "".join(reading.said[0].parts) == "Hello “世界”"
    assert reading.count() == Usage(7, 3, 2)
    assert reading.complete
    assert not reading.estimated
    held = reading.end()
    assert b'"finish_reason": "stop"' in held
    assert held.endswith(b"data: [DONE]\n\n")
    assert b'"usage"' not in sent + held
    assert sent.count(b"data: ") == 2
    for line in (sent + held).split(b"\n\n")[:-2]:
        chunk = json.loads(line.removeprefix(b"data: "))
        assert (chunk["id"], chunk["model"]) == (one.id, "help")


TEXTS = st.sampled_from(["a", "嗨", "", "\n\n", '"q"', "\\", "data: x\n\n", "z" * 30])


@given(st.lists(TEXTS, max_size=40), st.lists(st.integers(0, 8000), max_size=20), st.integers(1, 30), st.booleans())
def test_pieces_that_are_told_change_nothing(texts: list[str], cuts: list[int], most: int, early: bool) -> None:
    """Whether an upstream sends event by event or cuts anywhere: what is read of its pieces is what is read without."""
    events = [event([piece(text)]) for text in texts] + [STREAM]
    events.insert(1 if early else len(texts), b": ping\n\n")
    whole = b"".join(events)
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    told = []
    for pieces in ([whole], events, [whole[begin:end] for begin, end in pairwise(places)]):
        one = call()
        one.id = "trace-1"
        reading, sent = Reading(one, "openai"), b""
        for at in range(0, len(pieces), most):
            part = pieces[at : at + most]
            sent += reading.feed(b"".join(part), part if len(pieces) > 1 else ())
        told.append((sent, reading.end(), "".join(reading.said[0].parts), reading.count(), reading.complete))
    assert told[0] == told[1] == told[2]


def test_usage_passes_when_it_was_asked_for() -> None:
    """A client that asked for usage gets the chunk that carries it."""
    reading = Reading(call(stream_options={"include_usage": True}), "openai")
    reading.feed(STREAM)
    assert b'"usage"' in reading.end()


def test_a_stream_that_ends_early_is_counted_as_far_as_the_engine_told() -> None:
    """An engine of ours tells its running count with every event; a provider's pieces are counted, and marked so."""
    ours = Reading(call(), "local")
    ours.feed(b"id: 9-1-4\n" + event([piece("a")]) + b"id: 9-2-4\n" + event([piece("b")]))
    assert ours.count() == Usage(9, 2, 4)
    assert not ours.estimated
    theirs = Reading(call(), "openai")
    theirs.feed(event([piece("a")]) + event([piece("b")]))
    assert theirs.count() == Usage(0, 2)
    assert theirs.estimated
    assert not theirs.complete


@pytest.mark.parametrize("garbage", [b"data: {no}\n\n", b"data: [1]\n\n", b'data: "x"\n\n', b"data: \xff\xfe\n\n"])
def test_garbage_is_an_error_and_goes_to_no_client(garbage: bytes) -> None:
    """What is no chunk is refused, not passed on."""
    reading = Reading(call(), "openai")
    with pytest.raises(UpstreamError, match="no answer"):
        reading.feed(garbage)


def test_an_error_event_is_an_error() -> None:
    """An upstream that says in its stream that it failed has failed."""
    reading = Reading(call(), "openai")
    with pytest.raises(UpstreamError, match="overloaded"):
        reading.feed(b'data: {"error": {"message": "overloaded", "code": "busy"}}\n\n')


def test_tool_calls_are_put_together() -> None:
    """Names and arguments that come in pieces make whole calls in the trace."""
    reading = Reading(call(), "openai")
    for tool in (
        {"index": 0, "id": "call_1", "function": {"name": "rate", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"of":'}},
        {"index": 0, "function": {"arguments": '"loan"}'}},
        {"index": 1, "id": "call_2", "function": {"name": "stop", "arguments": "{}"}},
    ):
        reading.feed(event([{"index": 0, "delta": {"tool_calls": [tool]}, "finish_reason": None}]))
    assert reading.said[0].tools == {
        0: {"id": "call_1", "name": "rate", "arguments": '{"of":"loan"}'},
        1: {"id": "call_2", "name": "stop", "arguments": "{}"},
    }


TWO: list[Any] = [{"id": f"call_{n}", "type": "function", "function": {"name": n, "arguments": f'"{n}"'}} for n in "fg"]
SAME = {0: {"id": "call_f", "name": "f", "arguments": '"f"'}, 1: {"id": "call_g", "name": "g", "arguments": '"g"'}}


def test_calls_without_an_index_stay_apart() -> None:
    """In a whole answer, where they have none, and in a stream of a provider that leaves it out."""
    whole, stream = Reading(call(stream=False), "local"), Reading(call(), "openai")
    message = {"role": "assistant", "content": None, "tool_calls": TWO}
    whole.whole(json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}).encode())
    for tool in TWO:
        begun = {**tool, "function": {**tool["function"], "arguments": ""}}
        for part in (begun, {"function": {"arguments": tool["function"]["arguments"]}}):
            stream.feed(event([{"index": 0, "delta": {"tool_calls": [part]}, "finish_reason": None}]))
    assert whole.said[0].tools == stream.said[0].tools == SAME


def test_a_whole_answer_gets_our_names_and_nothing_else_changes() -> None:
    """Only id and model are replaced, also where the text quotes them."""
    one = call(stream=False)
    body = {
        "id": "up-1",
        "model": "gpt",
        "choices": [{"index": 0, "message": {"content": 'the "id":"up-1" of "gpt"'}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 4},
    }
    reading = Reading(one, "openai")
    found = json.loads(reading.whole(json.dumps(body).encode()))
    assert found == {**body, "id": one.id, "model": "help"}
    assert reading.count() == Usage(5, 4)
