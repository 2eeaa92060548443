"""What goes wrong is the clients' own exceptions; who leaves pays exactly what the engine counted."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import anthropic
import httpx
import openai
import pytest
from tests.scenarios.service import BASE, Service, said

pytestmark = pytest.mark.model
HELLO: Any = [{"role": "user", "content": "Hello"}]
LONG: Any = [{"role": "user", "content": "Write a long story about a river."}]


async def test_mistakes(client: Any, service: Service) -> None:
    """Every kind of mistake has its exception, its code and, where one is at fault, its parameter."""
    create = client.chat.completions.create
    with pytest.raises(openai.NotFoundError) as missing:
        await said(create(model="no-such-model", messages=HELLO))
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        await said(create(model=BASE, messages=HELLO, temperature=9))
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as long:
        await said(create(model=BASE, messages=[{"role": "user", "content": "word " * 3000}], max_tokens=4))
    assert long.value.code == "context_length_exceeded"
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(openai.BadRequestError) as image:
        await said(create(model=BASE, messages=[{"role": "user", "content": [part]}], max_tokens=4))
    assert "image_url" in image.value.message
    stranger = client.with_options(api_key="fl-wrong")
    with pytest.raises(openai.AuthenticationError) as unknown:
        await said(stranger.chat.completions.create(model=BASE, messages=HELLO))
    assert unknown.value.code == "invalid_api_key"
    viewer = client.with_options(api_key=service.key(scopes=["data"])["secret"])
    with pytest.raises(openai.PermissionDeniedError):
        await said(viewer.chat.completions.create(model=BASE, messages=HELLO))
    with pytest.raises(openai.APIStatusError) as large:
        await said(create(model=BASE, messages=[{"role": "user", "content": "x" * (17 << 20)}]))
    assert large.value.status_code == 413


async def test_too_many(client: Any, service: Service) -> None:
    """A key beyond its limit is told so, when to come again, and what is left, by both APIs."""
    made = service.key()
    limit = {"scope": "key", "target": made["id"], "requests_per_minute": 1}
    assert service.http().put("/api/limits", json=limit).status_code == 200
    limited = client.with_options(api_key=made["secret"])
    wanted: dict[str, Any] = {"model": BASE, "messages": HELLO, "max_tokens": 1}
    raw = await said(limited.chat.completions.with_raw_response.create(**wanted))
    assert raw.headers["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(openai.RateLimitError) as many:
        await said(limited.chat.completions.create(**wanted))
    assert 0 < int(many.value.response.headers["retry-after"]) <= 60
    with anthropic.Anthropic(base_url=service.url, api_key=made["secret"], max_retries=0) as other:
        with pytest.raises(anthropic.RateLimitError) as too_many:
            other.messages.create(**wanted)
    assert int(too_many.value.response.headers["retry-after"]) > 0


async def test_leaving_settles_what_was_counted(client: Any, service: Service) -> None:
    """A client leaves a stream, another runs out of time: the engine stops soon, and kept usage is what it counted."""
    service.wait(service.idle)
    engine, used = service.counted(), service.used()
    stream = await said(client.chat.completions.create(model=BASE, messages=LONG, stream=True, max_tokens=900))
    for _ in range(3):
        await anext(stream) if hasattr(stream, "__anext__") else next(stream)
    await said(stream.close())
    with pytest.raises(openai.APITimeoutError):
        await said(client.with_options(timeout=0.5).chat.completions.create(model=BASE, messages=LONG, max_tokens=900))
    service.wait(service.idle)

    def difference(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
        return {name: after[name] - before[name] for name in ("prompt_tokens", "completion_tokens")}

    counted = difference(engine, service.counted())
    assert 3 <= counted["completion_tokens"] < 900
    service.wait(lambda: difference(used, service.used()) == counted)


async def test_time_for_the_first_token(client: Any, service: Service) -> None:
    """An endpoint that must begin at once and cannot says so; the prompt is a new one, of which nothing is kept."""
    new: Any = [{"role": "user", "content": f"{uuid4()} " + "The river winds through the old town. " * 40}]
    http = service.http()
    wanted = {"targets": [{"model": BASE}], "timeouts": {"first": 0.001}, "retries": 0}
    made = http.put("/api/endpoints/hasty", json=wanted)
    assert made.status_code == 200, made.text
    with pytest.raises(openai.InternalServerError) as late:
        await said(client.chat.completions.create(model="hasty", messages=new, max_tokens=4))
    assert late.value.status_code == 504
    assert http.delete("/api/endpoints/hasty").status_code == 200


def test_bodies_that_are_none(service: Service) -> None:
    """What is no JSON object, or none of UTF-8, is refused in OpenAI's shape."""
    http = service.http()
    for body in (b"", b"[]", b"{", b'{"model": "\xff"}', b"[" * 100_000, json.dumps({"model": 5}).encode()):
        found = http.post("/v1/chat/completions", content=body)
        assert found.status_code == 400, body[:40]
        assert found.json()["error"]["type"] == "invalid_request_error"
    assert isinstance(found, httpx.Response)
