"""A wheel that turns by itself: looked at again and again, one turn at a time, within its budget.

Each turn is noted before it begins, with what triggered it, so that one whose process was killed is finished by the
next. This module knows when to look and when to stop. It does not know what makes a wheel due, nor how a turn is made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from feilun.compute import describe, lock
from feilun.engines.models import ensure_base
from feilun.errors import Busy, Cancelled, EngineDown, FeilunError, OutOfSpace
from feilun.flywheel.triggers import Due, due, inputs, seconds_left
from feilun.flywheel.turn import turn
from feilun.flywheel.upgrade import KIND, adapters, upgrade
from feilun.records import JSON, new_id
from feilun.settings import Settings
from feilun.store import Journal, audit
from feilun.store import wheel as kept
from feilun.store.database import Database
from feilun.store.wheel import Spin, Wheel

LOOK_SECONDS = 10.0
AGAIN_SECONDS = 600.0  # after what may be otherwise next time: a lock, an engine, a full disk
_PASSING = (Busy, EngineDown, OutOfSpace)
Say = Callable[[JSON], None]
Ending = Literal["succeeded", "failed", "stopped"]


async def watch(db: Database, settings: Settings, say: Say = lambda _: None, seconds: float = LOOK_SECONDS) -> None:
    """Look at every wheel that is on, for ever; what fails is noted and does not end it."""
    while True:
        for wheel in await asyncio.to_thread(kept.turning, db):
            try:
                await look(db, settings, wheel.workspace, say)
            except FeilunError as error:
                say({"note": f"{wheel.workspace}: {error.message}"})
        await asyncio.sleep(seconds)


async def look(
    db: Database, settings: Settings, ws: str, say: Say = lambda _: None, *, anyway: bool = False
) -> tuple[Due, Spin | None]:
    """Turn a workspace's wheel if it is due (or ``anyway``); return why or why not, and the turn as it ended.

    A turn that was killed is finished first. Raises Busy while another process turns this wheel.
    """
    with lock(settings.root / "locks" / f"wheel-{ws}.lock", f"the wheel of the workspace {ws}"):
        wheel = await asyncio.to_thread(kept.get, db, ws)
        for left in await asyncio.to_thread(kept.spins, db, ws, 0.0, "running"):
            say({"note": f"Going on with {left.id}: {left.why.get('en', '')}"})
            return Due(**left.why), await _spin(db, settings, wheel, left, say)
        found = await asyncio.to_thread(due, db, settings, wheel)
        if not found.trigger and not anyway:
            if wheel.state.get("asked"):
                await asyncio.to_thread(kept.keep, db, ws, {"asked": 0})
            return found, None
        if not found.trigger:
            found = Due("asked", "Somebody asked for it.", "有人要求运行。")
        before = await asyncio.to_thread(inputs, db, settings, ws, wheel.rules)
        spin = Spin(new_id("spin"), ws, found.why(), before)
        await asyncio.to_thread(kept.begin, db, spin)
        say({"note": found.en})
        return found, await _spin(db, settings, wheel, spin, say)


async def _spin(db: Database, settings: Settings, wheel: Wheel, spin: Spin, say: Say) -> Spin:
    """Make one turn within the budget, and note what came of it."""
    seconds = await asyncio.to_thread(seconds_left, db, wheel, time.time())
    began = time.monotonic()
    with audit.acting(spin.id):
        work = asyncio.ensure_future(_work(db, settings, wheel, spin, say))
        done = await _waited(work, seconds)
        if not done:
            await asyncio.to_thread(_cancel, db, wheel.workspace)
            await asyncio.wait({work})
    error, spent = work.exception(), {"spent": round(time.monotonic() - began, 1)}
    state: JSON = {"inputs": spin.before, "at": spin.began, "asked": 0, "not_before": 0}
    if error is None:
        await asyncio.to_thread(_ended, db, spin, "succeeded", {**work.result(), **spent}, state)
    elif isinstance(error, Cancelled):
        why = _over_budget(seconds) if not done else describe(error)["error"]
        await asyncio.to_thread(_ended, db, spin, "stopped", {**why, **spent}, state)
    elif isinstance(error, FeilunError):
        if isinstance(error, _PASSING):
            state = {"not_before": time.time() + AGAIN_SECONDS}
        await asyncio.to_thread(_ended, db, spin, "failed", {**describe(error)["error"], **spent}, state)
    else:
        await asyncio.to_thread(_ended, db, spin, "failed", {**describe(error)["error"], **spent}, state)
        raise error
    return next(one for one in await asyncio.to_thread(kept.spins, db, wheel.workspace) if one.id == spin.id)


async def _work(db: Database, settings: Settings, wheel: Wheel, spin: Spin, say: Say) -> JSON:
    """Make a turn or, for another base, every adapter anew; return what there is to tell."""
    if spin.why.get("trigger") == "base" and await asyncio.to_thread(_has_adapters, db, settings, wheel.workspace):
        return {"upgrade": await upgrade(db, settings, wheel.workspace, settings.model, say)}
    result = await turn(db, settings, wheel.workspace, await asyncio.to_thread(_paths, wheel), say=say)
    names = ("turn", "promoted", "reason", "reason_zh", "model", "rollout", "seconds")
    return {name: result[name] for name in names}


def _has_adapters(db: Database, settings: Settings, ws: str) -> bool:
    base = ensure_base(settings.root, settings.model, lambda _: None)
    return bool(adapters(db, ws, base.id))


async def _waited(work: asyncio.Future[JSON], seconds: float | None) -> bool:
    """Wait for a turn for so long, and say whether it is done; one that is interrupted goes on at the next start."""
    try:
        await asyncio.wait({work}, timeout=seconds)
    except asyncio.CancelledError:
        work.cancel()
        await asyncio.wait({work})
        raise
    return work.done()


def _paths(wheel: Wheel) -> list[Path]:
    return [Path(path).expanduser() for path in wheel.rules.paths]


def _cancel(db: Database, ws: str) -> None:
    """Ask the turn of a workspace to stop."""
    journal = Journal(db)
    for job in journal.unfinished():
        if job.workspace == ws and job.kind in {"turn", KIND}:
            journal.request_cancel(job.id)


def _ended(
    db: Database, spin: Spin, status: Literal["succeeded", "failed", "stopped"], outcome: JSON, state: JSON
) -> None:
    # The state first: a process that is killed between the two finds the turn unfinished, and finishes it.
    kept.keep(db, spin.workspace, state)
    kept.end(db, spin, status, outcome)


def _over_budget(seconds: float | None) -> JSON:
    minutes = f"{(seconds or 0) / 60:.0f}"
    return {
        "message": f"Stopped: the budget of {minutes} minutes was spent. What was learnt so far is not used.",
        "zh": f"已停止：{minutes} 分钟的预算已用完，未使用已训练的部分。",
        "code": "budget",
    }
