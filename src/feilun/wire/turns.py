"""The answering half of a connection: requests wait for their turn, answers leave in order, slow clients get time.

This module knows whose turn it is, when to hang up and how a half-closed client is found to be gone. It does not know
how requests are parsed.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING

from feilun.wire.exchange import Blocks, Exchange
from feilun.wire.intake import HIGH_WATER
from feilun.wire.outbox import Sender

if TYPE_CHECKING:
    from feilun.wire.server import Server

NEVER = math.inf
BETWEEN, HEADERS, BODY = range(3)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Turns(asyncio.Protocol):
    """Answers requests one after the other."""

    __slots__ = (
        *("_advancing", "_backlog", "_continue_later", "_room", "active", "blocks", "choked", "closed", "current"),
        *("deadline", "deaf", "last", "paused", "peer", "server", "stage", "transport", "waiting", "write_deadline"),
    )

    transport: Sender

    def __init__(self, server: Server) -> None:
        self.server = server
        self.blocks: Blocks = server.blocks
        self.peer = ""
        self.choked = False
        self.deadline = NEVER
        self.write_deadline = NEVER
        self.active: Exchange | None = None
        self.waiting: deque[Exchange] = deque()
        self.current: Exchange | None = None  # the request that is being read, once its headers are complete
        self.stage = BETWEEN
        self.last = False  # no further request is taken: the client half-closed, or the server ends
        self.deaf = False  # what comes is thrown away
        self.closed = False
        self.paused = False
        self._room: list[asyncio.Future[None]] = []
        self._backlog = 0
        self._advancing = False
        self._continue_later = False

    def eof_received(self) -> bool:
        """Keep the connection for answers that are due; tell whether there are any."""
        if self.deaf or self.current is not None or not (self.active or self.waiting):
            return False
        self.last = self.deaf = True
        self.stage = BETWEEN
        self.server.loop.call_later(self.server.limits.probe_seconds, self._probe)
        return True

    def connection_lost(self, _: Exception | None) -> None:
        """Tell everybody who works for this client."""
        self.closed = self.deaf = True
        self.deadline = NEVER
        self.server.forget_connection(self)
        self.resume_writing()
        left = [each for each in (self.active, *self.waiting, self.current) if each is not None]
        self.waiting.clear()
        self.active = self.current = None
        for exchange in left:
            exchange.lose()

    def pause_writing(self) -> None:
        """Note that the client is slow to take its answer."""
        self.choked = True
        self._backlog = self.transport.get_write_buffer_size()
        self.write_deadline = self.server.clock + self.server.limits.write_seconds

    def resume_writing(self) -> None:
        """Note that it has caught up."""
        self.choked = False
        self.write_deadline = NEVER
        waiters, self._room = self._room, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # What an exchange calls.

    def closes_after(self) -> bool:
        """Tell whether the answer that begins now is the last."""
        return (self.last and not self.waiting) or (self.current is not None and self.current is self.active)

    def answered(self, exchange: Exchange) -> None:
        """Go on with the next request, or hang up."""
        self.active = None
        if not exchange.keep or (self.last and not self.waiting) or exchange is self.current:
            self.hang_up()
        elif self.waiting:
            self._advance()
        elif not self.stage:
            self.deadline = self.server.rest_until
        elif self._continue_later:
            self.invite()

    def break_off(self) -> None:
        """Close without finishing the answer."""
        self.active = None
        self.transport.close()

    async def room(self) -> None:
        """Return once the client has taken what was written, or left."""
        if self.choked and not self.closed:
            waiter = self.server.loop.create_future()
            self._room.append(waiter)
            await waiter

    # What the server calls.

    def expire(self) -> None:
        """Act on a time limit that has passed."""
        self.transport.abort()

    def check_taking(self) -> None:
        """Close if the client has not taken anything of its answer for too long."""
        size = self.transport.get_write_buffer_size()
        if size >= self._backlog:
            self.transport.abort()
        self._backlog = size
        self.write_deadline = self.server.clock + self.server.limits.write_seconds

    def wind_down(self) -> None:
        """Close once the requests that were begun are answered."""
        self.last = True
        if not self.busy and not self.deaf:
            self.transport.close()

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return bool(self.active or self.waiting or (self.stage and not self.deaf))

    # What the reading half calls.

    def enqueue(self, exchange: Exchange) -> None:
        """Have a request answered in its turn."""
        if self.active is None and not self.waiting and exchange.failure is None:
            self.active = exchange
            if not self.stage:
                self.deadline = NEVER
            self.server.answer(exchange)
            return
        self.waiting.append(exchange)
        if self.active is None:
            self._advance()
        else:
            self.flow()

    def invite(self) -> None:
        """Tell the client to send the body, once it is its turn."""
        self._continue_later = self.active is not None
        if not self._continue_later:
            self.transport.write(_CONTINUE)

    def flow(self) -> None:
        """Read on, or stop reading while there is enough to do."""
        intake = self.current.intake if self.current is not None else None
        enough = not self.deaf and (bool(self.waiting) or (intake is not None and intake.size > HIGH_WATER))
        if enough != self.paused and not self.closed:
            self.paused = enough
            if enough:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def hang_up(self) -> None:
        """Close; if the client still sends, only once it has had time to read its answer."""
        if not self.stage or self.closed:
            self.transport.close()
            return
        self.deaf = True
        self.waiting.clear()
        self.flow()
        self.deadline = self.server.clock + self.server.limits.linger
        if self.transport.can_write_eof():
            self.transport.write_eof()

    # The rest is its own.

    def _advance(self) -> None:
        if self._advancing:
            return
        self._advancing = True
        while self.waiting and self.active is None and not self.closed:
            exchange = self.active = self.waiting.popleft()
            if not self.stage:
                self.deadline = NEVER
            if exchange.failure is not None:
                exchange.fail(exchange.failure)
            else:
                self.server.answer(exchange)
        self._advancing = False
        if self._continue_later and self.active is None and not self.closed:
            self.invite()
        if self.paused:
            self.flow()

    def _probe(self) -> None:
        """Find out whether a client that sent its last byte still listens: a dead one answers with a reset."""
        if self.closed or self.active is None:
            return
        if not self.active.started and not self.active.old:
            self.transport.write(_CONTINUE)
        self.server.loop.call_later(self.server.limits.probe_seconds, self._probe)
