"""Writes that wait for each other: nothing is overtaken, lost or sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sized
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest

from feilun.wire.outbox import LARGEST, MANY, Outbox, Sender

CROWD = range(MANY + 1)


@asynccontextmanager
async def connected(under_way: Sized) -> AsyncIterator[tuple[Sender, asyncio.StreamReader]]:
    """Give a sender and what is read at the other end of its connection."""
    loop = asyncio.get_running_loop()
    readers: asyncio.Queue[asyncio.StreamReader] = asyncio.Queue()

    others: list[asyncio.StreamWriter] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        others.append(writer)
        readers.put_nowait(reader)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname()[:2])
    try:
        yield Sender(cast(asyncio.Transport, transport), Outbox(loop, under_way)), await readers.get()
    finally:
        transport.abort()
        for writer in others:
            writer.transport.abort()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)


async def test_in_a_crowd_writes_of_a_turn_leave_together() -> None:
    """What was written first comes first, and nothing leaves before the turn is over."""
    async with connected(CROWD) as (sender, reader):
        sender.later(b"one ")
        sender.later(b"two ")
        assert sender.get_write_buffer_size() == 8
        sender.later(b"three")
        await asyncio.sleep(0.05)
        assert sender.get_write_buffer_size() == 0
        assert await reader.read(100) == b"one two three"


async def test_with_few_under_way_nothing_waits() -> None:
    """There is nobody to leave with."""
    async with connected(range(MANY)) as (sender, reader):
        sender.later(b"now")
        assert sender.get_write_buffer_size() == 0
        assert await reader.read(100) == b"now"


async def test_what_is_sent_at_once_does_not_overtake() -> None:
    """An answer that waits leaves before the head of the next one."""
    async with connected(CROWD) as (sender, reader):
        sender.later(b"first ")
        sender.write(b"second")
        assert await reader.read(100) == b"first second"


@pytest.mark.parametrize("end", ["close", "write_eof"])
async def test_an_end_sends_what_waits(end: str) -> None:
    """The last answer of a connection is not lost with it."""
    async with connected(CROWD) as (sender, reader):
        sender.later(b"last words")
        getattr(sender, end)()
        assert await reader.read(100) == b"last words"
        assert await reader.read(100) == b""


async def test_what_waits_is_bounded() -> None:
    """A large answer leaves at once."""
    async with connected(CROWD) as (sender, reader):
        sender.later(b"x" * (LARGEST + 1))
        assert sender.get_write_buffer_size() <= LARGEST
        assert len(await reader.readexactly(LARGEST + 1)) == LARGEST + 1


async def test_an_abort_sends_nothing_more() -> None:
    """Nor does the end of the turn, after it."""
    async with connected(CROWD) as (sender, reader):
        sender.later(b"lost")
        sender.abort()
        await asyncio.sleep(0.05)
        with suppress(ConnectionResetError):
            assert await reader.read(100) == b""
