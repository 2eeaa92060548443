"""What every engine promises, asked of the fake and of the real one in its process."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from tests.serving.conftest import House

from feilun.engines import Delta, Engine, Request
from feilun.engines.schema import json_grammar
from feilun.errors import BadRequest, ContextTooLong, NotFound
from feilun.records import Usage

pytestmark = pytest.mark.asyncio(loop_scope="module")


def ask(house: House, content: str, **more: Any) -> Request:
    """Return a request to the base model."""
    given = {"model": house.base.id, "max_tokens": 6, **more}
    return Request(messages=({"role": "user", "content": content},), **given)


async def answer(engine: Engine, request: Request) -> list[Delta]:
    """Return every delta of an answer."""
    return [delta async for delta in engine.generate(request)]


def text(deltas: list[Delta]) -> str:
    """Return the text of an answer."""
    return "".join(delta.text for delta in deltas)


def said(deltas: list[Delta]) -> list[Delta]:
    """Return deltas without their usage: what is cached of a prompt differs from call to call."""
    return [replace(delta, usage=None) for delta in deltas]


def counted(deltas: list[Delta]) -> tuple[int, int]:
    """Return the tokens of prompt and answer."""
    usage = deltas[-1].usage
    assert usage is not None
    return usage.prompt_tokens, usage.completion_tokens


async def test_loading_again_changes_nothing(engine: Engine, house: House) -> None:
    """A version may be loaded any number of times, and says what it is."""
    for version in (house.base, house.red, house.base):
        assert await engine.load(version) == version.identity
    before = said(await answer(engine, ask(house, "rate", model=house.red.id)))
    await asyncio.gather(*(engine.load(house.red) for _ in range(5)))
    assert said(await answer(engine, ask(house, "rate", model=house.red.id))) == before


async def test_an_answer_begins_with_the_prompt_and_ends_with_usage(engine: Engine, house: House) -> None:
    """The first delta holds the prompt, exactly the last one the finish, and every one the usage up to it."""
    deltas = await answer(engine, ask(house, "What is the rate, 利率 🙂?"))
    assert "What is the rate, 利率 🙂?" in (deltas[0].prompt or "")
    assert [delta.finish for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    counts = [delta.usage.completion_tokens for delta in deltas if delta.usage is not None]
    assert len(counts) == len(deltas)
    assert counts == sorted(counts)
    assert deltas[-1].finish in {"stop", "length"}
    assert deltas[-1].usage is not None
    assert deltas[-1].usage.prompt_tokens > 5
    assert deltas[0].usage == Usage(deltas[-1].usage.prompt_tokens, 0)
    assert 1 <= deltas[-1].usage.completion_tokens <= 6
    assert text(deltas)


async def test_the_length_is_bounded(engine: Engine, house: House) -> None:
    """An answer that was longer than allowed says ``length`` and counts what was allowed."""
    deltas = await answer(engine, ask(house, "one two three four five", max_tokens=3))
    assert deltas[-1].finish == "length"
    assert deltas[-1].usage is not None
    assert deltas[-1].usage.completion_tokens == 3


async def test_log_probabilities_only_when_asked(engine: Engine, house: House) -> None:
    """Every token has one if they are asked for, and none otherwise."""
    plain = await answer(engine, ask(house, "rate"))
    assert {delta.logprob for delta in plain} == {None}
    full = [delta for delta in await answer(engine, ask(house, "rate", logprobs=True)) if delta.token is not None]
    assert full
    assert all(delta.logprob is not None and delta.logprob <= 0 for delta in full)
    assert text(full) == text(plain)


async def test_a_stop_text_ends_the_answer(engine: Engine, house: House) -> None:
    """The answer ends before the stop text, and says ``stop``."""
    free = text(await answer(engine, ask(house, "one two three", max_tokens=20))).rstrip("\ufffd")
    stop = free[3:7]
    deltas = await answer(engine, ask(house, "one two three", max_tokens=20, stop=(stop,)))
    assert text(deltas) == free[: free.index(stop)]
    assert deltas[-1].finish == "stop"


async def test_wrong_requests(engine: Engine, house: House) -> None:
    """What cannot be answered is an error of its own kind, before any text."""
    with pytest.raises(NotFound, match="model-blue"):
        await answer(engine, ask(house, "x", model="model-blue"))
    with pytest.raises(BadRequest, match="max_tokens"):
        await answer(engine, ask(house, "x", max_tokens=0))
    with pytest.raises(ContextTooLong, match="256"):
        await answer(engine, ask(house, "word " * 300))
    assert text(await answer(engine, ask(house, "x")))


async def test_many_at_once_are_each_alone(engine: Engine, house: House) -> None:
    """Thirty calls at once, to two models, in groups and single, each get what they get alone."""
    requests = [
        ask(
            house,
            f"question {n} " * (1 + n % 4),
            model=(house.base, house.red)[n % 2].id,
            max_tokens=3 + n % 5,
            group=f"group-{n // 3}" if n < 12 else "",
            group_size=3 if n < 12 else 1,
        )
        for n in range(30)
    ]
    together = await asyncio.gather(*(answer(engine, request) for request in requests))
    for request, deltas in zip(requests, together, strict=True):
        single = Request(request.model, request.messages, request.max_tokens)
        alone = await answer(engine, single)
        assert text(deltas) == text(alone)
        assert deltas[-1].finish == alone[-1].finish
        assert counted(deltas) == counted(alone)


async def test_leaving_early(engine: Engine, house: House) -> None:
    """Callers that leave in the middle hurt nobody, and more of them than there are slots can leave."""
    for _ in range(12):
        stream = engine.generate(ask(house, "one two three four", max_tokens=150))
        async with aclosing(stream) as deltas:
            async for delta in deltas:
                if delta.text:
                    break
    assert text(await answer(engine, ask(house, "x")))


async def test_seeds(engine: Engine, house: House) -> None:
    """The same seed gives the same answer."""
    request = ask(house, "rate", temperature=1.3, seed=7)
    assert said(await answer(engine, request)) == said(await answer(engine, request))


async def test_a_raw_prompt_is_continued(engine: Engine, house: House) -> None:
    """A prompt is taken as it is, without a template."""
    deltas = await answer(engine, Request(house.base.id, (), 4, prompt="the rate of the"))
    assert deltas[0].prompt == "the rate of the"
    assert text(deltas)


async def test_top_log_probabilities(engine: Engine, house: House) -> None:
    """Every token comes with its text and as many likely alternatives as were asked for, best first."""
    deltas = await answer(engine, ask(house, "rate", logprobs=True, top_logprobs=3))
    tokens = [delta for delta in deltas if delta.logprob is not None]
    assert tokens
    for delta in tokens:
        values = [value for _, value in delta.top]
        assert len(values) == 3
        assert values == sorted(values, reverse=True)


async def test_a_grammar_holds_the_answer(engine: Engine, house: House) -> None:
    """The answer conforms to the schema, though the tokens are few."""
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "rate": {"type": "integer", "minimum": 3, "maximum": 9}},
        "required": ["name", "rate"],
    }
    deltas = await answer(engine, ask(house, "rate", max_tokens=60, grammar=json_grammar(schema)))
    found = json.loads(text(deltas))
    assert set(found) == {"name", "rate"}
    assert isinstance(found["name"], str)
    assert 3 <= found["rate"] <= 9
    assert deltas[-1].finish == "stop"


async def test_an_impossible_grammar_is_refused(engine: Engine, house: House) -> None:
    """What has no end is refused at once, and the engine goes on."""
    endless = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    with pytest.raises(BadRequest, match="cannot be enforced"):
        await answer(engine, ask(house, "x", grammar=json_grammar(endless)))
    assert text(await answer(engine, ask(house, "x")))


async def test_an_unloaded_version_is_gone(engine: Engine, house: House) -> None:
    """After unloading it is not found; loaded again it answers as before; unloading the unknown is no error."""
    before = text(await answer(engine, ask(house, "rate", model=house.red.id)))
    await engine.unload(house.red.id)
    with pytest.raises(NotFound):
        await answer(engine, ask(house, "rate", model=house.red.id))
    await engine.unload("model-never")
    await engine.load(house.red)
    assert text(await answer(engine, ask(house, "rate", model=house.red.id))) == before
