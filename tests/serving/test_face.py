"""The face of an engine, asked by the official OpenAI client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from tests.serving.faces import Up, up

from feilun.engines.fake import FakeEngine
from feilun.records import ModelVersion

MODEL = "model-a"
SAY: list[Any] = [{"role": "user", "content": "one two three"}]
TOLD = {"id": "call-7", "name": "own", "version": "model-a"}


@pytest_asyncio.fixture
async def here() -> AsyncIterator[Up]:
    """Give a face before a fake engine that has one model."""
    engine = FakeEngine(context=200)
    await engine.load(ModelVersion(MODEL, "", MODEL, "base", "", "", {}))
    async with up(engine, 200) as found:
        yield found


def fake(here: Up) -> FakeEngine:
    """Return the engine behind the face."""
    assert isinstance(here.face.engine, FakeEngine)
    return here.face.engine


async def events(here: Up, path: str, body: dict[str, Any]) -> tuple[list[str], list[Any]]:
    """Return the SSE ids and the data of a stream."""
    answer = await here.post(path, {"model": MODEL, "stream": True, **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    ids, data = [], []
    for line in answer.text.splitlines():
        if line.startswith("id: "):
            ids.append(line[4:])
        elif line.startswith("data: "):
            data.append(line[6:] if line == "data: [DONE]" else json.loads(line[6:]))
    return ids, data


async def test_a_whole_answer(here: Up) -> None:
    """Text, finish, usage with details, and the names that the gateway told."""
    answer = await here.client.chat.completions.create(model=MODEL, messages=SAY, extra_body={"feilun": TOLD})
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", "You said: one two three")
    assert choice.finish_reason == "stop"
    assert (answer.id, answer.model, answer.system_fingerprint) == ("call-7", "own", "model-a")
    assert answer.model_dump()["model_version"] == "model-a"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (4, 5, 9)
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 0


async def test_a_stream(here: Up) -> None:
    """Role first, then words, the finish, the usage in a chunk without choices, and the end; ids count on."""
    ids, data = await events(here, "/v1/chat/completions", {"messages": SAY, "feilun": TOLD})
    assert data.pop() == "[DONE]"
    assert {each["id"] for each in data} == {"call-7"}
    assert data[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(each["choices"][0]["delta"].get("content", "") for each in data[:-1]) == "You said: one two three"
    assert [each["choices"][0]["finish_reason"] for each in data[:-1]] == [None] * (len(data) - 2) + ["stop"]
    assert (data[-1]["choices"], data[-1]["usage"]["completion_tokens"]) == ([], 5)
    assert ids == ["4-1-0", "4-1-0", "4-2-0", "4-3-0", "4-4-0", "4-5-0", "4-5-0", "4-5-0"]


async def test_streams_by_the_client(here: Up) -> None:
    """The official client reads the stream, the usage last."""
    stream = await here.client.chat.completions.create(
        model=MODEL, messages=SAY, stream=True, stream_options={"include_usage": True}, n=2
    )
    texts, usage = {0: "", 1: ""}, None
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {0: "You said: one two three", 1: "You said: one two three"}
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (4, 10)


async def test_several_choices_stop_and_length(here: Up) -> None:
    """N answers; a stop text that spans words; max_tokens."""
    answer = await here.client.chat.completions.create(model=MODEL, messages=SAY, n=3, stop="e tw")
    assert [choice.message.content for choice in answer.choices] == ["You said: on"] * 3
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    short = await here.client.chat.completions.create(model=MODEL, messages=SAY, max_completion_tokens=2)
    assert (short.choices[0].message.content, short.choices[0].finish_reason) == ("You said:", "length")


async def test_log_probabilities(here: Up) -> None:
    """Every token with its bytes and alternatives, whole and streamed alike."""
    wanted: dict[str, Any] = {"model": MODEL, "messages": SAY, "logprobs": True, "top_logprobs": 2}
    answer = await here.client.chat.completions.create(**wanted)
    assert answer.choices[0].logprobs is not None
    tokens = answer.choices[0].logprobs.content or []
    assert [token.token for token in tokens] == ["You", " said:", " one", " two", " three"]
    assert tokens[1].bytes == list(b" said:")
    assert [top.token for top in tokens[1].top_logprobs] == [" said:", " other1"]
    streamed = []
    async for chunk in await here.client.chat.completions.create(**wanted, stream=True):
        for choice in chunk.choices:
            streamed += (choice.logprobs.content or []) if choice.logprobs else []
    assert streamed == tokens


async def test_an_answer_in_a_schema(here: Up) -> None:
    """json_schema and json_object give JSON; a schema that cannot be enforced is refused by name."""
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 7}}, "required": ["a"]}
    form: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    answer = await here.client.chat.completions.create(model=MODEL, messages=SAY, response_format=form)
    assert json.loads(answer.choices[0].message.content or "") == {"a": 7}
    plain = await here.client.chat.completions.create(
        model=MODEL, messages=SAY, response_format={"type": "json_object"}
    )
    assert json.loads(plain.choices[0].message.content or "") == {}
    form["json_schema"]["schema"] = {"type": "object", "properties": {"not": {"not": {"type": "string"}}}}
    with pytest.raises(openai.BadRequestError, match="the keyword not at #/properties/not") as refused:
        await here.client.chat.completions.create(model=MODEL, messages=SAY, response_format=form)
    assert refused.value.param == "response_format"


async def test_completions(here: Up) -> None:
    """A text, several, token numbers; echo; the old log-probabilities; streamed."""
    one = await here.client.completions.create(model=MODEL, prompt="a b", max_tokens=9, echo=True)
    assert one.choices[0].text == "a bYou said: a b"
    many = await here.client.completions.create(model=MODEL, prompt=["a", "b"], n=2, max_tokens=9, logprobs=1)
    assert [choice.text for choice in many.choices] == [*["You said: a"] * 2, *["You said: b"] * 2]
    assert many.choices[3].logprobs is not None
    assert many.choices[3].logprobs.tokens == ["You", " said:", " b"]
    assert many.choices[3].logprobs.text_offset == [0, 3, 9]
    assert many.usage is not None
    assert (many.usage.prompt_tokens, many.usage.completion_tokens) == (2, 12)
    numbers = await here.client.completions.create(model=MODEL, prompt=[5, 6], max_tokens=9)
    assert numbers.choices[0].text == "You said: 5 6"
    _, data = await events(here, "/v1/completions", {"prompt": "a b", "max_tokens": 9})
    assert "".join(each["choices"][0]["text"] for each in data[:-2]) == "You said: a b"
    assert data[-2]["usage"]["total_tokens"] == 6


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": "x"}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages[0].content[0]"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": "many"}, "max_tokens"),
    ({"temperature": 2.5}, "temperature"),
    ({"n": 9}, "n"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"functions": [{}]}, "functions"),
    ({"function_call": "auto"}, "function_call"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}] * 2}, "tools"),
    ({"tools": [{"type": "function", "function": {"name": f"f{n}"}} for n in range(200)]}, "tools"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format"),
    ({"logit_bias": {"x": 1}}, "logit_bias"),
    ({"modalities": ["audio"]}, "modalities"),
    ({"model": 3}, "model"),
]


@pytest.mark.parametrize(("body", "param"), WRONG, ids=[f"{param}-{n}" for n, (_, param) in enumerate(WRONG)])
async def test_what_is_wrong_is_named(here: Up, body: dict[str, Any], param: str) -> None:
    """A wrong body is a 400 that names the field, in OpenAI's shape, and costs nothing."""
    answer = await here.post("/v1/chat/completions", {"model": MODEL, "messages": SAY, **body})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == param
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_request")
    assert here.face.counts["calls"] == 0


async def test_a_refusal_can_be_sent_back(here: Up) -> None:
    """A message that only refuses is a message, in either of its forms."""
    for refused in ({"content": None, "refusal": "no"}, {"content": [{"type": "refusal", "refusal": "no"}]}):
        messages: Any = [*SAY, {"role": "assistant", **refused}, {"role": "user", "content": "why"}]
        answer = await here.client.chat.completions.create(model=MODEL, messages=messages)
        assert answer.choices[0].message.content == "You said: why"
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == 8, "the model does not see the refusal"


async def test_bodies_that_are_no_json(here: Up) -> None:
    """Broken, not finite, not UTF-8, or endlessly nested: 400 each."""
    deep = b'{"model": "m", "messages": ' + b"[" * 100_000
    for body in (b"{", b'{"temperature": NaN}', b'{"temperature": 1e999}', b"\xff", b"[]", deep):
        answer = await here.http.post("/v1/chat/completions", content=body)
        assert answer.status_code == 400, body[:40]
    assert (await here.post("/v1/completions", {"model": MODEL, "prompt": "a", "suffix": "b"})).status_code == 400
    assert (await here.post("/v1/completions", {"model": MODEL, "prompt": ["a", 1]})).json()["error"]["param"]


async def test_errors_of_the_engine(here: Up) -> None:
    """Before the first token an HTTP error; later an event, without the end of a stream."""
    with pytest.raises(openai.NotFoundError):
        await here.client.chat.completions.create(model="model-b", messages=SAY)
    with pytest.raises(openai.BadRequestError, match="200") as long:
        await here.client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "a " * 300}])
    assert long.value.code == "context_length_exceeded"
    fake(here).crash_after = 0
    with pytest.raises(openai.InternalServerError) as down:
        await here.client.chat.completions.create(model=MODEL, messages=SAY, stream=True)
    assert (down.value.status_code, down.value.code) == (503, "engine_down")
    fake(here).crash_after = 2
    ids, data = await events(here, "/v1/chat/completions", {"messages": SAY})
    assert data[-1]["error"]["code"] == "engine_down"
    assert ids[-1] == "4-2-0"
    assert (here.face.counts["calls"], here.face.counts["completion_tokens"]) == (1, 2)


async def test_a_stopped_call_says_its_end(here: Up) -> None:
    """POST /stop ends a stream at once, with finish ``stop`` and the usage."""
    fake(here).pause = 0.02
    words = "many words " * 60
    body = {"model": MODEL, "messages": [{"role": "user", "content": words}], "stream": True, "feilun": TOLD}
    data = []
    async with here.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                data.append(json.loads(line[6:]))
                if len(data) == 3:
                    assert (await here.post("/stop", {"id": "call-7"})).json() == {"stopped": True}
    assert data[-2]["choices"][0]["finish_reason"] == "stop"
    assert 2 <= data[-1]["usage"]["completion_tokens"] < 60
    assert (await here.post("/stop", {"id": "call-7"})).json() == {"stopped": False}


async def test_clients_that_leave_are_counted(here: Up) -> None:
    """Leaving stops the call; what was made until then is in the counts, as the engine counted it."""
    fake(here).pause = 0.005
    body = {"model": MODEL, "messages": [{"role": "user", "content": "many words " * 60}], "stream": True}
    for _ in range(5):
        async with here.http.stream("POST", "/v1/chat/completions", json=body) as answer:
            async for _line in answer.aiter_lines():
                break
    health = (await here.http.get("/health")).json()
    while health["running"]:
        health = (await here.http.get("/health")).json()
    assert here.face.counts == fake(here).counts
    assert (here.face.counts["calls"], here.face.counts["completion_tokens"] < 5 * 100) == (5, True)
    assert (health["running"], health["counts"]) == (0, here.face.counts)


async def test_only_who_holds_the_token_is_answered(here: Up) -> None:
    """Without the token there is nothing but the health."""
    for headers in ({"Authorization": "Bearer wrong"}, {"Authorization": ""}):
        for path in ("/v1/chat/completions", "/load", "/stop", "/generate", "/tokenize"):
            assert (await here.http.post(path, json={}, headers=headers)).status_code == 401
        assert (await here.http.get("/health", headers=headers)).status_code == 200


async def test_loading_counting_unloading(here: Up) -> None:
    """A version is loaded, its prompt's tokens are counted, and it is forgotten."""
    loaded = (await here.post("/load", {"model": "model-b", "adapter": "x"})).json()
    assert loaded == {"identity": {"version": "model-b"}, "template": ""}
    assert (await here.post("/tokenize", {"model": "model-b", "messages": SAY})).json() == {"tokens": 4}
    assert (await here.post("/unload", {"model": "model-b"})).status_code == 200
    assert (await here.post("/tokenize", {"model": "model-b", "messages": SAY})).status_code == 404
    assert (await here.post("/load", {})).status_code == 400


async def test_defaults_of_the_version(here: Up) -> None:
    """What the gateway tells as the version's own defaults is taken where the caller is silent."""
    asked: list[float] = []
    generate = fake(here).generate

    class Listening(FakeEngine):
        """Notes the temperature of every request."""

        def generate(self, request: Any) -> Any:
            asked.append(request.temperature)
            return generate(request)

    here.face.engine = Listening()
    told = {**TOLD, "defaults": {"temperature": 0.7}}
    await here.client.chat.completions.create(model=MODEL, messages=SAY, extra_body={"feilun": told})
    await here.client.chat.completions.create(model=MODEL, messages=SAY, temperature=0.1, extra_body={"feilun": told})
    await here.client.chat.completions.create(model=MODEL, messages=SAY)
    assert asked == [0.7, 0.1, 0.0]
