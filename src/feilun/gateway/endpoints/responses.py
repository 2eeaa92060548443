"""``/v1/responses``: answers that are kept, so that the next call can go on from them by their id.

This module knows how stored responses and calls to models belong together. It does not know the shapes of either: the
translators do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from feilun.errors import BadRequest, ContextTooLong, FeilunError, NotFound
from feilun.gateway.described import Described, decode
from feilun.gateway.door import StrictRoute, Viewer
from feilun.gateway.hotpath import Hotpath
from feilun.gateway.shapes import Deleted, Page, cut, page
from feilun.gateway.state import Gateway, Here, HotHandler
from feilun.gateway.surface import items, responses
from feilun.gateway.surface.answers import InputTokens, ResponseAnswer
from feilun.gateway.surface.events import end_with_client, event_stream
from feilun.gateway.surface.requests import ResponsesRequest
from feilun.gateway.surface.response_stream import ResponseStream
from feilun.records import JSON, Key
from feilun.store import Database
from feilun.store.calls import responses as stored
from feilun.store.calls.responses import StoredResponse
from feilun.wire import Exchange

Headers = Mapping[bytes, bytes]
router = APIRouter(prefix="/v1/responses", tags=["responses"], route_class=StrictRoute)
_encode = msgspec.json.Encoder().encode
_HINT = "Responses made with store: false, or of another workspace, cannot be found."


async def create_response(here: Gateway, key: Key, exchange: Exchange) -> None:
    """Answer an input, and what came before it."""
    request = decode(exchange.body, ResponsesRequest)
    end_with_client(exchange)
    if request.stream:
        await _stream(here, key, request, exchange)
        return
    answer = await respond(here.hotpath, here.db, key, request, exchange.headers)
    exchange.respond(200, _encode(answer), _traced(answer["id"]))


async def respond(hotpath: Hotpath, db: Database, key: Key, request: ResponsesRequest, headers: Headers) -> JSON:
    """Return the whole response to a request, kept if it is to be; raise FeilunError."""
    said = await _conversation(db, key.workspace, request)
    body = _chat(request, said)
    while True:
        try:
            answer = responses.from_chat(request, await hotpath.chat(key, body, kind="response", headers=headers))
            break
        except FeilunError as error:
            body = _shorter(request, body, error)
    await _keep(db, key.workspace, said, answer)
    return answer


async def _stream(here: Gateway, key: Key, request: ResponsesRequest, exchange: Exchange) -> None:
    said = await _conversation(here.db, key.workspace, request)
    first, chunks = await _begin(here.hotpath, key, request, _chat(request, said), exchange.headers)
    stream = ResponseStream(request, first)
    try:
        exchange.start(200, [(b"cache-control", b"no-cache"), *_traced(stream.response["id"])])
        exchange.write(event_stream([*stream.begin(), *stream.feed(first)]))
        try:
            async for chunk in chunks:
                exchange.write(event_stream(stream.feed(chunk)))
                await exchange.drain()
            *events, last = stream.finish()
            exchange.write(event_stream(events))
            await _keep(here.db, key.workspace, said, stream.response)
            exchange.write(event_stream([last]))
        except FeilunError as error:
            exchange.write(event_stream(stream.fail(error)))
        exchange.end()
    finally:
        await chunks.aclose()


async def _begin(
    hotpath: Hotpath, key: Key, request: ResponsesRequest, body: JSON, headers: Headers
) -> tuple[JSON, AsyncGenerator[JSON, None]]:
    while True:
        chunks = hotpath.events(key, body, kind="response", headers=headers)
        try:
            return await anext(chunks), chunks
        except FeilunError as error:
            await chunks.aclose()
            body = _shorter(request, body, error)
        except BaseException:
            await chunks.aclose()
            raise


def _chat(request: ResponsesRequest, said: list[JSON]) -> JSON:
    body = responses.to_chat(request, said)
    ours = {name: value for name, value in (request.metadata or {}).items() if name.startswith("feilun_")}
    return body | {"metadata": ours} if ours else body


def _shorter(request: ResponsesRequest, body: JSON, error: FeilunError) -> JSON:
    """Return the call without its oldest messages, if that is wanted and helps; else raise the error."""
    messages = items.without_oldest(body["messages"])
    fits = error.code != ContextTooLong.code or len(messages) == len(body["messages"])
    if request.truncation != "auto" or fits:
        raise error
    return {**body, "messages": messages}


async def _conversation(db: Database, ws: str, request: ResponsesRequest) -> list[JSON]:
    """Return all items that are to be answered, those of earlier responses first; raise BadRequest, NotFound."""
    responses.check(request)
    given = items.completed(request.input)
    before: list[JSON] = []
    if request.previous_response_id:
        earlier = await _stored(db, ws, request.previous_response_id, "previous_response_id")
        before = list(earlier.messages)
    found = [*before, *[await _resolved(db, ws, item, before) for item in given]]
    items.check_calls(found)
    return found


async def _resolved(db: Database, ws: str, item: JSON, before: list[JSON]) -> JSON:
    if item["type"] != "item_reference":
        return item
    wanted = item["id"]
    try:
        among = (await asyncio.to_thread(stored.get, db, ws, items.owner(wanted))).messages
    except NotFound:
        among = tuple(before)
    for one in among:
        if one["id"] == wanted:
            return one
    raise NotFound(f"There is no item {wanted[:100]!r}.", _HINT, "input")


async def _stored(db: Database, ws: str, response_id: str, param: str | None = None) -> StoredResponse:
    try:
        return await asyncio.to_thread(stored.get, db, ws, response_id)
    except NotFound as error:
        raise NotFound(f"There is no response {response_id[:100]!r}.", _HINT, param) from error


async def _keep(db: Database, ws: str, said: list[JSON], answer: JSON) -> None:
    if not answer["store"]:
        return
    conversation = (*items.numbered(said, answer["id"]), *answer["output"])
    kept = StoredResponse(answer["id"], ws, answer, conversation, answer["previous_response_id"] or "")
    await asyncio.to_thread(stored.add, db, kept)


def _traced(response_id: str) -> list[tuple[bytes, bytes]]:
    trace = f"trace-{items.tail(response_id)}".encode()
    return [(b"x-feilun-trace", trace), (b"x-request-id", trace)]


async def count_input_tokens(here: Gateway, key: Key, exchange: Exchange) -> None:
    """Count the tokens of an input, as the engine counts them."""
    request = decode(exchange.body, ResponsesRequest)
    said = await _conversation(here.db, key.workspace, request)
    body = _chat(request, said)
    found = await here.hotpath.post(key, "/tokenize", body, kind="tokenize", headers=exchange.headers)
    exchange.respond(200, _encode(InputTokens(int(found["tokens"]))))


class StoredBody(BaseModel):
    """A response as it was given."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["response"]
    status: str
    output: list[dict[str, Any]]


class InputItem(BaseModel):
    """An item of an input."""

    model_config = ConfigDict(extra="allow")

    id: str
    type: str


@router.get("/{response_id}", response_model=StoredBody)
async def retrieve_response(response_id: str, here: Here, key: Viewer, stream: bool = False) -> Response:
    """Return a stored response."""
    if stream:
        raise BadRequest("A stored response cannot be streamed again.", "Leave stream out.", "stream")
    return JSONResponse((await _stored(here.db, key.workspace, response_id)).body)


@router.delete("/{response_id}")
async def delete_response(response_id: str, here: Here, key: Viewer) -> Deleted:
    """Forget a response; those that went on from it keep their conversation."""
    await _stored(here.db, key.workspace, response_id)
    await asyncio.to_thread(stored.delete, here.db, key.workspace, response_id)
    return Deleted(id=response_id, object="response")


@router.get("/{response_id}/input_items")
async def list_input_items(
    response_id: str,
    here: Here,
    key: Viewer,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> Page[InputItem]:
    """List what a response answered, with what came before it."""
    found = await _stored(here.db, key.workspace, response_id)
    given = found.messages[: len(found.messages) - len(found.body["output"])]
    listed = [InputItem.model_validate(item) for item in given]
    shown, more = cut(listed if order == "asc" else listed[::-1], after, limit)
    return Page[InputItem](**page(shown, more))


@router.post("/{response_id}/cancel", response_model=StoredBody)
async def cancel_response(response_id: str, here: Here, key: Viewer) -> Response:
    """Refuse: only responses in the background can be cancelled, and those are not served here."""
    await _stored(here.db, key.workspace, response_id)
    raise BadRequest("Only responses in the background can be cancelled.", "Leave the stream to stop one.")


HOT: dict[tuple[str, str], HotHandler] = {
    ("POST", "/v1/responses"): create_response,
    ("POST", "/v1/responses/input_tokens"): count_input_tokens,
}
DESCRIBED = [
    Described(
        "POST",
        "/v1/responses",
        "Answer an input, and keep the answer for the next",
        ResponsesRequest,
        ResponseAnswer,
        streams=True,
        tag="responses",
    ),
    Described(
        "POST",
        "/v1/responses/input_tokens",
        "Count the tokens of an input",
        ResponsesRequest,
        InputTokens,
        tag="responses",
    ),
]
