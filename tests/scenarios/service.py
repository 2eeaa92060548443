"""``feilun up`` as a process with the embedded model, its engine's process, and answers that may be awaited."""

from __future__ import annotations

import inspect
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

BASE = "smollm2-135m-instruct"
EMBEDDING = "multilingual-e5-small"


@dataclass
class Service:
    """A gateway in a process of its own, and the key of its owner."""

    home: Path
    url: str
    secret: str
    process: subprocess.Popen[str]
    clients: list[httpx.Client] = field(default_factory=list)

    @classmethod
    def start(cls, home: Path, base: str) -> Service:
        """Start it and wait until it answers with the base model."""
        command = [Path(sys.executable).with_name("feilun"), "up", "--home", str(home), "--port", "0", "--model", base]
        environment = {**os.environ, "LANG": "C", "PYTHONUNBUFFERED": "1", "FEILUN_CONTEXT": "1024"}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _ in range(3))
        url, secret = re.search(r"http://\S+", said), re.search(r"fl-\S+", said)
        assert url is not None, said
        assert secret is not None, said
        found = cls(home, url[0], secret[0], process)
        found.wait(lambda: httpx.get(f"{found.url}/ready").status_code == 200)
        return found

    def stop(self) -> None:
        """End it as people do; it must end without an error."""
        for client in self.clients:
            client.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            rest = self.process.stdout.read()
            self.process.stdout.close()
        assert code == 0, rest

    def wait(self, so: Callable[[], object]) -> None:
        """Wait until something is so, while the process lives; the test's own limit ends a wait in vain."""
        while True:
            try:
                if so():
                    return
            except httpx.TransportError:
                assert self.process.poll() is None
            threading.Event().wait(0.02)

    def http(self, secret: str = "") -> httpx.Client:
        """Return a plain HTTP client with a key."""
        headers = {"authorization": f"Bearer {secret or self.secret}"}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=120)
        self.clients.append(client)
        return client

    def key(self, **given: Any) -> dict[str, Any]:
        """Make another key of the workspace; return it with its secret."""
        made = self.http().post("/api/keys", json=given)
        assert made.status_code == 201, made.text
        return dict(made.json())

    def engine(self) -> tuple[int, int]:
        """Return the process id and the port of the engine that serves the base; (0, 0) if there is none just now."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if "feilun.serving.embed_worker" in child.cmdline():
                    continue
                ports = [each.laddr.port for each in child.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
            except psutil.Error:  # it ended just now
                continue
            if ports:
                return child.pid, ports[0]
        return 0, 0

    def counted(self) -> dict[str, int]:
        """Return what the engine itself has counted since it was started."""
        state = httpx.get(f"http://127.0.0.1:{self.engine()[1]}/health").json()
        return dict(state["counts"])

    def idle(self) -> bool:
        """Say whether the engine has nothing to do."""
        state = httpx.get(f"http://127.0.0.1:{self.engine()[1]}/health").json()
        return state["running"] == state["waiting"] == 0

    def used(self) -> dict[str, int]:
        """Return the sums of all usage of the base and its adapters that is kept."""
        rows = self.http().get("/api/usage", params={"by": "kind"}).json()["data"]
        names = ("prompt_tokens", "completion_tokens")
        return {name: sum(row[name] for row in rows if row["kind"] != "embedding") for name in names}


async def said(answer: Any) -> Any:
    """Return what a client answers, now or when it is awaited: one scenario is for both kinds of clients."""
    return await answer if inspect.isawaitable(answer) else answer


async def pieces(stream: Any) -> list[Any]:
    """Return everything that a client's stream or list of pages gives."""
    stream = await said(stream)
    return [each async for each in stream] if hasattr(stream, "__aiter__") else list(stream)


async def whole(manager: Any, read: Callable[[Any], Any]) -> tuple[list[Any], Any]:
    """Return all events of a client's stream helper, and what ``read`` takes from it at its end."""
    if hasattr(manager, "__aenter__"):
        async with manager as stream:
            return [event async for event in stream], await said(read(stream))
    with manager as stream:
        return list(stream), read(stream)


def seconds_since(begin: float) -> str:
    """Return how long ago that was, for people to read."""
    return f"{time.perf_counter() - begin:.2f} s"
