"""Are the providers there? Each that an endpoint uses is asked now and then, so that no client's call has to find out.

Only what cannot be reached at all is down: one that is slow, or answers with an error, may answer calls all the same,
and its circuits are left to what calls find. This module knows providers, their circuits and times. It does not know
what a call is, nor how a request is sent.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from feilun.errors import EngineDown, FeilunError
from feilun.gateway.door import cancelled
from feilun.gateway.hotpath.breaker import Breakers
from feilun.gateway.hotpath.routes import Choice
from feilun.gateway.hotpath.upstream import Remote, Upstreams
from feilun.gateway.snapshot import Found

QUIET_SECONDS, TROUBLED_SECONDS = 20.0, 3.0
TICK_SECONDS, MOST_AT_ONCE = 0.5, 32
DOWN_SECONDS = 60.0  # longer than from one look to the next, however slow: each look at what is down extends it
State = Literal["unknown", "up", "down"]
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    """A provider: how it is called, the names of its circuits, what was found last, and when it was asked."""

    remote: Remote
    names: frozenset[str] = frozenset()
    state: State = "unknown"
    asked: float = -math.inf


class ProviderHealth:
    """Told by the snapshot which providers are used.

    Asks each every ``quiet`` seconds, and every ``troubled`` seconds while a circuit of it is not closed.
    """

    def __init__(
        self,
        upstreams: Upstreams,
        breakers: Breakers,
        quiet: float = QUIET_SECONDS,
        troubled: float = TROUBLED_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with nothing known."""
        self._upstreams, self._breakers, self._clock = upstreams, breakers, clock
        self._quiet, self._troubled = quiet, troubled
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._few = asyncio.Semaphore(MOST_AT_ONCE)

    def __call__(self, found: Found) -> None:
        """Take over what is used now; what is known of a provider stays known until its address or key changes."""
        names: dict[tuple[str, str], set[str]] = {}
        for endpoint in found.endpoints.values():
            for target in endpoint.targets:
                if target.provider:
                    place = (endpoint.workspace, target.provider)
                    names.setdefault(place, set()).add(Choice(endpoint, target).name)
        before, self._watched = self._watched, {}
        for place, circuits in names.items():
            remote = self._upstreams.remotes.get(place)
            if remote is None:
                continue
            watched = before.pop(place, None)
            if watched is None or watched.remote is not remote:
                self._release(watched.names if watched is not None else ())
                watched = _Watched(remote)
            self._release(watched.names - circuits)
            if not circuits <= watched.names:
                watched.asked = -math.inf  # for the sake of those that are new
            watched.names = frozenset(circuits)
            self._watched[place] = watched
        for watched in before.values():
            self._release(watched.names)

    def state(self, ws: str, provider: str) -> State:
        """Return what is known of a provider; nothing of one that no endpoint uses."""
        watched = self._watched.get((ws, provider))
        return watched.state if watched is not None else "unknown"

    def gauges(self) -> Iterator[tuple[str, str, float]]:
        """Yield the figures of now: (name, help, value)."""
        states = [watched.state for watched in self._watched.values()]
        yield "feilun_providers_up", "Providers that answer", float(states.count("up"))
        yield "feilun_providers_down", "Providers that cannot be reached", float(states.count("down"))

    async def run(self) -> None:
        """Ask for ever."""
        try:
            while True:
                self.look()
                await asyncio.sleep(TICK_SECONDS)
        finally:
            if self._asking:
                await cancelled(*self._asking.values())

    def look(self) -> list[asyncio.Task[None]]:
        """Begin to ask every provider whose time has come; return what is under way."""
        now, states = self._clock(), self._breakers.states()
        for place, watched in self._watched.items():
            troubled = any(states.get(name, "closed") != "closed" for name in watched.names)
            due = watched.asked + (self._troubled if troubled else self._quiet)
            if now >= due and place not in self._asking:
                self._asking[place] = asyncio.get_running_loop().create_task(self._ask(place, watched))
        return list(self._asking.values())

    async def _ask(self, place: tuple[str, str], watched: _Watched) -> None:
        before = watched.state
        try:
            async with self._few:
                watched.state = await self._find(watched)
        finally:
            del self._asking[place]
            watched.asked = self._clock()
        if self._watched.get(place) is not watched:
            return  # it changed meanwhile
        if watched.state == "down":
            for name in watched.names:
                self._breakers.down(name, DOWN_SECONDS)
        else:
            self._release(watched.names)
        if "down" in {before, watched.state} and before != watched.state:
            _log.warning("provider %s of %s: %s, was %s", place[1], place[0], watched.state, before)

    def _release(self, names: Iterable[str]) -> None:
        for name in names:
            self._breakers.up(name)

    async def _find(self, watched: _Watched) -> State:
        try:
            status = await self._upstreams.reach(watched.remote)
        except EngineDown:
            return "down"
        except FeilunError:
            status = 500  # it is slow, or speaks no HTTP
        if status < 500:
            return "up"
        return "unknown" if watched.state == "down" else watched.state
