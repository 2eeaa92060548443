"""A thousand streams at once, many left by their clients, many broken off: the bill is right to the token."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from feilun.compute import permit_files
from feilun.errors import FeilunError
from feilun.records import Endpoint, Limit, Provider, Target, new_id
from feilun.settings import Settings, load
from feilun.store.access import endpoints, limits, providers
from feilun.store.calls import usage
from feilun.wire import Origin, Pool, Timeouts

STREAMS = 1000
LONGEST = 40


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings that permit a provider on this machine."""
    given = {"home": str(tmp_path / "home"), "engine": "fake", "private_hosts": "127.0.0.1"}
    return load(environment={}, given=given)


@pytest.fixture
def provider() -> Iterator[int]:
    """Give the port of a pretended provider in a process of its own, which streams slowly enough to be left."""
    argv = [sys.executable, "-m", "feilun.serving.fake_provider", "--pause", "0.01"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["ready"]["port"]
        process.terminate()


async def _stream(pool: Pool, port: int, secret: str, plan: tuple[str, int, int | None], seen: Counter[str]) -> None:
    """Ask for one stream; leave it after ``left`` pieces if that is said."""
    model, tokens, left = plan
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {secret}\r\n"
    body = {"model": model, "messages": [{"role": "user", "content": "Say a few words"}], "stream": True}
    sent = json.dumps(body | {"max_tokens": tokens}).encode()
    origin = Origin("http", "127.0.0.1", port, "127.0.0.1")
    try:
        reply = await pool.request(origin, head.encode(), sent, Timeouts(connect=30, first=60, between=60))
        if reply.status != 200:
            seen[str(reply.status)] += 1
            await reply.read()
            return
        pieces = whole = 0
        while data := await reply.receive():
            pieces += data.count(b"data: ")
            whole += data.count(b"[DONE]")
            if left is not None and pieces >= left:
                reply.abandon()
                seen["left"] += 1
                return
        seen["whole" if whole else "broken"] += 1
    except FeilunError as error:
        seen[type(error).__name__] += 1


async def _all(port: int, secret: str, dice: random.Random) -> Counter[str]:
    pool, seen, plans = Pool(), Counter[str](), []
    for number in range(STREAMS):
        tokens = dice.randint(5, LONGEST)
        if number % 3 == 0:
            plans.append(("good", tokens, dice.randint(1, tokens)))
        elif dice.random() < 1 / 3:
            plans.append((f"bad-{dice.choice((1, 4))}", tokens, None))
        else:
            plans.append(("good", tokens, None))
    await asyncio.gather(*(_stream(pool, port, secret, plan, seen) for plan in plans))
    await pool.close()
    return seen


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_thousand_streams_are_billed_to_the_token(gateway: Any, provider: int, seed: int) -> None:
    """What was kept equals what the provider counted, and the budget, which is too small for all, is not overspent."""
    if permit_files() < 4 * STREAMS:  # client and gateway are one process here, and each stream has both their ends
        pytest.skip("this system lets a process open too few files for a thousand streams: raise ulimit -n to 4000")
    secret = gateway.key()
    url = f"http://127.0.0.1:{provider}/v1"
    providers.put(gateway.db, Provider(new_id("provider"), "bank", "out", "openai", url), "sk-test")
    for name, model in (("good", "words-long"), ("bad-1", "words-die-1"), ("bad-4", "words-die-4")):
        target = Target(model, "out", price_in=7, price_out=11)
        endpoints.put(gateway.db, Endpoint(new_id("endpoint"), "bank", name, (target,), retries=0))
    dice = random.Random(seed)
    budget = dice.randint(12_000, 16_000)
    limits.put(gateway.db, Limit(new_id("limit"), "bank", "workspace", "bank", tokens_per_day=budget))
    state = gateway.state
    gateway.wait(lambda: state.hotpath.ledger.account(("bank", "workspace", "bank")).limit is not None)
    gateway.wait(lambda: state.snapshot.endpoint("bank", "bad-4") is not None)

    port = int(gateway.url.rsplit(":", 1)[1])
    seen = asyncio.run(_all(port, secret, dice))
    gateway.wait(lambda: state.hotpath.metrics.running == 0)
    gateway.flush()

    counted = httpx.get(f"http://127.0.0.1:{provider}/counted").json()
    rows = usage.report(gateway.db, "bank", by=("endpoint",))
    used = {name: sum(row[name] for row in rows) for name in ("prompt_tokens", "completion_tokens", "cost")}
    assert used["prompt_tokens"] - counted["prompt_tokens"] == 0
    assert used["completion_tokens"] - counted["completion_tokens"] == 0
    assert used["cost"] == used["prompt_tokens"] * 7 + used["completion_tokens"] * 11
    assert used["prompt_tokens"] + used["completion_tokens"] <= budget
    account = state.hotpath.ledger.account(("bank", "workspace", "bank"))
    assert (account.tokens, account.money, account.concurrent) == (0, 0, 0)
    assert account.day_tokens == used["prompt_tokens"] + used["completion_tokens"]
    assert sum(seen.values()) == STREAMS
    assert min(seen["left"], seen["whole"], seen["broken"], seen["429"]) > 0
