"""A real gateway on a loopback port, with the fake engine, and the official client."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import openai
import pytest
import uvloop

from feilun.engines.fake import FakeEngine
from feilun.engines.models import ensure_base
from feilun.gateway import create_app, create_server
from feilun.gateway.serve import bind
from feilun.gateway.state import Gateway
from feilun.records import Role
from feilun.serving.indoors import IndoorFleet
from feilun.settings import Settings, load
from feilun.store import Database, keys, open_database, workspaces
from feilun.training.plan import Plan
from feilun.training.recipes import DEFAULTS
from feilun.training.replay.prompts import replay_file
from feilun.wire import Server

BASE = "smollm2-135m-instruct"


@dataclass
class Running:
    """A gateway in a thread of this process, over a home that outlives it."""

    settings: Settings
    db: Database
    engine: FakeEngine
    url: str = ""
    clients: list[httpx.Client] = field(default_factory=list)
    server: Server | None = None
    state: Gateway | None = None
    loop: asyncio.AbstractEventLoop | None = None

    def serve(self, listener: socket.socket) -> None:
        """Serve in this thread until :meth:`stop`."""

        async def serving() -> None:
            self.loop = asyncio.get_running_loop()
            app = create_app(self.settings, self.db, IndoorFleet(self.settings, self.engine))
            self.state = app.state.gateway
            self.server = create_server(app)
            await self.server.serve(listener)

        uvloop.run(serving())

    def stop(self) -> None:
        """End the server; calls in flight have a moment to finish."""
        if self.server is not None and self.loop is not None:
            asyncio.run_coroutine_threadsafe(self.server.close(5), self.loop).result(30)

    def key(self, ws: str = "bank", role: Role = "owner") -> str:
        """Make a key and wait until the gateway knows it."""
        workspaces.ensure(self.db, ws)
        _, secret = keys.create(self.db, ws, f"{role} of {ws}", role)
        while httpx.get(f"{self.url}/v1/models", headers=bearer(secret)).status_code == 401:
            threading.Event().wait(0.05)
        return secret

    def wait(self, so: Callable[[], object]) -> None:
        """Wait until something is so; the test's own limit ends a wait in vain."""
        while not so():
            threading.Event().wait(0.02)

    def flush(self) -> None:
        """Return once every call that is over is in rows."""
        if self.state is not None and self.loop is not None:
            asyncio.run_coroutine_threadsafe(self.state.writer.flush(), self.loop).result(60)

    def http(self, secret: str) -> httpx.Client:
        """Return a plain HTTP client with a key."""
        client = httpx.Client(base_url=self.url, headers=bearer(secret), timeout=60)
        self.clients.append(client)
        return client

    def openai(self, secret: str) -> openai.OpenAI:
        """Return the official client with a key."""
        inner = httpx.Client(timeout=60)
        self.clients.append(inner)
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=secret, max_retries=0, http_client=inner)


def bearer(secret: str) -> dict[str, str]:
    """Return the header that carries a key."""
    return {"authorization": f"Bearer {secret}"}


def running(settings: Settings, engine: FakeEngine) -> Iterator[Running]:
    """Run a gateway until the iteration is left."""
    db = open_database(settings.root, settings.database)
    listener = bind("127.0.0.1", 0)
    found = Running(settings, db, engine, f"http://127.0.0.1:{listener.getsockname()[1]}")
    thread = threading.Thread(target=found.serve, args=(listener,), name="gateway")
    thread.start()
    try:
        yield found
    finally:
        for client in found.clients:
            client.close()
        found.stop()
        thread.join(30)
        listener.close()
        db.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give the settings of a new home with the fake engine."""
    return load(environment={}, given={"home": str(tmp_path / "home"), "engine": "fake"})


@pytest.fixture
def gateway(settings: Settings) -> Iterator[Running]:
    """Give a gateway over an empty home."""
    yield from running(settings, FakeEngine())


@pytest.fixture
def client(gateway: Running) -> openai.OpenAI:
    """Give the official client of an owner of the workspace ``bank``."""
    return gateway.openai(gateway.key())


@pytest.fixture
def wait() -> Callable[[Callable[[], object]], None]:
    """Give a way to wait until something is so; the test's own limit ends a wait in vain."""

    def until(so: Callable[[], object]) -> None:
        while not so():
            threading.Event().wait(0.05)

    return until


@pytest.fixture
def serve() -> Callable[[Settings], Iterator[Running]]:
    """Give a way to run a gateway over any home."""
    return lambda settings: running(settings, FakeEngine())


@pytest.fixture
def tiny_folder() -> Callable[[Path], Path]:
    """Give a way to make a tiny random Llama with a tokenizer and a chat template."""
    place = Path(__file__).parents[1] / "models.py"
    spec = importlib.util.spec_from_file_location("tiny_models", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.tiny_model


@pytest.fixture
def replay_of() -> Callable[[Settings], None]:
    """Give a way to note what a base says to everyday questions, so that training does not ask it first."""

    def note(settings: Settings) -> None:
        base = ensure_base(settings.root, settings.model)
        plans = [Plan("", "", "", "", "", **defaults) for defaults in ({}, *DEFAULTS.values())]
        lines = [{"prompt": f"Say {i}.", "answer": f"{i}", "finish": "stop"} for i in range(8)]
        for shape in {(plan.replay_prompts, plan.replay_tokens) for plan in plans}:
            file = replay_file(settings.root, base.id, *shape)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")

    return note
