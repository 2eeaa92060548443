"""A pool of connections to upstreams.

This module knows where connections go, how long they are kept and when a request is sent again. It does not know
what is asked, nor which upstream is the right one.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass, field

from feilun.errors import EngineDown, UpstreamError
from feilun.wire.line import TICK, Line
from feilun.wire.outbox import Outbox
from feilun.wire.reply import Reply, Timeouts


@dataclass(frozen=True)
class Origin:
    """Where an upstream is; ``address`` is the checked IP address to connect to, ``host`` the name it is asked by."""

    scheme: str
    host: str
    port: int
    address: str = ""
    key: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the key by which the pool knows it; hashing four fields for every request costs more."""
        object.__setattr__(self, "key", f"{self.scheme}://{self.host}:{self.port}@{self.address}")


class Pool:
    """Keep-alive connections by origin; belongs to one event loop."""

    def __init__(self, idle_seconds: float = 30.0, most: int = 0, context: ssl.SSLContext | None = None) -> None:
        """Keep unused connections for ``idle_seconds``; have ``most`` for an origin at once (0: no limit)."""
        self._idle_seconds = idle_seconds
        self._most = most
        self._context = context
        self._lanes: dict[str, _Lane] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def request(self, origin: Origin, head: bytes, body: bytes, timeouts: Timeouts) -> Reply:
        """Send a request and return its reply once its headers are there.

        ``head`` is the request line and the headers, each line with its end, without Content-Length and the blank line.
        Raise EngineDown if nothing was sent, UpstreamTimeout, or UpstreamError if there was no answer, or none in HTTP.
        """
        lane = self._lanes.get(origin.key)
        line = (lane.take() if lane is not None else None) or await self._connect(origin, timeouts.connect)
        reused = line.idle_since > 0
        while True:
            reply = line.send(head, body, timeouts)
            try:
                await reply.begin()
            except UpstreamError:
                if not (reused and reply.unheard):
                    raise
                line, reused = await self._connect(origin, timeouts.connect), False
            else:
                return reply

    async def close(self) -> None:
        """Close all connections; replies under way break off."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for lane in self._lanes.values():
            for line in [*lane.idle, *lane.busy]:
                line.transport.abort()
            lane.wake()
        await asyncio.sleep(0)

    async def _connect(self, origin: Origin, seconds: float) -> Line:
        loop = asyncio.get_running_loop()
        lane = self._lanes.setdefault(origin.key, _Lane())
        secure = origin.scheme == "https"
        if secure and self._context is None:
            self._context = ssl.create_default_context()
        try:
            async with asyncio.timeout(seconds):
                free = await lane.enter(self._most)
                if free is not None:
                    return free
                try:
                    _, line = await loop.create_connection(
                        lambda: Line(lane),
                        origin.address or origin.host,
                        origin.port,
                        ssl=self._context if secure else None,
                        server_hostname=origin.host if secure else None,
                    )
                except BaseException:
                    lane.leave()
                    raise
        except TimeoutError as error:
            raise EngineDown(f"{origin.host}:{origin.port} could not be reached within {seconds:g} s.") from error
        except (OSError, UnicodeError) as error:
            raise EngineDown(f"{origin.host}:{origin.port} could not be reached: {error}.") from error
        if self._closed:
            line.close()
            raise EngineDown("The pool of connections is closed.")
        if self._timer is None:
            self._sweep()
        return line

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for key, lane in list(self._lanes.items()):
            lane.clock = now
            for line in list(lane.busy):
                if now > line.deadline or now > line.until:
                    line.expire()
            while lane.idle and now > lane.idle[0].idle_since + self._idle_seconds:
                lane.idle[0].close()
            if not lane.count and not lane.queue:
                del self._lanes[key]
        self._timer = loop.call_later(TICK, self._sweep) if self._lanes else None


class _Lane:
    """The connections to one origin."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.clock = loop.time()
        self.idle: deque[Line] = deque()  # the one that was used last is last, and taken first
        self.busy: set[Line] = set()
        self.outbox = Outbox(loop)
        self.queue: deque[asyncio.Future[None]] = deque()
        self.count = 0

    def take(self) -> Line | None:
        """Return a free connection, if there is one."""
        while self.idle:
            line = self.idle.pop()
            if not line.transport.is_closing():
                return line
        return None

    async def enter(self, most: int) -> Line | None:
        """Wait until there may be one more connection, or return one that became free."""
        while most and self.count >= most:
            waiter = asyncio.get_running_loop().create_future()
            self.queue.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self.wake()
                raise
            line = self.take()
            if line is not None:
                return line
        self.count += 1
        return None

    def leave(self) -> None:
        """Count a connection out."""
        self.count -= 1
        self.wake()

    def wake(self) -> None:
        """Let the first who waits look again."""
        while self.queue:
            waiter = self.queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def use(self, line: Line) -> None:
        """Watch the time limits of a connection."""
        self.busy.add(line)

    def put(self, line: Line) -> None:
        """Take back a connection that can be used again."""
        self.busy.discard(line)
        line.idle_since = self.clock
        self.idle.append(line)
        self.wake()

    def drop(self, line: Line) -> None:
        """Forget a connection."""
        self.busy.discard(line)
        if line in self.idle:
            self.idle.remove(line)
        self.leave()
