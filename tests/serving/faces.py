"""A face before an engine, on a port of the test's own event loop, and the official client before the face."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import openai

from feilun.serving.face import Face, Served
from feilun.wire import Server, ServerLimits

TOKEN = "face-token"


@dataclass
class Up:
    """A face that listens, a client of the official library, and a plain one."""

    face: Face
    client: openai.AsyncOpenAI
    http: httpx.AsyncClient

    async def post(self, path: str, body: Any) -> httpx.Response:
        """Send JSON."""
        return await self.http.post(path, json=body)


@asynccontextmanager
async def up(engine: Served, context: int = 2048, base: str = "") -> AsyncIterator[Up]:
    """Serve ``engine`` until left."""
    face = Face(engine, TOKEN, context, base)
    server = Server(face.handlers(), None, ServerLimits(), face.admit)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    serving = asyncio.create_task(server.serve(listener))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=TOKEN, max_retries=0)
    async with client, httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=60) as http:
        yield Up(face, client, http)
    await server.close(1.0)
    await serving
