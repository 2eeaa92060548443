"""How a translated answer is written, and given up: events as server-sent events, a call that ends with its client.

This module does not know what events say.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from feilun.records import JSON
from feilun.wire import Exchange

_encode = msgspec.json.Encoder().encode


def event_stream(events: Iterable[JSON]) -> bytes:
    """Return events as bytes of a stream; each is named by its ``type``."""
    return b"".join(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _encode(event)) for event in events)


def end_with_client(exchange: Exchange) -> None:
    """Cancel the task that answers when its client leaves."""
    task = exchange.task
    if task is None:
        return

    def cancel() -> None:
        task.cancel()

    exchange.when_gone(cancel)
