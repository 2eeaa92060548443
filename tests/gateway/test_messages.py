"""Anthropic's messages API through its official client: answers, streams, errors in its own shape."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from feilun.records import Trace
from feilun.store import traces

BASE = "smollm2-135m-instruct"
ASK: Any = [{"role": "user", "content": "What is the fee?"}]


def kept(gateway: Any, trace_id: str) -> Trace:
    """Return a trace, once what was logged has become rows."""
    asyncio.run_coroutine_threadsafe(gateway.state.writer.flush(), gateway.loop).result(10)
    return traces.get(gateway.db, "bank", trace_id)


@pytest.fixture
def claude(client: openai.OpenAI, gateway: Any) -> Iterator[anthropic.Anthropic]:
    """Give the official client, with its own header for the key."""
    with anthropic.Anthropic(base_url=gateway.url, api_key=client.api_key, max_retries=0) as found:
        yield found


def test_an_answer_says_what_chat_says(claude: anthropic.Anthropic, client: openai.OpenAI, gateway: Any) -> None:
    """System, messages and limits arrive; text and usage are those of chat; the trace is named."""
    raw = claude.messages.with_raw_response.create(model=BASE, max_tokens=50, system="Be brief.", messages=ASK)
    answer = raw.parse()
    whole = client.chat.completions.create(
        model=BASE, max_tokens=50, messages=[{"role": "system", "content": "Be brief."}, *ASK]
    )
    assert answer.content[0].text == whole.choices[0].message.content
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens + answer.usage.cache_read_input_tokens == whole.usage.prompt_tokens
    assert answer.usage.output_tokens == whole.usage.completion_tokens
    trace = kept(gateway, raw.headers["request-id"])
    assert (trace.answer, trace.kind) == (answer.content[0].text, "message")


def test_a_stream_adds_up_to_the_answer(claude: anthropic.Anthropic) -> None:
    """What the client accumulates from events is what a plain call gives, but for its id."""
    whole = claude.messages.create(model=BASE, max_tokens=50, messages=ASK)
    with claude.messages.stream(model=BASE, max_tokens=50, messages=ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert (final.stop_reason, final.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)
    assert final.usage.input_tokens == whole.usage.input_tokens


def test_errors_are_named(claude: anthropic.Anthropic, gateway: Any) -> None:
    """A wrong request and a wrong key are answered with an id that the official client finds."""
    with pytest.raises(anthropic.BadRequestError) as wrong:
        claude.messages.create(model=BASE, max_tokens=5, messages=[{"role": "user", "content": [{"type": "odd"}]}])
    with (
        anthropic.Anthropic(base_url=gateway.url, api_key="fl-wrong", max_retries=0) as stranger,
        pytest.raises(anthropic.AuthenticationError) as unknown,
    ):
        stranger.messages.create(model=BASE, max_tokens=5, messages=ASK)
    assert all((each.value.request_id or "").startswith("req_") for each in (wrong, unknown))
    with pytest.raises(openai.NotFoundError) as missing:
        gateway.openai(gateway.key()).chat.completions.create(model="nowhere", messages=ASK)
    assert (missing.value.request_id or "").startswith("req_")


def test_a_limit_on_the_answer_is_told(claude: anthropic.Anthropic) -> None:
    """An answer that was cut says so."""
    answer = claude.messages.create(model=BASE, max_tokens=2, messages=ASK)
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 2)


@pytest.mark.parametrize(
    ("wrong", "status", "kind"),
    [
        ({"model": "claude-9"}, 404, "not_found_error"),
        ({"max_tokens": 0}, 400, "invalid_request_error"),
        ({"messages": []}, 400, "invalid_request_error"),
        ({"messages": [*ASK, {"role": "assistant", "content": "It"}]}, 400, "invalid_request_error"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, 400, "invalid_request_error"),
        ({"stream": True, "model": "claude-9"}, 404, "not_found_error"),
    ],
)
def test_errors_have_the_shape_of_this_api(claude: anthropic.Anthropic, wrong: dict, status: int, kind: str) -> None:
    """The client reads our errors as it reads its own server's."""
    with pytest.raises(anthropic.APIStatusError) as caught:
        claude.messages.create(**{"model": BASE, "max_tokens": 9, "messages": ASK, **wrong})
    assert caught.value.status_code == status
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["type"] == kind


def test_a_body_that_is_no_json_is_told_in_its_shape(client: openai.OpenAI, gateway: Any) -> None:
    """Garbage is an error of this API too."""
    http: httpx.Client = gateway.http(client.api_key)
    answer = http.post("/v1/messages", content=b"{")
    assert (answer.status_code, answer.json()["type"]) == (400, "error")


def test_tokens_are_counted_as_the_engine_counts(claude: anthropic.Anthropic) -> None:
    """The count before a call is what the call then costs."""
    counted = claude.messages.count_tokens(model=BASE, system="Be brief.", messages=ASK)
    answer = claude.messages.create(model=BASE, max_tokens=5, system="Be brief.", messages=ASK)
    assert counted.input_tokens == answer.usage.input_tokens + answer.usage.cache_read_input_tokens
