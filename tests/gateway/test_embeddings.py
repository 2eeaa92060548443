"""Embeddings and reranking through clients: shapes, order, and inputs that are refused."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import numpy as np
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.gateway.endpoints.rerank import ranked
from feilun.gateway.surface.requests import RerankRequest

MODEL = "multilingual-e5-small"
TEXTS = ["The fee is ten francs.", "Cats sleep all day.", "A bank opens at nine."]


def test_texts_become_vectors_in_order(client: openai.OpenAI) -> None:
    """Every text has its vector, whatever the encoding; usage is counted."""
    together = client.embeddings.create(model=MODEL, input=TEXTS)  # base64, which the client reads
    assert [item.index for item in together.data] == [0, 1, 2]
    alone = client.embeddings.create(model=MODEL, input=TEXTS[1], encoding_format="float")
    assert together.data[1].embedding == pytest.approx(alone.data[0].embedding, abs=1e-3)
    assert together.usage.prompt_tokens > alone.usage.prompt_tokens > 0


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ""}, "input[0]"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [1, 2, 3]}, "input[0]"),
        ({"input": ["x"] * 2049}, "input"),
        ({"input": "x", "dimensions": 0}, "dimensions"),
        ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_what_cannot_be_embedded_is_refused(client: openai.OpenAI, gateway: Any, wrong: dict, param: str) -> None:
    """Empty inputs, tokens, too many texts and unknown options are client errors with their place."""
    http: httpx.Client = gateway.http(client.api_key)
    answer = http.post("/v1/embeddings", json={"model": MODEL, **wrong})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_documents_are_ranked_by_a_query(client: openai.OpenAI, gateway: Any) -> None:
    """The nearest document is first, indexes are those of the request, and only as many come as were asked for."""
    http: httpx.Client = gateway.http(client.api_key)
    documents = [TEXTS[1], {"text": TEXTS[0]}, TEXTS[2]]
    asked = {"model": MODEL, "query": TEXTS[0], "documents": documents, "top_n": 2, "return_documents": True}
    answer = http.post("/v1/rerank", json=asked)
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert len(results) == 2
    assert results[0]["relevance_score"] >= results[1]["relevance_score"]
    texts = [TEXTS[1], TEXTS[0], TEXTS[2]]
    assert all(result["document"] == {"text": texts[result["index"]]} for result in results)
    assert answer.json()["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"documents": []}, "documents"),
        ({"documents": [{"title": "x"}]}, "documents[0]"),
        ({"documents": ["a", ""]}, "documents[1]"),
        ({"query": ""}, "query"),
        ({"top_n": 0}, "top_n"),
    ],
)
def test_what_cannot_be_ranked_is_refused(client: openai.OpenAI, gateway: Any, wrong: dict, param: str) -> None:
    """Documents without text, and empty queries, are client errors with their place."""
    http: httpx.Client = gateway.http(client.api_key)
    answer = http.post("/v1/rerank", json={"model": MODEL, "query": "q", "documents": ["a"], **wrong})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


NUMBERS = st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3)


@given(st.lists(NUMBERS, min_size=1, max_size=6), NUMBERS, st.integers(1, 8))
def test_ranks_follow_cosines(documents: list[list[float]], query: list[float], most: int) -> None:
    """Whatever vectors: scores fall, lie from 0 to 1, every document comes at most once, and zeros are no error."""
    given_request = {"query": "q", "documents": ["d"] * len(documents), "top_n": most}
    found = ranked(np.array(query), np.array(documents), msgspec.convert(given_request, RerankRequest))
    scores = [one.relevance_score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert len({one.index for one in found}) == len(found) == min(most, len(documents))
