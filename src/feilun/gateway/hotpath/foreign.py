"""A provider that speaks Anthropic's Messages API, heard as if it spoke OpenAI's.

This module knows how a reply is read. How the two APIs say the same thing is the translators' matter; it does not know
calls or budgets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from feilun.errors import UpstreamError
from feilun.gateway.surface.anthropic_out import FromAnthropicStream, from_anthropic
from feilun.wire import Reply, Splitter, payloads
from feilun.wire.reply import Take

_encode = msgspec.json.Encoder().encode


class AnthropicReply:
    """A reply (``wire.Reply``) whose body is translated as it is read."""

    def __init__(self, reply: Reply) -> None:
        """Read from ``reply``."""
        self.status, self.headers = reply.status, reply.headers
        self.parts: Sequence[bytes] = ()
        self._reply = reply
        self._splitter = Splitter()
        self._stream = FromAnthropicStream()
        self._over = False

    async def read(self, most: int = 64 << 20) -> bytes:
        """Return the whole answer as a ``chat.completion``, or a count as our engines give it."""
        found = _object(await self._reply.read(most))
        counted = found.get("input_tokens")
        return _encode({"tokens": counted} if isinstance(counted, int) else from_anthropic(found))

    async def receive(self) -> bytes:
        """Return the next events as chunks; nothing at the end."""
        while not self._over:
            data = await self._reply.receive()
            if not data:
                return b""
            out: list[bytes] = []
            for payload in payloads(self._splitter.feed(data)):
                event = _object(payload)
                out += [b"data: " + _encode(chunk) + b"\n\n" for chunk in self._stream.feed(event)]
                if event.get("type") == "message_stop":
                    out.append(b"data: [DONE]\n\n")
                    self._over = True
            if out:
                return b"".join(out)
        return b""

    async def forward(self, take: Take, room: Callable[[], Awaitable[None]]) -> None:
        """Have the chunks taken as they come."""
        while data := await self.receive():
            if not take(data, ()):
                await room()

    def abandon(self) -> None:
        """Close the connection."""
        self._reply.abandon()


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamError("The provider sent what is no answer.", "Try again in a moment.") from error
    if not isinstance(found, dict):
        raise UpstreamError("The provider sent what is no answer.", "Try again in a moment.")
    return found
