"""What is written in one turn of the event loop leaves together at its end.

Each send wakes whoever reads, which costs more than the send itself where he sleeps on another core; sends that follow
each other wake him once. This module knows transports. It does not know what is written.
"""

from __future__ import annotations

import asyncio
from typing import Any

LARGEST = 64 * 1024  # bytes that wait; more leave at once


class Outbox:
    """The connections that have something to send at the end of this turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Gather what is written in a turn of ``loop``."""
        self._loop = loop
        self._full: list[Sender] = []

    def add(self, sender: Sender) -> None:
        """Have ``sender`` flushed soon."""
        if not self._full:
            self._loop.call_soon(self.flush)
        self._full.append(sender)

    def flush(self) -> None:
        """Send what waits."""
        full, self._full = self._full, []
        for sender in full:
            sender.flush()


class Sender:
    """A transport whose writes wait for the end of the turn. None overtakes another, and closing sends them first."""

    __slots__ = ("_held", "_outbox", "_transport")

    def __init__(self, transport: asyncio.Transport, outbox: Outbox) -> None:
        """Send over ``transport``."""
        self._transport, self._outbox = transport, outbox
        self._held = b""

    def write(self, data: bytes) -> None:
        """Send at the end of this turn, or at once if it is much."""
        if self._held:
            self._held += data
        else:
            self._held = data
            self._outbox.add(self)
        if len(self._held) > LARGEST:
            self.flush()

    def flush(self) -> None:
        """Send what waits, if anything does."""
        data, self._held = self._held, b""
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close once everything is sent."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what waits is lost."""
        self._held = b""
        self._transport.abort()

    def write_eof(self) -> None:
        """Say that nothing more is sent."""
        self.flush()
        self._transport.write_eof()

    # As transports have them.

    def can_write_eof(self) -> bool:
        """Say whether one direction alone can be closed."""
        return self._transport.can_write_eof()

    def is_closing(self) -> bool:
        """Say whether it is closed, or about to be."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the kernel has not taken yet."""
        return self._transport.get_write_buffer_size() + len(self._held)

    def set_write_buffer_limits(self, high: int) -> None:
        """Say above how many bytes writing is paused."""
        self._transport.set_write_buffer_limits(high=high)

    def get_extra_info(self, name: str) -> Any:
        """Return what is known of the connection."""
        return self._transport.get_extra_info(name)
