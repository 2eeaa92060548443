"""The responses API by OpenAI's own clients: kept, continued, streamed, with tools and structured."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from tests.scenarios.service import BASE, pieces, said, whole
from tests.scenarios.test_tools import WEATHER, Person, Weather

pytestmark = pytest.mark.model
TOOL: Any = {"type": "function", **WEATHER["function"]}


async def test_kept_and_continued(client: Any) -> None:
    """A response is found again by its id; the next one goes on from it; deleted, it is gone."""
    first = await said(client.responses.create(model=BASE, input="My cat is called Miso.", max_output_tokens=16))
    assert first.output_text
    found = await said(client.responses.retrieve(first.id))
    assert found.output_text == first.output_text
    second = await said(
        client.responses.create(
            model=BASE,
            input="What is my cat called?",
            previous_response_id=first.id,
            max_output_tokens=16,
            temperature=0,
        )
    )
    assert "Miso" in second.output_text
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens > first.usage.input_tokens
    items = await pieces(client.responses.input_items.list(second.id, order="asc"))
    assert [item.role for item in items] == ["user", "assistant", "user"]
    await said(client.responses.delete(first.id))
    with pytest.raises(openai.NotFoundError):
        await said(client.responses.retrieve(first.id))


async def test_not_kept(client: Any) -> None:
    """A response that is not to be kept cannot be found."""
    made = await said(client.responses.create(model=BASE, input="Hello", store=False, max_output_tokens=16))
    with pytest.raises(openai.NotFoundError):
        await said(client.responses.retrieve(made.id))


async def test_streamed(client: Any) -> None:
    """Events come in their order, are numbered without a gap, and their pieces are the text at the end."""
    events = await pieces(
        client.responses.create(
            model=BASE,
            instructions="Be brief.",
            input="What is the capital of France?",
            max_output_tokens=16,
            stream=True,
        )
    )
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] in {"response.completed", "response.incomplete"}
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text
    assert events[-1].response.usage.output_tokens <= 16


async def test_tools(client: Any) -> None:
    """A forced call is an item, its arguments those of the schema; its result is answered."""
    wanted: dict[str, Any] = {"model": BASE, "tools": [TOOL], "max_output_tokens": 60, "temperature": 0}
    choice = {"type": "function", "name": "get_weather"}
    made = await said(client.responses.create(input="The weather in Oslo?", tool_choice=choice, **wanted))
    call = next(item for item in made.output if item.type == "function_call")
    Weather.model_validate_json(call.arguments)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "It snows."}
    after = await said(
        client.responses.create(
            input=[result], previous_response_id=made.id, tool_choice="none", **wanted | {"max_output_tokens": 16}
        )
    )
    assert after.output_text
    events = await pieces(
        client.responses.create(input="The weather in Oslo?", tool_choice=choice, stream=True, **wanted)
    )
    done = next(event for event in events if event.type == "response.function_call_arguments.done")
    assert done.arguments == call.arguments


async def test_structured(client: Any) -> None:
    """The client's parser gets its class, whole and streamed."""
    wanted: dict[str, Any] = {"model": BASE, "input": "Describe my old tame cat.", "text_format": Person}
    wanted |= {"max_output_tokens": 60, "temperature": 0}
    made = await said(client.responses.parse(**wanted))
    assert isinstance(made.output_parsed, Person)
    _, final = await whole(client.responses.stream(**wanted), lambda stream: stream.get_final_response())
    assert final.output_parsed == made.output_parsed


async def test_counted(client: Any) -> None:
    """The tokens of an input are counted as the call then counts them."""
    counted = await said(client.responses.input_tokens.count(model=BASE, input="What is the capital of France?"))
    made = await said(client.responses.create(model=BASE, input="What is the capital of France?", max_output_tokens=16))
    assert counted.input_tokens == made.usage.input_tokens
