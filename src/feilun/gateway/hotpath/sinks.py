"""Who reads a stream: a client's connection, or a translator to another API's events.

This module knows how readers are told and how they leave. It does not know what is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, Protocol

import msgspec

from feilun.errors import FeilunError
from feilun.records import JSON
from feilun.wire import payloads

MOST_WAITING = 64
_decode = msgspec.json.Decoder().decode


class Sink(Protocol):
    """What a stream is written to; a client's connection (``wire.Exchange``) is one."""

    gone: bool

    @property
    def choked(self) -> bool:
        """Say whether the reader is slow: :meth:`drain` would wait."""

    def when_gone(self, call: Callable[[], None]) -> None:
        """Call once when the reader leaves before the end."""

    def start(self, status: int, headers: bytes, media: bytes = b"text/event-stream") -> None:
        """Begin the answer; ``headers`` are its lines."""

    def write(self, data: bytes) -> None:
        """Take whole events."""

    async def drain(self) -> None:
        """Wait while the reader is slow."""

    def end(self) -> None:
        """End the answer."""


class Chunks:
    """A sink whose events are read as parsed chunks by somebody in this process."""

    def __init__(self) -> None:
        """Start empty."""
        self.gone = False
        self._blocks: asyncio.Queue[bytes | FeilunError | None] = asyncio.Queue()
        self._leave: list[Callable[[], None]] = []
        self._room = asyncio.Event()

    @property
    def choked(self) -> bool:
        """Say whether more blocks wait than a slow reader should have."""
        return self._blocks.qsize() > MOST_WAITING and not self.gone

    def when_gone(self, call: Callable[[], None]) -> None:
        """Remember whom to tell."""
        if self.gone:
            call()
        else:
            self._leave.append(call)

    def start(self, status: int, headers: bytes, media: bytes = b"text/event-stream") -> None:
        """Nothing: a translator has its own beginning."""

    def write(self, data: bytes) -> None:
        """Queue a block of events."""
        self._blocks.put_nowait(data)

    async def drain(self) -> None:
        """Wait while more blocks wait than a slow reader should have."""
        while self.choked:
            self._room.clear()
            await self._room.wait()

    def end(self, error: FeilunError | None = None) -> None:
        """Say that nothing more comes, or why."""
        self._blocks.put_nowait(error)

    def leave(self) -> None:
        """Stop reading."""
        if not self.gone:
            self.gone = True
            self._room.set()
            for call in self._leave:
                call()

    async def read(self) -> AsyncGenerator[JSON, None]:
        """Yield the chunks; raise what the call failed with."""
        while (block := await self._blocks.get()) is not None:
            self._room.set()
            if isinstance(block, FeilunError):
                raise block
            for payload in payloads(block):
                if payload != b"[DONE]":
                    found: Any = _decode(payload)
                    yield found
