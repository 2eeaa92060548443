"""Chat in front of providers that speak Anthropic's API: what they are sent, and whatever they send back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import convert
from tests.gateway.blocks import ASK, OBJECTS, use

from feilun.errors import BadRequest, FeilunError, RateLimited, UpstreamError
from feilun.gateway.surface.anthropic_out import FromAnthropicStream, from_anthropic, to_anthropic
from feilun.gateway.surface.messages import to_chat
from feilun.gateway.surface.requests import MessagesRequest


def test_requests_to_a_provider_have_its_names() -> None:
    """Options of chat arrive at a provider under its names, bounded as it bounds them."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    sent = to_anthropic(
        {
            "model": "m",
            "messages": ASK,
            "temperature": 1.5,
            "stop": "END",
            "user": "u",
            "stream": True,
            "seed": 3,
            "tools": [tool],
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "array"}}},
        }
    )
    assert sent == {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
        "max_tokens": 4096,
        "temperature": 1.0,
        "stop_sequences": ["END"],
        "stream": True,
        "metadata": {"user_id": "u"},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "array"}}},
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 2},
        {"logprobs": True},
        {"logit_bias": {"1": 2}},
        {"response_format": {"type": "json_object"}},
        {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        {"messages": ["x"]},
        {"messages": [{"role": "assistant", "tool_calls": [use("t", "f", "[")]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x,y"}}]}]},
        {"tools": [{"type": "function"}]},
    ],
)
def test_what_a_provider_cannot_do_is_refused(wrong: dict) -> None:
    """Options without a word there, and bodies that are no chat, are client errors and not sent."""
    with pytest.raises(BadRequest):
        to_anthropic({"model": "m", "messages": ASK, **wrong})


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "m"}}, RateLimited),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, UpstreamError),
        ({"type": "error"}, UpstreamError),
        ({"type": "content_block_delta"}, UpstreamError),
        ({"type": "message_start", "message": 3}, UpstreamError),
    ],
)
def test_errors_and_garbage_of_a_provider_are_told(event: dict, kind: type[FeilunError]) -> None:
    """A provider's error event and an event that is none raise errors of ours."""
    with pytest.raises(kind):
        FromAnthropicStream().feed(event)


def test_a_call_without_arguments_is_still_an_object() -> None:
    """A provider that sends no arguments means none; chat's clients parse what they get."""
    outbound = FromAnthropicStream()
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    message = {"id": "m", "model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}
    outbound.feed({"type": "message_start", "message": message})
    outbound.feed({"type": "content_block_start", "index": 0, "content_block": block})
    last = outbound.feed({"type": "content_block_stop", "index": 0})
    assert last[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == "{}"


@settings(max_examples=50, deadline=None)
@given(
    event=OBJECTS,
    kind=st.sampled_from(["message_start", "content_block_start", "content_block_delta", "message_delta"]),
)
def test_whatever_a_provider_sends_is_read_or_told(event: Any, kind: str) -> None:
    """No event or answer of a provider makes any error but ours."""
    for read in (FromAnthropicStream().feed, from_anthropic):
        try:
            read({**event, "type": kind})
        except FeilunError:
            continue


def test_a_provider_of_the_same_api_is_sent_what_was_asked() -> None:
    """Thoughts, marks of caches, top_k and failed tools go on as they are; the model and the bounds are ours."""
    mark = {"cache_control": {"type": "ephemeral"}}
    asked = {
        "system": [{"type": "text", "text": "S", **mark}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "top_k": 3,
        "tools": [{"name": "weather", "input_schema": {"type": "object"}, **mark}],
        "messages": [
            *ASK,
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "tool_use", "id": "t", "name": "weather", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t", "content": "no", "is_error": True, **mark}],
            },
        ],
    }
    body = to_chat(convert({"model": "m", **asked, "stream": True, "max_tokens": 2000}, MessagesRequest))
    sent = to_anthropic({**body, "model": "theirs", "max_completion_tokens": 50, "stream": True})
    assert sent == {**asked, "model": "theirs", "max_tokens": 50, "stream": True}
