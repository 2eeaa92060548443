"""A call that is over, as a line of the log and as a span: exact, without texts, and nobody waits for it."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from feilun.errors import BadSetting, UpstreamTimeout
from feilun.gateway.hotpath.calls import Call, read
from feilun.gateway.hotpath.reading import Reading
from feilun.gateway.hotpath.routes import Choice
from feilun.gateway.hotpath.upstream import Remote, Sent, Upstreams
from feilun.gateway.observability import Watch, watching
from feilun.records import Endpoint, Key, Limit, Target, Usage, new_id
from feilun.serving.fleet import Fleet
from feilun.settings import Settings, load
from feilun.store.access import limits
from feilun.wire import Exchange, Origin, Pool, Server, ServerLimits

KEY = Key("key-1", "bank", "a key", "owner", "0" * 64, "fl-…1234")
SECRET = "the vault opens at noon"
BODY = {"model": "help", "messages": [{"role": "user", "content": SECRET}], "temperature": 0.5, "max_tokens": 9}
ANSWER = {
    "id": "x",
    "model": "words",
    "choices": [{"index": 0, "message": {"content": f"Yes: {SECRET}"}, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 2}},
}
USAGE = Usage(7, 9, 2)


@pytest.fixture
async def upstreams(settings: Settings) -> AsyncIterator[Upstreams]:
    """Give a way to one provider, which nothing is sent to."""
    pool, fleet = Pool(), Fleet(settings, settings.root)

    async def local(_ws: str, _name: str) -> Any:
        raise AssertionError

    found = Upstreams(fleet, pool, local)
    origin = Origin("https", "api.example.com", 8443)
    found.remotes["bank", "out"] = Remote("provider-1", "openai", origin, "/v1", b"")
    yield found
    await fleet.close()
    await pool.close()


def ended(watch: Watch, status: str = "ok") -> Call:
    """Tell of a call that is over; return it."""
    call = read(KEY, "chat", "/v1/chat/completions", BODY, {})
    target = Target("words", "out")
    choice = Choice(Endpoint("endpoint-1", "bank", "help", (target,)), target)
    reading = Reading(call, "openai")
    if status == "ok":
        reading.whole(json.dumps(ANSWER).encode())
        watch(call, Sent(choice, None, None, "openai"), reading, status, USAGE, (0.25, 1.5))
    else:
        watch(call, None, None, status, Usage(0, 0), (0.0, 1.5))
    return call


def test_nobody_is_told_by_default(upstreams: Upstreams) -> None:
    """Without settings there is nothing to call."""
    assert watching(upstreams) is None


def test_a_line_for_each_call_without_its_texts(upstreams: Upstreams, caplog: pytest.LogCaptureFixture) -> None:
    """One line of JSON with who, what, how it ended and what it used; nothing while nobody reads the level."""
    watch = watching(upstreams, calls=True)
    caplog.set_level(logging.WARNING, "feilun.calls")
    ended(watch)
    assert caplog.text == ""
    caplog.set_level(logging.INFO, "feilun.calls")
    call = ended(watch)
    line = json.loads(caplog.messages[-1])
    assert line == {
        "time": call.created,
        "trace": call.id,
        "workspace": "bank",
        "key": "key-1",
        "kind": "chat",
        "endpoint": "help",
        "model": "out/words",
        "status": "ok",
        "prompt_tokens": 7,
        "completion_tokens": 9,
        "cached_tokens": 2,
        "seconds": 1.5,
        "first": 0.25,
    }


def test_texts_are_in_the_line_when_asked_for(upstreams: Upstreams, caplog: pytest.LogCaptureFixture) -> None:
    """With the setting log_prompts, what was asked and what was answered."""
    caplog.set_level(logging.INFO, "feilun.calls")
    ended(watching(upstreams, calls=True, prompts=True))
    line = json.loads(caplog.messages[-1])
    assert line["asked"] == BODY["messages"]
    assert line["answered"] == [f"Yes: {SECRET}"]


def test_a_call_that_failed_says_with_what(upstreams: Upstreams, caplog: pytest.LogCaptureFixture) -> None:
    """The code of the error that ends the call, as it is being handled."""
    caplog.set_level(logging.INFO, "feilun.calls")
    watch = watching(upstreams, calls=True)

    def hang() -> None:
        try:
            raise UpstreamTimeout("It hangs.")
        finally:
            ended(watch, "error")

    with pytest.raises(UpstreamTimeout):
        hang()
    assert json.loads(caplog.messages[-1])["error"] == "upstream_timeout"
    ended(watch, "error")
    assert json.loads(caplog.messages[-1])["error"] == "upstream_error"


@pytest.fixture
async def collector() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Give an OTLP/HTTP collector on a loopback port, and what it was sent."""
    taken: list[bytes] = []

    async def take(exchange: Exchange) -> None:
        taken.append(exchange.body)
        exchange.respond(200, b"", media=b"application/x-protobuf")

    server = Server({("POST", "/v1/traces"): take}, None, ServerLimits())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        task = asyncio.create_task(server.serve(listener))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", taken
        await server.close(1)
        await task


def values(attributes: Any) -> dict[str, Any]:
    """Return attributes as a plain mapping."""
    found = {}
    for each in attributes:
        kind = each.value.WhichOneof("value")
        value = getattr(each.value, kind)
        found[each.key] = [one.string_value for one in value.values] if kind == "array_value" else value
    return found


async def test_a_span_for_each_call_in_the_words_of_genai(
    upstreams: Upstreams, collector: tuple[str, list[bytes]]
) -> None:
    """Model, tokens, end, server and error, at the call's own times; and never a text."""
    address, taken = collector
    watch = watching(upstreams, address)
    call = ended(watch)
    ended(watch, "error")
    ended(watch, "refused")
    await asyncio.to_thread(watch.close)
    assert SECRET.encode() not in b"".join(taken)
    sent = [ExportTraceServiceRequest.FromString(each) for each in taken]
    groups = [group for each in sent for group in each.resource_spans]
    assert values(groups[0].resource.attributes)["service.name"] == "feilun"
    good, bad, refused = [span for group in groups for scope in group.scope_spans for span in scope.spans]
    assert good.name == "chat help"
    assert good.end_time_unix_nano - good.start_time_unix_nano == pytest.approx(1.5e9, abs=1000)
    assert good.start_time_unix_nano == int(call.created * 1e9)
    found = values(good.attributes)
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "help",
        "gen_ai.request.stream": False,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.id": call.id,
        "gen_ai.response.model": "out/words",
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 9,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "server.address": "api.example.com",
        "server.port": 8443,
        "feilun.workspace": "bank",
        "feilun.key": "key-1",
        "feilun.status": "ok",
    }
    failed: Mapping[str, Any] = values(bad.attributes)
    assert failed["error.type"] == "upstream_error"
    assert (bad.status.code, refused.status.code) == (2, 2)
    assert "server.address" not in failed


@pytest.mark.parametrize("address", ["collector:4318", "ftp://collector", "http://", "nonsense"])
def test_a_collectors_address_that_is_none_is_refused(upstreams: Upstreams, address: str) -> None:
    """At the start, not with the first call."""
    with pytest.raises(BadSetting, match="telemetry"):
        watching(upstreams, address)


def test_a_gateway_writes_its_lines(tmp_path: Path, serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """With the setting log_calls, a line for each call that was sent, whole or streamed, with its trace's id."""
    caplog.set_level(logging.INFO, "feilun.calls")
    given = {"home": str(tmp_path / "home"), "engine": "fake", "log_calls": True}
    for gateway in serve(load(environment={}, given=given)):
        http = gateway.http(gateway.key())
        body = {"model": "smollm2-135m-instruct", "messages": BODY["messages"]}
        traces = [
            http.post("/v1/chat/completions", json={**body, "stream": stream}).headers["x-feilun-trace"]
            for stream in (False, True)
        ]
    lines = [json.loads(each.getMessage()) for each in caplog.records if each.name == "feilun.calls"]
    assert [(line["trace"], line["status"]) for line in lines] == [(trace, "ok") for trace in traces]
    assert all(line["completion_tokens"] > 0 for line in lines)
    assert SECRET not in caplog.text


UNKNOWN, LONG, BASE = "a model that nobody has", "x" * 5000, "smollm2-135m-instruct"


def refusals(gateway: Any) -> str:
    """Have calls refused, for what they ask and for a limit; return the page of figures."""
    http = gateway.http(gateway.key())

    def ask(model: str, *, stream: bool = False) -> int:
        body = {"model": model, "messages": BODY["messages"], "stream": stream}
        return http.post("/v1/chat/completions", json=body).status_code

    assert [ask(UNKNOWN), ask(UNKNOWN, stream=True), ask(LONG), ask(BASE)] == [404, 404, 404, 200]
    account = gateway.state.hotpath.ledger.account(("bank", "workspace", "bank"))
    limits.put(gateway.db, Limit(new_id("limit"), "bank", "workspace", "bank", concurrent=0))
    gateway.wait(lambda: account.limit is not None)
    assert ask(BASE) == 429
    return http.get("/metrics").text


def test_what_is_refused_is_counted_and_told(tmp_path: Path, serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An unknown model and a limit that is reached: a line and a figure each; texts of clients are no labels."""
    caplog.set_level(logging.INFO, "feilun.calls")
    given = {"home": str(tmp_path / "home"), "engine": "fake", "log_calls": True}
    (page,) = [refusals(gateway) for gateway in serve(load(environment={}, given=given))]
    assert 'feilun_refusals_total{code="model_not_found",workspace="bank"} 3.0' in page
    assert 'feilun_refusals_total{code="rate_limit_exceeded",workspace="bank"} 1.0' in page
    assert "feilun_calls_running 0.0" in page
    assert UNKNOWN not in page
    lines = [json.loads(each.getMessage()) for each in caplog.records if each.name == "feilun.calls"]
    told = [(line["endpoint"], line.get("error")) for line in lines if line["status"] == "refused"]
    missing = "model_not_found"
    assert told == [(UNKNOWN, missing), (UNKNOWN, missing), (LONG[:256], missing), (BASE, "rate_limit_exceeded")]
    assert SECRET not in caplog.text
