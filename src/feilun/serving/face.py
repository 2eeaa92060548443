"""The OpenAI face of an engine, over loopback: chats, completions, and what the process that owns the engine asks.

It knows paths, calls in flight and what they cost. It does not know keys, workspaces, or how tokens are made: the
gateway relays its bytes, the engine gives the tokens.

A call that fails before anything of its answer was sent is an HTTP error, and not counted: nobody is told its tokens.
"""

from __future__ import annotations

import asyncio
import hmac
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import msgspec
import uvloop

from feilun.compute import say_ready
from feilun.engines.prompts import read_template
from feilun.engines.seam import Delta, Engine, Request
from feilun.errors import BadRequest, FeilunError, Unauthorized
from feilun.records import JSON, ModelVersion, Usage
from feilun.serving.answers import Asked, Said, read_chat, read_completion, total, whole
from feilun.serving.chunks import Chunks, failure
from feilun.serving.tools import Reader
from feilun.wire import Exchange, Handler, Server, ServerLimits

GRACE = 10.0
_encode = msgspec.json.Encoder().encode


class Served(Engine, Protocol):
    """An engine that a face can be put before."""

    def generate(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Answer one call piece by piece; leaving the iteration tells the engine to stop."""
        ...

    def stop(self, request: Request) -> None:
        """End the call of this very request; its iteration goes on to a last delta."""
        ...

    def text(self, model: str, tokens: list[int]) -> str:
        """Return the text of token numbers. Errors: NotFound, BadRequest."""
        ...

    async def count(self, request: Request) -> int:
        """Return how many tokens the prompt of a request has. Errors: as generate."""
        ...

    def state(self) -> JSON:
        """Return ``alive``, ``running``, ``waiting`` and ``models``."""
        ...


class Face:
    """One engine's face. ``base`` is the folder of the base model, if it has one."""

    def __init__(self, engine: Served, token: str, context: int, base: str = "") -> None:
        """Answer for ``engine`` to holders of ``token``; no answer is longer than ``context``."""
        self.engine = engine
        self.context = context
        self.base = base
        self.counts = {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "cached_tokens": 0}
        self._authorization = f"Bearer {token}".encode()
        self._templates: dict[str, str] = {}
        self._calls: dict[str, list[Request]] = {}

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return the paths that it answers."""
        return {
            ("GET", "/health"): self.health,
            ("POST", "/load"): self.load,
            ("POST", "/unload"): self.unload,
            ("POST", "/stop"): self.stop,
            ("POST", "/generate"): self.generate,
            ("POST", "/tokenize"): self.tokenize,
            ("POST", "/v1/chat/completions"): self.chat,
            ("POST", "/v1/completions"): self.completion,
        }

    def admit(self, _method: str, path: str, headers: dict[bytes, bytes]) -> int:
        """Return the largest body; raise Unauthorized for strangers."""
        if path != "/health" and not hmac.compare_digest(headers.get(b"authorization", b""), self._authorization):
            raise Unauthorized("This engine serves only the process that started it.")
        return ServerLimits().body_bytes

    async def health(self, exchange: Exchange) -> None:
        """Say what it does and has done."""
        state = self.engine.state()
        exchange.respond(200 if state["alive"] else 503, _encode({**state, "counts": self.counts}))

    async def load(self, exchange: Exchange) -> None:
        """Load a version; answer its identity, computed from the files that were loaded, and its template."""
        body = _object(exchange.body)
        model, adapter = _text(body, "model"), str(body.get("adapter") or "")
        folder = adapter or str(body.get("folder") or "") or self.base
        identity = await self.engine.load(
            ModelVersion(model, "", model, "adapter" if adapter else "base", "", folder, {}, created=0.0)
        )
        template = await asyncio.to_thread(read_template, Path(folder)) if self.base else ""
        self._templates[model] = template
        exchange.respond(200, _encode({"identity": identity, "template": template}))

    async def unload(self, exchange: Exchange) -> None:
        """Forget a version; its calls go on to their end."""
        model = _text(_object(exchange.body), "model")
        await self.engine.unload(model)
        self._templates.pop(model, None)
        exchange.respond(200, b"{}")

    async def stop(self, exchange: Exchange) -> None:
        """End a call: it still says its last chunk and its usage."""
        requests = self._calls.get(_text(_object(exchange.body), "id"), [])
        for request in requests:
            self.engine.stop(request)
        exchange.respond(200, _encode({"stopped": bool(requests)}))

    async def tokenize(self, exchange: Exchange) -> None:
        """Count the tokens of a chat's prompt."""
        asked = read_chat(exchange.body, self._template, self.context)
        exchange.respond(200, _encode({"tokens": await self.engine.count(asked.requests[0])}))

    async def chat(self, exchange: Exchange) -> None:
        """Answer a chat."""
        await self._answer(exchange, read_chat(exchange.body, self._template, self.context))

    async def completion(self, exchange: Exchange) -> None:
        """Continue texts."""
        await self._answer(exchange, read_completion(exchange.body, self.engine.text, self.context))

    def _template(self, model: str) -> str:
        return self._templates.get(model, "")

    async def _answer(self, exchange: Exchange, asked: Asked) -> None:
        said = [Said(reader=Reader(first=asked.formed) if asked.calls else None) for _ in asked.requests]
        here = self._calls.setdefault(asked.told.id, [])
        here += asked.requests
        exchange.when_gone(lambda: self._give_up(asked.requests))
        told = True
        try:
            if asked.stream:
                await self._stream(exchange, asked, said)
            else:
                async with aclosing(self._deltas(asked.requests)) as deltas:
                    async for index, delta in deltas:
                        said[index].take(delta)
                exchange.respond(200, _encode(whole(asked, said)))
        except FeilunError:
            told = exchange.gone
            raise
        finally:
            here[:] = [request for request in here if all(request is not own for own in asked.requests)]
            if not here and self._calls.get(asked.told.id) is here:
                del self._calls[asked.told.id]
            if told:
                self._add(total(asked, said))

    def _give_up(self, requests: list[Request]) -> None:
        for request in requests:
            self.engine.stop(request)

    def _add(self, usage: Usage) -> None:
        self.counts["calls"] += 1
        self.counts["prompt_tokens"] += usage.prompt_tokens
        self.counts["completion_tokens"] += usage.completion_tokens
        self.counts["cached_tokens"] += usage.cached_tokens

    async def _stream(self, exchange: Exchange, asked: Asked, said: list[Said]) -> None:
        """Send chunks. Nothing is sent before the first token, so that until then an error is an HTTP error."""
        chunks, single = Chunks(asked), len(said) == 1
        async with aclosing(self._deltas(asked.requests)) as deltas:
            try:
                async for index, delta in deltas:
                    one = said[index]
                    pieces = one.take(delta)
                    if delta.token is None and not delta.finish and not pieces:
                        continue
                    usage = one.usage if single else total(asked, said)
                    data = chunks.pieces(index, usage, pieces, delta)
                    if delta.finish:
                        data += chunks.finish(index, usage, one)
                    if not exchange.started:
                        exchange.start(200, ())
                        data = b"".join(chunks.begin(each, usage) for each in range(len(said))) + data
                    exchange.write(data)
                    await exchange.drain()
                exchange.write(chunks.end(total(asked, said)))
            except FeilunError as error:
                if not exchange.started:
                    raise
                exchange.write(failure(error))
        exchange.end()

    async def _deltas(self, requests: list[Request]) -> AsyncGenerator[tuple[int, Delta], None]:
        """Give what the engine says to all requests, as it comes."""
        if len(requests) == 1:
            async with aclosing(self.engine.generate(requests[0])) as deltas:
                async for delta in deltas:
                    yield 0, delta
            return
        queue: asyncio.Queue[tuple[int, Delta | None]] = asyncio.Queue()

        async def hear(index: int, request: Request) -> None:
            try:
                async with aclosing(self.engine.generate(request)) as deltas:
                    async for delta in deltas:
                        queue.put_nowait((index, delta))
            finally:
                queue.put_nowait((index, None))

        tasks = [asyncio.create_task(hear(index, request)) for index, request in enumerate(requests)]
        try:
            over = 0
            while over < len(tasks):
                index, said = await queue.get()
                if said is not None:
                    yield index, said
                else:
                    over += 1
                    await tasks[index]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def generate(self, exchange: Exchange) -> None:
        """Answer a request of the seam, as JSON lines of deltas."""
        request = _request(_object(exchange.body))
        exchange.when_gone(lambda: self.engine.stop(request))
        usage: Usage | None = None
        async with aclosing(self.engine.generate(request)) as deltas:
            try:
                async for delta in deltas:
                    usage = delta.usage or usage
                    if not exchange.started:
                        exchange.start(200, (), b"application/x-ndjson")
                    exchange.write(_encode(asdict(delta)) + b"\n")
                    await exchange.drain()
            except FeilunError as error:
                if not exchange.started:
                    raise
                exchange.write(_encode(error.body()) + b"\n")
        if usage is not None:
            self._add(usage)
        exchange.end()


async def serve(face: Face, listener: socket.socket) -> None:
    """Answer until SIGTERM, then let calls in flight finish."""
    server = Server(face.handlers(), None, ServerLimits(keep_alive=3600.0), face.admit)
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    serving, waiting = asyncio.create_task(server.serve(listener)), asyncio.create_task(asked.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    await server.close(GRACE)
    await serving
    await face.engine.close()


def listen_and_serve(face: Face) -> int:
    """Listen on a free loopback port, say which, and serve."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)  # before it is told: who connects at once must not be refused
    say_ready(port=listener.getsockname()[1])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(face, listener))
    return 0


def _object(raw: bytes) -> JSON:
    try:
        body = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is no JSON object: {error}") from error
    return dict(body)


def _text(body: JSON, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{name} is missing.", param=name)
    return value


def _request(body: JSON) -> Request:
    try:
        return msgspec.convert(body, Request)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The body is no request: {error}") from error
