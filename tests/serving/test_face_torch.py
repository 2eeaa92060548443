"""The face before the torch engine: the words of a tiny model mean nothing; its counts and shapes must be right."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.models import tiny_model
from tests.serving.conftest import House
from tests.serving.faces import Up, up

from feilun.engines.batch import Batcher
from feilun.engines.grammar import Grammars
from feilun.engines.identity import adapter_identity, base_identity
from feilun.serving.local import BatchEngine

SAY: list[Any] = [{"role": "user", "content": "What is the rate?"}]


@pytest.fixture(scope="module")
def roomy(house: House) -> Path:
    """Return the folder of a tiny model with room for tools in its prompt; adapters of the other one fit it."""
    return tiny_model(house.root / "tiny-roomy", max_position_embeddings=2048)


@pytest_asyncio.fixture
async def here(house: House, roomy: Path) -> AsyncIterator[Up]:
    """Give a face before a tiny model that is loaded as ``base`` and, with an adapter, as ``red``."""
    folder = roomy
    engine = BatchEngine(folder, Batcher(folder, 4, 2048, Grammars))
    async with up(engine, engine.batcher.context, str(folder)) as found:
        loaded = (await found.post("/load", {"model": "base", "folder": str(folder)})).json()
        assert loaded["identity"] == base_identity(folder)
        assert "<|im_start|>" in loaded["template"]
        red = (await found.post("/load", {"model": "red", "adapter": house.red.folder})).json()
        assert red["identity"] == adapter_identity(base_identity(folder), Path(house.red.folder))
        yield found
    await engine.close()


def counts(here: Up) -> dict[str, int]:
    """Return what the engine itself counted."""
    assert isinstance(here.face.engine, BatchEngine)
    return here.face.engine.batcher.counts


async def test_answers_and_counts(here: Up) -> None:
    """Whole and streamed answers agree, adapters differ, and what was reported is what the engine counted."""
    wanted: dict[str, Any] = {"messages": SAY, "max_tokens": 12}
    texts = {}
    for model in ("base", "red"):
        answer = await here.client.chat.completions.create(model=model, **wanted)
        texts[model] = answer.choices[0].message.content
        streamed, usage = "", None
        async for chunk in await here.client.chat.completions.create(
            model=model, stream=True, stream_options={"include_usage": True}, **wanted
        ):
            usage = chunk.usage or usage
            streamed += "".join(choice.delta.content or "" for choice in chunk.choices)
        assert streamed == texts[model]
        assert usage is not None
        assert answer.usage is not None
        assert (usage.prompt_tokens, usage.completion_tokens) == (
            answer.usage.prompt_tokens,
            answer.usage.completion_tokens,
        )
    assert texts["base"] != texts["red"]
    assert {name: here.face.counts[name] for name in counts(here)} == counts(here)


async def test_forced_calls_and_schemas(here: Up) -> None:
    """A model without any sense still calls the tool as its schema wants, and answers in the schema."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 8}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city", "days"],
    }
    tools: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": schema}}]
    answer = await here.client.chat.completions.create(
        model="base", messages=SAY, tools=tools, tool_choice="required", parallel_tool_calls=False, max_tokens=120
    )
    assert answer.choices[0].finish_reason == "tool_calls"
    [call] = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert set(json.loads(call.function.arguments)) == {"city", "days"}
    form: Any = {"type": "json_schema", "json_schema": {"name": "w", "schema": schema}}
    formed = await here.client.chat.completions.create(
        model="base", messages=SAY, response_format=form, max_tokens=60, temperature=1.5, seed=3
    )
    assert json.loads(formed.choices[0].message.content or "")["days"] >= 1
    assert formed.choices[0].finish_reason == "stop"


async def test_log_probabilities_of_text_alone(here: Up) -> None:
    """Only tokens of the answer have log-probabilities, and their texts make it up."""
    answer = await here.client.chat.completions.create(
        model="base", messages=SAY, max_tokens=10, logprobs=True, top_logprobs=3
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    tokens = logprobs.content or []
    assert 1 <= len(tokens) <= 10
    assert all(len(token.top_logprobs) == 3 and token.logprob <= 0 for token in tokens)
    assert tokens[0].top_logprobs[0].token == tokens[0].token


async def test_clients_that_leave_are_counted(here: Up) -> None:
    """After streams that were left or stopped, what the face reports is what the engine counted."""
    body = {"model": "base", "messages": SAY, "max_tokens": 400, "stream": True, "feilun": {"id": "c"}}
    for stop in (False, True, False):
        async with here.http.stream("POST", "/v1/chat/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("id: ") and not stop:
                    break
                if line.startswith("id: "):
                    await here.post("/stop", {"id": "c"})
    health = (await here.http.get("/health")).json()
    while health["running"] or health["counts"]["calls"] < 3:
        health = (await here.http.get("/health")).json()
    assert {name: health["counts"][name] for name in counts(here)} == counts(here)
    assert health["counts"]["completion_tokens"] < 3 * 400


async def test_token_numbers_are_continued(here: Up) -> None:
    """A prompt of token numbers is continued as the text that they are; unknown numbers are refused."""
    given = await here.client.completions.create(model="base", prompt=[300, 301, 302], max_tokens=4, echo=True)
    assert given.choices[0].text
    wrong = await here.post("/v1/completions", {"model": "base", "prompt": [99999]})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "prompt")
    for numbers in ([100, 101, 102], [200, 229, 1], [3] * 7):
        kept = await here.client.completions.create(model="base", prompt=numbers, max_tokens=1)
        assert kept.usage is not None
        assert kept.usage.prompt_tokens == len(numbers), "they were decoded and encoded again"


async def test_bytes_of_tokens_make_up_the_text(here: Up) -> None:
    """Characters that several tokens make come back from the tokens' bytes; in completions no two tokens are one."""
    form: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"const": "驿站é🙂"}}}
    answer = await here.client.chat.completions.create(
        model="base", messages=SAY, max_tokens=60, logprobs=True, top_logprobs=2, response_format=form
    )
    choice = answer.choices[0]
    assert choice.logprobs is not None
    tokens = choice.logprobs.content or []
    assert any("\ufffd" in token.token for token in tokens)
    raw = b"".join(bytes(token.bytes or []) for token in tokens if not token.token.startswith("<|"))
    assert raw.decode() == choice.message.content == '"驿站é🙂"'
    old = await here.client.completions.create(model="base", prompt=[230, 162], max_tokens=12, logprobs=5)
    logprobs = old.choices[0].logprobs
    assert logprobs is not None
    assert [len(each) for each in logprobs.top_logprobs or []] == [5] * len(logprobs.tokens or [])


async def test_a_format_beside_tools(here: Up) -> None:
    """A model without any sense calls the tool or answers in the format, whichever it begins, and nothing else."""
    schema = {"type": "object", "properties": {"q": {"enum": [1, 2]}}, "required": ["q"]}
    form: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    tools: list[Any] = [{"type": "function", "function": {"name": "weather"}}]
    for seed in range(4):
        answer = await here.client.chat.completions.create(
            model="base", messages=SAY, tools=tools, response_format=form, max_tokens=80, temperature=1.5, seed=seed
        )
        message = answer.choices[0].message
        assert message.tool_calls or json.loads(message.content or "")["q"] in (1, 2)
        assert not (message.tool_calls and message.content)


@pytest.mark.parametrize("stop", ["\n", "}", '"', "<"])
async def test_stop_texts_do_not_cut_calls(here: Up, stop: str) -> None:
    """A forced call is whole, whatever stop texts stand in it."""
    tools: list[Any] = [{"type": "function", "function": {"name": "weather"}}]
    answer = await here.client.chat.completions.create(
        model="base",
        messages=SAY,
        tools=tools,
        tool_choice="required",
        parallel_tool_calls=False,
        stop=stop,
        max_tokens=80,
    )
    assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("tool_calls", None)
    [call] = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {}
