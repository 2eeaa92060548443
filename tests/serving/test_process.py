"""The engine's process: killed, restarted, refused to strangers, never left behind; and models that cannot be used."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest
import pytest_asyncio
from tests.models import tiny_adapter, tiny_model
from tests.serving.conftest import LONGEST, House

from feilun.engines import Delta, Request
from feilun.engines.fake import FakeEngine
from feilun.engines.identity import adapter_identity
from feilun.errors import BadModel, BadSetting, EngineDown, IdentityMismatch
from feilun.serving import start_engine
from feilun.serving.client import ProcessEngine

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(house: House) -> AsyncIterator[ProcessEngine]:
    """Give the real engine with both versions loaded; afterwards its process is gone."""
    made = await start_engine(replace(house.settings, context=LONGEST), house.root)
    assert isinstance(made, ProcessEngine)
    await made.load(house.base)
    await made.load(house.red)
    yield made
    pid = made.process.pid
    await made.close()
    assert not alive(pid)


def alive(pid: int) -> bool:
    """Say whether a process runs (a zombie does not)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return once ``condition`` holds; fail after a minute."""
    for _ in range(1200):
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not happen within a minute")


END = 2  # of the tiny model's tokens
LONG = LONGEST - 1000
"""Tokens of an answer that takes some seconds: far longer than a busy machine keeps a caller from reading it."""


def ask(model: str, most: int = 8, content: str = "What is the rate?") -> Request:
    """Return a request whose answer never ends before ``most`` tokens."""
    return Request(model, ({"role": "user", "content": content},), most, logprobs=True, logit_bias=((END, -100.0),))


async def answer(engine: ProcessEngine, request: Request) -> list[Delta]:
    """Return every delta of an answer."""
    return [delta async for delta in engine.generate(request)]


async def health(engine: ProcessEngine) -> dict[str, object]:
    """Return what the process says of itself."""
    async with httpx.AsyncClient(trust_env=False) as client:
        found = await client.get(f"http://127.0.0.1:{engine.process.info['port']}/health")
    return dict(found.json())


async def test_killed_in_the_middle(engine: ProcessEngine, house: House) -> None:
    """``kill -9`` ends the running calls with EngineDown; the next call is answered as before, adapters and all."""
    before = {model: await answer(engine, ask(model)) for model in (house.base.id, house.red.id)}
    assert before[house.base.id] != before[house.red.id]
    started, pid = engine.process.starts, engine.process.pid
    begun = asyncio.Event()

    async def interrupted(model: str) -> None:
        async with aclosing(engine.generate(ask(model, LONG))) as deltas:
            async for delta in deltas:
                if delta.text:
                    begun.set()

    calls = [asyncio.create_task(interrupted(model)) for model in before]
    await begun.wait()
    os.kill(pid, signal.SIGKILL)
    for call in calls:
        with pytest.raises(EngineDown):
            await call
    for _ in range(200):  # a call before the crash was noticed is refused; the first one after it is answered
        try:
            after = {model: await answer(engine, ask(model)) for model in reversed(before)}
            break
        except EngineDown:
            await asyncio.sleep(0.05)
    assert after == before
    assert engine.process.starts == started + 1
    assert engine.process.pid != pid
    assert not alive(pid)


async def test_leaving_tells_the_engine(engine: ProcessEngine, house: House) -> None:
    """When a caller leaves, its call ends inside the engine too, long before it would have."""
    async with aclosing(engine.generate(ask(house.base.id, LONG))) as deltas:
        async for delta in deltas:
            if delta.text:
                break
    leavers = [asyncio.create_task(answer(engine, ask(house.red.id, LONG))) for _ in range(3)]

    async def busy() -> bool:
        return (await health(engine))["running"] == 3

    async def idle() -> bool:
        return (await health(engine))["running"] == 0

    await until(busy)
    for leaver in leavers:
        leaver.cancel()
    await asyncio.gather(*leavers, return_exceptions=True)
    await until(idle)


async def test_strangers_are_refused(engine: ProcessEngine, house: House) -> None:
    """Without the token, or with a wrong one, nothing is loaded or answered; health may be asked."""
    url = f"http://127.0.0.1:{engine.process.info['port']}"
    async with httpx.AsyncClient(trust_env=False) as client:
        for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer wrong"}, {"Authorization": "é"}):
            encoded = {name: value.encode() for name, value in headers.items()}
            for path in ("/generate", "/load"):
                refused = await client.post(url + path, headers=encoded, json={"model": house.base.id})
                assert refused.status_code == 401
                assert refused.json()["error"]["code"] == "invalid_api_key"
    assert (await health(engine))["alive"] is True


async def test_a_new_adapter_while_others_stream(engine: ProcessEngine, house: House, tmp_path: Path) -> None:
    """Loading an adapter disturbs no call that is being answered."""
    expected = await answer(engine, ask(house.red.id, 100))
    streams = [asyncio.create_task(answer(engine, ask(house.red.id, 100))) for _ in range(3)]
    folder = tiny_adapter(tmp_path / "green", Path(house.base.folder), seed=5)
    green = replace(
        house.red, id="model-green", folder=str(folder), identity=adapter_identity(house.base.identity, folder)
    )
    assert await engine.load(green) == green.identity
    assert "".join(delta.text for delta in await answer(engine, ask(green.id)))
    for stream in await asyncio.gather(*streams):
        assert [delta.token for delta in stream] == [delta.token for delta in expected]


async def test_a_changed_character_is_named(engine: ProcessEngine, house: House, tmp_path: Path) -> None:
    """An adapter whose template is not the one that it was trained with is refused, and the character named."""
    folder = tiny_adapter(tmp_path / "changed", Path(house.base.folder), seed=6)
    template = (folder / "chat_template.jinja").read_text()
    version = replace(
        house.red, id="model-changed", folder=str(folder), identity=adapter_identity(house.base.identity, folder)
    )
    (folder / "golden.json").write_text(json.dumps({"template": template, "rows": []}))
    place = template.index("helpful")
    (folder / "chat_template.jinja").write_text(template.replace("helpful", "Helpful"))
    with pytest.raises(IdentityMismatch, match=rf"differ in template: .*character {place + 1}: .*Helpful"):
        await engine.load(version)


async def test_half_a_character_is_a_bad_request(engine: ProcessEngine, house: House) -> None:
    """A lone surrogate, which JSON can carry, is refused like any wrong request."""
    with pytest.raises(Exception, match="surrogate") as caught:
        await answer(engine, ask(house.base.id, content="\ud83d"))
    assert getattr(caught.value, "code", "") == "invalid_request"


async def test_it_dies_with_its_parent(house: House) -> None:
    """When the process that started the engine is killed, the engine goes too."""
    script = str(Path(__file__).with_name("children.py"))
    arguments = (script, str(house.root), house.settings.model)
    parent = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    await parent.wait()

    async def gone() -> bool:
        return not alive(pid)

    await until(gone)


def workers() -> list[int]:
    """Return the process ids of our engines."""
    children = psutil.Process().children(recursive=True)
    return sorted(child.pid for child in children if "feilun.serving.worker" in " ".join(child.cmdline()))


def truncated(folder: Path) -> None:
    """Cut the weights."""
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def foreign(folder: Path) -> None:
    """Make it another architecture."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))


@pytest.mark.parametrize(("spoil", "words"), [(truncated, "truncated"), (foreign, "gpt2")])
async def test_models_that_cannot_be_used(
    tmp_path: Path, house: House, spoil: Callable[[Path], None], words: str
) -> None:
    """Starting with a truncated or foreign model fails with the reason, once, and leaves no process."""
    folder = tiny_model(tmp_path / "model")
    spoil(folder)
    before = workers()
    with pytest.raises(BadModel, match=words):
        await start_engine(replace(house.settings, model=str(folder)), tmp_path)
    assert workers() == before


async def test_settings_that_name_nothing(tmp_path: Path, house: House) -> None:
    """An unknown engine and a missing model are named; the fake needs no model."""
    with pytest.raises(BadSetting, match="vllm"):
        await start_engine(replace(house.settings, engine="vllm"), tmp_path)
    with pytest.raises(BadModel, match="no model nowhere"):
        await start_engine(replace(house.settings, model="nowhere"), tmp_path)
    assert isinstance(await start_engine(replace(house.settings, engine="fake", model="nowhere"), tmp_path), FakeEngine)
