"""From OpenAI's request bodies to the seam's requests, and from what the engine says to a whole answer.

It knows both shapes. It does not know HTTP, streams or engines.
"""

from __future__ import annotations

import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder

from feilun.engines.identity import DEFAULTS
from feilun.engines.schema import json_grammar
from feilun.engines.seam import Delta, Request
from feilun.errors import BadRequest
from feilun.records import JSON, Usage, new_id
from feilun.serving import tools
from feilun.serving.requests import (
    ChatRequest,
    CompletionRequest,
    Message,
    decode,
    refuse_chat,
    refuse_completion,
)


class Told(Struct):
    """What the gateway tells the engine about a call: its id, the names to print, the version's own defaults."""

    id: str = ""
    name: str = ""
    version: str = ""
    defaults: JSON = {}


class ToldChat(ChatRequest, kw_only=True):
    """A chat as it comes from the gateway."""

    feilun: Told | None = None


class ToldCompletion(CompletionRequest, kw_only=True):
    """A completion as it comes from the gateway."""

    feilun: Told | None = None


_chat, _completion = Decoder(ToldChat), Decoder(ToldCompletion)


@dataclass(slots=True)
class Asked:
    """One call: what the engine is asked (for every choice), and how the answer has to look."""

    told: Told
    model: str
    requests: list[Request]
    chat: bool
    stream: bool
    logprobs: bool = False
    top: int = 0
    calls: bool = False  # the answer may hold tool calls
    formed: bool = False  # the answer has to look in some way where it is no call
    echo: list[str] = field(default_factory=list)  # of every prompt, if it is to be said again
    each: int = 1  # choices of one prompt
    created: int = field(default_factory=lambda: int(time.time()))


def read_chat(body: bytes, template: Callable[[str], str], context: int) -> Asked:
    """Return what a chat asks; raise BadRequest. ``template`` gives a model's chat template."""
    given = decode(_chat, body)
    refuse_chat(given)
    told = given.feilun or Told()
    shown = tools.allowed(given)
    form = _format_grammar(given)
    known = tools.takes_tools(template(given.model))
    messages = [_plain(message, place) for place, message in enumerate(given.messages)]
    if not known:
        messages = [tools.as_text(message) for message in messages]
        if shown:
            messages = tools.with_task(messages, shown, parallel=given.parallel_tool_calls is not False)
    common = {
        **_common(given, told, context, given.max_completion_tokens or given.max_tokens),
        "messages": tuple(messages),
        "tools": tuple(tools.described(tool) for tool in shown) if known else (),
        "grammar": tools.grammar(given, form),
        "logprobs": bool(given.logprobs),
        "top_logprobs": given.top_logprobs or 0,
    }
    count = given.n or 1
    return Asked(
        _named(told, given.model, "chatcmpl"),
        given.model,
        [Request(**common, seed=_seed(given.seed, index)) for index in range(count)],
        chat=True,
        stream=bool(given.stream),
        logprobs=bool(given.logprobs),
        top=given.top_logprobs or 0,
        calls=bool(shown),
        formed=bool(form),
        each=count,
    )


def read_completion(body: bytes, text: Callable[[str, list[int]], str], context: int) -> Asked:
    """Return what a completion asks; raise BadRequest. ``text`` gives the text of a model's token numbers."""
    given = decode(_completion, body)
    refuse_completion(given)
    told, model = given.feilun or Told(), given.model
    prompts: list[Any] = [given.prompt] if isinstance(given.prompt, str) else list(given.prompt)
    if isinstance(prompts[0], int):
        prompts = [prompts]
    if not all(prompts):
        raise BadRequest("prompt is empty.", param="prompt")
    asked = [(each, ()) if isinstance(each, str) else (text(model, each), tuple(each)) for each in prompts]
    common = {
        **_common(given, told, context, given.max_tokens or 16),  # as OpenAI has it
        "messages": (),
        "logprobs": given.logprobs is not None,
        "top_logprobs": given.logprobs or 0,
    }
    count = given.n or 1
    return Asked(
        _named(told, model, "cmpl"),
        model,
        [
            Request(**common, prompt=shown, tokens=tokens, seed=_seed(given.seed, index))
            for shown, tokens in asked
            for index in range(count)
        ],
        chat=False,
        stream=bool(given.stream),
        logprobs=given.logprobs is not None,
        top=given.logprobs or 0,
        echo=[shown for shown, _ in asked] if given.echo else [],
        each=count,
    )


def _named(told: Told, model: str, prefix: str) -> Told:
    return Told(told.id or new_id(prefix), told.name or model, told.version or model, told.defaults)


def _common(given: ChatRequest | CompletionRequest, told: Told, context: int, wanted: int | None) -> JSON:
    defaults = {**DEFAULTS, **told.defaults}
    temperature = defaults["temperature"] if given.temperature is None else given.temperature
    top_p = defaults["top_p"] if given.top_p is None else given.top_p
    stops = [given.stop] if isinstance(given.stop, str) else given.stop or []
    return {
        "model": given.model,
        "max_tokens": min(wanted or context, context),
        # The smallest set that holds none of the probability is the likeliest token alone.
        "temperature": temperature if top_p > 0 else 0.0,
        "top_p": top_p if top_p > 0 else 1.0,
        "stop": tuple(stop for stop in stops if stop),
        "frequency_penalty": given.frequency_penalty or 0.0,
        "presence_penalty": given.presence_penalty or 0.0,
        "logit_bias": tuple((int(token), bias) for token, bias in (given.logit_bias or {}).items()),
    }


def _seed(seed: int | None, index: int) -> int | None:
    return None if seed is None else (seed + index) % 2**63


def _format_grammar(given: ChatRequest) -> str:
    form = given.response_format
    if form is None or form.type == "text":
        return ""
    if form.type == "json_object" or form.json_schema is None:
        return json_grammar()
    return json_grammar(form.json_schema.schema, "response_format")


def _plain(message: Message, place: int) -> JSON:
    """Return a message as engines take it; raise BadRequest for anything but text and calls."""
    name = f"messages[{place}].content"
    content = message.content
    if isinstance(content, list):
        for number, part in enumerate(content):
            if part.type == "refusal" and part.refusal is not None:
                part.text = part.refusal
            elif part.type != "text" or part.text is None:
                raise BadRequest(
                    f"{name}[{number}]: this model takes no part of type {part.type[:40]!r}, only text.",
                    "Send text, or name a model that takes it.",
                    f"{name}[{number}]",
                )
        content = "\n".join(part.text or "" for part in content)
    content = content or message.refusal or content
    role = "system" if message.role == "developer" else message.role
    if content is None and not message.tool_calls:
        raise BadRequest(f"{name}: a message needs a text.", param=name)
    plain: JSON = {"role": role, "content": content or ""}
    if message.tool_calls and role == "assistant":
        plain["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": tools.arguments(call.function.arguments)},
            }
            for call in message.tool_calls
        ]
    if role == "tool":
        if not message.tool_call_id:
            raise BadRequest("A tool's answer needs the id of its call.", param=f"messages[{place}].tool_call_id")
        plain["tool_call_id"] = message.tool_call_id
    return plain


@dataclass(slots=True)
class Said:
    """One of the answers while it comes: text, calls, tokens, how it ended, what it cost."""

    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    parts: list[str] = field(default_factory=list)
    calls: list[JSON] = field(default_factory=list)
    tokens: list[Delta] = field(default_factory=list)
    finish: str = ""
    stopped_by: str = ""
    reader: tools.Reader | None = None

    def take(self, delta: Delta) -> list[tools.Piece]:
        """Add what the engine said; return its pieces, if there are any."""
        if delta.usage is not None:
            self.usage = delta.usage
        if self.reader is None:
            pieces = [tools.Piece(text=delta.text)] if delta.text else []
        else:
            pieces = self.reader.push(delta.text) if delta.text else []
            if delta.finish:
                pieces += self.reader.close(cut=delta.finish != "stop")
        for piece in pieces:
            if piece.call < 0:
                self.parts.append(piece.text)
            elif piece.name:
                function = {"name": piece.name, "arguments": ""}
                self.calls.append({"id": piece.id, "type": "function", "function": function})
            else:
                self.calls[piece.call]["function"]["arguments"] += piece.arguments
        if delta.finish:
            called = self.calls and delta.finish == "stop"
            self.finish = "tool_calls" if called else "stop" if delta.finish == "cancelled" else delta.finish
            self.stopped_by = delta.stopped_by
        if delta.logprob is not None and delta.piece:
            self.tokens.append(delta)
        return pieces


def total(asked: Asked, said: Sequence[Said]) -> Usage:
    """Return what all answers cost; the prompt of several answers counts once."""
    firsts = [said[place : place + asked.each] for place in range(0, len(said), asked.each)]
    return Usage(
        sum(max((one.usage.prompt_tokens for one in group), default=0) for group in firsts),
        sum(one.usage.completion_tokens for one in said),
        sum(max((one.usage.cached_tokens for one in group[:1]), default=0) for group in firsts),
    )


def usage_body(usage: Usage) -> JSON:
    """Return usage in OpenAI's shape."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def logprob_row(delta: Delta) -> JSON:
    """Return a token in the shape of a chat's logprobs."""
    return {**_token(delta.piece, delta.logprob), "top_logprobs": [_token(raw, value) for raw, value in delta.top]}


def _token(raw: bytes, logprob: float | None) -> JSON:
    return {"token": raw.decode(errors="replace"), "logprob": logprob, "bytes": list(raw)}


class TextLogprobs:
    """Tokens of one answer in the old shape of completions, where a token is only a text, and has a place."""

    def __init__(self) -> None:
        """Begin at the beginning of the text."""
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._offset = 0

    def rows(self, tokens: Sequence[Delta], top: int) -> JSON:
        """Return the next tokens. Parts of a character begin where the character does."""
        offsets = []
        for delta in tokens:
            offsets.append(self._offset)
            self._offset += len(self._decode(delta.piece))
        return {
            "tokens": [_named_token(delta.piece) for delta in tokens],
            "token_logprobs": [delta.logprob for delta in tokens],
            "top_logprobs": [{_named_token(raw): value for raw, value in delta.top} for delta in tokens]
            if top
            else None,
            "text_offset": offsets,
        }


def _named_token(raw: bytes) -> str:
    """Return a token as a text that no other token has: bytes that are no text are written out, as OpenAI does."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


def whole(asked: Asked, said: Sequence[Said]) -> JSON:
    """Return the whole answer."""
    choices = [_chat_choice(asked, n, one) if asked.chat else _text_choice(asked, n, one) for n, one in enumerate(said)]
    return {
        "id": asked.told.id,
        "object": "chat.completion" if asked.chat else "text_completion",
        "created": asked.created,
        "model": asked.told.name,
        "system_fingerprint": asked.told.version,
        "model_version": asked.told.version,
        "choices": choices,
        "usage": usage_body(total(asked, said)),
    }


def ending(one: Said) -> JSON:
    """Return how an answer ended; ``stop_reason`` is the stop text that ended it, if one did, as vLLM has it."""
    return {"finish_reason": one.finish, **({"stop_reason": one.stopped_by} if one.stopped_by else {})}


def _chat_choice(asked: Asked, index: int, one: Said) -> JSON:
    text = "".join(one.parts)
    message: JSON = {"role": "assistant", "content": None if one.calls and not text else text, "refusal": None}
    if one.calls:
        message["tool_calls"] = one.calls
    logprobs = {"content": [logprob_row(delta) for delta in one.tokens], "refusal": None} if asked.logprobs else None
    return {"index": index, "message": message, "logprobs": logprobs, **ending(one)}


def _text_choice(asked: Asked, index: int, one: Said) -> JSON:
    begin = asked.echo[index // asked.each] if asked.echo else ""
    logprobs = TextLogprobs().rows(one.tokens, asked.top) if asked.logprobs else None
    return {"index": index, "text": begin + "".join(one.parts), "logprobs": logprobs, **ending(one)}
