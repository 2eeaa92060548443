"""Calls of functions and structured output: what the model says is what the schemas permit."""

from __future__ import annotations

import json
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel
from tests.scenarios.service import BASE, pieces, said, whole

pytestmark = pytest.mark.model
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "enum": ["Paris", "Oslo", "Lagos"]},
                "unit": {"type": "string", "enum": ["c", "f"]},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
TIME: Any = {
    "type": "function",
    "function": {
        "name": "get_time",
        "parameters": {
            "type": "object",
            "properties": {"zone": {"type": "integer", "minimum": -12, "maximum": 14}},
            "required": ["zone"],
            "additionalProperties": False,
        },
    },
}
ASKED: Any = [{"role": "user", "content": "What is the weather in Oslo?"}]


class Weather(BaseModel):
    """Arguments of the weather tool."""

    city: Literal["Paris", "Oslo", "Lagos"]
    unit: Literal["c", "f"]


class Time(BaseModel):
    """Arguments of the time tool."""

    zone: int


class Person(BaseModel):
    """What a structured answer holds."""

    kind: Literal["cat", "dog"]
    age: int
    tame: bool


def check(call: Any) -> None:
    """Check that a call's arguments are those of its tool."""
    shape = {"get_weather": Weather, "get_time": Time}[call.function.name]
    shape.model_validate_json(call.function.arguments)


async def test_forced(client: Any) -> None:
    """A tool that is named is called, whole and streamed alike."""
    named = {"type": "function", "function": {"name": "get_weather"}}
    wanted: dict[str, Any] = {"model": BASE, "messages": ASKED, "tools": [WEATHER, TIME], "tool_choice": named}
    wanted |= {"max_tokens": 60, "temperature": 0}
    answer = await said(client.chat.completions.create(**wanted))
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    check(call)
    chunks = await pieces(client.chat.completions.create(**wanted, stream=True))
    deltas = [part for chunk in chunks for part in chunk.choices[0].delta.tool_calls or []]
    assert deltas[0].function.name == "get_weather"
    assert deltas[0].id
    assert "".join(part.function.arguments or "" for part in deltas) == call.function.arguments
    assert len(deltas) > 2


async def test_required_and_answered(client: Any) -> None:
    """One of the tools is called when one must be; its result leads to a text."""
    wanted: dict[str, Any] = {"model": BASE, "tools": [WEATHER, TIME], "max_tokens": 80, "temperature": 0}
    answer = await said(
        client.chat.completions.create(messages=ASKED, tool_choice="required", parallel_tool_calls=False, **wanted)
    )
    (call,) = answer.choices[0].message.tool_calls
    check(call)
    assert answer.choices[0].finish_reason == "tool_calls"
    results = [{"role": "tool", "tool_call_id": call.id, "content": "It is 3 degrees and snowing."}]
    messages = [*ASKED, answer.choices[0].message.model_dump(exclude_none=True), *results]
    after = await said(
        client.chat.completions.create(messages=messages, tool_choice="none", **wanted | {"max_tokens": 8})
    )
    assert after.choices[0].message.content
    assert after.choices[0].message.tool_calls is None


async def test_auto_and_parallel(client: Any) -> None:
    """Where the model may choose, both a text and calls are whole; several calls have ids of their own."""
    wanted: dict[str, Any] = {"model": BASE, "messages": ASKED, "tools": [WEATHER, TIME], "max_tokens": 24}
    answer = await said(client.chat.completions.create(**wanted, temperature=0))
    message = answer.choices[0].message
    assert message.content or message.tool_calls
    many = await said(
        client.chat.completions.create(
            **wanted, tool_choice="required", parallel_tool_calls=True, temperature=1.3, seed=5, n=2
        )
    )
    for choice in many.choices:
        calls = choice.message.tool_calls
        assert calls
        assert len({call.id for call in calls}) == len(calls)
        if choice.finish_reason == "tool_calls":
            for call in calls:
                check(call)


async def test_json_object(client: Any) -> None:
    """An answer that must be JSON is an object, or was cut short."""
    answer = await said(
        client.chat.completions.create(
            model=BASE,
            messages=[{"role": "user", "content": 'Answer with {"capital": "..."} for France, in JSON.'}],
            response_format={"type": "json_object"},
            max_tokens=48,
            temperature=0,
        )
    )
    text = answer.choices[0].message.content
    assert text.lstrip().startswith("{")
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(text), dict)


async def test_parse(client: Any) -> None:
    """The client's own parser gets the object that its class describes, whole and by its stream helper."""
    wanted: dict[str, Any] = {"model": BASE, "messages": [{"role": "user", "content": "Describe my old tame cat."}]}
    wanted |= {"response_format": Person, "max_tokens": 60, "temperature": 0}
    parsed = (await said(client.chat.completions.parse(**wanted))).choices[0].message.parsed
    assert isinstance(parsed, Person)
    _, final = await whole(client.chat.completions.stream(**wanted), lambda stream: stream.get_final_completion())
    assert final.choices[0].message.parsed == parsed


async def test_parsed_tools(client: Any) -> None:
    """The client's own parser gets the arguments that a tool's class describes."""
    tool = openai.pydantic_function_tool(Weather, name="get_weather")
    parsed = await said(
        client.chat.completions.parse(
            model=BASE, messages=ASKED, tools=[tool], tool_choice="required", parallel_tool_calls=False, max_tokens=60
        )
    )
    (call,) = parsed.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, Weather)


async def test_wrong_schema(client: Any) -> None:
    """A schema that is none is refused, and the place named."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"type": "nothing"}}}
    with pytest.raises(openai.BadRequestError) as refused:
        await said(client.chat.completions.create(model=BASE, messages=ASKED, response_format=form, max_tokens=4))
    assert "response_format" in str(refused.value.param)
