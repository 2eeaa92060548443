"""The Anthropic messages API in front of chat: requests, answers, events and errors.

This module knows what the fields of the one are in the other. It does not know HTTP, nor who answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, to_builtins

from feilun.errors import BadRequest, FeilunError, UpstreamError
from feilun.gateway.surface.anthropic_out import OWN
from feilun.gateway.surface.blocks import THOUGHTS, system_text, to_messages
from feilun.gateway.surface.items import tail
from feilun.gateway.surface.requests import CountRequest, MessagesRequest, MessagesTool
from feilun.records import JSON

_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_ERRORS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
OVERLOADED = 529
_THOUGHT, _WHOLE_THOUGHT = -1, -2  # open blocks that are no calls: one to which more may come, and one that has ended


def to_chat(request: CountRequest) -> JSON:
    """Return the request of chat that a request for a message is; raise BadRequest for what chat has no word for."""
    messages = to_messages(request.messages)
    if messages and messages[-1]["role"] == "assistant":
        hint = "Put the user's message last."
        raise BadRequest("The beginning of an answer cannot be given to the models here.", hint, "messages")
    system = system_text(request.system)
    if system:
        messages.insert(0, {"role": "system", "content": system})
    body: JSON = {"model": request.model, "messages": messages}
    wanted = (request.output_config or {}).get("format")
    if wanted is not None:
        body["response_format"] = _format(wanted)
    body |= _tools(request)
    if not isinstance(request, MessagesRequest):
        return body
    given = {
        "max_completion_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": request.stop_sequences or None,
        "user": request.metadata.user_id if request.metadata else None,
    }
    body |= {name: value for name, value in given.items() if value is not None}
    return body | {OWN: to_builtins(request)}


def _format(wanted: Any) -> JSON:
    place = "output_config.format"
    if (
        not isinstance(wanted, dict)
        or wanted.get("type") != "json_schema"
        or not isinstance(wanted.get("schema"), dict)
    ):
        raise BadRequest(f"{place} has to be a json_schema with a schema.", param=place)
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted["schema"], "strict": True}}


def _tools(request: CountRequest) -> JSON:
    tools, choice = request.tools or [], request.tool_choice
    functions = [_function(tool, f"tools[{number}]") for number, tool in enumerate(tools)]
    if not functions:
        if choice is not None and choice.type in {"any", "tool"}:
            raise BadRequest("tool_choice asks for a tool, but there are no tools.", param="tool_choice")
        return {}
    body: JSON = {"tools": functions}
    if choice is not None and choice.type == "tool":
        if choice.name not in {tool.name for tool in tools}:
            raise BadRequest("tool_choice.name is none of tools.", param="tool_choice.name")
        body["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice is not None:
        body["tool_choice"] = _CHOICES[choice.type]
    if choice is not None and choice.disable_parallel_tool_use:
        body["parallel_tool_calls"] = False
    return body


def _function(tool: MessagesTool, place: str) -> JSON:
    if tool.type not in {None, "custom"}:
        kind = str(tool.type)[:60]
        raise BadRequest(f"Tools of the type {kind!r} are not served here.", "Use tools of your own.", f"{place}.type")
    if tool.input_schema is UNSET:
        raise BadRequest(f"{place}.input_schema is missing.", param=f"{place}.input_schema")
    given = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema, "strict": tool.strict}
    return {"type": "function", "function": {name: value for name, value in given.items() if value is not None}}


def from_chat(answer: Mapping[str, Any], stops: Sequence[str] = ()) -> JSON:
    """Return the message that a whole completion of chat is; ``stops`` are the stop sequences that were asked for."""
    choice = answer["choices"][0]
    said = choice["message"]
    content: list[JSON] = [block for block in said.get("thinking_blocks") or [] if _is_thought(block)]
    text = said.get("content") or said.get("refusal")
    if text:
        content.append({"type": "text", "text": text})
    for call in said.get("tool_calls") or []:
        function = call["function"]
        given = _arguments(function["arguments"])
        content.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": given})
    reason, sequence = _stop(choice, stops)
    return _begun(answer) | {
        "content": content,
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": _usage(answer.get("usage")),
    }


def _is_thought(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in THOUGHTS


def _arguments(text: str) -> JSON:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        found = None
    # An answer that was cut short has arguments that are no JSON; nothing of it is lost.
    return found if isinstance(found, dict) else {"_raw": text}


def _begun(answer: Mapping[str, Any]) -> JSON:
    return {
        "id": f"msg_{tail(str(answer['id']))}",
        "type": "message",
        "role": "assistant",
        "model": str(answer.get("model") or ""),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(answer.get("usage")),
    }


def _stop(choice: Mapping[str, Any], stops: Sequence[str]) -> tuple[str, str | None]:
    # Servers that say which of the stops it was say so beside the reason.
    if choice.get("finish_reason") == "stop" and choice.get("stop_reason") in stops:
        return "stop_sequence", str(choice["stop_reason"])
    finish = str(choice.get("finish_reason"))
    if finish == "stop" and (choice.get("message") or {}).get("tool_calls"):
        finish = "tool_calls"  # what some servers say after a call that was forced
    return _STOPS.get(finish, "end_turn"), None


def _usage(usage: Mapping[str, Any] | None) -> JSON:
    found = usage or {}
    cached = (found.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return {
        "input_tokens": int(found.get("prompt_tokens") or 0) - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": int(found.get("completion_tokens") or 0),
    }


class MessageStream:
    """The events of one message. Give it chunks of chat until they end."""

    def __init__(self, first: Mapping[str, Any], stops: Sequence[str] = ()) -> None:
        """Begin with the first chunk, which has to be fed as well."""
        self._message, self._stops = _begun(first), stops
        self._index = -1
        self._call: int | None = None
        self._calls: set[int] = set()
        self._stop: tuple[str, str | None] = ("end_turn", None)
        self._usage: JSON | None = None

    def begin(self) -> list[JSON]:
        """Return the events that come before anything is said."""
        return [{"type": "message_start", "message": self._message}, {"type": "ping"}]

    def feed(self, chunk: Mapping[str, Any]) -> list[JSON]:
        """Return the events that a chunk is; raise UpstreamError for calls of tools out of order."""
        self._usage = chunk.get("usage") or self._usage
        events: list[JSON] = []
        for choice in chunk.get("choices") or []:
            delta = choice.get("delta") or {}
            text = delta.get("content") or delta.get("refusal")
            if text:
                if self._index < 0 or self._call is not None:
                    events += self._open(None, {"type": "text", "text": ""})
                events.append(self._delta({"type": "text_delta", "text": text}))
            for call in delta.get("tool_calls") or []:
                events += self._called(call)
            for block in filter(_is_thought, delta.get("thinking_blocks") or []):
                events += self._thought(block)
            if choice.get("finish_reason"):
                self._stop = _stop({**choice, "message": {"tool_calls": self._calls}}, self._stops)
        return events

    def finish(self) -> list[JSON]:
        """Return the last events."""
        reason, sequence = self._stop
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        return [
            *self._close(),
            {"type": "message_delta", "delta": delta, "usage": _usage(self._usage)},
            {"type": "message_stop"},
        ]

    def _thought(self, block: Mapping[str, Any]) -> list[JSON]:
        """Return the events of a piece of a thought; its signature ends it."""
        if block["type"] != "thinking":
            return self._open(_WHOLE_THOUGHT, dict(block))
        events: list[JSON] = []
        if self._call != _THOUGHT:
            events = self._open(_THOUGHT, {"type": "thinking", "thinking": "", "signature": ""})
        if block.get("thinking"):
            events.append(self._delta({"type": "thinking_delta", "thinking": block["thinking"]}))
        if block.get("signature"):
            events.append(self._delta({"type": "signature_delta", "signature": block["signature"]}))
            self._call = _WHOLE_THOUGHT
        return events

    def _called(self, call: Mapping[str, Any]) -> list[JSON]:
        place, function = int(call.get("index") or 0), call.get("function") or {}
        events: list[JSON] = []
        if self._call != place:
            if place in self._calls:
                raise UpstreamError("The model mixed the arguments of several calls.", "Try again.")
            self._calls.add(place)
            identifier, name = str(call.get("id") or f"call_{place}"), str(function.get("name") or "")
            events += self._open(place, {"type": "tool_use", "id": identifier, "name": name, "input": {}})
        if function.get("arguments"):
            events.append(self._delta({"type": "input_json_delta", "partial_json": function["arguments"]}))
        return events

    def _open(self, call: int | None, block: JSON) -> list[JSON]:
        events = self._close()
        self._index, self._call = self._index + 1, call
        return [*events, {"type": "content_block_start", "index": self._index, "content_block": block}]

    def _delta(self, delta: JSON) -> JSON:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _close(self) -> list[JSON]:
        return [{"type": "content_block_stop", "index": self._index}] if self._index >= 0 else []


def error_status(error: FeilunError) -> int:
    """Return the HTTP status of an error on the paths of this API."""
    return OVERLOADED if error.status == 503 else error.status


def error_body(error: FeilunError) -> JSON:
    """Return the body (and the event) of an error in the shape of this API."""
    status = error_status(error)
    kind = _ERRORS.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    place = f"{error.param}: " if error.param and not error.message.startswith(error.param) else ""
    message = f"{place}{error.message} {error.hint}".strip()
    return {"type": "error", "error": {"type": kind, "message": message}}
