"""Real peers on loopback: a server of ours, upstreams that follow a script, clients that send raw bytes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from feilun.wire import ASGIApp, Handler, Origin, Pool, Server, ServerLimits

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GET = b"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n"


@dataclass
class Answer:
    """What a raw client read."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


def post(body: bytes, path: bytes = b"/echo", *extra: bytes) -> bytes:
    """Return the bytes of a request with a body."""
    lines = [b"POST %b HTTP/1.1" % path, b"Host: test", b"Content-Length: %d" % len(body), *extra]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunks(*pieces: bytes, path: bytes = b"/echo") -> bytes:
    """Return the bytes of a request whose body comes in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    return b"POST %b HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" % path + body


async def read_answer(reader: asyncio.StreamReader, method: str = "GET") -> Answer:
    """Read one answer, interim ones left out."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    status = int(first.split()[1])
    if status < 200:
        return await read_answer(reader, method)
    pairs = (line.split(b": ", 1) for line in lines)
    headers = {name.lower(): value for name, value in pairs}
    pieces = []
    if headers.get(b"transfer-encoding") == b"chunked" and method != "HEAD":
        while size := int(await reader.readline(), 16):
            pieces.append((await reader.readexactly(size + 2))[:-2])
        await reader.readline()
    elif method != "HEAD":
        pieces.append(await reader.readexactly(int(headers.get(b"content-length", b"0"))))
    return Answer(status, headers, b"".join(pieces))


@asynccontextmanager
async def serving(
    hot: Mapping[tuple[str, str], Handler],
    asgi: ASGIApp | None = None,
    limits: ServerLimits | None = None,
    admit: Callable[[str, str, dict[bytes, bytes]], int] | None = None,
) -> AsyncIterator[int]:
    """Run a server of ours and give its port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    server = Server(hot, asgi, limits or ServerLimits(), admit)
    task = asyncio.create_task(server.serve(listener))
    try:
        yield listener.getsockname()[1]
    finally:
        await server.close(0.2)
        await task


@asynccontextmanager
async def upstream(script: Script) -> AsyncIterator[int]:
    """Run a server that follows a script for every connection, and give its port."""
    writers = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            # asyncio's own transports cannot be aborted once they have closed by themselves
            if not writer.is_closing() or writer.transport.get_write_buffer_size():
                writer.transport.abort()
        await asyncio.sleep(0.01)


@asynccontextmanager
async def client(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect, and close at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def ask(port: int, data: bytes, method: str = "GET") -> Answer:
    """Send bytes on a connection of their own and read one answer."""
    async with client(port) as (reader, writer):
        writer.write(data)
        return await read_answer(reader, method)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read a request with Content-Length, or without a body; return its bytes."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    return head + await reader.readexactly(size)


@asynccontextmanager
async def pool_of(pool: Pool | None = None) -> AsyncIterator[Pool]:
    """Give a pool and close it."""
    pool = pool or Pool()
    try:
        yield pool
    finally:
        await pool.close()


def at(port: int, scheme: str = "http") -> Origin:
    """Return the origin on loopback."""
    return Origin(scheme, "localhost", port, "127.0.0.1")
