"""An answer on its way from an upstream: who waits for it, or takes its pieces as they come.

This module knows readers. It does not know HTTP, nor connections beyond that they can be told to pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from feilun.errors import EngineError, UpstreamError


@dataclass(frozen=True)
class Timeouts:
    """Seconds to connect, until the headers of the answer, between its pieces, and in all (0: no limit)."""

    connect: float = 5.0
    first: float = 120.0
    between: float = 60.0
    total: float = 0.0


Take = Callable[[bytes, Sequence[bytes]], bool]  # what came, whole and in the pieces that the upstream sent


class Source(Protocol):
    """Where an answer comes from."""

    paused: bool

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Read on."""

    def close(self) -> None:
        """Close at once."""


class Reply:
    """An answer: status and headers are there, the body comes in pieces."""

    __slots__ = (
        *("_error", "_held", "_line", "_take", "_waiter"),
        *("begun", "complete", "headers", "parts", "pieces", "size", "status", "unheard"),
    )

    def __init__(self, line: Source) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.begun = self.complete = False
        self.unheard = False  # the connection was lost before any byte of an answer
        self._line: Source | None = line
        self.pieces: list[bytes] = []
        self.parts: Sequence[bytes] = ()  # what ``receive`` returned last, as the upstream sent it
        self.size = 0  # in bytes, about
        self._error: EngineError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._take: Take | None = None
        self._held = False  # whoever takes the pieces has enough for now

    async def read(self, most: int = 64 << 20) -> bytes:
        """Return the whole body; raise UpstreamError if it is larger than ``most`` bytes, or breaks off."""
        if self.complete and self.size <= most:
            data, self.pieces = b"".join(self.pieces), []
            return data
        pieces, size = [], 0
        while piece := await self.receive():
            size += len(piece)
            if size > most:
                self.abandon()
                raise UpstreamError(f"The upstream's answer is larger than {most} bytes.")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def receive(self) -> bytes:
        """Return what came of the body, b"" at its end; raise UpstreamTimeout or UpstreamError."""
        while not self.pieces:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            waiter = self._waiter = asyncio.get_running_loop().create_future()
            try:
                await waiter
            except asyncio.CancelledError:
                self.abandon()
                raise
        self.parts, self.pieces = self.pieces, []
        self.size = 0
        if self._line is not None and self._line.paused:
            self._line.resume()
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    async def forward(self, take: Take, room: Callable[[], Awaitable[None]]) -> None:
        """Have each piece of the body taken as it comes; return at its end. Raises what ``take`` and receive raise.

        ``take`` returns False when it has enough for now: nothing more is read until ``room`` has returned.
        """
        self._take = take
        try:
            self.wake()
            while True:
                if self._held:
                    await room()
                    self._held = False
                    if self._line is not None and self._line.paused:
                        self._line.resume()
                    self.wake()
                elif self._error is not None:
                    raise self._error
                elif self.complete and not self.pieces:
                    return
                else:
                    waiter = self._waiter = asyncio.get_running_loop().create_future()
                    await waiter
        except asyncio.CancelledError:
            self.abandon()
            raise
        finally:
            self._take = None

    def abandon(self) -> None:
        """Close the connection; what has not come will not come."""
        line, self._line = self._line, None
        if line is not None:
            self.pieces.clear()
            self.fail(UpstreamError("The answer was abandoned."))
            line.close()

    # What the connection and the pool call.

    async def begin(self) -> None:
        """Wait for the headers; a cancelled wait closes the connection."""
        while not self.begun:
            if self._error is not None:
                raise self._error
            waiter = self._waiter = asyncio.get_running_loop().create_future()
            try:
                await waiter
            except asyncio.CancelledError:
                self.abandon()
                raise

    def finish(self) -> None:
        """Take note that the body is complete."""
        self.complete = True
        self._line = None

    def fail(self, error: EngineError) -> None:
        """Take note that no more comes, and why."""
        if not self.complete and self._error is None:
            self._error = error
        self._line = None
        self.wake()

    def wake(self) -> None:
        """Let whoever waits look again; nobody needs to while pieces are taken as they come."""
        if self._take is not None and self.pieces and not self._held:
            pieces, self.pieces = self.pieces, []
            self.size = 0
            try:
                self._held = not self._take(pieces[0] if len(pieces) == 1 else b"".join(pieces), pieces)
            except EngineError as error:
                self._error = error
            line = self._line
            if line is not None and self._held != line.paused:
                line.pause() if self._held else line.resume()
            if not (self._held or self._error or self.complete):
                return
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
