"""An ASGI application behind the server: request bodies in pieces, the client's leaving, lifespan.

This module knows ASGI 3. It does not know sockets, nor what the application does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from feilun.errors import FeilunError
from feilun.wire.exchange import Exchange
from feilun.wire.intake import Intake

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_VERSION = {"version": "3.0", "spec_version": "2.3"}
_OURS = {b"connection", b"transfer-encoding", b"date", b"content-type"}
logger = logging.getLogger(__name__)


class Call:
    """One request answered by the application."""

    def __init__(self, exchange: Exchange, intake: Intake) -> None:
        self._exchange = exchange
        self._intake = intake
        self._head: Message | None = None
        self._read = False

    async def receive(self) -> Message:
        """Return the next piece of the body, or that the client left."""
        intake = self._intake
        while True:
            if intake.lost or self._exchange.done:
                return {"type": "http.disconnect"}
            if not self._read and (intake.size or intake.complete):
                body = intake.take()
                self._read = intake.complete
                return {"type": "http.request", "body": body, "more_body": not self._read}
            await intake.change()

    async def send(self, message: Message) -> None:
        """Write what the application answers."""
        exchange = self._exchange
        if exchange.done or exchange.gone:
            return
        if message["type"] == "http.response.start":
            self._head = message
            return
        if message["type"] != "http.response.body":
            raise RuntimeError(f"unexpected ASGI message {message['type']!r}")
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._head is not None:
            self._start(self._head, body, more)
            self._head = None
        exchange.write(body)
        if not more:
            exchange.end()
            self._intake.finish()
        await exchange.drain()

    def _start(self, head: Message, body: bytes, more: bool) -> None:
        given = [(bytes(name).lower(), bytes(value)) for name, value in head.get("headers", ())]
        fields = [field for field in given if field[0] not in _OURS]
        media = next((value for name, value in given if name == b"content-type"), b"")
        sized = any(name == b"content-length" for name, _ in fields)
        if not more and not sized and head["status"] not in {204, 304}:
            fields.append((b"content-length", b"%d" % len(body)))
            sized = True
        if not self._intake.complete or (b"connection", b"close") in given:
            self._exchange.keep = False
        self._exchange.open(head["status"], fields, media, sized)


def scope_of(exchange: Exchange, server: tuple[str, int], client: tuple[str, int], state: dict[str, Any]) -> Scope:
    """Return the ASGI scope of a request."""
    return {
        "type": "http",
        "asgi": _VERSION,
        "http_version": "1.0" if exchange.old else "1.1",
        "method": exchange.method,
        "scheme": "http",
        "path": exchange.path,
        "raw_path": exchange.target.partition("?")[0].encode("ascii"),
        "query_string": exchange.query.encode("ascii"),
        "root_path": "",
        "headers": exchange.fields,
        "client": client,
        "server": server,
        "state": state.copy(),
    }


class Lifespan:
    """The application's own beginning and end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._task: asyncio.Task[None] | None = None
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._started = asyncio.Event()
        self._stopped = asyncio.Event()
        self._failure = ""
        self.state: dict[str, Any] = {}

    async def startup(self) -> None:
        """Let the application begin; raise FeilunError if it says that it cannot."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self._inbox.put({"type": "lifespan.startup"})
        await self._started.wait()
        if self._failure:
            await self._task
            raise FeilunError(f"The application did not start: {self._failure}")

    async def shutdown(self) -> None:
        """Let the application end."""
        if self._task is None or self._task.done():
            return
        await self._inbox.put({"type": "lifespan.shutdown"})
        await self._stopped.wait()
        await self._task

    async def _run(self) -> None:
        scope: Scope = {"type": "lifespan", "asgi": _VERSION, "state": self.state}
        try:
            await self._app(scope, self._inbox.get, self._send)
        except Exception as error:
            if self._started.is_set() and not self._failure:
                logger.exception("the application's lifespan failed")
            elif not self._failure:
                logger.info("the application has no lifespan: %s", error, exc_info=True)
        finally:
            self._started.set()
            self._stopped.set()

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind.endswith(".failed"):
            self._failure = message.get("message", "") or "it gave no reason"
            logger.error("the application's %s: %s", kind, self._failure)
        if kind.startswith("lifespan.startup"):
            self._started.set()
        else:
            self._stopped.set()
