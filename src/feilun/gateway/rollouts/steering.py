"""The hand on the wheel of every rollout: looked at each second, moved on, promoted or rolled back.

This module knows when a stage is over and who is told. It does not know how calls are divided or compared.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from feilun.errors import EngineDown, FeilunError
from feilun.gateway.rollouts.watching import Fallen, Watcher
from feilun.gateway.snapshot import Snapshot
from feilun.records import JSON, Deployment
from feilun.store import Database, audit, rollouts
from feilun.store.rollouts import Rollout

LOOK_SECONDS = 1.0
TRIES = 3
ACTOR = "rollouts"
DAY = 86400.0
Prepare = Callable[[Deployment], Awaitable[None]]
_log = logging.getLogger(__name__)


class Steering:
    """Every rollout of a gateway."""

    def __init__(self, db: Database, snapshot: Snapshot, prepare: Prepare, fallen: Fallen) -> None:
        """Keep what is needed; :meth:`run` does the work."""
        self._db, self._snapshot, self._prepare, self._fallen = db, snapshot, prepare, fallen
        self._watchers: dict[str, Watcher] = {}
        self._tried: dict[str, int] = {}

    async def run(self) -> None:
        """Look at every rollout, for ever."""
        while True:
            try:
                await self.look()
            except FeilunError as error:
                _log.warning("rollouts cannot be looked at: %s", error.message)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look at every rollout once."""
        running = self._snapshot.rollouts()
        for gone in self._watchers.keys() - {rollout.id for rollout in running}:
            del self._watchers[gone]
        for rollout in running:
            if rollout.id not in self._snapshot.prepared and not await self._ready(rollout):
                continue
            with audit.acting(ACTOR):
                if await asyncio.to_thread(self._steer, rollout):
                    await self._snapshot.refresh(self._prepare)

    async def _ready(self, rollout: Rollout) -> bool:
        """Make a candidate servable before any call goes to it; one that cannot be loaded is rolled back."""
        try:
            await self._prepare(Deployment(rollout.id, rollout.workspace, rollout.endpoint, rollout.model))
        except EngineDown as error:  # the engine is starting, or starts again: nothing that a version is to blame for
            _log.info("%s waits: %s", rollout.id, error.message)
        except FeilunError as error:
            self._tried[rollout.id] = self._tried.get(rollout.id, 0) + 1
            if self._tried[rollout.id] >= TRIES:
                reason = {
                    "en": f"Rolled back: the new version cannot be loaded. {error.message}",
                    "zh": f"已回滚：新版本无法加载。{error.message}",
                    "signal": "failures",
                }
                with audit.acting(ACTOR):
                    await asyncio.to_thread(_end, self._db, rollout, "rolled back", reason, None)
                await self._snapshot.refresh(self._prepare)
        else:
            self._snapshot.offer(rollout.id)
            return True
        return False

    def _steer(self, rollout: Rollout) -> bool:
        """Take in what is new of one rollout and do what follows; return whether what is in force changed."""
        if rollout.deployment != self._snapshot.deployed(rollout):
            rollouts.supersede(self._db, rollout.workspace, rollout.endpoint)
            return True
        watcher = self._watchers.get(rollout.id)
        if watcher is None:
            watcher = self._watchers[rollout.id] = Watcher(self._db, rollout, self._fallen)
        if watcher.look(rollout):
            rollouts.observe(self._db, rollout.workspace, rollout.id, watcher.evidence())
        harm = watcher.canary.harm()
        if harm is not None:
            _log.warning("%s: %s", rollout.id, harm.reason["en"])
            return _end(self._db, rollout, "rolled back", harm.reason, watcher.evidence())
        why = _over(rollout, watcher)
        if why is None:
            return False
        share = rollouts.next_share(rollout)
        if share < 1:
            rollouts.move(self._db, rollout.workspace, rollout.id, share, why)
            return True
        return _end(self._db, rollout, "promoted", why, watcher.evidence())


def _end(db: Database, rollout: Rollout, status: rollouts.Status, reason: JSON, evidence: JSON | None) -> bool:
    rollouts.end(db, rollout.workspace, rollout.id, status, reason, evidence)
    return True


def _over(rollout: Rollout, watcher: Watcher) -> JSON | None:
    """Return why the stage of a rollout is over, in both languages; None while it is not."""
    limits, rated, calls = rollout.limits(), watcher.stage_rated, watcher.stage_calls
    days = (time.time() - watcher.since) / DAY
    if rated >= limits.rated:
        en, zh = f"{rated} rated answers", f"{rated} 次评分"
    elif calls >= limits.calls:
        en, zh = f"{calls} calls", f"{calls} 次调用"
    elif days >= limits.days and calls >= limits.fewest:
        en, zh = f"{calls} calls in {days:.1f} days", f"{days:.1f} 天内 {calls} 次调用"
    else:
        return None
    now = f"{rollout.share:.0%}"
    return {
        "en": f"No harm seen at {now}: {en} of the new version.",
        "zh": f"在 {now} 的调用中未见变差（新版本 {zh}）。",
    }
