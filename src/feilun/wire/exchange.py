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
from secrets import token_hex
from typing import Protocol
from urllib.parse import unquote

import msgspec

from feilun.errors import FeilunError, RateLimited
from feilun.wire.intake import Intake
from feilun.wire.outbox import Sender

JSON = b"application/json"
EVENTS = b"text/event-stream"
logger = logging.getLogger(__name__)
_BODILESS = {204, 304}

Fields = Sequence[tuple[bytes, bytes]]
Head = Fields | bytes  # headers, or their lines where they are known to be right and the answer is no error
Handler = Callable[["Exchange"], Awaitable[None]]


class Blocks(dict[tuple[int, bytes], bytes]):
    """Status line, date and media type of answers, by status and media type; each is made once a second at most.

    An empty media type leaves the header out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._second = 0
        self._date = b""
        self.tick()

    def tick(self) -> None:
        """Let what is made from now on carry the present second."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._date = formatdate(second, usegmt=True).encode()
            self.clear()

    def __missing__(self, key: tuple[int, bytes]) -> bytes:
        status, media = key
        block = b"HTTP/1.1 %d %b\r\ndate: %b\r\n" % (status, _phrase(status), self._date)
        if media:
            block += fields_block(((b"content-type", media),))
        self[key] = block
        return block


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"


def fields_block(fields: Fields) -> bytes:
    """Return header lines; raise ValueError if a value would begin another line."""
    if not fields:
        return b""
    block = b"".join([b"%b: %b\r\n" % field for field in fields])
    if block.count(b"\n") != len(fields) or block.count(b"\r") != len(fields):
        raise ValueError("a line end in a header")
    return block


class Carrier(Protocol):
    """What an exchange needs of its connection."""

    transport: Sender
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

    __slots__ = (
        *("_calls", "_carrier", "_chunked", "body", "done", "failure", "gone", "handler", "headers", "intake", "keep"),
        *("method", "old", "path", "peer", "query", "repeated", "started", "target", "task"),
    )

    def __init__(self, carrier: Carrier, method: str, target: str, headers: dict[bytes, bytes]) -> None:
        """Keep the request; names of headers are in lower case."""
        self._carrier = carrier
        self._calls: list[Callable[[], None]] | None = None
        self.method = method
        self.target = target
        self.path, self.query = _parts(target) if "?" in target or "%" in target else (target, "")
        self.headers = headers
        self.repeated: Fields = ()  # headers that came again later
        self.body = b""
        self.peer = carrier.peer
        self.gone = False
        self.started = False  # some of the answer was written
        self.done = False  # all of it was
        self.keep = True
        self.old = False  # HTTP/1.0: no chunks, and the connection closes unless the client asked otherwise
        self.failure: FeilunError | None = None
        self.handler: Handler | None = None
        self.intake: Intake | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """All headers, those that came more than once too."""
        return [*self.repeated, *self.headers.items()]

    @property
    def choked(self) -> bool:
        """Whether the client takes its answer more slowly than it is written: ``drain`` would wait."""
        return self._carrier.choked and not self.gone

    def when_gone(self, call: Callable[[], None]) -> None:
        """Have ``call`` called once if the client leaves before the end of the answer, at once if it has left."""
        if self.gone:
            call()
        elif not self.done:
            self._calls = [*(self._calls or ()), call]

    def respond(self, status: int, body: bytes, headers: Head = (), media: bytes = JSON) -> None:
        """Write the whole answer."""
        if self.started:
            raise RuntimeError("answered twice")
        carrier = self._carrier
        extra = headers if isinstance(headers, bytes) else fields_block(self._marked(status, headers))
        if not self.keep or self.old or carrier.last or carrier.current is not None:
            extra += self._persistence()
        head = carrier.blocks[status, media]
        if status in _BODILESS:
            answer = b"%b%b\r\n" % (head, extra)
        elif self.method == "HEAD":
            answer = b"%b%bcontent-length: %d\r\n\r\n" % (head, extra, len(body))
        else:
            answer = b"%b%bcontent-length: %d\r\n\r\n%b" % (head, extra, len(body), body)
        self.started = self.done = True
        self._calls = None
        if not self.gone:
            carrier.transport.write(answer)
            carrier.answered(self)

    def start(self, status: int, headers: Head, media: bytes = EVENTS) -> None:
        """Write the head of an answer whose length is not known."""
        self.open(status, headers, media, sized=False)

    def open(self, status: int, headers: Head, media: bytes, sized: bool) -> None:
        """Write the head of an answer; ``sized`` if the headers tell the length of the body."""
        if self.started:
            raise RuntimeError("answered twice")
        extra = headers if isinstance(headers, bytes) else fields_block(self._marked(status, headers))
        self._chunked = not sized and not self.old and status not in _BODILESS
        if self.old and not sized:
            self.keep = False
        extra += self._persistence()
        if self._chunked:
            extra += b"transfer-encoding: chunked\r\n"
        self.started = True
        if not self.gone:
            self._carrier.transport.write(b"%b%b\r\n" % (self._carrier.blocks[status, media], extra))

    def write(self, data: bytes) -> None:
        """Write a piece of the body at once; nothing happens once the client left."""
        if not self.started:
            raise RuntimeError("no head was written")
        if not data or self.done or self.gone or self.method == "HEAD":
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
        if self.done:
            return
        if not self.started:
            raise RuntimeError("no head was written")
        self.done = True
        self._calls = None
        if not self.gone:
            if self._chunked and self.method != "HEAD":
                self._carrier.transport.write(b"0\r\n\r\n")
            self._carrier.answered(self)

    def fail(self, error: FeilunError) -> None:
        """Answer with an error in OpenAI's shape; close the connection if the answer had begun."""
        if not self.started:
            self.respond(error.status, msgspec.json.encode(error.body()), _error_fields(error))
        elif not self.done:
            self.done = True
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

    def _marked(self, status: int, headers: Fields) -> Fields:
        """Return headers of an answer; those of an error name it, by an id that stands in the log, too."""
        if status < HTTPStatus.BAD_REQUEST or any(name.lower() == b"x-request-id" for name, _ in headers):
            return headers
        found = f"req_{token_hex(12)}"
        logger.info("%s: %s %r was answered %d", found, self.method, self.path[:200], status)
        # OpenAI's clients read the one, Anthropic's the other.
        return [*headers, (b"x-request-id", found.encode()), (b"request-id", found.encode())]

    def _persistence(self) -> bytes:
        if self.keep and self._carrier.closes_after():
            self.keep = False
        elif self.keep and not self.old:
            return b""
        return b"connection: keep-alive\r\n" if self.keep else b"connection: close\r\n"


def _parts(target: str) -> tuple[str, str]:
    path, _, query = target.partition("?")
    return unquote(path), query


def _error_fields(error: FeilunError) -> Fields:
    if isinstance(error, RateLimited):
        return ((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))),)
    if error.status == HTTPStatus.UNAUTHORIZED:
        return ((b"www-authenticate", b'Bearer realm="feilun"'),)
    return ()
