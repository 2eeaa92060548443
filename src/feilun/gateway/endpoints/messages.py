"""Anthropic's ``/v1/messages`` and ``/v1/messages/count_tokens``, whole and streamed, with that API's own errors.

This module knows how a message is called for. It does not know blocks or fields: the translator does.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import msgspec

from feilun.errors import FeilunError, RateLimited
from feilun.gateway.described import Described, decode
from feilun.gateway.state import Gateway, HotHandler
from feilun.gateway.surface.answers import MessageAnswer, MessageError, MessageTokens
from feilun.gateway.surface.events import end_with_client, event_stream
from feilun.gateway.surface.messages import MessageStream, error_body, error_status, from_chat, to_chat
from feilun.gateway.surface.requests import CountRequest, MessagesRequest
from feilun.records import Key
from feilun.wire import Exchange

_encode = msgspec.json.Encoder().encode
_Handle = Callable[[Gateway, Key, Exchange], Awaitable[None]]


def _told_its_way(handle: _Handle) -> HotHandler:
    """Return a handler whose errors have the shape of this API."""

    async def handler(here: Gateway, key: Key, exchange: Exchange) -> None:
        end_with_client(exchange)
        try:
            await handle(here, key, exchange)
        except FeilunError as error:
            if exchange.started:
                raise
            headers = []
            if isinstance(error, RateLimited):
                headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
            exchange.respond(error_status(error), _encode(error_body(error)), headers)

    return handler


async def _create(here: Gateway, key: Key, exchange: Exchange) -> None:
    request = decode(exchange.body, MessagesRequest)
    body, stops = to_chat(request), request.stop_sequences or []
    if not request.stream:
        answer = await here.hotpath.chat(key, body, kind="message", headers=exchange.headers)
        exchange.respond(200, _encode(from_chat(answer, stops)), _traced(str(answer["id"])))
        return
    chunks = here.hotpath.events(key, body, kind="message", headers=exchange.headers)
    try:
        first = await anext(chunks)
        stream = MessageStream(first, stops)
        exchange.start(200, [(b"cache-control", b"no-cache"), *_traced(str(first["id"]))])
        exchange.write(event_stream([*stream.begin(), *stream.feed(first)]))
        try:
            async for chunk in chunks:
                exchange.write(event_stream(stream.feed(chunk)))
                await exchange.drain()
            exchange.write(event_stream(stream.finish()))
        except FeilunError as error:
            exchange.write(event_stream([error_body(error)]))
        exchange.end()
    finally:
        await chunks.aclose()


async def _count(here: Gateway, key: Key, exchange: Exchange) -> None:
    body = to_chat(decode(exchange.body, CountRequest))
    found = await here.hotpath.post(key, "/tokenize", body, kind="tokenize", headers=exchange.headers)
    exchange.respond(200, _encode(MessageTokens(int(found["tokens"]))))


def _traced(trace: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-feilun-trace", trace.encode()), (b"request-id", trace.encode())]


create_message, count_tokens = _told_its_way(_create), _told_its_way(_count)
HOT: dict[tuple[str, str], HotHandler] = {
    ("POST", "/v1/messages"): create_message,
    ("POST", "/v1/messages/count_tokens"): count_tokens,
}
DESCRIBED = [
    Described(
        "POST",
        "/v1/messages",
        "Answer a conversation, as Anthropic's API does",
        MessagesRequest,
        MessageAnswer,
        streams=True,
        tag="messages",
        errors=MessageError,
    ),
    Described(
        "POST",
        "/v1/messages/count_tokens",
        "Count the tokens of a conversation",
        CountRequest,
        MessageTokens,
        tag="messages",
        errors=MessageError,
    ),
]
