"""The server against clients that send raw bytes: HTTP/1.1 as it should be, in order, and kept up."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from tests.wire.peers import GET, ask, chunks, client, post, read_answer, serving

from feilun.errors import BudgetExhausted, Forbidden, RateLimited, Unauthorized
from feilun.wire import Exchange, Handler, ServerLimits


async def echo(exchange: Exchange) -> None:
    """Answer with what was sent."""
    exchange.respond(200, exchange.body, media=b"text/plain")


async def hello(exchange: Exchange) -> None:
    """Answer with what was asked."""
    exchange.respond(200, f"{exchange.method} {exchange.path} {exchange.query}".encode(), ((b"x-peer", b"yes"),))


async def stream(exchange: Exchange) -> None:
    """Answer in pieces, with an empty one that must not end the answer."""
    exchange.start(200, ((b"x-kind", b"stream"),))
    for piece in (b"data: 1\n\n", b"", b"data: 2\n\n"):
        exchange.write(piece)
        await exchange.drain()
        await asyncio.sleep(0)
    exchange.end()


HOT: dict[tuple[str, str], Handler] = {("POST", "/echo"): echo, ("GET", "/hello"): hello, ("GET", "/stream"): stream}


async def test_keep_alive_and_shapes() -> None:
    """One connection carries request after request: sized, chunked both ways, HEAD, an absolute target, a query."""
    async with serving(HOT) as port, client(port) as (reader, writer):
        for request, body in (
            (post(b"abc"), b"abc"),
            (chunks(b"one", b"two"), b"onetwo"),
            (b"GET /hello?a=%20b HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /hello a=%20b"),
            (b"GET /h%65llo HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /hello "),
            (b"GET http://x/hello?q HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /hello q"),
            (b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", b"data: 1\n\ndata: 2\n\n"),
        ):
            writer.write(request)
            answer = await read_answer(reader)
            assert (answer.status, answer.body) == (200, body)
            assert b"connection" not in answer.headers
            assert answer.headers[b"date"].endswith(b" GMT")
        for path in (b"/hello", b"/stream"):
            writer.write(b"HEAD %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            answer = await read_answer(reader, "HEAD")
            assert (answer.status, answer.body) == (200, b"")
        writer.write(GET)
        assert (await read_answer(reader)).headers[b"x-peer"] == b"yes"


async def test_trailers_are_not_headers() -> None:
    """What comes after a chunked body is neither a header of this request nor of the next."""
    seen = []

    async def look(exchange: Exchange) -> None:
        seen.append(dict(exchange.headers))
        exchange.respond(200, b"{}")

    trailed = chunks(b"x")[:-2] + b"Authorization: Bearer stolen\r\n\r\n"
    async with serving({("POST", "/echo"): look, ("GET", "/hello"): look}) as port, client(port) as (reader, writer):
        writer.write(trailed + GET)
        await read_answer(reader)
        await read_answer(reader)
    assert len(seen) == 2
    assert all(b"authorization" not in headers for headers in seen)


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Many requests in one packet, the first the slowest, give as many answers in their order."""
    order = []

    async def slow(exchange: Exchange) -> None:
        number = int(exchange.query)
        await asyncio.sleep(0.05 if number == 0 else 0)
        order.append(number)
        exchange.respond(200, exchange.query.encode())

    async with serving({("GET", "/n"): slow}) as port, client(port) as (reader, writer):
        writer.write(b"".join(b"GET /n?%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(40)))
        bodies = [(await read_answer(reader)).body for _ in range(40)]
    assert bodies == [b"%d" % n for n in range(40)]
    assert order == list(range(40))


async def test_pipelined_refusals_do_not_pile_up() -> None:
    """Thousands of refused requests in one packet are answered one after the other, not one inside the other."""
    async with serving(HOT) as port, client(port) as (reader, writer):
        writer.write(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n" * 3000)
        assert [(await read_answer(reader)).status for _ in range(3000)] == [404] * 3000


async def test_http_1_0() -> None:
    """HTTP/1.0 gets no chunks, its connection closes, or stays if it asks so."""
    async with serving(HOT) as port, client(port) as (reader, writer):
        writer.write(b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = await read_answer(reader)
        assert answer.headers[b"connection"] == b"keep-alive"
        writer.write(b"GET /stream HTTP/1.0\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert b"connection: close" in head
        assert b"chunked" not in head
        assert body == b"data: 1\n\ndata: 2\n\n"


async def test_expect_continue() -> None:
    """A client that asks first is told to go on, or gets its refusal without having sent the body."""

    def admit(_method: str, path: str, _headers: dict[bytes, bytes]) -> int:
        return 10 if path == "/echo" else 0

    async with serving(HOT, admit=admit) as port:
        async with client(port) as (reader, writer):
            writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abc")
            assert (await read_answer(reader)).body == b"abc"
            writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\nExpect: 100-continue\r\n\r\n")
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 413 ")
        strange = await ask(port, b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: pie\r\n\r\n")
        assert strange.status == 417


async def test_upgrades_are_ignored() -> None:
    """A client that offers another protocol (Java's does) is answered in HTTP/1.1, its body and next request kept."""
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    async with serving(HOT) as port, client(port) as (reader, writer):
        writer.write(post(b"abc", b"/echo", *offer) + GET)
        assert (await read_answer(reader)).body == b"abc"
        assert (await read_answer(reader)).status == 200
        writer.write(b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(reader)).status == 400


async def test_half_closed_client_gets_its_answer() -> None:
    """A client that has sent its last byte, and says so, is answered all the same."""

    async def later(exchange: Exchange) -> None:
        await asyncio.sleep(0.1)
        exchange.respond(200, exchange.body)

    async with serving({("POST", "/echo"): later}) as port, client(port) as (reader, writer):
        writer.write(post(b"one") + post(b"two"))
        writer.write_eof()
        assert (await read_answer(reader)).body == b"one"
        last = await read_answer(reader)
        assert (last.body, last.headers[b"connection"]) == (b"two", b"close")
        assert await reader.read() == b""


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("begun", [True, False])
async def test_handlers_hear_of_clients_that_left(reset: bool, begun: bool) -> None:
    """Whether a client resets or closes, before or within its answer, the handler is told, once."""
    calls: list[int] = []
    gone = asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        exchange.when_gone(lambda: calls.append(1))
        exchange.when_gone(gone.set)
        if begun:
            exchange.start(200, ())
        while not gone.is_set():
            await asyncio.sleep(0.01)
            if begun:
                exchange.write(b"data: more\n\n")
                await exchange.drain()
        assert exchange.gone
        exchange.write(b"nobody reads this") if begun else exchange.respond(200, b"nor this")
        exchange.end()

    async with serving({("GET", "/hello"): wait}, limits=ServerLimits(probe_seconds=0.02)) as port:
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.sendall(GET)
            await asyncio.sleep(0.05)
            if reset:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        await asyncio.wait_for(gone.wait(), 5)
        await asyncio.sleep(0.02)
    assert calls == [1]


async def test_errors_have_the_shape_of_the_openai_api() -> None:
    """Errors of handlers become answers; retry-after and www-authenticate are told; the reason of a crash is not."""
    limited = RateLimited("Too many.")
    limited.retry_after = 2.2
    errors = {
        "limited": limited,
        "spent": BudgetExhausted("Spent."),
        "who": Unauthorized("Who?"),
        "bug": KeyError("s3cret"),
    }

    async def fail(exchange: Exchange) -> None:
        raise errors[exchange.query]

    async with serving({("POST", "/echo"): fail}) as port, client(port) as (reader, writer):
        found = {}
        for name in errors:
            writer.write(post(b"{}", f"/echo?{name}".encode()))
            found[name] = await read_answer(reader)
    assert {name: answer.status for name, answer in found.items()} == {
        "limited": 429,
        "spent": 429,
        "who": 401,
        "bug": 500,
    }
    assert found["limited"].headers[b"retry-after"] == b"3"
    assert found["who"].headers[b"www-authenticate"].startswith(b"Bearer")
    assert json.loads(found["spent"].body)["error"]["code"] == "insufficient_quota"
    assert json.loads(found["bug"].body)["error"]["type"] == "server_error"
    assert b"s3cret" not in found["bug"].body
    names = [answer.headers[b"x-request-id"] for answer in found.values()]
    assert names == [answer.headers[b"request-id"] for answer in found.values()]
    assert len(set(names)) == 4, "two errors have one id"


async def test_every_error_is_named_and_what_is_named_keeps_its_name(caplog: pytest.LogCaptureFixture) -> None:
    """Paths that are not there and bodies that are none have an id, which the log has too; an answer's own id stays."""

    async def own(exchange: Exchange) -> None:
        exchange.respond(400, b"{}", ((b"x-request-id", b"mine"),))

    caplog.set_level("INFO")
    async with serving({**HOT, ("POST", "/own"): own}) as port, client(port) as (reader, writer):
        for request, mine in ((b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", b""), (post(b"{}", b"/own"), b"mine")):
            writer.write(request)
            found = (await read_answer(reader)).headers[b"x-request-id"]
            assert found == mine if mine else found.decode() in caplog.text
        writer.write(GET)
        assert b"x-request-id" not in (await read_answer(reader)).headers


async def test_an_answer_that_fails_half_way_is_cut() -> None:
    """After the first byte an error closes the connection without the end of the answer, and no second answer comes."""

    async def half(exchange: Exchange) -> None:
        exchange.start(200, ())
        exchange.write(b"data: 1\n\n")
        raise Forbidden("too late")

    async with serving({("GET", "/hello"): half}) as port, client(port) as (reader, writer):
        writer.write(GET + GET)
        everything = await reader.read()
    assert everything.count(b"HTTP/1.1") == 1
    assert everything.endswith(b"9\r\ndata: 1\n\n\r\n")


async def test_handlers_that_forget_to_answer_and_headers_that_would_split() -> None:
    """A handler that ends without an answer, or with a line end in a header, gives a 500 and nothing else."""

    async def forget(_exchange: Exchange) -> None:
        return

    async def split(exchange: Exchange) -> None:
        exchange.respond(200, b"", ((b"x", b"1\r\nset-cookie: a=b"),))

    async with serving({("GET", "/hello"): forget, ("POST", "/echo"): split}) as port:
        assert (await ask(port, GET)).status == 500
        answer = await ask(port, post(b""))
    assert answer.status == 500
    assert b"set-cookie" not in answer.headers


async def test_admission() -> None:
    """Refused before the body: a small body is passed over and the connection lives, else it closes."""

    def admit(_method: str, _path: str, headers: dict[bytes, bytes]) -> int:
        if headers.get(b"authorization") != b"yes":
            raise Unauthorized("No key.")
        return 5

    async with serving(HOT, admit=admit) as port:
        async with client(port) as (reader, writer):
            writer.write(post(b"small"))
            assert (await read_answer(reader)).status == 401
            writer.write(post(b"small", b"/echo", b"Authorization: yes"))
            assert (await read_answer(reader)).body == b"small"
            writer.write(chunks(b"a lot"))
            answer = await read_answer(reader)
            assert (answer.status, answer.headers[b"connection"]) == (401, b"close")
        assert (await ask(port, post(b"larger", b"/echo", b"Authorization: yes"))).status == 413


async def test_slow_readers_hold_back_the_handler() -> None:
    """A client that does not read makes ``drain`` wait; it goes on when the client does, and nothing is lost."""
    written = 0

    async def flood(exchange: Exchange) -> None:
        nonlocal written
        exchange.start(200, ())
        for _ in range(160):
            exchange.write(b"x" * 65536)
            written += 1
            await exchange.drain()
        exchange.end()

    async with serving({("GET", "/hello"): flood}) as port, client(port) as (reader, writer):
        writer.write(GET)
        before = -1
        while before != written or not written:
            before = written
            await asyncio.sleep(0.1)
        assert written < 160
        assert len((await read_answer(reader)).body) == 160 * 65536


async def test_clients_that_take_nothing_are_dropped() -> None:
    """A client that does not read its answer at all loses it after the time limit, and the handler is let go."""
    gone = asyncio.Event()

    async def flood(exchange: Exchange) -> None:
        exchange.when_gone(gone.set)
        exchange.start(200, ())
        while not exchange.gone:
            exchange.write(b"x" * 65536)
            await exchange.drain()

    async with serving({("GET", "/hello"): flood}, limits=ServerLimits(write_seconds=0.2)) as port:
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.sendall(GET)
            await asyncio.wait_for(gone.wait(), 10)


async def test_close_lets_calls_finish() -> None:
    """Closing refuses new connections, ends idle ones, and lets what was begun finish within its grace."""
    begun = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        begun.set()
        await asyncio.sleep(0.1)
        exchange.respond(200, b"done")

    async with serving({("GET", "/hello"): slow}) as port:
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await begun.wait()
    answer = await read_answer(reader)
    assert (answer.body, answer.headers[b"connection"]) == (b"done", b"close")
    assert await idle.read() == b""
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)
    for each in (writer, idle_writer):
        each.close()


async def test_close_ends_calls_that_take_too_long() -> None:
    """After the grace a call that waits is answered that the service stops."""
    begun = asyncio.Event()

    async def forever(_exchange: Exchange) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with serving({("GET", "/hello"): forever}) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await begun.wait()
    assert (await read_answer(reader)).status == 503
    writer.close()
