"""The server against clients that mean harm, or know no better: a clear answer, a closed connection, and no more."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.wire.peers import GET, ask, chunks, client, post, read_answer, serving

from feilun.wire import Exchange, ServerLimits

CHUNKED = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def echo(exchange: Exchange) -> None:
    """Answer with what was sent."""
    exchange.respond(200, exchange.body)


HOT = {("POST", "/echo"): echo, ("GET", "/hello"): echo}

NOT_HTTP = {
    "words": b"what is this\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40,
    "unknown method": b"STEAL / HTTP/1.1\r\nHost: x\r\n\r\n",
    "bare line feeds": b"GET /hello HTTP/1.1\nHost: x\n\n",
    "space before colon": b"GET /hello HTTP/1.1\r\nHost : x\r\n\r\n",
    "folded header": b"GET /hello HTTP/1.1\r\nHost: x\r\n y\r\n\r\n",
    "zero byte in header": b"GET /hello HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
    "no host": b"GET /hello HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /hello HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "bytes in path": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
}
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
SMUGGLING = {
    "length, then encoding": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "encoding, then length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 39\r\n\r\n",
    "list of lengths": b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 39\r\n\r\n",
    "signed length": b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n",
    "negative length": b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "huge length": b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "unknown encoding": b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "chunked twice": b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": b"POST /echo HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "odd chunk size": CHUNKED + b"0x0\r\n\r\n",
    "chunk without end": CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", [*NOT_HTTP, *SMUGGLING])
async def test_what_is_not_http_is_refused_once(name: str) -> None:
    """The answer is one 400 in OpenAI's shape, the connection closes, and what follows is not taken for a request."""
    async with serving(HOT) as port, client(port) as (reader, writer):
        writer.write((NOT_HTTP | SMUGGLING)[name] + GET)
        answer = await read_answer(reader)
        assert (answer.status, answer.headers[b"connection"]) == (400, b"close")
        assert json.loads(answer.body)["error"]["type"] == "invalid_request_error"
        assert await reader.read() == b""


async def test_other_versions_are_refused() -> None:
    """HTTP/2.0 in HTTP/1.1's words is 505."""
    async with serving(HOT) as port:
        assert (await ask(port, b"GET /hello HTTP/2.0\r\nHost: x\r\n\r\n")).status == 505


async def test_garbage_after_a_good_request_does_not_spoil_its_answer() -> None:
    """The first request is answered, then the second is refused, in this order."""
    async with serving(HOT) as port, client(port) as (reader, writer):
        writer.write(post(b"good") + b"garbage\r\n\r\n")
        assert (await read_answer(reader)).body == b"good"
        assert (await read_answer(reader)).status == 400


@pytest.mark.parametrize("slowly", [True, False])
async def test_header_floods(slowly: bool) -> None:
    """Too many headers, too large ones, or one without end: 431; such a request line: 414; at once or dripping."""
    start = b"GET /hello HTTP/1.1\r\nHost: x\r\n"
    floods = (
        (start + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n", 431),
        (start + b"X: " + b"y" * 40_000 + b"\r\n\r\n", 431),
        (start + b"X: " + b"y" * 200_000, 431),
        (start + b"Y" * 200_000, 431),
        (b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /" + b"y" * 200_000, 414),
    )
    async with serving(HOT) as port:
        for data, status in floods:
            async with client(port) as (reader, writer):
                step = 4096 if slowly else len(data)
                for at in range(0, len(data), step):
                    writer.write(data[at : at + step])
                    await asyncio.sleep(0)
                assert (await read_answer(reader)).status == status


async def test_as_many_headers_as_allowed() -> None:
    """The limits themselves are within the limits."""
    lines = b"".join(b"X-%d: %b\r\n" % (n, b"y" * 200) for n in range(99))
    async with serving(HOT) as port:
        assert (await ask(port, b"GET /hello HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n")).status == 200


async def test_large_bodies() -> None:
    """100 MB declared, or sent in chunks without saying so, is 413, also for a client that sends before it reads."""
    limits = ServerLimits(body_bytes=100_000)
    async with serving(HOT, limits=limits) as port:
        assert (await ask(port, post(b"x" * 100_000))).status == 200
        assert (await ask(port, chunks(b"x" * 100_000))).status == 200
        assert (await ask(port, chunks(*[b"x" * 1000] * 101))).status == 413
        for head, piece in (
            (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n", b"x" * 500_000),
            (CHUNKED, b"7a120\r\n" + b"x" * 500_000 + b"\r\n"),
        ):
            async with client(port) as (reader, writer):
                writer.write(head)
                for _ in range(200):
                    writer.write(piece)
                    await writer.drain()
                answer = await read_answer(reader)
                assert (answer.status, answer.headers[b"connection"]) == (413, b"close")


async def test_bodies_of_nothing_but_framing() -> None:
    """Chunk extensions and trailers without end are refused, small chunks are not."""
    flood = (b"1;" + b"x" * 10_000 + b"\r\na\r\n") * 50
    trailers = b"0\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(60_000))
    async with serving(HOT) as port:
        assert (await ask(port, chunks(*[b"x"] * 70_000))).body == b"x" * 70_000
        for body in (flood, trailers):
            async with client(port) as (reader, writer):
                writer.write(CHUNKED + body)
                assert (await read_answer(reader)).status == 400


@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        (b"", b""),
        (b"G", b"E"),
        (b"GET /hello HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n"),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (CHUNKED, b"1\r\nx\r\n"),
    ],
)
async def test_slow_loris(begin: bytes, drip: bytes) -> None:
    """Headers and bodies that drip are 408 and the connection closes, however steadily they drip."""
    limits = ServerLimits(header_seconds=0.2, body_seconds=0.2, body_rate=1000, keep_alive=0.2)
    async with serving(HOT, limits=limits) as port, client(port) as (reader, writer):
        writer.write(begin)
        answer = asyncio.create_task(reader.read())
        for _ in range(500):
            await asyncio.sleep(0.02)
            if answer.done():
                break
            writer.write(drip if len(begin) > 1 else b"")
        status = (await answer)[:12]
    assert status == (b"HTTP/1.1 408" if begin else b"")


async def test_bodies_that_come_slowly_but_surely() -> None:
    """A body that keeps the least rate may take many times the limit."""
    limits = ServerLimits(body_seconds=0.2, body_rate=50)
    async with serving(HOT, limits=limits) as port, client(port) as (reader, writer):
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\n")
        for _ in range(40):
            writer.write(b"x" * 10)
            await asyncio.sleep(0.02)
        assert (await read_answer(reader)).status == 200


async def test_idle_connections_are_closed_and_slow_handlers_are_not() -> None:
    """The limit for idle connections does not count while an answer is being made."""

    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(0.5)
        exchange.respond(200, b"{}")

    limits = ServerLimits(keep_alive=0.1, header_seconds=0.1)
    async with serving({("GET", "/hello"): slow}, limits=limits) as port, client(port) as (reader, writer):
        writer.write(GET)
        assert (await read_answer(reader)).status == 200
        assert await reader.read() == b""


async def test_too_many_connections() -> None:
    """Beyond the limit a connection is told so and closed; one that ends makes room."""
    async with serving(HOT, limits=ServerLimits(connections=1)) as port:
        async with client(port) as (reader, writer):
            writer.write(GET)
            assert (await read_answer(reader)).status == 200
            async with client(port) as (second, _):
                assert (await read_answer(second)).status == 503
            writer.write(GET)
            assert (await read_answer(reader)).status == 200
        for _ in range(100):
            if (answer := await ask(port, GET)).status == 200:
                break
            await asyncio.sleep(0.01)
        assert answer.status == 200
