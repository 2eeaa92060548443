"""What an upstream says, read while it passes: pieces of a stream, or a whole answer.

The bytes go on to the client as they are, but for the ids and names that are ours, and the usage that it did not ask
for. The end of a stream is held back until its trace is safe. This module knows the shapes of OpenAI's answers. It does
not know where they come from or who reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from feilun.errors import FeilunError, UpstreamError
from feilun.gateway.hotpath.calls import Call
from feilun.gateway.hotpath.frames import Frame, frame_of
from feilun.records import JSON, Usage
from feilun.wire import Splitter, last_id

FRAMES = 8  # how often a stream whose chunks differ in more than their text is given another try
WITHOUT_CHOICES = frozenset({"embedding", "tokenize"})


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: _Details | None = None

    def ours(self) -> Usage:
        cached = self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else 0
        return Usage(self.prompt_tokens, self.completion_tokens or 0, cached or 0)


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Tool(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Said(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_Tool] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Said | None = None
    message: _Said | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    id: str = ""
    model: str = ""
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Answer).decode
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Said:
    """One of the answers: its text, its tool calls by index, how it ended."""

    parts: list[str] = field(default_factory=list)
    tools: dict[int, JSON] = field(default_factory=dict)
    finish: str = ""

    def take(self, said: _Said | None, text: str | None) -> bool:
        """Add a piece; say whether there was anything in it."""
        piece = text if said is None else said.content
        if piece:
            self.parts.append(piece)
        if said is not None and said.tool_calls:
            for tool in said.tool_calls:
                place = self._place(tool) if tool.index is None else tool.index
                made = self.tools.setdefault(place, {"id": "", "name": "", "arguments": ""})
                made["id"] = made["id"] or tool.id or ""
                if tool.function is not None:
                    made["name"] += tool.function.name or ""
                    made["arguments"] += tool.function.arguments or ""
            return True
        return bool(piece)

    def _place(self, tool: _Tool) -> int:
        """Return which call a piece without an index belongs to: its own, if it begins one, else the last."""
        for place, made in self.tools.items():
            if tool.id and made["id"] == tool.id:
                return place
        begins = tool.id or (tool.function is not None and tool.function.name)
        return len(self.tools) if begins else max(self.tools, default=0)


class Reading:
    """What has been read of one call's answer."""

    def __init__(self, call: Call, api: str) -> None:
        """Begin; ``api`` is ``local`` for an engine of ours, whose events carry running counts as their ids."""
        self.said: dict[int, Said] = {}
        self.usage: Usage | None = None
        self.held: list[bytes] = []
        self.complete = False
        self._call, self._api = call, api
        self._splitter: Splitter | None = None
        self._pieces = 0
        self._finished = 0
        self._names: list[tuple[bytes, bytes]] | None = [] if api == "local" else None
        self._last = b""
        self._frame: Frame | None = None
        self._only = Said()  # whose pieces the frame stands around
        self._tries = FRAMES

    @property
    def counted(self) -> bool:
        """Say whether anything was answered, or counted without an answer."""
        return bool(self.said) or self.count().prompt_tokens > 0

    @property
    def heard(self) -> bool:
        """Say whether a whole event has come."""
        return bool(self._last)

    @property
    def estimated(self) -> bool:
        """Say whether the upstream never told its count, so that pieces were counted instead."""
        return self.usage is None and self._running() is None and self._pieces > 0

    def feed(self, data: bytes, pieces: Sequence[bytes] = ()) -> bytes:
        """Read a part of the stream; return what may go on to the client now. Raises UpstreamError for garbage.

        ``pieces`` are the same bytes as they were sent: mostly event by event, which spares looking for their ends.
        """
        if self._splitter is None:
            self._splitter = Splitter()
        block = self._splitter.feed(data)
        if not block:
            return b""
        if block is not data:
            pieces = ()
        self._last = block
        out: list[bytes] = []
        place = read = 0  # in bytes, and in pieces
        while place < len(block):
            if self._frame is not None and not self.held:
                taken = self._frame.take(block[place:] if place else block, pieces[read:])
                if taken.size:
                    pieces = ()
                    place += taken.size
                    self._pieces += taken.pieces
                    self._only.parts.append(taken.text)
                    out.append(taken.block)
                    continue
            end = block.find(b"\n\n", place) + 2
            if end < 2:  # line ends of two characters
                out.append(self._each(block[place:].replace(b"\r\n", b"\n")))
                break
            if read < len(pieces) and len(pieces[read]) == end - place:
                read += 1
            else:
                pieces = ()
            out.append(self._each(block[place:end]))
            place = end
        return b"".join(out)

    def _each(self, block: bytes) -> bytes:
        """Read events one by one; return those that may go on now."""
        out: list[bytes] = []
        for event in block.split(b"\n\n"):
            if event:
                keep, end = self._event(event)
                if keep:
                    (self.held if end or self.held else out).append(self._ours(event))
        return b"\n\n".join([*out, b""]) if out else b""

    def _event(self, event: bytes) -> tuple[bool, bool]:
        """Read one event; return whether the client is to see it, and whether it belongs to the stream's end."""
        place = 0 if event.startswith(b"data:") else event.find(b"\ndata:") + 1
        if not place and not event.startswith(b"data:"):
            return True, False  # a comment, or an event without data
        payload = event[place + 5 :].strip()
        if payload == b"[DONE]":
            self.complete = True
            return True, True
        try:
            answer = _decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UpstreamError("The model's server sent what is no answer.", "Try again in a moment.") from error
        if answer.error is not None:
            raise _told(answer.error)
        if answer.usage is not None:
            self.usage = answer.usage.ours()
            if not answer.choices:
                return self._call.wants_usage, True
        if self._names is None:
            self._names = _renamed(answer, payload, self._call)
        ended = False
        for choice in answer.choices:
            said = self.said.get(choice.index)
            if said is None:
                said = self.said[choice.index] = Said()
            told = said.take(choice.delta, choice.text)
            self._pieces += told
            if told and not said.tools and not choice.finish_reason and len(answer.choices) == 1:
                self._learn(event, said)
            if choice.finish_reason and not said.finish:
                said.finish = choice.finish_reason
                self._finished += 1
                ended = self._finished >= self._call.choices
        return True, ended

    def _learn(self, event: bytes, said: Said) -> None:
        """Note what stands around a piece of text, if there is only one answer whose pieces could come."""
        if self._names is not None and self._call.choices == 1 and self._tries and self._api != "local":
            self._tries -= 1
            self._frame, self._only = frame_of(event, said.parts[-1], self._names), said

    def _ours(self, block: bytes) -> bytes:
        for theirs, ours in self._names or ():
            block = block.replace(theirs, ours)
        return block

    def end(self) -> bytes:
        """Return what was held back: the end of a stream whose trace is safe."""
        return b"\n\n".join([*self.held, b""]) if self.held else b""

    def whole(self, raw: bytes) -> bytes:
        """Read a whole answer; return it as the client shall see it. Raises UpstreamError for garbage."""
        try:
            answer = _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UpstreamError("The model's server sent what is no answer.", "Try again in a moment.") from error
        self.usage = answer.usage.ours() if answer.usage else None
        if answer.error is not None:
            raise _told(answer.error)
        if not answer.choices and self._call.kind not in WITHOUT_CHOICES:
            raise UpstreamError("The model's server sent an answer without choices.", "Try again in a moment.")
        for choice in answer.choices:
            said = self.said.setdefault(choice.index, Said())
            self._pieces += said.take(choice.message, choice.text)
            said.finish = choice.finish_reason or "stop"
        self.complete = True
        if self._api != "local":
            raw = _put(raw, b'"id":', answer.id, self._call.id)
            raw = _put(raw, b'"model":', answer.model, self._call.name)
        return raw

    def count(self) -> Usage:
        """Return the usage as the upstream counted it; where it never said, the pieces that came (see estimated)."""
        return self.usage or self._running() or Usage(0, self._pieces)

    def _running(self) -> Usage | None:
        if self._api != "local":
            return None
        counts = last_id(self._last).split(b"-")
        if len(counts) != 3 or not all(part.isdigit() for part in counts):
            return None
        return Usage(*(int(part) for part in counts))


def _put(raw: bytes, name: bytes, theirs: str, ours: str) -> bytes:
    """Return an answer whose field ``name`` says what is ours; whatever else says the same stays."""
    if not theirs or theirs == ours:
        return raw
    old = _encode(theirs)
    for blank in (b"", b" "):
        place = raw.find(name + blank + old)
        if place >= 0:
            begin = place + len(name) + len(blank)
            return b"%b%b%b" % (raw[:begin], _encode(ours), raw[begin + len(old) :])
    return raw


def _renamed(answer: _Answer, raw: bytes, call: Call) -> list[tuple[bytes, bytes]]:
    """Return what stands in the raw answer for the upstream's id and model, and what shall stand there: ours."""
    pairs: list[tuple[bytes, bytes]] = []
    for name, theirs, ours in ((b'"id":', answer.id, call.id), (b'"model":', answer.model, call.name)):
        if theirs and theirs != ours:
            old, new = _encode(theirs), _encode(ours)
            pairs += [(name + blank + old, name + blank + new) for blank in (b"", b" ") if name + blank + old in raw]
    return pairs


def _told(error: Any) -> FeilunError:
    body = error if isinstance(error, dict) else {"message": str(error)}
    found = UpstreamError(str(body.get("message") or "The model's server failed.")[:2000], "Try again in a moment.")
    found.code = str(body.get("code") or found.code)[:100]
    return found
