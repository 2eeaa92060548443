"""``POST /v1/chat/completions`` and ``/v1/completions``, streamed and whole. The id of an answer is that of its trace.

The engine makes the answer in OpenAI's shape; here it only passes. This module knows how a call is relayed. It does not
know how tokens are made, or what a request may hold: the engine's face says.
"""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec

from feilun.gateway.described import Described, parse
from feilun.gateway.hotpath.calls import read
from feilun.gateway.state import Gateway, HotHandler
from feilun.records import Key
from feilun.serving.requests import ChatRequest, Completion, CompletionRequest, TextCompletion
from feilun.wire import Exchange

_encode = msgspec.json.Encoder().encode


def create_chat_completion(here: Gateway, key: Key, exchange: Exchange) -> Awaitable[None]:
    """Answer a conversation."""
    return _relay(here, key, exchange, "chat")


def create_completion(here: Gateway, key: Key, exchange: Exchange) -> Awaitable[None]:
    """Continue a text."""
    return _relay(here, key, exchange, "completion")


async def _relay(here: Gateway, key: Key, exchange: Exchange, kind: str) -> None:
    body = parse(exchange.body)
    call = read(key, kind, exchange.path, body, exchange.headers, len(exchange.body))
    if not call.stream:
        exchange.when_gone(lambda: here.hotpath.leave(call))
        raw, headers = await here.hotpath.answer(call)
        exchange.respond(200, raw, headers)
        return
    failure = await here.hotpath.stream(call, exchange)
    if failure is not None:
        exchange.write(b"data: " + _encode(failure.body()) + b"\n\n")
    exchange.end()


HOT: dict[tuple[str, str], HotHandler] = {
    ("POST", "/v1/chat/completions"): create_chat_completion,
    ("POST", "/v1/completions"): create_completion,
}
DESCRIBED = [
    Described(
        "POST",
        "/v1/chat/completions",
        "Answer a conversation with a model or an endpoint",
        ChatRequest,
        Completion,
        streams=True,
        tag="chat",
    ),
    Described(
        "POST", "/v1/completions", "Continue a text", CompletionRequest, TextCompletion, streams=True, tag="chat"
    ),
]
