"""``POST /v1/rerank``: documents in the order in which they answer a query, by the nearness of their vectors.

This module knows the shape that Jina's and Cohere's clients use. It does not know how vectors are made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import numpy as np

from feilun.errors import BadRequest, UpstreamError
from feilun.gateway.described import Described, decode
from feilun.gateway.state import Gateway, HotHandler
from feilun.gateway.surface.answers import EmbeddingUsage, Ranked, RerankAnswer
from feilun.gateway.surface.events import end_with_client
from feilun.gateway.surface.requests import RerankRequest
from feilun.records import JSON, Key, new_id
from feilun.wire import Exchange

PATH = "/v1/rerank"
_encode = msgspec.json.Encoder().encode


async def create_rerank(here: Gateway, key: Key, exchange: Exchange) -> None:
    """Rank documents by how near they are to a query."""
    request = decode(exchange.body, RerankRequest)
    end_with_client(exchange)
    texts = texts_of(request)
    model = request.model or here.settings.embedding

    async def embed(given: list[str], query: bool) -> JSON:
        body: JSON = {"model": model, "input": given, "encoding_format": "float", "feilun": {"query": query}}
        return await here.hotpath.post(key, "/v1/embeddings", body, kind="embedding", headers=exchange.headers)

    asked, found = await asyncio.gather(embed([request.query], True), embed(texts, False))
    vectors = [_vectors(answer, count) for answer, count in ((asked, 1), (found, len(texts)))]
    results = ranked(vectors[0][0], vectors[1], request)
    tokens = sum(int((answer.get("usage") or {}).get("prompt_tokens") or 0) for answer in (asked, found))
    answer = RerankAnswer(new_id("rerank"), model, results, EmbeddingUsage(tokens, tokens))
    exchange.respond(200, _encode(answer))


def texts_of(request: RerankRequest) -> list[str]:
    """Return the texts of the documents; raise BadRequest."""
    texts = []
    for number, document in enumerate(request.documents):
        text = document if isinstance(document, str) else document.get("text")
        if not isinstance(text, str) or not text:
            place = f"documents[{number}]"
            raise BadRequest(f"{place} has no text.", 'Send a text, or {"text": …}.', place)
        texts.append(text)
    return texts


def _vectors(answer: JSON, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    try:
        items = sorted(answer["data"], key=lambda item: int(item["index"]))
        found = np.array([item["embedding"] for item in items], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise UpstreamError("The embedding model answered without vectors.", "Try again in a moment.") from error
    if found.ndim != 2 or len(found) != count:
        raise UpstreamError("The embedding model answered with another number of vectors.", "Try again in a moment.")
    return found


def ranked(
    query: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    documents: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    request: RerankRequest,
) -> list[Ranked]:
    """Return the documents nearest first, those of one score in their order; scores are cosines, at least 0."""
    lengths = np.linalg.norm(documents, axis=1) * np.linalg.norm(query)
    scores = np.divide(documents @ query, lengths, out=np.zeros(len(documents)), where=lengths > 0)
    order: Sequence[int] = np.argsort(-scores, kind="stable").tolist()
    texts = texts_of(request)
    return [
        Ranked(
            index,
            round(float(min(1.0, max(0.0, scores[index]))), 6),
            {"text": texts[index]} if request.return_documents else None,
        )
        for index in order[: request.top_n]
    ]


HOT: dict[tuple[str, str], HotHandler] = {("POST", PATH): create_rerank}
DESCRIBED = [Described("POST", PATH, "Rank documents by a query", RerankRequest, RerankAnswer, tag="embeddings")]
