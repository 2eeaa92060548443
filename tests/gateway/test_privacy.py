"""Data that must not leave is never sent to a provider, and the answer says so."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from feilun.gateway.hotpath.calls import read
from feilun.gateway.hotpath.privacy import kept_inside
from feilun.gateway.serve import bind
from feilun.gateway.snapshot import Private
from feilun.records import JSON, Endpoint, Key, Permissions, Provider, Source, Target, new_id, text_digest
from feilun.serving.fake_provider import FakeProvider
from feilun.settings import Settings, load
from feilun.store import sources
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
    refused = {"source-1": "the source source-1 does not permit the purpose send_outside"}
    private = Private(refused, {}, frozenset({"source-2"}))
    assert kept_inside(call("Hi", {b"x-feilun-leave": b"no"}), private)
    assert kept_inside(call("Hi", metadata={"feilun_leave": "no"}), private)
    assert "source-1" in kept_inside(call("Hi", {b"x-feilun-sources": b"source-1"}), private)
    assert kept_inside(call("Hi", {b"x-feilun-sources": b"source-2"}), private) == ""
    many = ",".join(["source-2"] * 200)
    assert "source-1" in kept_inside(call("Hi", {b"x-feilun-sources": f"{many},source-1".encode()}), private)
    assert "source-1" in kept_inside(call("Hi", metadata={"feilun_sources": ["source-2", "source-1"]}), private)


def test_what_is_no_clear_yes_keeps_data_inside() -> None:
    """An unknown source, or a word that is no permission, fails closed; a header does not undo what the body says."""
    private = Private(free=frozenset({"source-2"}))
    assert "not in this workspace" in kept_inside(call("Hi", {b"x-feilun-sources": b"source-3"}), private)
    for word in ("no", "NEIN", "off", False):
        assert kept_inside(call("Hi", {b"x-feilun-leave": b"yes"}, metadata={"feilun_leave": word}), private)
    assert kept_inside(call("Hi", {b"x-feilun-leave": b"Yes"}, metadata={"feilun_leave": True}), private) == ""


USER: JSON = {"role": "user", "content": "hi"}
USED: JSON = {"id": "a", "type": "function", "function": {"name": "f", "arguments": json.dumps({"text": [SECRET]})}}
CARRIERS: dict[str, JSON] = {
    "one of several inputs": {"input": ["x", SECRET]},
    "one of several prompts": {"prompt": ["x", SECRET]},
    "what follows a prompt": {"prompt": "x", "suffix": SECRET},
    "the numbers of tokens": {"prompt": [[100, 101], [102]]},
    "arguments of a call": {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [USED]}]},
    "JSON within JSON": {"messages": [{"role": "tool", "content": json.dumps(json.dumps({"a": f"x\n{SECRET}"}))}]},
    "a tool's description": {"messages": [USER], "tools": [{"function": {"name": "f", "description": SECRET}}]},
    "a name in a schema": {"messages": [USER], "response_format": {"json_schema": {"schema": {SECRET: {}}}}},
    "a refusal": {"messages": [{"role": "assistant", "refusal": SECRET, "content": None}]},
    "a part of a refusal": {"messages": [{"role": "assistant", "content": [{"type": "refusal", "refusal": SECRET}]}]},
    "who asks": {"messages": [USER], "user": SECRET},
    "a document": {"query": "x", "documents": ["x", {"text": SECRET}]},
    "a field that nobody knows": {"messages": [USER], "prediction": {"content": [{"text": SECRET}]}},
    "words in quotation marks": {"messages": [{"role": "user", "content": f'Ann said: "{SECRET}" Is it so?'}]},
    "wrapped lines": {
        "messages": [{"role": "user", "content": f"Is it so? {SECRET.replace(' with', chr(10) + 'with')}"}]
    },
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_every_text_of_a_call_is_searched(carrier: str) -> None:
    """Whatever its field is called, and in whatever it is wrapped."""
    asked = read(KEY, "chat", "/v1/x", {"model": "m", **CARRIERS[carrier]}, {})
    assert kept_inside(asked, Private({}, {text_digest(SECRET): "the source keys.txt"}))
    assert kept_inside(asked, Private()) == ""


def test_long_calls_are_searched_to_their_end_or_stay() -> None:
    """A quotation after thousands of lines is found; more than can be searched in a moment stays inside."""
    private = Private({}, {text_digest(SECRET): "the source keys.txt"})
    lines = [f"Line number {i} of a harmless report about the weather in town {i}." for i in range(5000)]
    assert kept_inside(call("\n".join([*lines, SECRET])), private) == "it quotes the source keys.txt."
    assert kept_inside(call("\n".join(lines)), private) == ""
    begun = time.monotonic()
    assert "can be searched" in kept_inside(call(".a" * 5_000_000), private)
    assert time.monotonic() - begun < 60


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
    gateway.wait(lambda: gateway.state.snapshot.endpoint("bank", "mixed") is not None)
    assert http.post("/v1/files", files={"file": ("keys.jsonl", data)}, data={"purpose": "fine-tune"}).is_success
    assert gateway.state.snapshot.private("bank").texts  # in force when the upload is answered

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


def test_a_source_that_came_just_now_is_known(gateway: Any, outside: FakeProvider) -> None:
    """A call that names one leaves if that may, and stays if not, though nobody has looked for news since."""
    http = gateway.http(gateway.key())
    gateway.wait(lambda: gateway.state.snapshot.endpoint("bank", "mixed") is not None)
    for number, (leave, status) in enumerate([(True, 200), (False, 403)] * 5):
        held = Source(f"source-{number}", "bank", "a.txt", "", 0, permissions=Permissions(leave=leave))
        sources.add(gateway.db, held, f"{number}".encode())
        body = {"model": "only-outside", "messages": [{"role": "user", "content": "Hi"}]}
        answer = http.post("/v1/chat/completions", json=body, headers={"x-feilun-sources": held.id})
        assert answer.status_code == status
    assert outside.counted.calls == 5


@pytest.mark.parametrize(
    ("permissions", "metadata"),
    [
        ({}, {}),
        ({"leave": True}, {"feilun_leave": "no"}),
        ({"leave": True}, {"feilun_sources": "source-nobody-knows"}),
    ],
)
def test_a_batch_that_must_not_leave_sends_no_line(
    gateway: Any, outside: FakeProvider, permissions: JSON, metadata: dict[str, str]
) -> None:
    """Made at once after its file came: every line is refused, by the file's permissions or by what the batch says."""
    client = gateway.openai(gateway.key())
    gateway.wait(lambda: gateway.state.snapshot.endpoint("bank", "mixed") is not None)
    path = "/v1/chat/completions"
    body = {"model": "only-outside", "messages": [{"role": "user", "content": "Patient 7 has a secret."}]}
    line = {"method": "POST", "url": path, "body": body}
    data = "\n".join(json.dumps({**line, "custom_id": str(number)}) for number in range(50)).encode()
    said = {"permissions": json.dumps(permissions)}
    file = client.files.create(file=("b.jsonl", data), purpose="batch", extra_body=said)
    made = client.batches.create(input_file_id=file.id, endpoint=path, completion_window="24h", metadata=metadata)
    gateway.wait(lambda: client.batches.retrieve(made.id).status in {"completed", "failed"})
    counts = client.batches.retrieve(made.id).request_counts
    assert (counts.total, counts.failed) == (50, 50)
    assert outside.counted.calls == 0
