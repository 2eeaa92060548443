"""How parent and child talk: frames of JSON over a socket.

This module knows frames. It does not know tasks.
"""

from __future__ import annotations

import json
import socket
import time

from feilun.records import JSON

MOST = 64 << 20


def send(connection: socket.socket, message: JSON) -> None:
    """Send one message."""
    data = json.dumps(message, ensure_ascii=True).encode()
    connection.sendall(len(data).to_bytes(8) + data)


def receive(connection: socket.socket, deadline: float | None = None) -> JSON | None:
    """Return the next message, None at the end; raise TimeoutError, or ValueError for what is none."""
    head = _exactly(connection, 8, deadline)
    if head is None:
        return None
    size = int.from_bytes(head)
    if size > MOST:
        raise ValueError(size)
    body = _exactly(connection, size, deadline)
    found = json.loads(body) if body is not None else None
    if found is not None and not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _exactly(connection: socket.socket, size: int, deadline: float | None) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
        got = connection.recv(min(size - len(data), 1 << 20))
        if not got:
            return None
        data += got
    return bytes(data)
