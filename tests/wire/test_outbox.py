"""Writes that wait for each other: nothing is overtaken, lost or sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest

from feilun.wire.outbox import LARGEST, Outbox, Sender


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Sender, asyncio.StreamReader]]:
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
        yield Sender(cast(asyncio.Transport, transport), Outbox(loop)), await readers.get()
    finally:
        transport.abort()
        for writer in others:
            writer.transport.abort()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)


async def test_writes_of_a_turn_leave_together() -> None:
    """What was written first comes first, and nothing leaves before the turn is over."""
    async with connected() as (sender, reader):
        sender.write(b"one ")
        sender.write(b"two ")
        assert sender.get_write_buffer_size() == 8
        sender.write(b"three")
        await asyncio.sleep(0.05)
        assert sender.get_write_buffer_size() == 0
        assert await reader.read(100) == b"one two three"


@pytest.mark.parametrize("end", ["close", "write_eof"])
async def test_an_end_sends_what_waits(end: str) -> None:
    """The last answer of a connection is not lost with it."""
    async with connected() as (sender, reader):
        sender.write(b"last words")
        getattr(sender, end)()
        assert await reader.read(100) == b"last words"
        assert await reader.read(100) == b""


async def test_what_waits_is_bounded() -> None:
    """A large answer leaves at once."""
    async with connected() as (sender, reader):
        sender.write(b"x" * (LARGEST + 1))
        assert sender.get_write_buffer_size() <= LARGEST
        assert len(await reader.readexactly(LARGEST + 1)) == LARGEST + 1


async def test_an_abort_sends_nothing_more() -> None:
    """Nor does the end of the turn, after it."""
    async with connected() as (sender, reader):
        sender.write(b"lost")
        sender.abort()
        await asyncio.sleep(0.05)
        with suppress(ConnectionResetError):
            assert await reader.read(100) == b""
