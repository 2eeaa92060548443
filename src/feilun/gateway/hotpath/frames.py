"""The bytes that stand around every piece of text in a stream: what is the same in all chunks but the text.

Pieces that come together are cut at them and decoded as one string, many times cheaper than chunk by chunk; whatever
does not fit to the last byte is left to whoever reads chunks one by one. This module knows bytes. It does not know what
a chunk means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

_decode = msgspec.json.Decoder(str).decode
_END = b"\n\n"
_FIELDS = (b'"content":', b'"text":')


class Taken(NamedTuple):
    """What was read of a block: how many bytes, how many pieces, their text, and the bytes with names replaced."""

    size: int
    pieces: int
    text: str
    block: bytes


NOTHING = Taken(0, 0, "", b"")


class Frame:
    """The frame of one stream; ``names`` are what stands in it and what shall stand there."""

    __slots__ = ("_between", "_head", "_our_between", "_our_head", "_our_tail", "_tail")

    def __init__(self, head: bytes, tail: bytes, names: list[tuple[bytes, bytes]]) -> None:
        """Keep the bytes before a text and behind it."""
        our_head, our_tail = head, tail
        for theirs, ours in names:
            our_head, our_tail = our_head.replace(theirs, ours), our_tail.replace(theirs, ours)
        self._head, self._tail, self._between = head, tail, tail + head
        self._our_head, self._our_tail, self._our_between = our_head, our_tail, our_tail + our_head

    def take(self, block: bytes, pieces: Sequence[bytes]) -> Taken:
        """Read whole events from the beginning of a block, as far as they are nothing but this frame and a text.

        ``pieces``, if there are any, are the block; where each is an event, their ends need not be looked for.
        """
        if not block.startswith(self._head):
            return NOTHING
        taken = self._fitting(block, pieces, self._tail, b"") if len(pieces) > 1 else NOTHING
        if taken is not NOTHING:
            return taken
        # Looking for the whole frame costs more for each event than cutting at the blank lines and comparing once.
        events = block.split(_END)
        if events.pop():
            block = block[: block.rfind(_END) + len(_END)]
        return self._fitting(block, events, self._tail[: -len(_END)], _END)

    def _fitting(self, block: bytes, events: Sequence[bytes], tail: bytes, between: bytes) -> Taken:
        """Read the first of the ``events`` of a block that fit; ``between`` stands behind each of them."""
        first, last = len(self._head), -len(tail)
        parts = [event[first:last] for event in events]
        if b"%b%b%b" % (self._head, self._between.join(parts), self._tail) != block:
            parts = parts[: self._count(events, parts, tail, between)]
            if not parts:
                return NOTHING
        joined = b"".join(parts)
        try:
            # A quote that is not escaped, so anything but text, is an error here.
            text = _decode(b'"%b"' % joined)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return NOTHING
        ours = b"%b%b%b" % (self._our_head, self._our_between.join(parts), self._our_tail)
        return Taken(len(joined) + len(parts) * len(self._between), len(parts), text, ours)

    def _count(self, events: Sequence[bytes], parts: list[bytes], tail: bytes, between: bytes) -> int:
        """Return how many events there are before the first that is anything else."""
        least = len(self._head) + len(tail)

        def fits(event: bytes) -> bool:
            return len(event) >= least and event.startswith(self._head) and event.endswith(tail)

        # Mostly that is the end of the stream: looking at it first spares looking at each of those before it.
        end = len(events)
        while end and not fits(events[end - 1]):
            end -= 1
        whole = b"%b%b%b" % (self._head, self._between.join(parts[:end]), self._tail)
        if end and whole == between.join([*events[:end], b""]):
            return end
        return next((count for count, event in enumerate(events) if not fits(event)), len(events))


def frame_of(event: bytes, text: str, names: list[tuple[bytes, bytes]]) -> Frame | None:
    """Return the frame of an event (without the blank line behind it) that carries ``text``; None if it has none."""
    if not event.startswith(b"data: "):
        return None
    encoded = msgspec.json.encode(text)
    for field in _FIELDS:
        for blank in (b"", b" "):
            mark = field + blank + encoded
            if event.count(mark) == 1:
                begin = event.index(mark) + len(field) + len(blank) + 1
                return Frame(event[:begin], event[begin + len(encoded) - 2 :] + b"\n\n", names)
    return None
