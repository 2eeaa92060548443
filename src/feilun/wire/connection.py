"""The reading half of a connection: bytes come in, requests come out.

This module knows HTTP/1.1 as a server reads it, and when a client is too slow or too large. It does not know who
answers a request, nor how an answer is written.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import httptools

from feilun.errors import BadRequest, FeilunError, TimedOut, TooLarge
from feilun.wire.exchange import Exchange
from feilun.wire.intake import HIGH_WATER, Intake
from feilun.wire.line import send_at_once
from feilun.wire.outbox import Sender
from feilun.wire.turns import BETWEEN, BODY, HEADERS, NEVER, Turns

if TYPE_CHECKING:
    from feilun.wire.server import Server

_DIGITS = 4  # a length with so many digits is below _SMALL
_SMALL = 64 * 1024  # a refused body up to this size is read and thrown away, so that the connection can go on
_CHUNK_OVERHEAD = 8  # bytes of framing for one byte of body, at most
_FINAL = {400, 408, 413, 417, 505}  # statuses after which nothing is read
_UPGRADE = {b"upgrade", b"connection", b"http2-settings"}


class Connection(Turns):
    """Parses requests and lets the server answer them in order."""

    __slots__ = (
        *("_arrived", "_framing", "_head_bytes", "_headers", "_limits", "_mark", "_most", "_pieces", "_refusal"),
        *("_repeated", "_taken", "_target", "_upgrading", "_version", "parser"),
    )

    parser: httptools.HttpRequestParser

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._version = ""
        self._upgrading = False
        self._arrived = 0
        self._head_bytes = 0
        self._target = b""
        self._limits = server.limits
        self._headers: dict[bytes, bytes] = {}
        self._repeated: list[tuple[bytes, bytes]] = []
        self._refusal: FeilunError | None = None
        self._pieces: list[bytes] = []
        self._most = 0  # bytes of this body that are allowed, that came, and that had come when its time limit was set
        self._taken = 0
        self._mark = 0
        self._framing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or refuse if there are too many connections."""
        send_at_once(transport)
        self.transport = Sender(cast(asyncio.Transport, transport), self.server.outbox)
        self.parser = httptools.HttpRequestParser(self)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self.transport.set_write_buffer_limits(high=self.server.limits.write_bytes)
        self.deadline = self.server.clock + self.server.limits.header_seconds
        if not self.server.admit_connection(self):
            self._refuse(_error(HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections.", "too_many_connections"))

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self.deaf:
            return
        self._arrived = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if not self.deaf:
                self._refuse(BadRequest(f"This is not HTTP/1.1: {error}."))
        if self.stage and not self.deaf:
            self._partial(len(data))

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        self.stage = HEADERS
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Take the request's target, or a part of it."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer, which is thrown away at the end of the message."""
        name, headers = name.lower(), self._headers
        if name in headers:
            self._repeated.append((name, headers[name]))
        headers[name] = value

    def on_headers_complete(self) -> None:
        """Decide who answers, and whether."""
        if self.deaf:
            return
        parser, headers, limits = self.parser, self._headers, self._limits
        self.stage = BODY
        large = self._head_bytes + self._arrived > limits.line_bytes or len(headers) > limits.headers
        if (large or self._repeated) and self._too_much(len(self._target), self._header_bytes()):
            return
        if parser.should_upgrade():
            self._upgrading = True
            return
        target = self._target.decode("ascii")
        if target[0] != "/":
            target = _origin_form(target)
        exchange = self.current = Exchange(self, parser.get_method().decode("ascii"), target, headers)
        self._headers, self._target = {}, b""
        if self._repeated:
            exchange.repeated, self._repeated = self._repeated, []
        self._taken = self._mark = self._framing = 0
        exchange.keep = parser.should_keep_alive()
        if not exchange.keep or not self._version:  # as costly as it is unlikely to change on a connection that is kept
            self._version = parser.get_http_version()
        fault = self._judge(exchange, self._version)
        if fault is not None:
            self._decline(exchange, fault)
        elif exchange.handler is None:
            exchange.intake = Intake(self.flow)
            self.enqueue(exchange)

    def on_body(self, data: bytes) -> None:
        """Take a piece of a body."""
        self._taken += len(data)
        if self._taken > self._most:
            if not self.deaf:
                self._refuse(_body_too_large(self._most))
        elif self.current is not None and self.current.intake is not None:
            self.current.intake.feed(data)
            self.flow()
        else:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        """Hand the request over."""
        exchange = self.current
        if self.deaf or exchange is None:
            return
        self.stage = BETWEEN
        self.current = None
        if self._headers:
            self._headers, self._repeated = {}, []
        if exchange.intake is not None:
            if self.active is exchange and not self.waiting:
                self.deadline = NEVER
            exchange.intake.finish()
            return
        if self._pieces:
            exchange.body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces = []
        if self._refusal is not None:
            exchange.failure, self._refusal = self._refusal, None
        self.enqueue(exchange)

    def expire(self) -> None:
        """Act on a time limit that has passed."""
        if self.deaf or self.closed:
            super().expire()
        elif self.paused:  # the client could not have sent more
            self.deadline = self.server.clock + self.server.limits.header_seconds
        elif self.stage == BETWEEN:
            self.transport.close()
        else:
            self._refuse(TimedOut("The request came too slowly."))

    def _judge(self, exchange: Exchange, version: str) -> FeilunError | None:
        """Find who answers and how much may come; return why nobody does."""
        headers = exchange.headers
        exchange.old = version == "1.0"
        if version != "1.1" or exchange.repeated or b"host" not in headers:
            fault = _fault(exchange, version)
            if fault is not None:
                return fault
        try:
            self._most = self.server.route(exchange)
        except FeilunError as error:
            return error
        length = headers.get(b"content-length", b"0")
        if (len(length) > _DIGITS or self._most < _SMALL) and int(length) > self._most:
            return _body_too_large(self._most)
        if b"expect" in headers and not exchange.old:
            if headers[b"expect"].lower() != b"100-continue":
                return _error(HTTPStatus.EXPECTATION_FAILED, "Only 100-continue may be expected.", "expectation_failed")
            if length != b"0" or b"transfer-encoding" in headers:
                self.invite()
        return None

    def _header_bytes(self) -> int:
        return sum(len(name) + len(value) for name, value in [*self._headers.items(), *self._repeated])

    def _decline(self, exchange: Exchange, fault: FeilunError) -> None:
        """Answer with an error: at once, or after a small body, so that the connection can go on."""
        headers = exchange.headers
        large = b"transfer-encoding" in headers or int(headers.get(b"content-length", 0)) > _SMALL
        if large or b"expect" in headers or fault.status in _FINAL:
            self._refuse(fault)
        else:
            self._refusal = fault
            self._most = _SMALL

    def _refuse(self, error: FeilunError) -> None:
        """Answer with an error in the request's turn, and read no more."""
        self.deaf = True
        self.stage = self.stage or HEADERS
        self.deadline = NEVER
        self._pieces = []
        exchange, self.current = self.current, None
        if exchange is None:
            exchange = Exchange(self, "GET", "/", {})
        exchange.keep = False
        if exchange is self.active:
            exchange.fail(error)
            if exchange.intake is not None:
                exchange.intake.lose()
        elif exchange.done:
            self.hang_up()
        else:
            exchange.failure = error
            if exchange not in self.waiting:
                self.enqueue(exchange)

    def _too_much(self, line: int, size: int) -> bool:
        limits = self._limits
        if line > limits.line_bytes:
            self._refuse(_error(HTTPStatus.REQUEST_URI_TOO_LONG, "The request line is too long.", "request_too_large"))
        elif len(self._headers) + len(self._repeated) > limits.headers or size > limits.header_bytes:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._refuse(_error(status, "The headers are too many or too large.", "request_too_large"))
        return self.deaf

    def _partial(self, size: int) -> None:
        """Hold a request that is not complete to its limits."""
        limits = self._limits
        if self.stage == HEADERS:
            if not self._head_bytes:
                self.deadline = self.server.clock + limits.header_seconds
            self._head_bytes += size
            self._too_much(len(self._target) if self._headers else self._head_bytes, self._head_bytes)
            return
        if self._head_bytes >= 0:  # the body begins
            self._head_bytes = -1
            self.deadline = self.server.clock + limits.body_seconds
        elif self._taken - self._mark >= limits.body_rate * limits.body_seconds:
            self._mark = self._taken
            self.deadline = self.server.clock + limits.body_seconds
        self._framing += size
        if self._framing > 2 * limits.header_bytes + self._taken * _CHUNK_OVERHEAD + HIGH_WATER:
            self._refuse(BadRequest("The body's chunks are mostly framing."))

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read the request again as if it had not asked for another protocol, as HTTP allows."""
        if not self._upgrading or self.deaf:
            return
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(BadRequest("CONNECT is not served."))
            return
        fields = [*self._repeated, *self._headers.items()]
        head = b"%b %b HTTP/1.1\r\n" % (method, self._target)
        head += b"".join([b"%b: %b\r\n" % field for field in fields if field[0] not in _UPGRADE])
        self._upgrading, self._headers, self._repeated, self._target = False, {}, [], b""
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(head + b"\r\n" + rest)


def _origin_form(target: str) -> str:
    if target == "*":
        return target
    parts = urlsplit(target)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _error(status: HTTPStatus, message: str, code: str) -> FeilunError:
    error: FeilunError = BadRequest(message) if status < HTTPStatus.INTERNAL_SERVER_ERROR else FeilunError(message)
    error.status, error.code = status, code
    return error


def _body_too_large(most: int) -> TooLarge:
    return TooLarge(f"The request body is larger than {most} bytes.")


def _fault(exchange: Exchange, version: str) -> FeilunError | None:
    """Return what is wrong with the headers of a request, if anything."""
    hosts = sum(name == b"host" for name, _ in exchange.fields)
    if version not in {"1.0", "1.1"}:
        return _error(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Only HTTP/1.1 is spoken here.", "http_version")
    if hosts > 1 or (version == "1.1" and not hosts):
        return BadRequest("The request needs one Host header.")
    if version == "1.0" and b"transfer-encoding" in exchange.headers:
        return BadRequest("HTTP/1.0 has no Transfer-Encoding.")
    return None
