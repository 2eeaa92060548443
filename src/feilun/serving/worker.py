"""The torch engine as a process of its own: ``python -m feilun.serving.worker --base FOLDER``.

It listens on a free loopback port and says which on stdout: ``{"ready": {"port": …}}``. It never
outlives whoever started it. It knows one base model and its adapters. It does not know keys,
workspaces or endpoints, and answers only those who hold the token from its environment.

``POST /load`` ``{"model", "folder", "adapter"}`` → identity; ``POST /generate`` a request → JSON lines of deltas;
``GET /health``.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import torch
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from feilun.compute import die_with_parent, say_failure, say_ready
from feilun.engines.batch import Batcher, Call
from feilun.engines.identity import adapter_identity, base_identity
from feilun.engines.prompts import read_template
from feilun.engines.seam import Delta, Request
from feilun.errors import FeilunError, Unauthorized
from feilun.serving.client import TOKEN_VARIABLE

END = frozenset({"stop", "length"})


class Server:
    """The HTTP face of one batcher."""

    def __init__(self, base: Path, slots: int, context: int, token: str) -> None:
        """Load the base model."""
        self.base = base
        self.token = token
        self.base_sums = base_identity(base)
        self.batcher = Batcher(base, slots, context)

    def app(self) -> Starlette:
        """Return the routes."""
        routes = [
            Route("/health", self.health),
            Route("/load", self.load, methods=["POST"]),
            Route("/generate", self.generate, methods=["POST"]),
        ]
        return Starlette(routes=routes, exception_handlers={FeilunError: _failure})

    async def health(self, _request: HttpRequest) -> Response:
        """Say that the loop lives and what is loaded."""
        alive = self.batcher.thread.is_alive()
        return JSONResponse(
            {"alive": alive, "running": len(self.batcher.running), "models": sorted(self.batcher.versions)},
            status_code=200 if alive else 503,
        )

    def _check(self, request: HttpRequest) -> None:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
            raise Unauthorized("This engine serves only the process that started it.")

    async def load(self, request: HttpRequest) -> Response:
        """Load a version and return its identity, computed from the files that were loaded, and its template."""
        self._check(request)
        body = await request.json()
        adapter = Path(body["adapter"]) if body.get("adapter") else None
        return JSONResponse(await asyncio.to_thread(self._load, body["model"], adapter))

    def _load(self, model: str, adapter: Path | None) -> dict[str, object]:
        sums = self.base_sums if adapter is None else adapter_identity(self.base_sums, adapter)
        self.batcher.load(model, self.base, adapter)
        return {"identity": sums, "template": read_template(adapter or self.base)}

    async def generate(self, request: HttpRequest) -> Response:
        """Stream deltas as JSON lines; an error before the first token is an HTTP error, later one a last line."""
        self._check(request)
        body = await request.json()
        wanted = Request(**{**body, "messages": tuple(body["messages"]), "stop": tuple(body.get("stop", ()))})
        loop = asyncio.get_running_loop()
        deltas: asyncio.Queue[Delta | FeilunError] = asyncio.Queue()
        call = self.batcher.submit(wanted, lambda delta: _hand_over(loop, deltas, delta))
        return StreamingResponse(_lines(call, deltas), media_type="application/x-ndjson")


def _hand_over(
    loop: asyncio.AbstractEventLoop, deltas: asyncio.Queue[Delta | FeilunError], delta: Delta | FeilunError
) -> None:
    loop.call_soon_threadsafe(deltas.put_nowait, delta)


async def _lines(call: Call, deltas: asyncio.Queue[Delta | FeilunError]) -> AsyncIterator[str]:
    try:
        while True:
            delta = await deltas.get()
            if isinstance(delta, FeilunError):
                yield json.dumps(delta.body()) + "\n"
                return
            yield json.dumps(asdict(delta)) + "\n"
            if delta.finish in END:
                return
    finally:
        call.gone.set()  # the reader left, or everything was said


async def _failure(_request: HttpRequest, error: Exception) -> Response:
    if not isinstance(error, FeilunError):
        raise error
    return JSONResponse(error.body(), status_code=error.status)


def main() -> int:
    """Load, listen, say so, serve."""
    parser = argparse.ArgumentParser(description="Serve one base model and its adapters on a loopback port.")
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    die_with_parent()
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        server = Server(given.base, given.slots, given.context, os.environ.pop(TOKEN_VARIABLE, ""))
    except FeilunError as error:
        say_failure(error)
        return error.exit_code
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)  # before it is told: who connects at once must not be refused
    say_ready(port=listener.getsockname()[1])
    config = uvicorn.Config(server.app(), log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])
    server.batcher.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
