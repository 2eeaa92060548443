"""The whole service is killed in the middle of load: every answer that a client saw complete is kept, once."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from feilun.errors import FeilunError
from feilun.records import Endpoint, Limit, Provider, Target, new_id
from feilun.store import Database, keys, open_database, traces, workspaces
from feilun.store.access import endpoints, limits, providers
from feilun.store.calls import usage
from feilun.wire import Origin, Pool, Timeouts

CALLS, ENOUGH = 200, 300


@pytest.fixture
def provider() -> Iterator[int]:
    """Give the port of a pretended provider in a process of its own."""
    argv = [sys.executable, "-m", "feilun.serving.fake_provider", "--pause", "0.003"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["ready"]["port"]
        process.terminate()


class Service:
    """``feilun up`` as a process."""

    def __init__(self, home: Path) -> None:
        """Start it and wait until it listens."""
        code = "import sys; from feilun.cli import main; sys.exit(main())"
        flags = {"--home": str(home), "--engine": "fake", "--port": "0"}
        argv = [sys.executable, "-c", code, "up", *(part for pair in flags.items() for part in pair)]
        environment = {"FEILUN_PRIVATE_HOSTS": "127.0.0.1", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment, text=True)
        assert self.process.stdout is not None
        line = ""
        while "http://" not in line:
            line = self.process.stdout.readline()
            assert line or self.process.poll() is None
        self.port = int(line.split("127.0.0.1:")[1].split()[0].split("（")[0])
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/health")
                break
            except httpx.TransportError:
                time.sleep(0.05)

    def end(self, how: signal.Signals) -> None:
        """Send a signal and wait."""
        self.process.send_signal(how)
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


async def _load(port: int, secret: str, dice: random.Random, whole: set[str], enough: asyncio.Event) -> None:
    pool, most = Pool(), len(whole) + ENOUGH
    origin = Origin("http", "127.0.0.1", port, "127.0.0.1")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {secret}\r\n".encode()

    async def calls() -> None:
        while True:
            stream = dice.random() < 0.5
            body: dict[str, Any] = {"model": "good", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
            try:
                reply = await pool.request(
                    origin, head, json.dumps(body | {"max_tokens": dice.randint(2, 20)}).encode(), Timeouts()
                )
                data = await reply.read()
            except FeilunError:
                return
            if reply.status == 200 and (data.endswith(b"data: [DONE]\n\n") if stream else data.endswith(b"}")):
                whole.add(reply.headers[b"x-feilun-trace"].decode())
                if len(whole) >= most:
                    enough.set()

    await asyncio.gather(*(calls() for _ in range(CALLS)))
    await pool.close()


def _set_up(db: Database, provider: int) -> str:
    workspaces.ensure(db, "bank")
    _, secret = keys.create(db, "bank", "k", "owner")
    url = f"http://127.0.0.1:{provider}/v1"
    providers.put(db, Provider(new_id("provider"), "bank", "out", "openai", url), "sk-test")
    endpoints.put(db, Endpoint(new_id("endpoint"), "bank", "good", (Target("words-long", "out", price_in=1),)))
    limits.put(db, Limit(new_id("limit"), "bank", "workspace", "bank", tokens_per_day=10**9, concurrent=CALLS + 1))
    return secret


def test_what_clients_saw_complete_is_kept_once(tmp_path: Path, provider: int) -> None:
    """``kill -9`` during 200 calls at once, twice: then all is there, counted once, and new calls are answered."""
    db = open_database(tmp_path / "home")
    secret = _set_up(db, provider)
    whole: set[str] = set()
    dice = random.Random(5)
    for _ in range(2):
        service = Service(tmp_path / "home")

        async def until_killed(found: Service = service) -> None:
            enough = asyncio.Event()
            load = asyncio.create_task(_load(found.port, secret, dice, whole, enough))
            await enough.wait()
            found.end(signal.SIGKILL)
            await load

        asyncio.run(until_killed())
    service = Service(tmp_path / "home")
    headers = {"authorization": f"Bearer {secret}"}
    body = {"model": "good", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
    url = f"http://127.0.0.1:{service.port}/v1/chat/completions"
    whole.add(httpx.post(url, headers=headers, json=body, timeout=30).json()["id"])
    service.end(signal.SIGTERM)

    kept = [trace.id for trace in traces.find(db, "bank", limit=100_000)]
    assert len(kept) == len(set(kept))
    assert whole - set(kept) == set()
    assert sum(row["calls"] for row in usage.report(db, "bank", by=("endpoint",))) == len(kept)
    db.close()
