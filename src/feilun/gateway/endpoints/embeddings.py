"""``POST /v1/embeddings``: texts as vectors.

This module knows which inputs can be embedded. It does not know how vectors are made.
"""

from __future__ import annotations

from feilun.errors import BadRequest
from feilun.gateway.described import Described, decode
from feilun.gateway.hotpath.calls import read
from feilun.gateway.state import Gateway, HotHandler
from feilun.gateway.surface.answers import EmbeddingsAnswer
from feilun.gateway.surface.requests import EmbeddingsRequest
from feilun.records import JSON, Key
from feilun.wire import Exchange

PATH = "/v1/embeddings"
MOST_TEXTS = 2048


async def create_embeddings(here: Gateway, key: Key, exchange: Exchange) -> None:
    """Return a vector for every text."""
    body = to_call(decode(exchange.body, EmbeddingsRequest), here.settings.embedding)
    call = read(key, "embedding", PATH, body, exchange.headers, len(exchange.body))
    exchange.when_gone(lambda: here.hotpath.leave(call))
    raw, headers = await here.hotpath.answer(call)
    exchange.respond(200, raw, headers)


def to_call(request: EmbeddingsRequest, default: str) -> JSON:
    """Return the body that an engine is asked with; raise BadRequest for what cannot be embedded."""
    texts = request.input if isinstance(request.input, list) else [request.input]
    if not 0 < len(texts) <= MOST_TEXTS:
        raise BadRequest(f"An input has 1 to {MOST_TEXTS} texts.", param="input")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadRequest(f"input[{number}] is no text.", "Send texts rather than tokens.", f"input[{number}]")
        if not text:
            raise BadRequest(f"input[{number}] is empty.", param=f"input[{number}]")
    given = {"encoding_format": request.encoding_format, "dimensions": request.dimensions, "user": request.user}
    body: JSON = {"model": request.model or default, "input": request.input}
    return body | {name: value for name, value in given.items() if value is not None}


HOT: dict[tuple[str, str], HotHandler] = {("POST", PATH): create_embeddings}
DESCRIBED = [Described("POST", PATH, "Texts as vectors", EmbeddingsRequest, EmbeddingsAnswer, tag="embeddings")]
