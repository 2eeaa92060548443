"""A connection to an upstream: requests go out, answers come in.

This module knows HTTP/1.1 as a client reads it, and when an upstream is too slow. It does not know where connections
come from, nor what is asked over them.
"""

from __future__ import annotations

import asyncio
import math
import socket
from typing import Protocol, cast

import httptools

from feilun.errors import EngineError, UpstreamError, UpstreamTimeout
from feilun.wire.intake import HIGH_WATER
from feilun.wire.outbox import Outbox, Sender
from feilun.wire.reply import Reply, Timeouts

TICK = 0.1  # seconds; time limits are looked at so often
_HEAD_BYTES = 128 * 1024
_NEVER = math.inf


def send_at_once(transport: asyncio.BaseTransport) -> None:
    """Have the kernel wait for nothing before it sends small pieces; not every event loop asks for it."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Keeper(Protocol):
    """Where a connection goes when it is free, or lost."""

    clock: float
    outbox: Outbox

    def use(self, line: Line) -> None:
        """Watch the time limits of a connection."""

    def put(self, line: Line) -> None:
        """Take back a connection that can be used again."""

    def drop(self, line: Line) -> None:
        """Forget a connection."""


class Line(asyncio.Protocol):
    """A connection to an upstream; carries one request at a time."""

    __slots__ = (
        *("_bodiless", "_body", "_ended", "_fields", "_finished", "_head", "_head_bytes", "_heard", "_interim"),
        *("_keep", "_timeouts", "deadline", "idle_since", "keeper", "lost", "on_body", "parser", "paused", "reply"),
        *("transport", "until"),
    )

    transport: Sender
    parser: httptools.HttpResponseParser

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.reply: Reply | None = None
        self.deadline = _NEVER
        self.until = _NEVER
        self.idle_since = 0.0
        self.paused = False
        self.lost = False
        self._timeouts = Timeouts()
        self._fields: dict[bytes, bytes] = {}
        self._keep = False
        self._bodiless = False
        self._head = False
        self._head_bytes = 0
        self._interim = False
        self._finished = False
        self._heard = False
        # Upstreams send each event as a chunk of its own: the parser appends them without a call of ours for each.
        self._body: list[bytes] = []
        self._ended = 0  # how many of them belong to the answer, once that is finished
        self.on_body = self._body.append

    def send(self, head: bytes, body: bytes, timeouts: Timeouts) -> Reply:
        """Send a request and return its reply, which has not begun."""
        reply = self.reply = Reply(self)
        self.keeper.use(self)
        self._timeouts = timeouts
        self._bodiless = head.startswith(b"HEAD ")
        self._heard = self._finished = self._interim = False
        self._head = True
        self._head_bytes = 0
        if self._fields:
            self._fields = {}
        now = self.keeper.clock + TICK
        self.deadline = now + timeouts.first
        if timeouts.total:
            self.until = now + timeouts.total
        if not body and head.startswith((b"GET ", b"HEAD ", b"DELETE ")):
            self.transport.write(head + b"\r\n")
        elif len(body) > HIGH_WATER:
            self.transport.write(b"%bcontent-length: %d\r\n\r\n" % (head, len(body)))
            self.transport.write(body)
        else:
            self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        return reply

    def pause(self) -> None:
        """Read no more for now."""
        self.paused = True
        self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self.paused = False
        self.deadline = self.keeper.clock + TICK + self._timeouts.between
        self.transport.resume_reading()

    def close(self) -> None:
        """Close at once."""
        self.reply = None
        if not self.lost:
            self.lost = True
            self.keeper.drop(self)
            self.transport.abort()

    def expire(self) -> None:
        """Act on a time limit that has passed."""
        reply, now = self.reply, self.keeper.clock
        if reply is None or (self.paused and now <= self.until):  # the consumer is slow, not the upstream
            return
        if now > self.until:
            what = f"did not finish within {self._timeouts.total:g} s"
        elif not reply.begun:
            what = f"did not begin to answer within {self._timeouts.first:g} s"
        else:
            what = f"sent nothing for {self._timeouts.between:g} s"
        self._fail(UpstreamTimeout(f"The upstream {what}."))

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = Sender(cast(asyncio.Transport, transport), self.keeper.outbox)
        self.parser = httptools.HttpResponseParser(self)
        send_at_once(transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came, then wake whoever reads it, once."""
        reply = self.reply
        if reply is None:  # nobody asked
            self.close()
            return
        self._heard = True
        reply.size += len(data)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keep = False
            if not self._finished:
                self._fail(UpstreamError(f"The upstream's answer is not HTTP/1.1: {error}."))
                return
        if body := self._body:
            reply.pieces += body[: self._ended] if self._finished else body
            body.clear()
        if self._finished:
            self._release()
        elif self._head:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES:
                self._fail(UpstreamError("The headers of the upstream's answer are too large."))
            return
        else:
            self.deadline = self.keeper.clock + TICK + self._timeouts.between
        reply.wake()
        if reply.size > HIGH_WATER and reply.pieces and self.reply is reply and not self.paused:
            self.pause()

    def eof_received(self) -> bool:
        """Close; the end of the connection is the end of the answer, or its breaking off."""
        if self.reply is None:
            self.close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Finish or fail what was under way."""
        if not self.lost:
            self.lost = True
            self.keeper.drop(self)
        reply, self.reply = self.reply, None
        if reply is None:
            return
        sized = b"content-length" in reply.headers or b"transfer-encoding" in reply.headers
        if reply.begun and not sized and exc is None:
            reply.finish()
            reply.wake()
        else:
            reply.unheard = not self._heard
            reply.fail(UpstreamError("The upstream broke off." if self._heard else "The upstream closed unanswered."))

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer, which nobody reads."""
        self._fields[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Begin the reply, unless it is an interim one."""
        reply = self.reply
        if self._finished or reply is None:
            self._keep = False  # more than was asked for
            return
        status = self.parser.get_status_code()
        if status < 200:
            self._interim = True
            self._fields.clear()
            return
        self._head = False
        self._keep = self.parser.should_keep_alive()
        reply.status, reply.begun = status, True
        reply.headers, self._fields = self._fields, {}
        if self._bodiless:
            self._keep = False
            self._finished, self._ended = True, len(self._body)

    def on_message_complete(self) -> None:
        """Take note of the end of the answer."""
        if self._interim:
            self._interim = False
        elif not self._finished:
            self._finished, self._ended = True, len(self._body)

    def _release(self) -> None:
        reply, self.reply = self.reply, None
        self.deadline = self.until = _NEVER
        if self.paused:
            self.paused = False
            self.transport.resume_reading()
        if reply is not None:
            reply.finish()
        if self._keep and not self.transport.is_closing():
            self.keeper.put(self)
        else:
            self.close()

    def _fail(self, error: EngineError) -> None:
        reply = self.reply
        self.close()
        if reply is not None:
            reply.fail(error)
