"""Embeddings: what every embedder promises, the real one's window, and the process that serves it."""

from __future__ import annotations

import asyncio
import base64
import math
import os
import signal
import struct
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.serving.conftest import House

from feilun.engines.embed import DEFAULT, FAKE, E5Embedder, FakeEmbedder, make_embedder
from feilun.engines.seam import Embedder
from feilun.errors import BadModel, BadRequest, ContextTooLong
from feilun.serving.fleet import Fleet, embedding_key

pytestmark = pytest.mark.asyncio(loop_scope="module")
TEXTS = ("the lending rate of the credit union", "the rate of lending at the union", "一只猫在窗台上睡觉")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[FAKE, DEFAULT])
async def embedder(request: pytest.FixtureRequest) -> AsyncIterator[Embedder]:
    """Give each embedder in turn."""
    made = make_embedder(request.param)
    yield made
    await made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(house: House) -> AsyncIterator[Fleet]:
    """Give a fleet."""
    made = Fleet(house.settings, house.root)
    yield made
    await made.close()


def dot(one: list[float], other: list[float]) -> float:
    """Return the cosine of two unit vectors."""
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


async def test_vectors_are_of_unit_length_and_near_by_meaning(embedder: Embedder) -> None:
    """Every vector has the promised length; texts about one thing are nearer than texts about two."""
    found = await embedder.embed(TEXTS)
    assert {len(vector) for vector in found.vectors} == {embedder.dimensions}
    assert all(math.isclose(dot(vector, vector), 1.0, abs_tol=1e-5) for vector in found.vectors)
    assert dot(found.vectors[0], found.vectors[1]) > dot(found.vectors[0], found.vectors[2]) + 0.02


async def test_together_is_as_alone(embedder: Embedder) -> None:
    """Requests that come together get the vectors and token counts that each would have got alone, in order."""
    alone = [await embedder.embed((text,)) for text in TEXTS]
    many = tuple(TEXTS[index % 3] for index in range(40))
    listed, *single = await asyncio.gather(embedder.embed(many), *(embedder.embed((text,)) for text in TEXTS))
    assert [found.tokens for found in single] == [found.tokens for found in alone]
    assert listed.tokens == sum(alone[index % 3].tokens for index in range(40))
    for index, vector in enumerate(listed.vectors):
        assert dot(vector, alone[index % 3].vectors[0]) > 0.9999
    assert all(dot(a.vectors[0], b.vectors[0]) > 0.9999 for a, b in zip(single, alone, strict=True))


async def test_texts_that_cannot_be_embedded(embedder: Embedder) -> None:
    """A text beyond the window and half a character are refused by name; nothing at all is nothing."""
    with pytest.raises(ContextTooLong, match="Text 2 is 6"):
        await embedder.embed(("short", "word " * 600))
    with pytest.raises(BadRequest, match="surrogate"):
        await embedder.embed(("\ud83d",))
    assert (await embedder.embed(())).vectors == []


async def test_texts_that_the_model_would_take_wrongly(embedder: Embedder) -> None:
    """A zero byte does not end a text; a character that becomes eighteen does no harm."""
    found = await embedder.embed(("one\0two", "one", "\ufdfa" * 20))
    assert dot(found.vectors[0], found.vectors[1]) < 0.999
    assert (await embedder.embed(("\ufdfa" * 20,))).vectors[0] == pytest.approx(found.vectors[2], abs=1e-3)


async def test_questions_and_passages_differ() -> None:
    """The real model marks questions and passages differently, and counts the tokens of its mark."""
    made = E5Embedder()
    question, passage = await made.embed(TEXTS[:1], query=True), await made.embed(TEXTS[:1])
    assert question.vectors != passage.vectors
    assert question.tokens > len(TEXTS[0].split()) + 2
    await made.close()


async def test_leaving_does_not_disturb_others() -> None:
    """A request whose caller leaves takes nobody along."""
    made = E5Embedder()
    leaver = asyncio.create_task(made.embed(TEXTS * 20))
    stayer = asyncio.create_task(made.embed(TEXTS))
    await asyncio.sleep(0.05)
    leaver.cancel()
    assert len((await stayer).vectors) == 3
    assert len((await made.embed(TEXTS)).vectors) == 3
    await made.close()


async def test_an_unknown_model(fleet: Fleet) -> None:
    """An embedding model that we do not have is named, by the function and by the process that was to serve it."""
    with pytest.raises(BadModel, match="word2vec"):
        make_embedder("word2vec")
    with pytest.raises(BadModel, match="word2vec"):
        await fleet.embedder("word2vec")


async def post(fleet: Fleet, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    """Return the process's answer."""
    place = await fleet.embedder(FAKE)
    headers = {"Authorization": place.authorization.decode()} if headers is None else headers
    async with httpx.AsyncClient(trust_env=False) as client:
        url = f"http://{place.host}:{place.port}/v1/embeddings"
        return await client.post(url, json=body, headers=headers)


async def test_the_process_speaks_as_openai_does(fleet: Fleet) -> None:
    """Floats and base64 hold the same numbers, ``dimensions`` shortens, usage is what the model counted."""
    plain = await post(fleet, {"model": "m", "input": TEXTS[0]})
    assert plain.status_code == 200
    body = plain.json()
    assert (body["object"], body["model"], body["data"][0]["index"]) == ("list", "m", 0)
    assert body["usage"] == {"prompt_tokens": 9, "total_tokens": 9}
    more = {
        "input": list(TEXTS),
        "encoding_format": "base64",
        "dimensions": 8,
        "feilun": {"name": "own", "query": True},
    }
    packed = (await post(fleet, more)).json()
    assert packed["model"] == "own"
    assert [row["index"] for row in packed["data"]] == [0, 1, 2]
    short = struct.unpack("<8f", base64.b64decode(packed["data"][0]["embedding"]))
    whole = body["data"][0]["embedding"][:8]
    scale = math.sqrt(math.fsum(number * number for number in whole))
    assert short == pytest.approx([number / scale for number in whole], abs=1e-6)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["a", None]}, "input"),
        ({"input": [1, 2, 3]}, "input"),
        ({"input": [[1, 2], [3]]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": 65}, "dimensions"),
        ({"input": "a", "dimensions": True}, "dimensions"),
        ({"input": "word " * 600}, "input"),
        ([], None),
    ],
)
async def test_wrong_requests_are_named(fleet: Fleet, body: Any, param: str | None) -> None:
    """What cannot be embedded is a 400 in OpenAI's shape that names the parameter."""
    refused = await post(fleet, body)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


async def test_the_process_is_one_of_the_fleet(fleet: Fleet) -> None:
    """Strangers are refused; the process comes back after ``kill -9``, is in the status, and counts what it did."""
    assert (await post(fleet, {"input": "a"}, {})).status_code == 401
    place = await fleet.embedder(FAKE)
    assert fleet.ready(embedding_key(FAKE)) == place
    (row,) = [each for each in fleet.status() if each["base"] == embedding_key(FAKE)]
    os.kill(row["pid"], signal.SIGKILL)
    for _ in range(6000):
        if fleet.ready(embedding_key(FAKE)) is None:
            break
        await asyncio.sleep(0.01)
    again = await fleet.embedder(FAKE)
    assert again.generation > place.generation
    assert (await post(fleet, {"input": "one two"})).status_code == 200
    async with httpx.AsyncClient(trust_env=False) as client:
        health = (await client.get(f"http://{again.host}:{again.port}/health")).json()
    assert (health["alive"], health["counts"]["calls"], health["counts"]["prompt_tokens"]) == (True, 1, 4)


async def test_the_fake_has_any_length() -> None:
    """The fake's vectors are as long as they are asked to be."""
    assert len((await FakeEmbedder(7).embed(("a b",))).vectors[0]) == 7
