"""A request body on its way to somebody who reads it piece by piece.

This module knows pieces and their sum. It does not know what they are read for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

HIGH_WATER = 256 * 1024


class Intake:
    """What came of a body and was not read yet."""

    def __init__(self, flow: Callable[[], None]) -> None:
        """Call ``flow`` whenever the pieces that wait have become fewer."""
        self._flow = flow
        self._pieces: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.size = 0
        self.complete = False
        self.lost = False

    def feed(self, data: bytes) -> None:
        """Add a piece."""
        self._pieces.append(data)
        self.size += len(data)
        self._wake()

    def finish(self) -> None:
        """Take note that the last piece has come."""
        self.complete = True
        self._wake()

    def lose(self) -> None:
        """Take note that no more comes."""
        self.lost = True
        self._wake()

    def take(self) -> bytes:
        """Return what has come."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        self._flow()
        return data

    async def change(self) -> None:
        """Wait until something comes, or nothing will."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
