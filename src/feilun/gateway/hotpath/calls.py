"""One call as it was asked: its body, who asks, and the most that it can cost.

This module knows the OpenAI shapes of requests as far as tokens and data are bounded by them. It does not know routes,
budgets or engines.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from feilun.errors import BadRequest
from feilun.gateway.surface.anthropic_out import OWN
from feilun.records import JSON, Key, new_id
from feilun.serving.replica import Place

MESSAGE_TOKENS = 16  # what a chat template may add to one message
TEMPLATE_TOKENS = 64  # what it may add around all of them
TOOL_TOKENS = 512  # what explains to a model how tools are called
IMAGE_TOKENS = 2048  # the most that a picture is counted as
COMPLETION_ANSWER = 16  # what continues a text unless more is asked for
MOST_ANSWER = 8192  # where neither the call nor the window of a remote model bounds the answer


@dataclass(slots=True)
class Call:
    """A call. ``body`` is the parsed request; ``prompt`` bounds its prompt in tokens: no token is less than a byte.

    ``left`` says that its client is gone; ``place`` is the engine of ours that answers it just now.
    ``unit`` is what it sticks to, where its endpoint has several targets.
    """

    key: Key
    kind: str
    path: str
    body: JSON
    name: str
    stream: bool = False
    wants_usage: bool = False
    prompt: int = 0
    answer: int | None = None
    choices: int = 1
    images: bool = False
    learn: bool = True
    conversation: str = ""
    leave: bool | None = None
    sources: tuple[str, ...] = ()
    left: bool = False
    place: Place | None = None
    unit: str = ""
    id: str = field(default_factory=lambda: new_id("trace"))
    created: float = field(default_factory=time.time)
    began: float = field(default_factory=time.perf_counter)


def read(key: Key, kind: str, path: str, body: JSON, headers: Mapping[bytes, bytes], size: int = 0) -> Call:
    """Return the call that a body is; ``size`` is its length in bytes, a cheap bound. Raises BadRequest."""
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise BadRequest("You must give a model.", "GET /v1/models lists them.", "model")
    call = Call(key, kind, path, body, name)
    call.stream = body.get("stream") is True
    options = body.get("stream_options")
    call.wants_usage = isinstance(options, dict) and options.get("include_usage") is True
    if "n" in body:
        call.choices = _whole(body["n"]) or 1
    if "max_tokens" in body or "max_completion_tokens" in body:
        call.answer = _whole(body.get("max_completion_tokens")) or _whole(body.get("max_tokens"))
    call.learn = body.get("store") is not False and kind != "eval"  # what an exam asks must never be learned
    messages = body.get("messages")
    count = len(messages) if isinstance(messages, list) else 1
    if isinstance(messages, list) and _shows_images(messages):
        call.images = True
    call.prompt = (size or _most(body)) + count * MESSAGE_TOKENS + TEMPLATE_TOKENS
    if call.images:
        call.prompt = _text_size(messages) + count * MESSAGE_TOKENS + TEMPLATE_TOKENS + _images(messages) * IMAGE_TOKENS
    if body.get("tools"):
        call.prompt += TOOL_TOKENS
    if kind == "completion":
        _bound_completion(call)
    if kind in {"embedding", "rerank", "tokenize"}:
        call.answer = 0
    _extras(call, headers)
    return call


def _bound_completion(call: Call) -> None:
    """Bound a completion that does not say how long it may be, as OpenAI does; not every provider does."""
    body = call.body
    call.answer = _whole(body.get("max_tokens")) or COMPLETION_ANSWER
    if body.get("max_tokens") is None:
        call.body = {**body, "max_tokens": COMPLETION_ANSWER}
    if isinstance(body.get("prompt"), list):
        call.choices *= max(1, len(body["prompt"])) if not _is_ids(body["prompt"]) else 1


def _extras(call: Call, headers: Mapping[bytes, bytes]) -> None:
    """Read what a caller says about its data and its conversation, from headers or from the call's metadata."""
    body = call.body
    metadata = body.get("metadata")
    if isinstance(metadata, dict):
        call.leave = _permitted(metadata.get("feilun_leave"))
        call.sources = _names(metadata.get("feilun_sources"))
    if (leave := headers.get(b"x-feilun-leave")) is not None and call.leave is not False:
        call.leave = _permitted(leave.decode("latin-1"))
    if (named := headers.get(b"x-feilun-sources")) is not None:
        call.sources += _names(named.decode("latin-1"))
    conversation = headers.get(b"x-feilun-conversation") or body.get("prompt_cache_key") or body.get("user")
    if conversation:
        text = conversation.decode("latin-1") if isinstance(conversation, bytes) else str(conversation)
        call.conversation = text[:200]


def _permitted(word: Any) -> bool | None:
    """Say whether data may leave; whoever says anything but a clear yes wants it to stay."""
    said = "" if word is None else str(word).strip().lower()
    return said in {"yes", "true", "1"} if said else None


def _names(given: Any) -> tuple[str, ...]:
    texts = given if isinstance(given, list) else [] if given is None else [given]
    return tuple(name.strip() for text in texts for name in str(text).split(",") if name.strip())


def sticky_key(call: Call, how: str) -> str:
    """Return what a call sticks to: its conversation (or how it began), or the beginning of its prompt."""
    if not how:
        return ""
    if how == "conversation" and call.conversation:
        return call.conversation
    messages = call.body.get("messages")
    if not isinstance(messages, list):
        return str(call.body.get("prompt") or "")[:512]
    texts: list[str] = []
    for message in messages:
        if isinstance(message, dict):
            texts.append(str(message.get("content") or ""))
            if how == "prefix" or message.get("role") == "user":
                break
    text = "\n".join(texts)
    return text if how == "conversation" else text[:512]


def messages_of(call: Call) -> list[JSON]:
    """Return a call's messages: a prompt, or texts, count as what a user said."""
    messages = call.body.get("messages")
    if isinstance(messages, list):
        return [message for message in messages if isinstance(message, dict)]
    given = call.body.get("prompt", call.body.get("input", call.body.get("query", "")))
    return [{"role": "user", "content": given if isinstance(given, str) else str(given)}]


def _whole(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _is_ids(prompt: list[Any]) -> bool:
    return bool(prompt) and isinstance(prompt[0], int)


def _shows_images(messages: list[Any]) -> bool:
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list) and any(map(_is_image, content)):
            return True
    return False


def _is_image(part: Any) -> bool:
    # Some servers take parts that do not say their type, and films; all are looked at as pictures are.
    return isinstance(part, dict) and any(name.endswith("_url") for name in part)


def _images(messages: Any) -> int:
    return sum(
        _is_image(part)
        for message in messages
        if isinstance(message, dict) and isinstance(message.get("content"), list)
        for part in message["content"]
    )


def _text_size(messages: Any) -> int:
    total = 0
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            total += _bytes(content)
        elif isinstance(content, list):
            total += sum(_bytes(str(part.get("text") or "")) for part in content if isinstance(part, dict))
    return total


def _most(body: JSON) -> int:
    """Return how many bytes all texts of a body are at most; what is said in two ways is sent in one of them."""
    own = body.get(OWN)
    return max(_size({**body, OWN: None}), _size(own)) if own else _size(body)


def _size(body: Any) -> int:
    """Return how many bytes all texts of a body are."""
    if isinstance(body, str):
        return _bytes(body)
    if isinstance(body, dict):
        return sum(_bytes(str(key)) + 4 + _size(value) for key, value in body.items())
    if isinstance(body, list):
        return sum(1 + _size(value) for value in body)
    return 8


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
