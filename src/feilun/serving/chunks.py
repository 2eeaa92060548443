"""Chunks of a stream as bytes: what is the same in all chunks of a call is written once.

Every event carries the running count of tokens as its SSE id: ``prompt-completion-cached``. This module knows OpenAI's
chunks. It does not know engines or connections.
"""

from __future__ import annotations

from msgspec.json import Encoder

from feilun.engines.seam import Delta
from feilun.errors import FeilunError
from feilun.records import JSON, Usage
from feilun.serving.answers import Asked, Said, TextLogprobs, ending, logprob_row, usage_body
from feilun.serving.tools import Piece, delta

_encode = Encoder().encode
DONE = b"data: [DONE]\n\n"


class Chunks:
    """The chunks of one call."""

    def __init__(self, asked: Asked) -> None:
        """Write what all chunks have."""
        common = {
            "id": asked.told.id,
            "object": "chat.completion.chunk" if asked.chat else "text_completion",
            "created": asked.created,
            "model": asked.told.name,
            "system_fingerprint": asked.told.version,
            "model_version": asked.told.version,
        }
        self._asked = asked
        self._head = b"\ndata: " + _encode(common)[:-1] + b',"choices":[{"index":'
        self._none = b"\ndata: " + _encode(common)[:-1] + b',"choices":[],"usage":'
        self._text = b',"delta":{"content":' if asked.chat else b',"text":'
        self._plain = b'},"logprobs":null,"finish_reason":null}]}\n\n'
        if not asked.chat:
            self._plain = self._plain[1:]
        self._rows = [TextLogprobs() for _ in asked.requests]

    def begin(self, index: int, usage: Usage) -> bytes:
        """Return the first chunk of a choice: whose answer it is, or the prompt that is to be said again."""
        if self._asked.chat:
            return self._chunk(index, usage, {"role": "assistant", "content": "", "refusal": None})
        echo = self._asked.echo
        return self.text(index, usage, echo[index // self._asked.each]) if echo else b""

    def text(self, index: int, usage: Usage, text: str) -> bytes:
        """Return a chunk of plain text."""
        return b"".join((_count(usage), self._head, b"%d" % index, self._text, _encode(text), self._plain))

    def pieces(self, index: int, usage: Usage, pieces: list[Piece], said: Delta) -> bytes:
        """Return the chunks of what was said at once; log-probabilities go with the first."""
        row: JSON | None = None
        if self._asked.logprobs and said.logprob is not None and said.piece:
            row = self._logprobs(index, said)
        if row is None and len(pieces) == 1 and pieces[0].call < 0:
            return self.text(index, usage, pieces[0].text)
        found = []
        for piece in pieces or ([Piece()] if row else []):
            body = {"tool_calls": [delta(piece)]} if piece.call >= 0 else {"content": piece.text}
            found.append(self._chunk(index, usage, body, logprobs=row))
            row = None
        return b"".join(found)

    def _logprobs(self, index: int, said: Delta) -> JSON:
        if self._asked.chat:
            return {"content": [logprob_row(said)], "refusal": None}
        return self._rows[index].rows([said], self._asked.top)

    def finish(self, index: int, usage: Usage, one: Said) -> bytes:
        """Return the last chunk of a choice: how it ended."""
        return self._chunk(index, usage, {}, ended=ending(one))

    def end(self, usage: Usage) -> bytes:
        """Return the chunk with the usage and the end of the stream."""
        return b"".join((_count(usage), self._none, _encode(usage_body(usage)), b"}\n\n", DONE))

    def _chunk(
        self, index: int, usage: Usage, body: JSON, *, logprobs: JSON | None = None, ended: JSON | None = None
    ) -> bytes:
        shown = b',"delta":' + _encode(body) if self._asked.chat else b',"text":' + _encode(body.get("content", ""))
        rest = b',"logprobs":%b,%b]}\n\n' % (_encode(logprobs), _encode(ended or {"finish_reason": None})[1:])
        return b"".join((_count(usage), self._head, b"%d" % index, shown, rest))


def failure(error: FeilunError) -> bytes:
    """Return the event that ends a stream that failed."""
    return b"data: " + _encode(error.body()) + b"\n\n"


def _count(usage: Usage) -> bytes:
    return b"id: %d-%d-%d" % (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
