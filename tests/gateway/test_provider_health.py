"""Providers are asked whether they are there: one that goes away is known before a call, and so is one that is back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from feilun.engines.fake import FakeEngine
from feilun.gateway.health import DOWN_SECONDS, QUIET_SECONDS, TROUBLED_SECONDS, ProviderHealth
from feilun.gateway.hotpath.breaker import Breakers
from feilun.gateway.hotpath.ledger import Ledger
from feilun.gateway.hotpath.upstream import Upstreams
from feilun.gateway.providing import Providing
from feilun.gateway.snapshot import Found
from feilun.records import Endpoint, ModelVersion, Provider, Target
from feilun.serving.indoors import IndoorFleet
from feilun.settings import Settings, load
from feilun.wire import Pool

HERE = frozenset({"127.0.0.1"})
NAME, OTHER = "bank/cloud/gpt", "bank/cloud/gpt-small"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings that permit a provider on this machine."""
    given = {"home": str(tmp_path / "home"), "engine": "fake", "private_hosts": "127.0.0.1"}
    return load(environment={}, given=given)


@dataclass
class Cloud:
    """A provider's server on a port of its own, which can go away and come back."""

    status: int = 200
    port: int = 0
    asked: list[list[str]] = field(default_factory=list)
    server: asyncio.Server | None = None
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def come(self) -> None:
        """Listen."""
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def go(self) -> None:
        """Listen no more, and leave whoever is connected."""
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.close()
        self.writers.clear()
        await self.server.wait_closed()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests on a connection, all with the same status."""
        self.writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked.append(head.decode().split("\r\n"))
                writer.write(b"HTTP/1.1 %d So\r\nContent-Length: 2\r\n\r\n{}" % self.status)


@dataclass
class Watching:
    """Providers that are watched, by a clock that stands still."""

    cloud: Cloud
    pool: Pool
    breakers: Breakers
    upstreams: Upstreams
    now: list[float]
    health: ProviderHealth
    private: frozenset[str] = HERE

    def use(self, *models: str) -> None:
        """Have an endpoint for each of these models of the provider."""
        provider = Provider("provider-1", "bank", "cloud", "openai", f"http://127.0.0.1:{self.cloud.port}/api/v1")
        endpoints = {
            ("bank", name): Endpoint(f"endpoint-{name}", "bank", name, (Target(name, "cloud"),)) for name in models
        }
        found = Found(endpoints=endpoints, providers=[(provider, "sk-secret")])
        Providing(self.private, self.upstreams, Ledger())(found)
        self.health(found)

    async def look(self, later: float = 0.0) -> str:
        """Let time pass, ask whom it is time to ask, and return what is known of the provider."""
        self.now[0] += later
        await asyncio.gather(*self.health.look())
        return self.health.state("bank", "cloud")


@pytest.fixture
async def watching(settings: Settings) -> AsyncIterator[Watching]:
    """Give a provider that is there, which the endpoints ``gpt`` and ``gpt-small`` use."""

    async def nothing(_ws: str, _model: str) -> tuple[ModelVersion, ModelVersion]:
        raise AssertionError

    cloud, pool, now = Cloud(), Pool(), [1000.0]
    await cloud.come()
    breakers = Breakers(threshold=1, first=1.0, clock=lambda: now[0])
    upstreams = Upstreams(IndoorFleet(settings, FakeEngine()), pool, nothing)
    found = Watching(cloud, pool, breakers, upstreams, now, ProviderHealth(upstreams, breakers, clock=lambda: now[0]))
    found.use("gpt", "gpt-small")
    yield found
    await pool.close()
    await cloud.go()


async def test_it_goes_away_and_comes_back(watching: Watching) -> None:
    """Down before any call failed, and for as long as nobody is there; up without a call that had to try."""
    assert watching.health.state("bank", "cloud") == "unknown"
    assert await watching.look() == "up"
    assert watching.cloud.asked[0][0] == "GET /api/v1/models HTTP/1.1"
    assert "Authorization: Bearer sk-secret" in watching.cloud.asked[0]
    await watching.look(TROUBLED_SECONDS)
    assert len(watching.cloud.asked) == 1
    await watching.cloud.go()
    assert await watching.look(QUIET_SECONDS) == "down"
    for _ in range(30):
        assert not watching.breakers.allows(NAME)
        assert not watching.breakers.allows(OTHER)
        assert await watching.look(TROUBLED_SECONDS) == "down"
    assert {name: value for name, _, value in watching.health.gauges()}["feilun_providers_down"] == 1.0
    await watching.cloud.come()
    assert await watching.look(TROUBLED_SECONDS) == "up"
    assert watching.breakers.states() == {}


async def test_a_circuit_that_calls_opened_is_closed_when_nobody_was_there(watching: Watching) -> None:
    """What explains the failures is over; a circuit that opened while the provider was there goes by its own rule."""
    await watching.look()
    watching.breakers.failed(NAME)
    assert await watching.look(TROUBLED_SECONDS / 10) == "up"
    assert not watching.breakers.allows(NAME)
    asked = len(watching.cloud.asked)
    assert await watching.look(TROUBLED_SECONDS) == "up"
    assert len(watching.cloud.asked) == asked + 1  # sooner than one that answers
    assert watching.breakers.states() == {NAME: "half open"}
    await watching.cloud.go()
    assert await watching.look(TROUBLED_SECONDS) == "down"
    await watching.cloud.come()
    assert await watching.look(TROUBLED_SECONDS) == "up"
    assert watching.breakers.states() == {}


@pytest.mark.parametrize(
    ("status", "first", "after"), [(401, "up", "up"), (404, "up", "up"), (503, "unknown", "unknown")]
)
async def test_what_an_answer_says(watching: Watching, status: int, first: str, after: str) -> None:
    """Who refuses us is there; who is not well may answer calls all the same, and is not held to be away."""
    watching.cloud.status = status
    assert await watching.look() == first
    assert watching.breakers.states() == {}
    await watching.cloud.go()
    assert await watching.look(QUIET_SECONDS) == "down"
    await watching.cloud.come()
    assert await watching.look(TROUBLED_SECONDS) == after
    assert watching.breakers.states() == {}


async def test_only_what_is_used_and_may_be_called_is_asked(watching: Watching) -> None:
    """A provider without endpoints is left alone and forgotten; an address that is not allowed hears nothing."""
    await watching.cloud.go()
    assert await watching.look() == "down"
    watching.use("gpt")
    assert watching.breakers.states() == {NAME: "open"}
    watching.use("gpt", "gpt-small")
    assert await watching.look() == "down"
    assert watching.breakers.states() == {NAME: "open", OTHER: "open"}
    watching.use()
    assert (watching.breakers.states(), watching.health.state("bank", "cloud")) == ({}, "unknown")
    await watching.cloud.come()
    assert await watching.look(DOWN_SECONDS) == "unknown"
    watching.upstreams.remotes.clear()
    watching.private = frozenset()
    watching.use("gpt")
    assert await watching.look(DOWN_SECONDS) == "unknown"
    assert watching.cloud.asked == []


class Words(BaseHTTPRequestHandler):
    """A provider that is asked which models it has, and answers chats."""

    def do_GET(self) -> None:
        """Say that there are models."""
        self.say({"object": "list", "data": []})

    def do_POST(self) -> None:
        """Answer a chat."""
        self.rfile.read(int(self.headers["content-length"]))
        message = {"role": "assistant", "content": "from outside"}
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        self.say({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage})

    def say(self, body: dict[str, Any]) -> None:
        """Send an answer."""
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextlib.contextmanager
def serving(port: int) -> Iterator[None]:
    """Have a provider there for a while."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Words)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_gateway_learns_of_it_without_a_call(gateway: Any) -> None:
    """An owner sees that the provider is down, calls take the other way at once; then it is back, and answers again."""
    http = gateway.http(gateway.key())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    http.put("/api/providers/cloud", json={"url": f"http://127.0.0.1:{port}/v1", "key": "sk-x"})
    assert http.get("/api/providers/cloud").json()["state"] == "unknown"
    targets = [{"model": "gpt", "provider": "cloud"}, {"model": "smollm2-135m-instruct", "weight": 0}]
    http.put("/api/endpoints/task", json={"targets": targets})

    def state() -> str:
        return str(http.get("/api/providers").json()["data"][0]["state"])

    def answered() -> str:
        body = {"model": "task", "messages": [{"role": "user", "content": "hello"}]}
        return str(http.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"])

    gateway.wait(lambda: state() == "down")
    assert answered() != "from outside"
    assert gateway.state.hotpath.metrics.retries == 0
    assert b"feilun_providers_down 1.0" in gateway.state.hotpath.metrics.text()
    with serving(port):
        gateway.wait(lambda: state() == "up")
        assert answered() == "from outside"
    assert gateway.state.hotpath.metrics.retries == 0
