"""An embedding model as a process of its own: ``python -m feilun.serving.embed_worker --model NAME``.

It listens on a free loopback port and says which on stdout: ``{"ready": {"port": …}}``. It knows one embedding model
and the shape of OpenAI's embeddings; it does not know keys, workspaces or endpoints, and answers only those who hold
the token from its environment.

``POST /v1/embeddings`` ``{"input", "encoding_format", "dimensions", "feilun": {"name", "query"}}``; ``GET /health``.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hmac
import os
import signal
import socket
import struct

import msgspec
import uvloop

from feilun.compute import die_with_parent, say_failure, say_ready
from feilun.engines.embed import make_embedder, shortened
from feilun.engines.seam import Embedder
from feilun.errors import BadRequest, FeilunError, Unauthorized
from feilun.records import JSON
from feilun.serving.client import TOKEN_VARIABLE
from feilun.wire import Exchange, Server, ServerLimits

MOST_TEXTS = 2048  # as OpenAI has it
GRACE = 10.0


class Face:
    """The HTTP face of one embedding model."""

    def __init__(self, name: str, embedder: Embedder, token: str) -> None:
        """Answer for ``embedder``, which is called ``name``, to holders of ``token``."""
        self.name, self.embedder = name, embedder
        self._authorization = f"Bearer {token}".encode()
        self._counts = {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "cached_tokens": 0}
        self._running = 0

    def admit(self, _method: str, path: str, headers: dict[bytes, bytes]) -> int:
        """Return the largest body; raise Unauthorized for strangers."""
        if path != "/health" and not hmac.compare_digest(headers.get(b"authorization", b""), self._authorization):
            raise Unauthorized("This engine serves only the process that started it.")
        return ServerLimits().body_bytes

    async def health(self, exchange: Exchange) -> None:
        """Say what it does and has done."""
        state = {"alive": True, "running": self._running, "waiting": 0, "models": [self.name], "counts": self._counts}
        exchange.respond(200, msgspec.json.encode(state))

    async def embeddings(self, exchange: Exchange) -> None:
        """Embed."""
        body = _parse(exchange.body)
        texts, base64_wanted, dimensions = _texts(body), _base64_wanted(body), self._dimensions(body)
        ours = body.get("feilun")
        ours = ours if isinstance(ours, dict) else {}
        self._running += 1
        try:
            found = await self.embedder.embed(texts, query=bool(ours.get("query")))
        finally:
            self._running -= 1
        self._counts["calls"] += 1
        self._counts["prompt_tokens"] += found.tokens
        vectors = found.vectors
        if dimensions < self.embedder.dimensions:
            vectors = [shortened(vector, dimensions) for vector in vectors]
        rows = [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if base64_wanted else vector}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
        name = str(ours.get("name") or body.get("model") or self.name)
        answer = {"object": "list", "data": rows, "model": name, "usage": usage}
        exchange.respond(200, msgspec.json.encode(answer))

    def _dimensions(self, body: JSON) -> int:
        wanted = body.get("dimensions")
        if wanted is None:
            return self.embedder.dimensions
        if isinstance(wanted, bool) or not isinstance(wanted, int) or not 1 <= wanted <= self.embedder.dimensions:
            raise BadRequest(f"dimensions is a whole number from 1 to {self.embedder.dimensions}.", param="dimensions")
        return wanted


def _parse(raw: bytes) -> JSON:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    return body


def _texts(body: JSON) -> tuple[str, ...]:
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list):
        raise BadRequest("input must be a text or a list of texts.", param="input")
    if not 1 <= len(texts) <= MOST_TEXTS:
        raise BadRequest(f"input must hold 1 to {MOST_TEXTS} texts.", param="input")
    if any(isinstance(text, int | list) for text in texts):
        raise BadRequest("This model takes texts; token numbers mean something else to every model.", param="input")
    if not all(isinstance(text, str) and text for text in texts):
        raise BadRequest("input must hold texts that are not empty.", param="input")
    return tuple(texts)


def _base64_wanted(body: JSON) -> bool:
    wanted = body.get("encoding_format")
    if wanted not in {None, "float", "base64"}:
        raise BadRequest("encoding_format is float or base64.", param="encoding_format")
    return wanted == "base64"


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


async def serve(face: Face, listener: socket.socket) -> None:
    """Answer until SIGTERM, then let calls in flight finish."""
    hot = {("GET", "/health"): face.health, ("POST", "/v1/embeddings"): face.embeddings}
    server = Server(hot, None, ServerLimits(keep_alive=3600.0), face.admit)
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    serving = asyncio.create_task(server.serve(listener))
    await asyncio.wait({serving, asyncio.create_task(asked.wait())}, return_when=asyncio.FIRST_COMPLETED)
    await server.close(GRACE)
    await serving
    await face.embedder.close()


def main() -> int:
    """Load, listen, say so, serve."""
    parser = argparse.ArgumentParser(description="Serve one embedding model on a loopback port.")
    parser.add_argument("--model", required=True)
    given = parser.parse_args()
    die_with_parent()
    try:
        face = Face(given.model, make_embedder(given.model), os.environ.pop(TOKEN_VARIABLE, ""))
    except FeilunError as error:
        say_failure(error)
        return error.exit_code
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    say_ready(port=listener.getsockname()[1])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(face, listener))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
