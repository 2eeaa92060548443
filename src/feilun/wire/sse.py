"""Server-sent events: where one ends, and what it carries.

This module knows the event stream format of the HTML standard. It does not know what is in the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from feilun.errors import UpstreamError

LARGEST_EVENT = 4 << 20


class Event(NamedTuple):
    """One event; fields that it does not have are empty."""

    data: bytes
    id: bytes
    name: bytes


class Splitter:
    """Cuts a stream of bytes where events end, without touching them."""

    def __init__(self, most: int = LARGEST_EVENT) -> None:
        """Raise UpstreamError from ``feed`` once an event is larger than ``most`` bytes."""
        self._most = most
        self._rest = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Return everything up to the end of the last complete event, b"" if there is none; keep the rest."""
        rest = self._rest
        if not rest:
            if data.endswith(b"\n\n"):
                return data
            end = _last_end(data, 0)
            rest += data[end:]
            block = data[:end]
        else:
            seen = max(0, len(rest) - 3)
            rest += data
            end = _last_end(rest, seen)
            block = bytes(rest[:end])
            del rest[:end]
        if len(rest) > self._most:
            raise UpstreamError(f"The upstream sent an event larger than {self._most} bytes.")
        return block

    def rest(self) -> bytes:
        """Return what came of an event that is not complete."""
        return bytes(self._rest)


def events(block: bytes) -> Iterator[Event]:
    """Yield the events of a block that ``Splitter.feed`` returned; comments and events without data are left out."""
    data: list[bytes] = []
    ident = name = b""
    for line in block.replace(b"\r\n", b"\n").split(b"\n"):
        if not line:
            if data:
                yield Event(b"\n".join(data), ident, name)
            data, ident, name = [], b"", b""
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"id":
            ident = value
        elif field == b"event":
            name = value


def payloads(block: bytes) -> Iterator[bytes]:
    """Yield the data of each event of a block."""
    for event in events(block):
        yield event.data


def last_id(block: bytes) -> bytes:
    """Return the id of the last event of a block that has one, or b""."""
    start = block.rfind(b"\nid:") + 1
    if not start and not block.startswith(b"id:"):
        return b""
    end = block.find(b"\n", start)
    return block[start + 3 : end if end >= 0 else None].strip()


def _last_end(data: bytes | bytearray, start: int) -> int:
    plain, mixed = data.rfind(b"\n\n", start), data.rfind(b"\n\r\n", start)
    return max(plain + 2 if plain >= 0 else 0, mixed + 3 if mixed >= 0 else 0)
