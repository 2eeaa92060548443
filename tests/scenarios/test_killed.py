"""The engine's process is killed under load: begun streams are told, the other calls are answered all the same."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import openai
import pytest
from tests.scenarios.service import BASE, Service, seconds_since

pytestmark = pytest.mark.model
LONG: Any = [{"role": "user", "content": "Write a long story about a river."}]
CALLS = 6


async def test_killed_in_the_middle(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """``kill -9`` during a stream and waiting calls: one error event, no failed call, and answers as before."""
    service.wait(service.idle)
    url = f"{service.url}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key=service.secret, max_retries=0, timeout=120) as client:
        create = client.chat.completions.create

        def ask(number: int) -> Any:
            asked = [{"role": "user", "content": f"What is {number} and {number}?"}]
            return create(model=BASE, messages=asked, max_tokens=40, temperature=0)

        expected = [answer.choices[0].message.content for answer in [await ask(n) for n in range(CALLS)]]
        stream = await create(model=BASE, messages=LONG, stream=True, max_tokens=900)
        await anext(stream)
        waiting = [asyncio.create_task(ask(number)) for number in range(CALLS)]
        service_counts = service.counted()["calls"]
        await asyncio.sleep(0.2)
        before = service.engine()[0]
        os.kill(before, signal.SIGKILL)
        killed = time.perf_counter()
        with pytest.raises(openai.APIError):
            async for _ in stream:
                pass
        told = seconds_since(killed)
        fresh = await create(model=BASE, messages=LONG, stream=True, max_tokens=2)
        assert (await anext(fresh)).choices
        first = seconds_since(killed)
        answers = [answer.choices[0].message.content for answer in await asyncio.gather(*waiting)]
        assert answers == expected
        await fresh.close()
    assert service.engine()[0] not in {0, before}
    with capsys.disabled():
        print(f"\nkill -9 of the engine: stream told after {told}, first token after {first} ({service_counts} calls)")
