"""One request and its answer.

This module knows how an answer is written: status line, headers, chunks, errors in OpenAI's shape. It does not know how
requests are parsed, nor who answers them.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol
from urllib.parse import unquote

import msgspec

from feilun.errors import FeilunError, RateLimited
from feilun.wire.intake import Intake

JSON = b"application/json"
EVENTS = b"text/event-stream"
logger = logging.getLogger(__name__)
_WAITING, _STARTED, _DONE = range(3)
_BODILESS = {204, 304}

Fields = Sequence[tuple[bytes, bytes]]
Handler = Callable[["Exchange"], Awaitable[None]]


class Blocks:
    """Status line, date and media type of answers, as bytes that are made once a second at most."""

    def __init__(self) -> None:
        self._second = 0
        self._date = b""
        self._made: dict[tuple[int, bytes], bytes] = {}
        self.tick()

    def tick(self) -> None:
        """Let what is made from now on carry the present second."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._date = formatdate(second, usegmt=True).encode()
            self._made.clear()

    def head(self, status: int, media: bytes) -> bytes:
        """Return the beginning of an answer; without a media type if ``media`` is empty."""
        return self._made.get((status, media)) or self._make(status, media)

    def _make(self, status: int, media: bytes) -> bytes:
        block = b"HTTP/1.1 %d %b\r\ndate: %b\r\n" % (status, _phrase(status), self._date)
        if media:
            block += fields_block(((b"content-type", media),))
        self._made[status, media] = block
        return block


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"


def fields_block(fields: Fields) -> bytes:
    """Return header lines; raise ValueError if a value would begin another line."""
    block = b"".join([b"%b: %b\r\n" % field for field in fields])
    if block.count(b"\n") != len(fields) or block.count(b"\r") != len(fields):
        raise ValueError("a line end in a header")
    return block


class Carrier(Protocol):
    """What an exchange needs of its connection."""

    transport: asyncio.Transport
    blocks: Blocks
    peer: str
    choked: bool
    last: bool
    current: Exchange | None

    def closes_after(self) -> bool:
        """Tell whether this answer is the last on the connection."""

    def answered(self, exchange: Exchange) -> None:
        """Take note that the answer was written."""

    def break_off(self) -> None:
        """Close without finishing the answer."""

    async def room(self) -> None:
        """Return once the client has taken what was written, or left."""


class Exchange:
    """One request whose body was read whole, and its answer."""

    body = b""
    gone = False
    keep = True
    old = False  # HTTP/1.0: no chunks, and the connection closes unless the client asked otherwise
    failure: FeilunError | None = None
    handler: Handler | None = None
    intake: Intake | None = None
    task: asyncio.Task[None] | None = None
    _phase = _WAITING
    _chunked = False
    _calls: list[Callable[[], None]] | None = None

    def __init__(self, carrier: Carrier, method: str, target: str, fields: list[tuple[bytes, bytes]]) -> None:
        """Keep the request; ``fields`` are all headers as they came, names in lower case."""
        self._carrier = carrier
        self.method = method
        self.target = target
        path, _, self.query = target.partition("?")
        self.path = unquote(path) if "%" in path else path
        self.fields = fields
        self.headers = dict(fields)
        self.peer = carrier.peer

    @property
    def started(self) -> bool:
        """Whether any of the answer was written."""
        return self._phase != _WAITING

    @property
    def done(self) -> bool:
        """Whether the whole answer was written."""
        return self._phase == _DONE

    def when_gone(self, call: Callable[[], None]) -> None:
        """Have ``call`` called once if the client leaves before the end of the answer, at once if it has left."""
        if self.gone:
            call()
        elif self._phase != _DONE:
            self._calls = [*(self._calls or ()), call]

    def respond(self, status: int, body: bytes, headers: Fields = (), media: bytes = JSON) -> None:
        """Write the whole answer."""
        if self._phase:
            raise RuntimeError("answered twice")
        carrier = self._carrier
        extra = fields_block(headers) if headers else b""
        if not self.keep or self.old or carrier.last or carrier.current is not None:
            extra += self._persistence()
        head = carrier.blocks.head(status, media)
        if status in _BODILESS:
            answer = b"%b%b\r\n" % (head, extra)
        elif self.method == "HEAD":
            answer = b"%b%bcontent-length: %d\r\n\r\n" % (head, extra, len(body))
        else:
            answer = b"%b%bcontent-length: %d\r\n\r\n%b" % (head, extra, len(body), body)
        self._phase = _DONE
        self._calls = None
        if not self.gone:
            carrier.transport.write(answer)
            carrier.answered(self)

    def start(self, status: int, headers: Fields, media: bytes = EVENTS) -> None:
        """Write the head of an answer whose length is not known."""
        self.open(status, headers, media, sized=False)

    def open(self, status: int, headers: Fields, media: bytes, sized: bool) -> None:
        """Write the head of an answer; ``sized`` if the headers tell the length of the body."""
        if self._phase:
            raise RuntimeError("answered twice")
        extra = fields_block(headers) if headers else b""
        self._chunked = not sized and not self.old and status not in _BODILESS
        if self.old and not sized:
            self.keep = False
        extra += self._persistence()
        if self._chunked:
            extra += b"transfer-encoding: chunked\r\n"
        self._phase = _STARTED
        if not self.gone:
            self._carrier.transport.write(b"%b%b\r\n" % (self._carrier.blocks.head(status, media), extra))

    def write(self, data: bytes) -> None:
        """Write a piece of the body at once; nothing happens once the client left."""
        if self._phase != _STARTED:
            if self._phase == _WAITING:
                raise RuntimeError("no head was written")
            return
        if not data or self.gone or self.method == "HEAD":
            return
        if self._chunked:
            self._carrier.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._carrier.transport.write(data)

    async def drain(self) -> None:
        """Return at once, unless the client takes its answer more slowly than it is written."""
        if self._carrier.choked and not self.gone:
            await self._carrier.room()

    def end(self) -> None:
        """Finish the answer."""
        if self._phase == _DONE:
            return
        if self._phase == _WAITING:
            raise RuntimeError("no head was written")
        self._phase = _DONE
        self._calls = None
        if not self.gone:
            if self._chunked and self.method != "HEAD":
                self._carrier.transport.write(b"0\r\n\r\n")
            self._carrier.answered(self)

    def fail(self, error: FeilunError) -> None:
        """Answer with an error in OpenAI's shape; close the connection if the answer had begun."""
        if self._phase == _WAITING:
            self.respond(error.status, msgspec.json.encode(error.body()), _error_fields(error))
        elif self._phase == _STARTED:
            self._phase = _DONE
            self._calls = None
            if not self.gone:
                self._carrier.break_off()

    def lose(self) -> None:
        """Take note that the client left, and tell those who wanted to know."""
        if self.gone:
            return
        self.gone = True
        calls, self._calls = self._calls, None
        for call in calls or ():
            try:
                call()
            except Exception:
                logger.exception("a call for a client that left failed")
        if self.intake is not None:
            self.intake.lose()

    def _persistence(self) -> bytes:
        if self.keep and self._carrier.closes_after():
            self.keep = False
        elif self.keep and not self.old:
            return b""
        return b"connection: keep-alive\r\n" if self.keep else b"connection: close\r\n"


def _error_fields(error: FeilunError) -> Fields:
    if isinstance(error, RateLimited):
        return ((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))),)
    if error.status == HTTPStatus.UNAUTHORIZED:
        return ((b"www-authenticate", b'Bearer realm="feilun"'),)
    return ()
