"""``POST /v1/chat/completions``, streaming and not. The id of an answer is the id of its trace.

This module knows the OpenAI shapes of a chat. It does not know how tokens are made.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, Field, model_validator
from starlette.responses import Response

from feilun.engines.identity import DEFAULTS
from feilun.engines.seam import Request as EngineRequest
from feilun.errors import BadRequest, FeilunError
from feilun.gateway.calls import Call, Piece
from feilun.gateway.door import EventStream, Viewer, unless_gone
from feilun.gateway.shapes import WHOLE, ErrorDetail, Given
from feilun.gateway.state import Here
from feilun.records import JSON, Usage

router = APIRouter(tags=["chat"])
MOST_CHOICES = 8
MOST_STOPS = 16
_INERT: tuple[Any, ...] = (None, False, 0, 0.0, "", [], {})


class Part(BaseModel):
    """A part of a message; only text is taken."""

    type: str
    text: str | None = None


class Message(BaseModel):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part] | None = None

    def plain(self, place: int) -> JSON:
        """Return the message as engines take it; raise BadRequest for anything but text."""
        name = f"messages.{place}.content"
        parts = [Part(type="text", text=self.content)] if isinstance(self.content, str) else self.content or []
        for part in parts:
            if part.type != "text" or part.text is None:
                raise BadRequest(f"{name}: a part of type {part.type[:40]!r} is not supported.", "Send text.", name)
        if not parts:
            raise BadRequest(f"{name}: a message needs a text.", param=name)
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": "\n".join(part.text or "" for part in parts)}


class StreamOptions(Given):
    """How a stream is sent."""

    include_usage: bool = False


def _few(stops: str | list[str] | None) -> str | list[str] | None:
    if isinstance(stops, list) and len(stops) > MOST_STOPS:
        raise ValueError(f"at most {MOST_STOPS} stops")
    return stops


class ChatRequest(Given):
    """What to answer and how. Fields without effect here are accepted; behaviour we do not have is refused."""

    model: str
    messages: list[Message] = Field(min_length=1, max_length=2048)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    temperature: float | None = Field(default=None, ge=0, le=2, description="absent: that of the model, which is 0")
    top_p: float | None = Field(default=None, ge=0, le=1)
    n: int | None = Field(default=None, ge=1, le=MOST_CHOICES)
    seed: int | None = WHOLE
    stop: Annotated[str | list[str] | None, AfterValidator(_few)] = None
    logprobs: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = Field(default=None, description="false: nothing is ever learned from this call")
    metadata: dict[str, Any] | None = None
    user: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        for name in ("tools", "functions", "audio", "prediction", "logit_bias", "top_logprobs", "web_search_options"):
            if not _inert(given.get(name)):
                raise _unsupported(name)
        for name in ("frequency_penalty", "presence_penalty"):
            if not _inert(given.get(name)):
                raise _unsupported(f"{name} other than 0", name)
        if given.get("tool_choice") not in (None, "none", "auto"):
            raise _unsupported("tool_choice")
        form = given.get("response_format")
        if form is not None and not (isinstance(form, dict) and form.get("type") == "text"):
            raise _unsupported("response_format other than text", "response_format")
        if given.get("modalities") not in (None, ["text"]):
            raise _unsupported("modalities other than text", "modalities")
        return given

    def engine_request(self, version: str, defaults: JSON, context: int, index: int) -> EngineRequest:
        """Return what the engine is asked for the choice ``index``; generation defaults are the version's own."""
        wanted = self.max_completion_tokens or self.max_tokens or context
        temperature = defaults["temperature"] if self.temperature is None else self.temperature
        top_p = defaults["top_p"] if self.top_p is None else self.top_p
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return EngineRequest(
            model=version,
            messages=tuple(message.plain(place) for place, message in enumerate(self.messages)),
            max_tokens=min(wanted, context),
            # The smallest set that holds none of the probability is the likeliest token alone.
            temperature=temperature if top_p > 0 else 0.0,
            top_p=top_p if top_p > 0 else 1.0,
            seed=None if self.seed is None else (self.seed + index) % 2**63,
            stop=tuple(stop for stop in stops if stop),
            logprobs=bool(self.logprobs),
        )


def _inert(value: Any) -> bool:
    return any(value is each or value == each for each in _INERT)


def _unsupported(what: str, param: str = "") -> BadRequest:
    return BadRequest(f"{what} is not supported here.", "Leave it out.", param or what)


class TokenLogprob(BaseModel):
    """A token that was chosen, with its log-probability (nats)."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[Any] = []


class Logprobs(BaseModel):
    """The tokens of an answer."""

    content: list[TokenLogprob]


class Answer(BaseModel):
    """What the model said."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    """One of the answers."""

    index: int
    message: Answer
    logprobs: Logprobs | None = None
    finish_reason: str


class Tokens(BaseModel):
    """What a call cost."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(BaseModel):
    """The answer to a call; ``id`` is the trace, ``model_version`` what answered."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Tokens
    system_fingerprint: str
    model_version: str


class PieceDelta(BaseModel):
    """What a chunk adds to an answer."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    """What a chunk says about one of the answers."""

    index: int
    delta: PieceDelta
    logprobs: Logprobs | None = None
    finish_reason: str | None = None


class Chunk(BaseModel):
    """One event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Tokens | None = None
    system_fingerprint: str
    model_version: str


_STREAMED = {
    "content": {"text/event-stream": {"schema": {"type": "string", "description": "chunks, then [DONE]"}}},
    "headers": {"x-feilun-trace": {"schema": {"type": "string"}, "description": "the id of the trace"}},
}


@router.post("/v1/chat/completions", response_model=Completion, responses={200: _STREAMED})
async def create_chat_completion(given: ChatRequest, request: Request, here: Here, key: Viewer) -> Response:
    """Answer a conversation with the base, with the workspace's own model, or with any of its versions."""
    route = await here.answering.route(key.workspace, given.model)
    defaults = {**DEFAULTS, **route.version.meta.get("defaults", {})}
    context = here.settings.context
    wanted = [given.engine_request(route.version.id, defaults, context, index) for index in range(given.n or 1)]
    call = Call(here.answering, here.writer, key, route, wanted, learn=given.store is not False)
    headers = {"x-feilun-trace": call.id}
    pieces = call.pieces()
    if given.stream:
        # An error before the first piece is an HTTP error; only later ones have to be events.
        first = await unless_gone(request, anext(pieces))
        usage = given.stream_options is not None and given.stream_options.include_usage
        return EventStream(_events(call, first, pieces, usage=usage), headers)
    try:
        await unless_gone(request, _drain(pieces))
        await call.record()
    except FeilunError:
        await call.record("error")
        raise
    finally:
        await call.record("cancelled")
    choices = [
        Choice(
            index=index, message=Answer(content=said.text), logprobs=_logprobs(said.tokens), finish_reason=said.finish
        )
        for index, said in enumerate(call.said)
    ]
    body = Completion(**_common(call), choices=choices, usage=_tokens(call.usage()))
    return JSONResponse(body.model_dump(mode="json"), headers=headers)


async def _drain(pieces: AsyncGenerator[Piece, None]) -> None:
    async for _ in pieces:
        pass


async def _events(
    call: Call, first: Piece, pieces: AsyncGenerator[Piece, None], *, usage: bool
) -> AsyncGenerator[str, None]:
    def event(choices: list[ChunkChoice], cost: Usage | None = None) -> str:
        chunk = Chunk(**_common(call), choices=choices, usage=_tokens(cost) if cost else None)
        return f"data: {chunk.model_dump_json()}\n\n"

    def said(piece: Piece) -> str:
        found = _logprobs([(piece.text, piece.logprob)] if piece.logprob is not None else [])
        return event([ChunkChoice(index=piece.index, delta=PieceDelta(content=piece.text), logprobs=found)])

    try:
        for index in range(len(call.said)):
            yield event([ChunkChoice(index=index, delta=PieceDelta(role="assistant", content=""))])
        if first.text:
            yield said(first)
        async for piece in pieces:
            if piece.text or piece.logprob is not None:
                yield said(piece)
        await call.record()
        for index, one in enumerate(call.said):
            yield event([ChunkChoice(index=index, delta=PieceDelta(), finish_reason=one.finish)])
        if usage:
            yield event([], call.usage())
        yield "data: [DONE]\n\n"
    except FeilunError as error:
        await call.record("error")
        yield f"data: {ErrorEvent.model_validate(error.body()).model_dump_json()}\n\n"
    finally:
        await pieces.aclose()
        await call.record("cancelled")


class ErrorEvent(BaseModel):
    """The last event of a stream that failed."""

    error: ErrorDetail


def _common(call: Call) -> JSON:
    version = call.route.version.id
    return {
        "id": call.id,
        "created": int(call.created),
        "model": call.route.endpoint,
        "system_fingerprint": version,
        "model_version": version,
    }


def _logprobs(tokens: list[tuple[str, float]]) -> Logprobs | None:
    if not tokens:
        return None
    return Logprobs(
        content=[TokenLogprob(token=text, logprob=value, bytes=list(text.encode())) for text, value in tokens]
    )


def _tokens(usage: Usage) -> Tokens:
    total = usage.prompt_tokens + usage.completion_tokens
    return Tokens(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens, total_tokens=total)
