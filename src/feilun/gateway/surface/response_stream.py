"""Chunks of chat as events of the responses API, in their order, each with its number.

This module knows which events stand for which pieces. It does not know HTTP, and not how chunks come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from feilun.errors import FeilunError, UpstreamError
from feilun.gateway.surface.requests import ResponsesRequest
from feilun.gateway.surface.responses import (
    begun,
    call_item,
    ended,
    failed,
    message_item,
    refusal_part,
    text_part,
    tokens,
)
from feilun.records import JSON


@dataclass
class _Open:
    """The item that is being said: a message, or (``call``) a call of a function.

    A message has ``parts`` that are whole, and one of the ``kind`` that is being said.
    """

    index: int
    id: str = ""
    call: int | None = None
    call_id: str = ""
    name: str = ""
    kind: str = "output_text"
    parts: list[JSON] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    logprobs: list[JSON] = field(default_factory=list)


class ResponseStream:
    """The events of one response. ``response`` is the response as it stands; give it chunks until they end."""

    def __init__(self, request: ResponsesRequest, first: Mapping[str, Any]) -> None:
        """Begin with the first chunk, which has to be fed as well."""
        self.response = begun(request, first)
        self._number = 0
        self._open: _Open | None = None
        self._calls: set[int] = set()
        self._output: list[JSON] = []
        self._finish: str | None = None
        self._usage: JSON | None = None

    def begin(self) -> list[JSON]:
        """Return the events that come before anything is said."""
        return [
            self._event("response.created", response=self.response),
            self._event("response.in_progress", response=self.response),
        ]

    def feed(self, chunk: Mapping[str, Any]) -> list[JSON]:
        """Return the events that a chunk is; raise UpstreamError for calls of functions out of order."""
        self._usage = chunk.get("usage") or self._usage
        events: list[JSON] = []
        for choice in chunk.get("choices") or []:
            delta = choice.get("delta") or {}
            logprobs = (choice.get("logprobs") or {}).get("content") or []
            text, refused = delta.get("content") or "", delta.get("refusal") or ""
            if text or (logprobs and not refused):
                events += self._say("output_text", text, logprobs)
            if refused:
                events += self._say("refusal", refused, [])
            for call in delta.get("tool_calls") or []:
                events += self._call(call)
            self._finish = choice.get("finish_reason") or self._finish
        return events

    def finish(self) -> list[JSON]:
        """Return the last events; ``response`` is then whole."""
        events: list[JSON] = []
        if not self._output and self._open is None:
            events += self._start("output_text")
        events += self._close("incomplete" if self._finish == "length" else "completed")
        self.response = ended(self.response, self._output, self._finish, self._usage)
        return [*events, self._event(f"response.{self.response['status']}", response=self.response)]

    def fail(self, error: FeilunError) -> list[JSON]:
        """Return the last event of a response that broke off; ``response`` says so."""
        self.response = failed(self.response | {"output": self._output}, error)
        return [self._event("response.failed", response=self.response)]

    def _event(self, kind: str, **fields: Any) -> JSON:
        self._number += 1
        return {"type": kind, "sequence_number": self._number - 1, **fields}

    def _item(self, item: _Open, status: str) -> JSON:
        if item.call is None:
            return message_item(self.response["id"], item.index, status, item.parts)
        function = {"name": item.name, "arguments": "".join(item.said)}
        return call_item(self.response["id"], item.index, status, item.call_id, function)

    def _begin_item(self, item: _Open) -> list[JSON]:
        events = self._close("completed")
        added = self._item(item, "in_progress")
        item.id, self._open = added["id"], item
        return [*events, self._event("response.output_item.added", output_index=item.index, item=added)]

    def _start(self, kind: str) -> list[JSON]:
        """Begin a part of a message, and the message where none is open."""
        if self._open is not None and self._open.call is None:
            events, self._open.kind = self._end_part(self._open), kind
        else:
            events = self._begin_item(_Open(len(self._output) + (self._open is not None), kind=kind))
        return [*events, self._at("response.content_part.added", part=_part(kind, "", []))]

    def _say(self, kind: str, text: str, logprobs: list[JSON]) -> list[JSON]:
        fits = self._open is not None and self._open.call is None and self._open.kind == kind
        events, told = [] if fits else self._start(kind), {"logprobs": _bare(logprobs)} if kind == "output_text" else {}
        item = self._current()
        item.said.append(text)
        item.logprobs += logprobs
        return [*events, self._at(f"response.{kind}.delta", delta=text, **told)]

    def _end_part(self, item: _Open) -> list[JSON]:
        said, part = "".join(item.said), _part(item.kind, "".join(item.said), item.logprobs)
        told: JSON = {"refusal": said}
        if item.kind == "output_text":
            told = {"text": said, "logprobs": _bare(item.logprobs)}
        done = [self._at(f"response.{item.kind}.done", **told), self._at("response.content_part.done", part=part)]
        item.parts, item.said, item.logprobs = [*item.parts, part], [], []
        return done

    def _call(self, call: Mapping[str, Any]) -> list[JSON]:
        place, function = int(call.get("index") or 0), call.get("function") or {}
        events: list[JSON] = []
        if self._open is None or self._open.call != place:
            if place in self._calls:
                raise UpstreamError("The model mixed the arguments of several calls.", "Try again.")
            self._calls.add(place)
            index = len(self._output) + (self._open is not None)
            name = str(function.get("name") or "")
            call_id = str(call.get("id") or f"call_{place}")
            events += self._begin_item(_Open(index, call=place, call_id=call_id, name=name))
        item = self._current()
        if function.get("arguments"):
            item.said.append(function["arguments"])
            events.append(self._at("response.function_call_arguments.delta", delta=function["arguments"]))
        return events

    def _close(self, status: str) -> list[JSON]:
        if self._open is None:
            return []
        item, said = self._open, "".join(self._open.said)
        if item.call is None:
            events = self._end_part(item)
        else:
            events = [self._at("response.function_call_arguments.done", name=item.name, arguments=said)]
        whole = self._item(item, status)
        events.append(self._event("response.output_item.done", output_index=item.index, item=whole))
        self._output.append(whole)
        self._open = None
        return events

    def _at(self, kind: str, **fields: Any) -> JSON:
        item = self._current()
        place: JSON = {"item_id": item.id, "output_index": item.index}
        if item.call is None:
            place["content_index"] = len(item.parts)
        return self._event(kind, **place, **fields)

    def _current(self) -> _Open:
        if self._open is None:
            raise UpstreamError("The model's answer has no beginning.")
        return self._open


def _part(kind: str, said: str, logprobs: list[JSON]) -> JSON:
    return refusal_part(said) if kind == "refusal" else text_part(said, logprobs)


def _bare(logprobs: list[JSON]) -> list[JSON]:
    """Return log-probabilities as events have them: without bytes."""
    return [
        {
            "token": each["token"],
            "logprob": each["logprob"],
            "top_logprobs": [{"token": one["token"], "logprob": one["logprob"]} for one in each["top_logprobs"]],
        }
        for each in tokens(logprobs)
    ]
