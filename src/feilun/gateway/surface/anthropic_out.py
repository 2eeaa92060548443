"""Chat in front of a remote provider that speaks the Anthropic API: requests there, answers and events back.

What the provider cannot do is refused by name. This module knows fields. It does not know addresses, keys or HTTP.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from feilun.errors import BadRequest, EngineError, RateLimited, UpstreamError
from feilun.gateway.surface.blocks import THOUGHTS
from feilun.records import JSON

DEFAULT_MOST = 4096
OWN = "feilun_messages_request"  # in a request of chat: the request for a message that it was made of
_FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_UNSERVED = ("logit_bias", "logprobs", "top_logprobs", "frequency_penalty", "presence_penalty")
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_OURS = ("model", "max_tokens", "stream")


def to_anthropic(body: Mapping[str, Any]) -> JSON:
    """Return the request for a message that a request of chat is; raise BadRequest for what has no word there.

    Where it was one before, that is what is sent: chat has no words for thoughts, marks of caches and failed tools.
    """
    try:
        request, own = _request(body), body.get(OWN)
        return {**own, **{name: request[name] for name in _OURS if name in request}} if own else request
    except (KeyError, TypeError, AttributeError) as error:
        raise BadRequest("This is no request of chat.", "Compare it with the API's description.") from error


def _request(body: Mapping[str, Any]) -> JSON:
    for name in _UNSERVED:
        if body.get(name):
            raise BadRequest(f"{name} is not served by the provider of this model.", f"Leave {name} out.", name)
    if (body.get("n") or 1) != 1:
        raise BadRequest("The provider of this model gives one answer.", "Ask with n = 1.", "n")
    system, turns = _turns(body.get("messages") or [])
    stop = body.get("stop")
    temperature = body.get("temperature")
    given = {
        "system": system or None,
        "stop_sequences": [stop] if isinstance(stop, str) else stop or None,
        "temperature": None if temperature is None else min(1.0, temperature),
        "top_p": body.get("top_p"),
        "stream": body.get("stream") or None,
        "metadata": {"user_id": body["user"]} if body.get("user") else None,
        "output_config": _output(body.get("response_format")),
    }
    request: JSON = {
        "model": body.get("model"),
        "messages": turns,
        "max_tokens": body.get("max_completion_tokens") or body.get("max_tokens") or DEFAULT_MOST,
    }
    return request | {name: value for name, value in given.items() if value is not None} | _tools(body)


def _output(wanted: Mapping[str, Any] | None) -> JSON | None:
    kind = wanted.get("type") if wanted else "text"
    if wanted is None or kind == "text":
        return None
    if kind != "json_schema":
        hint = "Use json_schema."
        raise BadRequest(f"The provider of this model has no {kind}.", hint, "response_format.type")
    return {"format": {"type": "json_schema", "schema": wanted["json_schema"].get("schema") or {"type": "object"}}}


def _tools(body: Mapping[str, Any]) -> JSON:
    tools = [_tool(tool["function"]) for tool in body.get("tools") or []]
    if not tools:
        return {}
    wanted = body.get("tool_choice")
    choice: JSON = {"type": "auto"}
    if isinstance(wanted, dict):
        choice = {"type": "tool", "name": wanted["function"]["name"]}
    elif wanted is not None:
        choice = {"type": _CHOICES[wanted]}
    if body.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tools": tools, "tool_choice": choice} if choice != {"type": "auto"} or wanted else {"tools": tools}


def _tool(function: Mapping[str, Any]) -> JSON:
    found: JSON = {"name": function["name"], "input_schema": function.get("parameters") or {"type": "object"}}
    kept = {name: function[name] for name in ("description", "strict") if function.get(name) is not None}
    return found | kept


def _turns(messages: list[JSON]) -> tuple[str, list[JSON]]:
    system: list[str] = []
    turns: list[JSON] = []
    for message in messages:
        role = message["role"]
        if role in {"system", "developer"}:
            system.append("\n".join(block["text"] for block in _blocks(message.get("content"))))
            continue
        if role == "tool":
            answer = _blocks(message.get("content"))
            blocks = [{"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": answer}]
        else:
            blocks = _blocks(message.get("content") or message.get("refusal"))
            blocks += [_use(call) for call in message.get("tool_calls") or []]
        side = "assistant" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == side:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": side, "content": blocks})
    return "\n\n".join(system), turns


def _use(call: Mapping[str, Any]) -> JSON:
    function = call["function"]
    try:
        given = json.loads(function.get("arguments") or "{}")
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise BadRequest("The arguments of a tool call are no JSON object.", param="messages")
    return {"type": "tool_use", "id": call["id"], "name": function["name"], "input": given}


def _blocks(content: Any) -> list[JSON]:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    blocks = []
    for part in content or []:
        if part.get("type") == "image_url":
            blocks.append({"type": "image", "source": _source(part["image_url"]["url"])})
        elif part.get("type") in {"text", "refusal"}:
            text = part.get("text") or part.get("refusal")
            blocks += [{"type": "text", "text": text}] if text else []  # empty texts are refused there
        else:
            kind = str(part.get("type"))[:60]
            raise BadRequest(f"The provider of this model takes no parts of the type {kind!r}.", param="messages")
    return blocks


def _source(url: str) -> JSON:
    head, comma, data = url.partition(",")
    if not head.startswith("data:"):
        return {"type": "url", "url": url}
    if not comma or not head.endswith(";base64"):
        raise BadRequest("An image in a data URL has to be base64.", param="messages")
    return {"type": "base64", "media_type": head.removeprefix("data:").removesuffix(";base64"), "data": data}


def from_anthropic(answer: Mapping[str, Any]) -> JSON:
    """Return the completion of chat that a whole message is; raise UpstreamError for what is none."""
    if answer.get("type") == "error":
        raise _error(answer)
    try:
        content, calls, thoughts = "", [], []
        for block in answer["content"]:
            if block["type"] == "text":
                content += block["text"]
            elif block["type"] == "tool_use":
                arguments = json.dumps(block["input"], ensure_ascii=False)
                function = {"name": block["name"], "arguments": arguments}
                calls.append({"id": block["id"], "type": "function", "function": function})
            elif block["type"] in THOUGHTS:
                thoughts.append(block)
        message: JSON = {"role": "assistant", "content": content or (None if calls else ""), "refusal": None}
        if calls:
            message["tool_calls"] = calls
        if thoughts:
            message["thinking_blocks"] = thoughts
        reason = answer.get("stop_reason")
        choice: JSON = {"index": 0, "message": message, "logprobs": None, **_finish(reason, answer)}
        return {
            "id": answer["id"],
            "object": "chat.completion",
            "created": int(time.time()),
            "model": answer["model"],
            "choices": [choice],
            "usage": _usage(answer["usage"]),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UpstreamError("The provider's answer is no message.", "Try again in a moment.") from error


def _finish(reason: Any, where: Mapping[str, Any]) -> JSON:
    found: JSON = {"finish_reason": _FINISHES.get(str(reason), "stop")}
    # Of the stops that were asked for, this one it was; clients of the messages API are told.
    return found | ({"stop_reason": where["stop_sequence"]} if where.get("stop_sequence") else {})


def _usage(usage: Mapping[str, Any]) -> JSON:
    cached = int(usage.get("cache_read_input_tokens") or 0)
    prompt = int(usage.get("input_tokens") or 0) + cached + int(usage.get("cache_creation_input_tokens") or 0)
    completion = int(usage.get("output_tokens") or 0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


class FromAnthropicStream:
    """Events of a message as chunks of chat. ``usage`` is what the provider has counted so far."""

    def __init__(self) -> None:
        """Expect the first event."""
        self._head: JSON = {}
        self._counts: JSON = {}
        self._calls: dict[int, int] = {}
        self._silent: set[int] = set()

    @property
    def usage(self) -> JSON:
        """Return the running count, in chat's shape."""
        return _usage(self._counts)

    def feed(self, event: Mapping[str, Any]) -> list[JSON]:
        """Return the chunks that an event is; raise RateLimited, EngineError or UpstreamError for its errors."""
        try:
            return self._chunks(event)
        except (KeyError, TypeError, AttributeError) as error:
            raise UpstreamError("The provider sent an event that is none.", "Try again in a moment.") from error

    def _chunks(self, event: Mapping[str, Any]) -> list[JSON]:
        kind = event["type"]
        if kind == "error":
            raise _error(event)
        if kind == "message_start":
            return [self._start(event["message"])]
        if kind == "content_block_start" and event["content_block"]["type"] == "tool_use":
            return [self._call(event["index"], event["content_block"])]
        if kind == "content_block_start" and event["content_block"]["type"] == "redacted_thinking":
            return [self._chunk({"thinking_blocks": [event["content_block"]]})]
        if kind == "content_block_start" and event["content_block"].get("text"):
            return [self._chunk({"content": event["content_block"]["text"]})]
        if kind == "content_block_delta":
            return self._delta(event["index"], event["delta"])
        if kind == "content_block_stop" and event["index"] in self._silent:
            self._silent.discard(event["index"])
            return [self._arguments(event["index"], "{}")]  # a call without arguments still has a JSON object
        if kind == "message_delta":
            self._count(event.get("usage") or {})
            delta = event["delta"]
            return [self._chunk({}, **_finish(delta["stop_reason"], delta))] if delta.get("stop_reason") else []
        if kind == "message_stop":
            return [{**self._head, "choices": [], "usage": self.usage}]
        return []

    def _start(self, message: Mapping[str, Any]) -> JSON:
        self._head = {
            "id": message["id"],
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": message["model"],
        }
        self._count(message.get("usage") or {})
        return self._chunk({"role": "assistant", "content": ""})

    def _call(self, index: int, block: Mapping[str, Any]) -> JSON:
        place = self._calls[index] = len(self._calls)
        function = {"name": block["name"], "arguments": json.dumps(block["input"]) if block.get("input") else ""}
        if not function["arguments"]:
            self._silent.add(index)
        return self._chunk(
            {"tool_calls": [{"index": place, "id": block["id"], "type": "function", "function": function}]}
        )

    def _delta(self, index: int, delta: Mapping[str, Any]) -> list[JSON]:
        if delta["type"] == "text_delta":
            return [self._chunk({"content": delta["text"]})]
        if delta["type"] == "thinking_delta":
            return [self._chunk({"thinking_blocks": [{"type": "thinking", "thinking": delta["thinking"]}]})]
        if delta["type"] == "signature_delta":
            signed = {"type": "thinking", "thinking": "", "signature": delta["signature"]}
            return [self._chunk({"thinking_blocks": [signed]})]
        if delta["type"] == "input_json_delta" and delta["partial_json"]:
            self._silent.discard(index)
            return [self._arguments(index, delta["partial_json"])]
        return []

    def _arguments(self, index: int, text: str) -> JSON:
        return self._chunk({"tool_calls": [{"index": self._calls[index], "function": {"arguments": text}}]})

    def _chunk(self, delta: JSON, **more: Any) -> JSON:
        return {**self._head, "choices": [{"index": 0, "delta": delta, "finish_reason": None, **more}]}

    def _count(self, usage: Mapping[str, Any]) -> None:
        self._counts |= {name: value for name, value in usage.items() if value is not None}


def _error(event: Mapping[str, Any]) -> EngineError | RateLimited:
    found = event.get("error")
    error = found if isinstance(found, dict) else {}
    message = f"The provider failed: {str(error.get('message') or 'it did not say why')[:1000]}"
    if error.get("type") == "rate_limit_error":
        return RateLimited(message, "Try again in a while.")
    return UpstreamError(message, "Try again in a moment.")
