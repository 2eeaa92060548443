"""Embeddings, ranking, moderation, files and batches with real models."""

from __future__ import annotations

import base64
import json
import struct
import threading
from typing import Any

import pytest
from tests.scenarios.service import BASE, EMBEDDING, Service, pieces, said

pytestmark = pytest.mark.model
TEXTS = [
    "The cat sleeps on the warm sofa.",
    "A kitten naps on the couch.",
    "一只猫在沙发上睡觉。",
    "Interest rates for mortgages rose again this year.",
    "今年住房贷款利率再次上升。",
]


def nearness(one: list[float], other: list[float]) -> float:
    """Return the cosine of two vectors of unit length."""
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_embeddings(client: Any) -> None:
    """Vectors are the same in both encodings, and what means the same is nearer, also between English and Chinese."""
    plain = await said(client.embeddings.create(model=EMBEDDING, input=TEXTS, encoding_format="float"))
    vectors = [row.embedding for row in plain.data]
    assert [row.index for row in plain.data] == list(range(5))
    assert plain.usage.prompt_tokens > 5
    cat, kitten, chinese_cat, rates, chinese_rates = vectors
    assert nearness(cat, cat) == pytest.approx(1, abs=1e-4)
    assert nearness(cat, kitten) > nearness(cat, rates)
    assert nearness(cat, chinese_cat) > nearness(cat, chinese_rates)
    assert nearness(rates, chinese_rates) > nearness(rates, chinese_cat)
    packed = await said(client.embeddings.create(model=EMBEDDING, input=TEXTS[0]))  # the client asks for base64
    assert packed.data[0].embedding == pytest.approx(cat, abs=1e-6)
    short = await said(client.embeddings.create(model=EMBEDDING, input=TEXTS[0], dimensions=64))
    assert len(short.data[0].embedding) == 64
    assert nearness(short.data[0].embedding, short.data[0].embedding) == pytest.approx(1, abs=1e-4)


def test_raw_base64(service: Service) -> None:
    """Base64 is of little-endian 32-bit floats."""
    body = {"model": EMBEDDING, "input": TEXTS[0], "encoding_format": "base64"}
    row = service.http().post("/v1/embeddings", json=body).json()["data"][0]["embedding"]
    raw = base64.b64decode(row)
    numbers = struct.unpack(f"<{len(raw) // 4}f", raw)
    assert nearness(list(numbers), list(numbers)) == pytest.approx(1, abs=1e-4)


def test_rerank(service: Service) -> None:
    """The documents that answer a question come first."""
    body = {"query": "Where does the cat sleep?", "documents": [TEXTS[3], TEXTS[0], TEXTS[4]], "top_n": 2}
    found = service.http().post("/v1/rerank", json={**body, "return_documents": True}).json()
    assert found["results"][0]["index"] == 1
    assert len(found["results"]) == 2
    assert found["results"][0]["document"]["text"] == TEXTS[0]
    assert found["results"][0]["relevance_score"] > found["results"][1]["relevance_score"]


async def test_moderations(client: Any) -> None:
    """What is harmless is not flagged; a threat is."""
    found = await said(client.moderations.create(input=["What a lovely day.", "I will kill you tonight."]))
    assert [result.flagged for result in found.results] == [False, True]
    assert found.results[1].categories.violence


async def test_files(client: Any) -> None:
    """A file is kept as it was, listed, and forgotten."""
    data = b'{"messages": []}\n'
    made = await said(client.files.create(file=("lines.jsonl", data), purpose="batch"))
    assert made.bytes == len(data)
    assert (await said(client.files.content(made.id))).content == data
    assert made.id in [each.id for each in await pieces(client.files.list())]
    assert (await said(client.files.delete(made.id))).deleted


async def test_batch(client: Any) -> None:
    """A batch is answered to its end: every line once, and the wrong one in the file of errors."""
    hello = {"model": BASE, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
    bodies = {"one": hello, "two": {**hello, "max_tokens": 3}, "bad": {**hello, "temperature": -1}}
    lines = [
        {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
        for name, body in bodies.items()
    ]
    text = "\n".join(map(json.dumps, lines)).encode()
    source = await said(client.files.create(file=("batch.jsonl", text), purpose="batch"))
    wanted = {"input_file_id": source.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = await said(client.batches.create(**wanted))
    while batch.status not in {"completed", "failed", "expired", "cancelled"}:
        threading.Event().wait(0.1)
        batch = await said(client.batches.retrieve(batch.id))
    assert batch.status == "completed"
    assert (batch.request_counts.completed, batch.request_counts.failed) == (2, 1)
    answered = [json.loads(line) for line in (await said(client.files.content(batch.output_file_id))).text.splitlines()]
    assert {line["custom_id"] for line in answered} == {"one", "two"}
    assert all(line["response"]["body"]["choices"][0]["message"]["content"] for line in answered)
    failed = [json.loads(line) for line in (await said(client.files.content(batch.error_file_id))).text.splitlines()]
    assert [line["custom_id"] for line in failed] == ["bad"]
