"""Anthropic's messages by its own clients against the embedded model."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from tests.scenarios.service import BASE, Service, pieces, said, whole
from tests.scenarios.test_tools import WEATHER, Weather

pytestmark = pytest.mark.model
PARIS: Any = [{"role": "user", "content": "What is the capital of France?"}]
TOOL: Any = {
    "name": "get_weather",
    "description": "Get the weather of a city",
    "input_schema": WEATHER["function"]["parameters"],
}


async def test_whole(claude: Any) -> None:
    """A whole message is right and counted exactly as it was counted beforehand."""
    wanted: dict[str, Any] = {"model": BASE, "messages": PARIS, "system": "You are a helpful AI assistant."}
    counted = await said(claude.messages.count_tokens(**wanted))
    message = await said(claude.messages.create(**wanted, max_tokens=16))
    assert "Paris" in message.content[0].text
    assert message.stop_reason in {"end_turn", "max_tokens"}
    usage = message.usage
    assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == counted.input_tokens
    assert 0 < usage.output_tokens <= 16


async def test_streamed(claude: Any) -> None:
    """The pieces of a stream are the whole message, by plain events and by the client's helper."""
    wanted: dict[str, Any] = {"model": BASE, "messages": PARIS, "max_tokens": 12}
    message = await said(claude.messages.create(**wanted))
    events = await pieces(claude.messages.create(**wanted, stream=True))
    assert events[0].type == "message_start"
    assert events[-1].type == "message_stop"
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert text == message.content[0].text
    _, final = await whole(claude.messages.stream(**wanted), lambda stream: stream.get_final_message())
    assert final.content[0].text == text
    assert final.stop_reason == message.stop_reason
    assert final.usage.output_tokens == message.usage.output_tokens


async def test_stop_sequences(claude: Any) -> None:
    """A stop sequence ends the message and is named, streamed too."""
    wanted: dict[str, Any] = {"model": BASE, "messages": PARIS, "max_tokens": 16}
    wanted["stop_sequences"] = ["never said", "France"]
    message = await said(claude.messages.create(**wanted))
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "France")
    assert "France" not in message.content[0].text
    _, final = await whole(claude.messages.stream(**wanted), lambda stream: stream.get_final_message())
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", "France")


async def test_tools(claude: Any) -> None:
    """A tool that must be used is used with arguments of its schema, streamed too, and its result is answered."""
    wanted: dict[str, Any] = {"model": BASE, "tools": [TOOL], "max_tokens": 60}
    asked: Any = [{"role": "user", "content": "What is the weather in Oslo?"}]
    forced = {"tool_choice": {"type": "tool", "name": "get_weather"}}
    message = await said(claude.messages.create(messages=asked, **forced, **wanted))
    used = next(block for block in message.content if block.type == "tool_use")
    Weather.model_validate(used.input)
    assert message.stop_reason == "tool_use"
    helper = claude.messages.stream(messages=asked, **forced, **wanted)
    _, final = await whole(helper, lambda stream: stream.get_final_message())
    assert next(block.input for block in final.content if block.type == "tool_use") == used.input
    result = {"type": "tool_result", "tool_use_id": used.id, "content": "It snows."}
    messages = [*asked, {"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    after = await said(claude.messages.create(messages=messages, **wanted | {"max_tokens": 8}))
    assert after.content


async def test_errors(claude: Any, service: Service) -> None:
    """Mistakes are the client's own exceptions."""
    with pytest.raises(anthropic.NotFoundError):
        await said(claude.messages.create(model="no-such-model", messages=PARIS, max_tokens=4))
    with pytest.raises(anthropic.BadRequestError):
        await said(claude.messages.create(model=BASE, messages=PARIS, max_tokens=4, extra_body={"temperature": -1}))
    long = [{"role": "user", "content": "word " * 3000}]
    with pytest.raises(anthropic.BadRequestError):
        await said(claude.messages.create(model=BASE, messages=long, max_tokens=4))
    stranger = type(claude)(base_url=service.url, api_key="fl-wrong", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError):
        await said(stranger.messages.create(model=BASE, messages=PARIS, max_tokens=4))
    await said(stranger.close())
