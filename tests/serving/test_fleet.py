"""The fleet of engine processes: one start for many calls, a memory budget, crashes, adapters coming and going."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from tests.models import tiny_adapter, tiny_model
from tests.serving.conftest import House

from feilun.compute import Restart
from feilun.engines import Delta, Engine, Request
from feilun.engines.identity import adapter_identity
from feilun.engines.models import ensure_base
from feilun.errors import BadModel, BadSetting, EngineDown, IdentityMismatch, NotFound, OutOfSpace
from feilun.records import ModelVersion
from feilun.serving.fleet import Fleet

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(house: House) -> AsyncIterator[Fleet]:
    """Give a fleet with room for everything; afterwards none of its processes is left."""
    made = Fleet(house.settings, house.root)
    yield made
    await made.close()
    assert workers() == []


@pytest.fixture(scope="module")
def other(house: House) -> ModelVersion:
    """Return a second base."""
    return ensure_base(house.root, str(tiny_model(house.root / "tiny-other", seed=9)))


def workers() -> list[int]:
    """Return the process ids of engines and spares that are ours: children of our own, not of a gateway beside us."""
    children = psutil.Process().children()
    return sorted(child.pid for child in children if "feilun.serving.worker" in " ".join(child.cmdline()))


def row(fleet: Fleet, base: ModelVersion) -> dict[str, Any]:
    """Return what the fleet says of a base."""
    return next(each for each in fleet.status() if each["base"] == base.id)


def ask(model: str, most: int = 6) -> Request:
    """Return a request."""
    return Request(model, ({"role": "user", "content": "What is the rate?"},), most, logprobs=True)


async def tokens(engine: Engine, request: Request) -> list[int | None]:
    """Return the tokens of an answer."""
    return [delta.token async for delta in engine.generate(request) if delta.token is not None]


async def until(condition: Callable[[], bool]) -> None:
    """Return once ``condition`` holds; fail after a minute."""
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not happen within a minute")


def adapter(house: House, name: str, seed: int) -> ModelVersion:
    """Return a new adapter on the house's base."""
    folder = tiny_adapter(house.root / "models" / name, Path(house.base.folder), seed=seed)
    return replace(house.red, id=name, folder=str(folder), identity=adapter_identity(house.base.identity, folder))


async def test_a_hundred_calls_start_one_process(fleet: Fleet, house: House) -> None:
    """Calls that come together for base and adapter share one start and one process; then ready answers at once."""
    assert fleet.ready(house.red.id) is None
    assert fleet.status() == []
    wanted = [house.base, house.red] * 50
    places = await asyncio.gather(*(fleet.place(version, house.base) for version in wanted))
    assert len(set(places)) == 1
    assert fleet.ready(house.red.id) == fleet.ready(house.base.id) == places[0]
    state = row(fleet, house.base)
    assert (state["state"], state["restarts"], state["calls"]) == ("ok", 0, 0)
    assert state["versions"] == sorted([house.base.id, house.red.id])
    assert state["memory"] > 10**7
    assert state["pid"] in workers()


async def test_killed_and_back(fleet: Fleet, house: House) -> None:
    """After ``kill -9`` nothing is ready until base and adapter are loaded again; then answers are as before."""
    engine = await fleet.engine(house.base)
    for version in (house.base, house.red):
        assert await engine.load(version) == version.identity
    before = [await tokens(engine, ask(version.id)) for version in (house.base, house.red)]
    place = await fleet.place(house.red, house.base)
    os.kill(row(fleet, house.base)["pid"], signal.SIGKILL)
    await until(lambda: fleet.ready(house.red.id) is None)
    after = await fleet.place(house.red, house.base)
    assert after.generation > place.generation
    assert fleet.ready(house.base.id) == fleet.ready(house.red.id) == after
    assert [await tokens(engine, ask(version.id)) for version in (house.base, house.red)] == before
    assert row(fleet, house.base)["restarts"] == 1


async def test_a_spare_takes_over(fleet: Fleet, house: House) -> None:
    """The process that follows a crash was there before it: it only had to load."""
    await fleet.place(house.base, house.base)
    fallen = row(fleet, house.base)["pid"]
    await until(lambda: len(workers()) == 2)
    (spare,) = set(workers()) - {fallen}
    os.kill(fallen, signal.SIGKILL)
    await until(lambda: fleet.ready(house.base.id) is None)
    await fleet.place(house.base, house.base)
    assert row(fleet, house.base)["pid"] == spare


async def test_a_false_alarm(fleet: Fleet, house: House) -> None:
    """A place that somebody took for dead is ready again once its process has said that it lives; old news are none."""
    place = await fleet.place(house.base, house.base)
    fleet.fell(place)
    assert fleet.ready(house.base.id) is None
    assert await fleet.place(house.base, house.base) == place
    fleet.fell(replace(place, generation=place.generation - 1))
    assert fleet.ready(house.base.id) == place


async def test_a_process_that_hangs_is_replaced(fleet: Fleet, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was found dead and does not answer is killed, and another takes its place."""
    monkeypatch.setattr("feilun.serving.replica.EXAMINE_SECONDS", 0.2)
    place = await fleet.place(house.base, house.base)
    os.kill(row(fleet, house.base)["pid"], signal.SIGSTOP)
    fleet.fell(place)
    assert (await fleet.place(house.base, house.base)).generation > place.generation


async def test_unload_while_streaming(fleet: Fleet, house: House) -> None:
    """A version that is unloaded during a call is not ready, its call goes on to its end, and a later one loads it."""
    engine = await fleet.engine(house.base)
    await engine.load(house.red)
    whole = await tokens(engine, ask(house.red.id, 60))
    seen: list[Delta] = []
    async with aclosing(engine.generate(ask(house.red.id, 60))) as deltas:
        async for delta in deltas:
            seen.append(delta)
            if len(seen) == 3:
                await fleet.unload(house.red.id)
                assert fleet.ready(house.red.id) is None
    assert [delta.token for delta in seen if delta.token is not None] == whole
    assert row(fleet, house.base)["versions"] == [house.base.id]
    await fleet.unload("never-loaded")
    assert await tokens(engine, ask(house.red.id, 60)) == whole


async def test_adapters_beyond_the_limit(fleet: Fleet, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """One adapter too many, and the least recently used one leaves; never the base. A call brings it back."""
    monkeypatch.setattr("feilun.serving.replica.ADAPTERS", 3)
    green, blue = adapter(house, "model-green", 5), adapter(house, "model-blue", 6)
    for version in (house.base, house.red, green):
        await fleet.place(version, house.base)
    assert fleet.ready(house.red.id)  # used again, later than green
    await fleet.place(blue, house.base)
    assert row(fleet, house.base)["versions"] == sorted([house.base.id, house.red.id, blue.id])
    assert fleet.ready(green.id) is None
    assert await fleet.place(green, house.base) == fleet.ready(green.id)
    assert fleet.ready(house.base.id) is not None


async def test_what_cannot_be_served(fleet: Fleet, house: House, tmp_path: Path) -> None:
    """Files of another version, a broken base, an unknown model and an unknown engine are named; the others go on."""
    folder = tiny_adapter(tmp_path / "changed", Path(house.base.folder), seed=7)
    with pytest.raises(IdentityMismatch, match="model-changed"):
        await fleet.place(replace(house.red, id="model-changed", folder=str(folder)), house.base)
    broken = ensure_base(house.root, str(tiny_model(tmp_path / "broken", seed=3)))
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"\1\0\0\0\0\0\0\0{")
    for _ in range(2):  # the second time at once, from memory
        with pytest.raises(BadModel, match=r"truncated|does not say"):
            await fleet.place(broken, broken)
    assert row(fleet, broken)["state"] == "failed"
    engine = await fleet.engine(house.base)
    with pytest.raises(NotFound):
        await tokens(engine, ask("model-unknown"))
    with pytest.raises(BadSetting, match="vllm"):
        Fleet(replace(house.settings, engine="vllm"), house.root)
    assert await fleet.place(house.base, house.base)


async def call_during_close(fleet: Fleet, base: ModelVersion) -> None:
    """Check that a call that runs when the fleet is closed gets its whole answer, and nobody else is let in."""
    engine = await fleet.engine(base)
    await engine.load(base)
    whole = await tokens(engine, ask(base.id, 80))
    running = engine.generate(ask(base.id, 80))
    got = [await anext(running)]
    closing = asyncio.create_task(fleet.close())
    await asyncio.sleep(0)
    assert fleet.ready(base.id) is None
    got += [delta async for delta in running]
    assert [delta.token for delta in got if delta.token is not None] == whole
    await closing


async def test_memory_for_one_of_two(house: House, other: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base that nobody holds makes room for the other and comes back when called; calls are waited for."""
    monkeypatch.setattr("feilun.serving.fleet.SETTLE_SECONDS", 0.0)
    monkeypatch.setattr("feilun.serving.start.PROCESS_BYTES", 500 << 20)
    small = Fleet(replace(house.settings, memory=1.1), house.root)
    try:
        first = await small.place(house.base, house.base)
        small.hold(first)
        waiting = asyncio.create_task(small.place(other, other))
        await until(lambda: not waiting.done() and small.ready(house.base.id) is not None)
        await asyncio.sleep(0.3)
        assert small.ready(house.base.id) == first  # held, so not stopped
        assert not waiting.done()
        small.release(first)
        assert (await waiting).base == other.id
        assert small.ready(house.base.id) is None
        assert row(small, house.base)["state"] == "stopped"
        back = await small.place(house.base, house.base)
        assert back.generation > first.generation
        assert row(small, other)["state"] == "stopped"
        await call_during_close(small, house.base)
    finally:
        await small.close()
    with pytest.raises(EngineDown, match="being stopped"):
        await small.place(house.base, house.base)


async def test_a_base_that_never_fits(house: House) -> None:
    """A base larger than the whole budget is refused with both numbers; nothing is started."""
    tiny = Fleet(replace(house.settings, memory=0.1), house.root)
    before = workers()
    with pytest.raises(OutOfSpace, match=r"0\.29 GiB.*0\.10 GiB"):
        await tiny.place(house.base, house.base)
    assert workers() == before
    assert row(tiny, house.base)["state"] == "failed"
    await tiny.close()


async def test_a_supervisor_gives_up(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base that cannot be started again after a crash fails with the reason; so does the next call."""
    monkeypatch.setattr("feilun.serving.fleet.RESTART", Restart(tries=1, at_once=True))
    folder = tiny_model(tmp_path / "doomed")
    doomed = ensure_base(tmp_path, str(folder))
    made = Fleet(house.settings, tmp_path)
    await made.place(doomed, doomed)
    (folder / "model.safetensors").write_bytes(b"")
    os.kill(row(made, doomed)["pid"], signal.SIGKILL)
    await until(lambda: made.ready(doomed.id) is None)
    for _ in range(2):
        with pytest.raises(BadModel, match="doomed"):
            await made.place(doomed, doomed)
        assert row(made, doomed)["state"] == "failed"
    await made.close()


async def test_the_fake_is_a_process_too(house: House) -> None:
    """A fleet of the fake engine starts processes that load any version at once, files or not, and comes back."""
    made = Fleet(replace(house.settings, engine="fake"), house.root)
    base = ModelVersion("model-fake", "", "fake", "base", "", "", {}, created=0.0)
    engine = await made.engine(base)
    assert [await engine.load(version) for version in (base, house.red)] == [{}, house.red.identity]
    assert made.ready(house.red.id) == made.ready(base.id) is not None
    before = await said(engine, house.red.id)
    assert "What is the rate?" in before
    os.kill(row(made, base)["pid"], signal.SIGKILL)
    await until(lambda: made.ready(base.id) is None)
    assert await said(engine, house.red.id) == before
    assert row(made, base)["calls"] == 0
    await made.close()
    assert row(made, base)["state"] == "stopped"


async def said(engine: Engine, model: str) -> str:
    """Return the text of an answer."""
    return "".join([delta.text async for delta in engine.generate(ask(model))])
