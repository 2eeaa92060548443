"""The server: who answers which request, how many connections, when it ends.

This module knows routes, limits and its own life. It does not know what a route is for, whose request it is, nor how
bytes become requests.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from feilun.errors import EngineDown, FeilunError, NotFound
from feilun.wire.asgi import ASGIApp, Call, Lifespan, scope_of
from feilun.wire.connection import Connection
from feilun.wire.exchange import Blocks, Exchange, Handler
from feilun.wire.outbox import Outbox
from feilun.wire.turns import Turns

Admit = Callable[[str, str, dict[bytes, bytes]], int]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerLimits:
    """What a client may send, in bytes, and how long it may take, in seconds."""

    connections: int = 10_000
    line_bytes: int = 8192
    headers: int = 100
    header_bytes: int = 32 * 1024
    header_seconds: float = 10.0  # from the connection, or the first byte, to the end of the headers
    body_bytes: int = 32 << 20  # unless ``admit`` says otherwise
    body_seconds: float = 30.0  # in so much time, body_rate * body_seconds bytes have to come
    body_rate: float = 256.0
    keep_alive: float = 75.0
    write_bytes: int = 256 * 1024  # above, ``drain`` waits
    write_seconds: float = 60.0  # a client that takes nothing for so long is dropped
    linger: float = 5.0  # an answer's chance to be read by a client that still sends
    probe_seconds: float = 0.25  # how often a half-closed client is asked whether it still listens

    def tick(self) -> float:
        """Return how often limits are looked at."""
        times = [getattr(self, f.name) for f in fields(self) if f.type == "float" and f.name != "body_rate"]
        return float(min(1.0, *(max(each, 0.04) / 4 for each in times)))


class Server:
    """HTTP/1.1 for hot handlers and, for everything else, an ASGI application."""

    loop: asyncio.AbstractEventLoop
    outbox: Outbox

    def __init__(
        self,
        hot: Mapping[tuple[str, str], Handler],
        asgi: ASGIApp | None,
        limits: ServerLimits,
        admit: Admit | None = None,
    ) -> None:
        """Answer (method, path) by ``hot``; ``admit`` says how large a body may be, or raises FeilunError."""
        self.limits = limits
        self.blocks = Blocks()
        self.clock = 0.0
        self.rest_until = 0.0  # when a connection is closed that has nothing to do from now on
        self.connections: set[Turns] = set()
        self._hot = dict(hot)
        self._asgi = asgi
        self._admit = admit
        self._lifespan = Lifespan(asgi) if asgi is not None else None
        self._state: dict[str, object] = {}
        self._tick = limits.tick()
        self._tasks: set[asyncio.Task[None]] = set()
        self._address = ("", 0)
        self._acceptor: asyncio.Server | None = None
        self._closing = False
        self._closed = asyncio.Event()

    async def serve(self, listener: socket.socket) -> None:
        """Serve until ``close``; raise FeilunError if the application cannot begin."""
        self.loop = asyncio.get_running_loop()
        self.clock = self.loop.time()
        self.outbox = Outbox(self.loop)
        if self._lifespan is not None:
            await self._lifespan.startup()
            self._state = self._lifespan.state
        self._address = listener.getsockname()[:2]
        self._acceptor = await self.loop.create_server(lambda: Connection(self), sock=listener, backlog=2048)
        self._sweep()
        if self._closing:
            self._acceptor.close()
        await self._closed.wait()

    async def close(self, grace: float) -> None:
        """Take nothing new, let calls in flight finish for ``grace`` seconds, end the application."""
        self._closing = True
        if self._acceptor is not None:
            self._acceptor.close()
        end = asyncio.get_running_loop().time() + grace
        while asyncio.get_running_loop().time() < end:
            for connection in list(self.connections):
                connection.wind_down()
            if not self._tasks and not any(connection.busy for connection in self.connections):
                break
            await asyncio.sleep(min(self._tick, 0.05))
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        for connection in list(self.connections):
            connection.transport.close()
        await asyncio.sleep(0)
        if self._lifespan is not None:
            await self._lifespan.shutdown()
        for connection in list(self.connections):
            connection.transport.abort()
        self._closed.set()

    # What a connection calls.

    def admit_connection(self, connection: Turns) -> bool:
        """Count a connection in; tell whether it may stay."""
        self.connections.add(connection)
        return len(self.connections) <= self.limits.connections

    def forget_connection(self, connection: Turns) -> None:
        """Count a connection out."""
        self.connections.discard(connection)

    def route(self, exchange: Exchange) -> int:
        """Set who answers and return how large the body may be; raise FeilunError if nobody does."""
        method = "GET" if exchange.method == "HEAD" else exchange.method
        exchange.handler = self._hot.get((method, exchange.path))
        if exchange.handler is None and self._asgi is None:
            raise NotFound(f"There is no {exchange.method} {exchange.path[:200]} here.")
        if self._admit is None:
            return self.limits.body_bytes
        try:
            return self._admit(exchange.method, exchange.path, exchange.headers)
        except FeilunError:
            raise
        except Exception as error:
            logger.exception("%s %s: failed to admit", exchange.method, exchange.path)
            raise _broken() from error

    def answer(self, exchange: Exchange) -> None:
        """Have a request answered by a task of its own."""
        task = exchange.task = self.loop.create_task(self._answer(exchange))
        self._tasks.add(task)

    async def _answer(self, exchange: Exchange) -> None:
        try:
            if exchange.handler is not None:
                await exchange.handler(exchange)
            else:
                await self._call(exchange)
            if not exchange.done and not exchange.gone:
                raise RuntimeError("the answer was not finished")
        except FeilunError as error:
            exchange.fail(error)
        except asyncio.CancelledError:
            exchange.fail(EngineDown("The service is stopping.", "Try again."))
            raise
        except Exception:
            logger.exception("%s %s failed", exchange.method, exchange.path)
            exchange.fail(_broken())
        finally:
            if exchange.task is not None:
                self._tasks.discard(exchange.task)

    async def _call(self, exchange: Exchange) -> None:
        if self._asgi is None or exchange.intake is None:
            raise NotFound("Nobody answers here.")
        call = Call(exchange, exchange.intake)
        scope = scope_of(exchange, self._address, (exchange.peer, 0), self._state)
        await self._asgi(scope, call.receive, call.send)

    def _sweep(self) -> None:
        now = self.clock = self.loop.time()
        self.rest_until = now + self.limits.keep_alive
        self.blocks.tick()
        for connection in list(self.connections):
            if now > connection.deadline:
                connection.expire()
            if now > connection.write_deadline:
                connection.check_taking()
        if not self._closed.is_set():
            self.loop.call_later(self._tick, self._sweep)


def _broken() -> FeilunError:
    return FeilunError("The service failed on this request.", "The reason is in its log.")
