"""A gateway before a pretended provider that it may call, and clients of both APIs."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest
import uvloop

from feilun.gateway.serve import bind
from feilun.records import Endpoint, Limit, Provider, Target, new_id
from feilun.serving.fake_provider import FakeProvider
from feilun.settings import Settings, load
from feilun.store.access import endpoints, limits, providers
from feilun.store.calls import usage
from feilun.wire import Server

HI: Any = [{"role": "user", "content": "Say some words"}]


@dataclass
class Outside:
    """A pretended provider on a loopback port, in a thread of its own."""

    fake: FakeProvider
    port: int
    server: Server
    loop: asyncio.AbstractEventLoop


@pytest.fixture
def outside() -> Iterator[Outside]:
    """Give a provider."""
    ready = threading.Event()
    found: list[Outside] = []

    def serve(listener: socket.socket) -> None:
        async def serving() -> None:
            fake = FakeProvider()
            server = fake.server()
            found.append(Outside(fake, listener.getsockname()[1], server, asyncio.get_running_loop()))
            ready.set()
            await server.serve(listener)

        uvloop.run(serving())

    listener = bind("127.0.0.1", 0)
    thread = threading.Thread(target=serve, args=(listener,))
    thread.start()
    ready.wait()
    yield found[0]
    found[0].loop.call_soon_threadsafe(found[0].fake.released.set)
    asyncio.run_coroutine_threadsafe(found[0].server.close(1), found[0].loop).result(10)
    thread.join(10)
    listener.close()


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    """Give settings that permit a provider on this machine."""
    given = {"home": str(tmp_path / "home"), "engine": "fake", "private_hosts": "127.0.0.1"}
    return load(environment={}, given=given)


@dataclass
class House:
    """A gateway, a provider that it may call, and a key."""

    gateway: Any
    outside: Outside
    secret: str
    client: openai.OpenAI

    def route(self, name: str, *targets: Target | str, **more: Any) -> None:
        """Set up an endpoint; a text is a model of the provider."""
        found = tuple(
            one if isinstance(one, Target) else Target(one, "out", price_in=2, price_out=3) for one in targets
        )
        endpoints.put(self.gateway.db, Endpoint(new_id("endpoint"), "bank", name, found, **more))
        self.know(lambda state: state.snapshot.endpoint("bank", name) is not None)

    def limit(self, **more: Any) -> None:
        """Limit the workspace."""
        limits.put(self.gateway.db, Limit(new_id("limit"), "bank", "workspace", "bank", **more))
        self.know(lambda state: state.hotpath.ledger.account(("bank", "workspace", "bank")).limit is not None)

    def know(self, so: Callable[[Any], bool]) -> None:
        """Wait until the gateway knows something."""
        while not so(self.gateway.state):
            threading.Event().wait(0.02)

    def settled(self) -> None:
        """Wait until no call is being answered."""
        self.know(lambda state: state.hotpath.metrics.running == 0)

    def used(self) -> tuple[int, int, int]:
        """Return calls, prompt tokens and answer tokens, as kept in rows."""
        self.settled()
        asyncio.run_coroutine_threadsafe(self.gateway.state.writer.flush(), self.gateway.loop).result(10)
        rows = usage.report(self.gateway.db, "bank", by=("endpoint",))
        return (
            sum(row["calls"] for row in rows),
            sum(row["prompt_tokens"] for row in rows),
            sum(row["completion_tokens"] for row in rows),
        )

    def counted(self) -> tuple[int, int]:
        """Return what the provider counted."""
        return self.outside.fake.counted.prompt_tokens, self.outside.fake.counted.completion_tokens


@pytest.fixture
def house(gateway: Any, outside: Outside) -> House:
    """Give all of it."""
    secret = gateway.key()
    url = f"http://127.0.0.1:{outside.port}/v1"
    providers.put(gateway.db, Provider(new_id("provider"), "bank", "out", "openai", url), "sk-test")
    return House(gateway, outside, secret, gateway.openai(secret))


def ask(house: House, model: str = "help", **more: Any) -> Any:
    """Ask for a whole answer."""
    return house.client.chat.completions.create(model=model, messages=HI, **more)


@pytest.fixture
def anthropic_client(house: House) -> Iterator[anthropic.Anthropic]:
    """Give Anthropic's own client."""
    with anthropic.Anthropic(base_url=house.gateway.url, api_key=house.secret, max_retries=0) as client:
        yield client
