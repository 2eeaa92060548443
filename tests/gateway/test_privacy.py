"""Data that must not leave is never sent to a provider, and the answer says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from feilun.gateway.hotpath.calls import read
from feilun.gateway.hotpath.privacy import kept_inside
from feilun.gateway.serve import bind
from feilun.gateway.snapshot import Private
from feilun.records import JSON, Endpoint, Key, Provider, Target, new_id, text_digest
from feilun.serving.fake_provider import FakeProvider
from feilun.settings import Settings, load
from feilun.store.access import endpoints, providers

BASE = "smollm2-135m-instruct"
SECRET = "The night safe behind the pharmacy opens with the old key of the boathouse."
KEY = Key("key-1", "bank", "k", "owner", "", "")


def call(text: str, headers: dict[bytes, bytes] | None = None, **more: Any) -> Any:
    """Return a chat with one message."""
    body: JSON = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
    return read(KEY, "chat", "/v1/chat/completions", body, headers or {})


def test_a_quotation_is_found_wherever_it_stands() -> None:
    """A private sentence inside a longer message, in other case and spacing, keeps the call inside; others do not."""
    private = Private({}, {text_digest(SECRET): "the source keys.txt"})
    quoted = f"Please rewrite politely.\n\nDear all, {SECRET.upper()}  Regards"
    assert kept_inside(call(f"Translate:\n{SECRET}"), private) == "it quotes the source keys.txt."
    assert kept_inside(call(f"Is this right? {SECRET}"), private)
    assert kept_inside(call(quoted), Private({}, {text_digest(f"Dear all, {SECRET}"): "x"}))
    assert kept_inside(call("What are your opening hours?"), private) == ""


def test_a_caller_may_say_that_data_must_stay() -> None:
    """By a header, by metadata, or by naming a source that must not leave."""
    private = Private({"source-1": "the source source-1 does not permit the purpose send_outside"}, {})
    assert kept_inside(call("Hi", {b"x-feilun-leave": b"no"}), private)
    assert kept_inside(call("Hi", metadata={"feilun_leave": "no"}), private)
    assert "source-1" in kept_inside(call("Hi", {b"x-feilun-sources": b"source-1"}), private)
    assert kept_inside(call("Hi", {b"x-feilun-sources": b"source-2"}), private) == ""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings that permit a provider on this machine."""
    given = {"home": str(tmp_path / "home"), "engine": "fake", "private_hosts": "127.0.0.1"}
    return load(environment={}, given=given)


@pytest.fixture
def outside(gateway: Any) -> Iterator[FakeProvider]:
    """Give a provider that runs beside the gateway, and endpoints that use it."""
    gateway.key()  # it runs when it knows a key
    fake, listener = FakeProvider(), bind("127.0.0.1", 0)
    server = fake.server()
    done = asyncio.run_coroutine_threadsafe(server.serve(listener), gateway.loop)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    providers.put(gateway.db, Provider(new_id("provider"), "bank", "out", "openai", url), "sk")
    for name, targets in (
        ("only-outside", (Target("words", "out"),)),
        ("mixed", (Target("words", "out", weight=100), Target(BASE, weight=0))),
    ):
        endpoints.put(gateway.db, Endpoint(new_id("endpoint"), "bank", name, targets))
    yield fake
    asyncio.run_coroutine_threadsafe(server.close(1), gateway.loop).result(10)
    done.result(10)
    listener.close()


def test_an_uploaded_file_that_must_not_leave_is_not_quoted_outside(gateway: Any, outside: FakeProvider) -> None:
    """A call that quotes it is refused where only providers could answer, and answered here where a model is here."""
    http = gateway.http(gateway.key())
    lines = [{"messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": SECRET}]}]
    data = "\n".join(map(json.dumps, lines)).encode()
    assert http.post("/v1/files", files={"file": ("keys.jsonl", data)}, data={"purpose": "fine-tune"}).is_success
    gateway.wait(lambda: gateway.state.snapshot.private("bank").texts)
    gateway.wait(lambda: gateway.state.snapshot.endpoint("bank", "mixed") is not None)

    def ask(model: str, text: str) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        return http.post("/v1/chat/completions", json=body)

    refused = ask("only-outside", f"Shorten this. {SECRET}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "data_must_not_leave")
    assert "quotes another source: file-" in refused.json()["error"]["message"]
    kept = ask("mixed", f"Shorten this. {SECRET}")
    assert kept.is_success
    assert "file-" in kept.headers["x-feilun-kept-inside"]
    assert outside.counted.calls == 0
    assert ask("only-outside", "What are your opening hours?").is_success
    assert outside.counted.calls == 1
