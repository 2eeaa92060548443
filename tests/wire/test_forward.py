"""Pieces of an answer are handed on as they come: in order, no faster than they are taken, and errors are told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence

import pytest

from feilun.errors import UpstreamError
from feilun.wire import Exchange, Origin, Pool, Reply, Server, ServerLimits, Timeouts

PIECES = [b"%06d" % number * 500 for number in range(300)]


async def _answer(exchange: Exchange) -> None:
    exchange.start(200, ())
    for number, piece in enumerate(PIECES):
        exchange.write(piece)
        await exchange.drain()
        if exchange.query == "breaks" and number == 3:
            raise UpstreamError("told to")
        if number % 50 == 0:
            await asyncio.sleep(0.001)
    exchange.end()


@pytest.fixture
async def ask() -> AsyncIterator[object]:
    """Give a way to ask a server that streams."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = Server({("POST", "/"): _answer}, None, ServerLimits())
    serving = asyncio.create_task(server.serve(listener))
    pool = Pool()

    async def request(query: str = "") -> Reply:
        origin = Origin("http", "127.0.0.1", listener.getsockname()[1], "127.0.0.1")
        head = f"POST /?{query} HTTP/1.1\r\nHost: here\r\n".encode()
        return await pool.request(origin, head, b"{}", Timeouts())

    yield request
    await pool.close()
    await server.close(1)
    await serving
    listener.close()


async def test_pieces_come_whole_and_in_order_however_slowly_they_are_taken(ask) -> None:
    """Whoever has enough is not given more until there is room; nothing is lost or doubled."""
    reply, taken, waits, full = await ask(), [], 0, False

    def take(data: bytes, pieces: Sequence[bytes]) -> bool:
        nonlocal full
        assert not full
        assert b"".join(pieces) == data
        taken.append(data)
        full = len(taken) % 7 == 0
        return not full

    async def room() -> None:
        nonlocal full, waits
        waits += 1
        await asyncio.sleep(0.002)
        full = False

    await reply.forward(take, room)
    assert b"".join(taken) == b"".join(PIECES)
    assert waits == len(taken) // 7 > 0


async def test_what_cannot_be_taken_ends_it(ask) -> None:
    """An error of the taker is raised where the body is waited for."""
    reply = await ask()

    def take(data: bytes, _: Sequence[bytes]) -> bool:
        raise UpstreamError(f"no such piece of {len(data)} bytes")

    with pytest.raises(UpstreamError, match="no such piece"):
        await reply.forward(take, asyncio.Event().wait)
    reply.abandon()


async def test_a_body_that_breaks_off_is_told_after_its_pieces(ask) -> None:
    """All that came was taken before the error is raised."""
    reply, taken = await ask("breaks"), []

    def take(data: bytes, _: Sequence[bytes]) -> bool:
        taken.append(data)
        return True

    with pytest.raises(UpstreamError, match="broke off"):
        await reply.forward(take, asyncio.Event().wait)
    assert b"".join(taken) == b"".join(PIECES[:4])
