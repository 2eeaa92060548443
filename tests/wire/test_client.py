"""The pool against upstreams that work, hang, die, lie and close behind its back."""

from __future__ import annotations

import asyncio
import socket

import pytest
from tests.wire.peers import at, pool_of, read_request, serving, upstream

from feilun.errors import EngineDown, UpstreamError, UpstreamTimeout
from feilun.wire import Exchange, Origin, Pool, Timeouts

HEAD = b"POST /v1/x HTTP/1.1\r\nHost: test\r\n"
TIMEOUTS = Timeouts(connect=2, first=5, between=5)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


async def test_connections_are_kept_and_used_again() -> None:
    """Requests one after the other share a connection; at the same time each has its own; bodies arrive whole."""
    peers = set()
    both = asyncio.Barrier(2)

    async def echo(reader: Reader, writer: Writer) -> None:
        peers.add(writer.get_extra_info("peername"))
        while True:
            request = await read_request(reader)
            if b"/together" in request:
                await both.wait()
            body = request.partition(b"\r\n\r\n")[2]
            writer.write(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with upstream(echo) as port, pool_of() as pool:
        for body in (b"", b"small", b"x" * 1_000_000):
            reply = await pool.request(at(port), HEAD, body, TIMEOUTS)
            assert (reply.status, reply.headers[b"x-a"], await reply.read()) == (200, b"1", body)
        assert len(peers) == 1
        head = b"GET /together HTTP/1.1\r\nHost: test\r\n"
        await asyncio.gather(*[pool.request(at(port), head, b"", TIMEOUTS) for _ in range(2)])
        assert len(peers) == 2


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nX: trailer\r\n\r\n",
            200,
            b"abc",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\n" + OK, 200, b"ok"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 307 Away\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", 307, b""),
    ],
)
async def test_answers_of_every_shape(answer: bytes, status: int, body: bytes) -> None:
    """Chunked, interim, until the end of the connection, HTTP/1.0, empty; a redirect is told and not followed."""

    async def once(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        for at_byte in range(len(answer)):
            writer.write(answer[at_byte : at_byte + 1])
            await asyncio.sleep(0)

    async with upstream(once) as port, pool_of() as pool:
        reply = await pool.request(at(port), HEAD, b"{}", TIMEOUTS)
        assert (reply.status, await reply.read()) == (status, body)
        assert b"x" not in reply.headers
        assert await reply.receive() == b""


async def test_answers_to_head_have_no_body() -> None:
    """The length that HEAD tells is not waited for."""

    async def once(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
        await reader.read()

    async with upstream(once) as port, pool_of() as pool:
        reply = await pool.request(at(port), b"HEAD / HTTP/1.1\r\nHost: test\r\n", b"", TIMEOUTS)
        assert (reply.headers[b"content-length"], await reply.read()) == (b"500", b"")


async def test_a_connection_that_the_peer_closed_is_not_used() -> None:
    """An idle connection that was closed meanwhile costs no request, and none is sent twice."""
    requests = []

    async def once(reader: Reader, writer: Writer) -> None:
        requests.append(await read_request(reader))
        writer.write(OK)

    async with upstream(once) as port, pool_of() as pool:
        for _ in range(5):
            reply = await pool.request(at(port), HEAD, b"{}", TIMEOUTS)
            assert await reply.read() == b"ok"
            await asyncio.sleep(0.02)
    assert len(requests) == 5


async def test_a_request_on_a_stale_connection_is_sent_again_once() -> None:
    """A kept connection that dies without a byte of an answer: again on a fresh one; if that dies too, an error."""
    served = 0

    async def die_on_second(reader: Reader, writer: Writer) -> None:
        nonlocal served
        await read_request(reader)
        served += 1
        if served > 2:
            return
        writer.write(OK)
        await read_request(reader)
        served += 1

    async with upstream(die_on_second) as port, pool_of() as pool:
        await (await pool.request(at(port), HEAD, b"1", TIMEOUTS)).read()
        with pytest.raises(UpstreamError):  # the kept one dies, and so does the fresh one
            await pool.request(at(port), HEAD, b"2", TIMEOUTS)
        assert served == 3
        served = 0
        await (await pool.request(at(port), HEAD, b"1", TIMEOUTS)).read()
        served = 0
        reply = await pool.request(at(port), HEAD, b"2", TIMEOUTS)
        assert (await reply.read(), served) == (b"ok", 2)


async def test_nothing_is_sent_again_after_a_byte_of_an_answer() -> None:
    """A kept connection that dies within the answer is an error, since the upstream has worked for it."""
    served = 0

    async def half(reader: Reader, writer: Writer) -> None:
        nonlocal served
        await read_request(reader)
        writer.write(OK)
        await read_request(reader)
        served += 1
        writer.write(b"HTTP/1.1 200 ")

    async with upstream(half) as port, pool_of() as pool:
        await (await pool.request(at(port), HEAD, b"1", TIMEOUTS)).read()
        with pytest.raises(UpstreamError):
            await pool.request(at(port), HEAD, b"2", TIMEOUTS)
    assert served == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000,
        b"",
    ],
)
async def test_what_is_no_answer_is_an_error(answer: bytes) -> None:
    """Garbage, contradictions, another protocol, headers without end, nothing: an UpstreamError each."""

    async def lie(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    async with upstream(lie) as port, pool_of() as pool:
        with pytest.raises(UpstreamError):
            await pool.request(at(port), HEAD, b"{}", TIMEOUTS)


@pytest.mark.parametrize("head", [b"Content-Length: 100\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"])
@pytest.mark.parametrize("reset", [True, False])
async def test_upstreams_that_die_within_the_body(head: bytes, reset: bool) -> None:
    """What came before is delivered, then the breaking off is an error, never a short answer."""

    async def die(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + head)
        await asyncio.sleep(0.02)
        if reset:
            writer.transport.abort()

    async with upstream(die) as port, pool_of() as pool:
        reply = await pool.request(at(port), HEAD, b"{}", TIMEOUTS)
        assert await reply.receive() == b"abc"
        with pytest.raises(UpstreamError):
            await reply.receive()


async def test_time_limits() -> None:
    """Each limit is told by its name: until the first byte, between two, in all."""

    async def slow(reader: Reader, writer: Writer) -> None:
        request = await read_request(reader)
        if b"/first" in request:
            await reader.read()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")
        while b"/total" in request:
            await asyncio.sleep(0.03)
            writer.write(b"x")
        await reader.read()

    async with upstream(slow) as port, pool_of() as pool:
        for path, limits, words in (
            (b"first", Timeouts(first=0.1), "begin"),
            (b"between", Timeouts(between=0.1), "nothing"),
            (b"total", Timeouts(between=0.2, total=0.4), "finish"),
        ):
            with pytest.raises(UpstreamTimeout, match=words):
                await (await pool.request(at(port), b"GET /%b HTTP/1.1\r\nHost: x\r\n" % path, b"", limits)).read()


async def test_nobody_there() -> None:
    """A closed port, an unknown name and a TLS upstream that speaks none are EngineDown: nothing was sent."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))

        async def deaf(reader: Reader, _writer: Writer) -> None:
            await reader.read(1)

        async with upstream(deaf) as port, pool_of() as pool:
            for origin in (at(taken.getsockname()[1]), Origin("http", "x." * 200, 80), at(port, "https")):
                with pytest.raises(EngineDown):
                    await pool.request(origin, HEAD, b"{}", TIMEOUTS)


async def test_connecting_takes_no_longer_than_allowed() -> None:
    """A handshake that hangs ends at its limit."""

    async def hang(reader: Reader, _writer: Writer) -> None:
        await reader.read()

    async with upstream(hang) as port, pool_of() as pool:
        with pytest.raises(EngineDown, match="within"):
            await pool.request(at(port, "https"), HEAD, b"{}", Timeouts(connect=0.1))


async def test_slow_consumers_hold_back_the_upstream() -> None:
    """While nobody receives, the upstream is not read, no limit strikes, and nothing is lost afterwards."""
    sent = 0

    async def flood(reader: Reader, writer: Writer) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (160 * 65536))
        for _ in range(160):
            writer.write(b"x" * 65536)
            sent += 1
            await writer.drain()

    async with upstream(flood) as port, pool_of() as pool:
        reply = await pool.request(at(port), HEAD, b"{}", Timeouts(between=0.2))
        before = -1
        while before != sent or not sent:
            before = sent
            await asyncio.sleep(0.4)
        assert sent < 160
        assert len(await reply.read()) == 160 * 65536


async def test_leaving_closes_the_connection() -> None:
    """Abandoned, cancelled and too large answers close their connection, so that the upstream can stop."""
    closed = asyncio.Semaphore(0)

    async def endless(reader: Reader, writer: Writer) -> None:
        request = await read_request(reader)
        try:
            if b"/silent" in request:
                await reader.read()
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"3\r\nabc\r\n")
                await writer.drain()
                await asyncio.sleep(0.005)
                if reader.at_eof():
                    break
        finally:
            closed.release()

    async with upstream(endless) as port, pool_of() as pool:
        reply = await pool.request(at(port), HEAD, b"", TIMEOUTS)
        reply.abandon()
        with pytest.raises(UpstreamError):
            await reply.receive()
        with pytest.raises(UpstreamError, match="larger"):
            await (await pool.request(at(port), HEAD, b"", TIMEOUTS)).read(10)
        for path in (b"silent", b"loud"):
            task = asyncio.create_task(_read(pool, at(port), path))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        for _ in range(4):
            await asyncio.wait_for(closed.acquire(), 5)


async def _read(pool: Pool, origin: Origin, path: bytes) -> bytes:
    return await (await pool.request(origin, b"GET /%b HTTP/1.1\r\nHost: x\r\n" % path, b"", TIMEOUTS)).read()


async def test_idle_connections_end_and_unasked_words_too() -> None:
    """A connection without use is closed after a while; one on which the upstream speaks unasked, at once."""
    ended = asyncio.Semaphore(0)

    async def once(reader: Reader, writer: Writer) -> None:
        request = await read_request(reader)
        writer.write(OK)
        if b"/unasked" in request:
            await asyncio.sleep(0.05)
            writer.write(OK)
        await reader.read()
        ended.release()

    async with upstream(once) as port:
        async with pool_of(Pool(idle_seconds=0.1)) as pool:
            assert await _read(pool, at(port), b"x") == b"ok"
            await asyncio.wait_for(ended.acquire(), 5)
        async with pool_of() as pool:
            assert await _read(pool, at(port), b"unasked") == b"ok"
            await asyncio.wait_for(ended.acquire(), 5)
            assert await _read(pool, at(port), b"x") == b"ok"


async def test_a_limit_on_connections() -> None:
    """With a limit, requests wait for a connection; one that is cancelled while it waits takes nobody's turn."""
    at_once = most = 0

    async def count(reader: Reader, writer: Writer) -> None:
        nonlocal at_once, most
        while True:
            await read_request(reader)
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.02)
            at_once -= 1
            writer.write(OK)

    async with upstream(count) as port, pool_of(Pool(most=2)) as pool:
        tasks = [asyncio.create_task(_read(pool, at(port), b"x")) for _ in range(10)]
        await asyncio.sleep(0.03)
        tasks[5].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [each for each in done if each != b"ok"] == [done[5]]
    assert isinstance(done[5], asyncio.CancelledError)
    assert most == 2


async def test_a_relay_between_server_and_pool() -> None:
    """A handler that passes an upstream's stream on gives the same bytes, and again on the same connections."""

    async def source(exchange: Exchange) -> None:
        exchange.start(200, ())
        for n in range(50):
            exchange.write(b"data: %d\n\n" % n)
            await asyncio.sleep(0)
        exchange.end()

    async with serving({("GET", "/hello"): source}) as inner, pool_of() as pool:

        async def relay(exchange: Exchange) -> None:
            reply = await pool.request(at(inner), b"GET /hello HTTP/1.1\r\nHost: x\r\n", b"", TIMEOUTS)
            exchange.start(reply.status, ())
            while piece := await reply.receive():
                exchange.write(piece)
                await exchange.drain()
            exchange.end()

        async with serving({("GET", "/relay"): relay}) as outer:
            bodies = [await _read(pool, at(outer), b"relay") for _ in range(3)]
    assert bodies == [b"".join(b"data: %d\n\n" % n for n in range(50))] * 3
