"""A Starlette application behind the server."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.wire.peers import GET, ask, chunks, client, post, read_answer, serving

from feilun.errors import FeilunError
from feilun.wire import Exchange, Server, ServerLimits


async def about(request: Request) -> Response:
    """Tell what was asked."""
    cookies = request.headers.getlist("x-many")
    told = {"path": request.url.path, "query": request.url.query, "many": cookies, "state": request.state.made}
    return JSONResponse({**told, "method": request.method}, 201, {"x-own": "yes"})


async def upload(request: Request) -> Response:
    """Take an upload piece by piece, slowly at first."""
    digest, pieces = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        pieces += 1
        if pieces == 1:
            await asyncio.sleep(0.05)
    return PlainTextResponse(f"{digest.hexdigest()} {pieces > 1}")


async def form(request: Request) -> Response:
    """Take a form with a file."""
    async with request.form() as fields:
        file = fields["file"]
        assert not isinstance(file, str)
        return PlainTextResponse(f"{file.filename} {len(await file.read())}")


async def numbers(_request: Request) -> Response:
    """Answer in pieces."""

    async def pieces() -> AsyncIterator[str]:
        for n in range(3):
            yield f"{n}\n"
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), media_type="text/plain")


async def early(_request: Request) -> Response:
    """Answer without having read the body."""
    return PlainTextResponse("enough", 400)


async def crash(_request: Request) -> Response:
    """Fail."""
    raise RuntimeError("s3cret")


ROUTES = [
    *(Route("/hello", about), Route("/upload", upload, methods=["POST"]), Route("/form", form, methods=["POST"])),
    *(Route("/numbers", numbers), Route("/early", early, methods=["POST"]), Route("/crash", crash)),
]


def application(log: list[str]) -> Starlette:
    """Return an application that notes its beginning and end."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, str]]:
        log.append("begin")
        yield {"made": "at the start"}
        log.append("end")

    return Starlette(routes=ROUTES, lifespan=lifespan)


async def test_requests_and_lifespan() -> None:
    """The application begins before the first request, sees it as it is, and ends after the last."""
    log: list[str] = []
    async with serving({}, application(log)) as port, client(port) as (reader, writer):
        assert log == ["begin"]
        writer.write(b"GET /he%6Clo?a=%20b HTTP/1.1\r\nHost: x\r\nX-Many: 1\r\nX-Many: 2\r\n\r\n")
        answer = await read_answer(reader)
        assert (answer.status, answer.headers[b"x-own"]) == (201, b"yes")
        told = b'{"path":"/hello","query":"a=%20b","many":["1","2"],"state":"at the start","method":"GET"}'
        assert answer.body == told
        writer.write(b"HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\nGET /numbers HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(reader, "HEAD")).status == 201
        assert (await read_answer(reader)).body == b"0\n1\n2\n"
        writer.write(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(reader)).status == 404
    assert log == ["begin", "end"]


async def test_uploads_come_in_pieces() -> None:
    """A large body reaches the application piece by piece, sized or chunked, and the connection goes on."""
    data = bytes(range(256)) * 12_000
    expected = f"{hashlib.sha256(data).hexdigest()} True".encode()
    async with serving({}, application([])) as port, client(port) as (reader, writer):
        writer.write(post(data, b"/upload"))
        assert (await read_answer(reader)).body == expected
        writer.write(chunks(*[data[at : at + 10_000] for at in range(0, len(data), 10_000)], path=b"/upload") + GET)
        assert (await read_answer(reader)).body == expected
        assert (await read_answer(reader)).status == 201


async def test_forms() -> None:
    """A form with a file is parsed."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        + b"x" * 70_000
        + b"\r\n--b--\r\n"
    )
    async with serving({}, application([])) as port:
        answer = await ask(port, post(body, b"/form", b"Content-Type: multipart/form-data; boundary=b"))
    assert answer.body == b"a.txt 70000"


async def test_slow_applications_hold_back_the_client() -> None:
    """While the application does not read, the client cannot send without end; then everything arrives."""
    go = asyncio.Event()
    size = 64 << 20

    async def count(scope, receive, send) -> None:
        assert scope["type"] == "http"  # no lifespan
        await go.wait()
        total, more = 0, True
        while more:
            message = await receive()
            total, more = total + len(message["body"]), message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % total})

    async with serving({}, count, ServerLimits(body_bytes=size)) as port, client(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(bytes(size))
        sizes = [0, 1]
        while sizes[-1] != sizes[-2]:
            sizes.append(writer.transport.get_write_buffer_size())
            await asyncio.sleep(0.1)
        assert sizes[-1] > size // 2
        go.set()
        assert (await read_answer(reader)).body == b"%d" % size


async def test_answers_before_the_body_was_read() -> None:
    """An application may refuse early: the client gets the answer although it still sends."""
    async with serving({}, application([])) as port, client(port) as (reader, writer):
        writer.write(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 1_000_000)
        answer = await read_answer(reader)
        assert (answer.body, answer.headers[b"connection"]) == (b"enough", b"close")


async def test_bodies_beyond_the_limit() -> None:
    """A body that turns out too large while the application reads it is 413."""
    async with serving({}, application([]), ServerLimits(body_bytes=100_000)) as port:
        assert (await ask(port, chunks(*[b"x" * 10_000] * 11, path=b"/upload"))).status == 413
        assert (await ask(port, post(b"x" * 100_001, b"/upload"))).status == 413


async def test_crashes_become_errors() -> None:
    """An exception in the application is a 500 without its words, and the server goes on."""
    async with serving({}, application([])) as port:
        answer = await ask(port, b"GET /crash HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (answer.status, b"s3cret" in answer.body) == (500, False)
        assert (await ask(port, GET)).status == 201


@pytest.mark.parametrize("sent", [GET, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"])
async def test_the_application_hears_that_the_client_left(sent: bytes) -> None:
    """Within the body or after it, ``http.disconnect`` comes."""
    heard = asyncio.Event()

    async def listen(scope, receive, _send) -> None:
        assert scope["type"] == "http"  # no lifespan
        while (await receive())["type"] != "http.disconnect":
            pass
        heard.set()

    async with serving({}, listen, ServerLimits(probe_seconds=0.02)) as port:
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.sendall(sent)
            await asyncio.sleep(0.05)
        await asyncio.wait_for(heard.wait(), 5)


async def test_hot_handlers_come_first() -> None:
    """What is not a hot path goes to the application."""

    async def hot(exchange: Exchange) -> None:
        exchange.respond(200, b"hot")

    async with serving({("GET", "/hello"): hot}, application([])) as port:
        assert (await ask(port, GET)).body == b"hot"
        assert (await ask(port, b"GET /numbers HTTP/1.1\r\nHost: x\r\n\r\n")).status == 200
        assert (await ask(port, post(b"", b"/hello"))).status == 405


async def test_an_application_that_cannot_begin() -> None:
    """The server does not start, and says why."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        with pytest.raises(FeilunError, match="no database"):
            await Server({}, Starlette(lifespan=lifespan), ServerLimits()).serve(listener)
