"""Batches through the official client: upload, run, files, counts, cancelling, and other workspaces."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

BASE = "smollm2-135m-instruct"
CHAT = "/v1/chat/completions"


def upload(client: openai.OpenAI, *lines: dict) -> str:
    """Upload an input file; return its id."""
    data = "\n".join(json.dumps(line) for line in lines).encode()
    return client.files.create(file=("in.jsonl", data), purpose="batch").id


def line(custom_id: str, url: str = CHAT, **body: Any) -> dict:
    """Return a request."""
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": {"model": BASE, **body}}


def ended(client: openai.OpenAI, batch_id: str, wait: Callable[..., None]) -> Any:
    """Wait until a batch has ended; return it."""
    wait(lambda: client.batches.retrieve(batch_id).status in {"completed", "failed", "cancelled", "expired"})
    return client.batches.retrieve(batch_id)


def read(client: openai.OpenAI, file_id: str) -> dict[str, Any]:
    """Return the lines of a file by their custom ids."""
    lines = client.files.content(file_id).text.splitlines()
    return {each["custom_id"]: each for each in map(json.loads, lines)}


def test_a_batch_answers_what_single_calls_answer(client: openai.OpenAI, wait: Callable[..., None]) -> None:
    """Every line is answered as chat answers it; wrong ones are in the error file; counts and times are told."""
    asked = [[{"role": "user", "content": f"question {number}"}] for number in range(3)]
    lines = [line(f"q{number}", messages=messages) for number, messages in enumerate(asked)]
    file_id = upload(client, *lines, line("bad", model="gpt-9", messages=asked[0]))
    batch = client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h", metadata={"a": "b"})
    assert batch.status in {"validating", "in_progress"}
    batch = ended(client, batch.id, wait)
    assert (batch.status, batch.metadata, batch.expires_at - batch.created_at) == ("completed", {"a": "b"}, 86400)
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (4, 3, 1)
    assert batch.created_at <= batch.in_progress_at <= batch.finalizing_at <= batch.completed_at
    good = read(client, batch.output_file_id)
    for number, messages in enumerate(asked):
        body = good[f"q{number}"]["response"]["body"]
        single = client.chat.completions.create(model=BASE, messages=messages)
        assert body["choices"][0]["message"]["content"] == single.choices[0].message.content
    bad = read(client, batch.error_file_id)
    assert bad["bad"]["response"]["status_code"] == 404
    assert batch.usage.total_tokens == sum(each["response"]["body"]["usage"]["total_tokens"] for each in good.values())
    assert client.files.retrieve(batch.output_file_id).purpose == "batch_output"
    assert [each.id for each in client.batches.list(limit=1).data] == [batch.id]


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("/v1/responses", {"input": "hello"}),
        ("/v1/moderations", {"input": "hello"}),
        ("/v1/embeddings", {"input": "hello", "model": "multilingual-e5-small"}),
        ("/v1/completions", {"prompt": "hello"}),
    ],
)
def test_other_endpoints_are_answered_too(
    client: openai.OpenAI, wait: Callable[..., None], url: Any, body: dict
) -> None:
    """Responses, moderations, embeddings and completions can be asked in batches."""
    file_id = upload(client, line("one", url, **body))
    batch = client.batches.create(input_file_id=file_id, endpoint=url, completion_window="24h")
    batch = ended(client, batch.id, wait)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    assert read(client, batch.output_file_id)["one"]["response"]["status_code"] == 200


def test_a_file_that_is_no_batch_fails_with_its_reason(client: openai.OpenAI, wait: Callable[..., None]) -> None:
    """A custom_id that comes twice fails the batch; a file of another purpose is refused at once."""
    twice = upload(client, line("same", messages=[]), line("same", messages=[]))
    batch = client.batches.create(input_file_id=twice, endpoint=CHAT, completion_window="24h")
    batch = ended(client, batch.id, wait)
    assert (batch.status, batch.errors.data[0].code) == ("failed", "duplicate_custom_id")
    other = client.files.create(file=("a.txt", b"x"), purpose="user_data")
    for file_id in (other.id, "file-none"):
        with pytest.raises(openai.APIStatusError) as caught:
            client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")
        assert caught.value.param == "input_file_id"


def test_a_batch_can_be_cancelled(client: openai.OpenAI, gateway: Any, wait: Callable[..., None]) -> None:
    """A cancelled batch ends soon and says when; one that has ended cannot be cancelled any more."""
    gateway.engine.pause = 0.05
    lines = [line(f"q{n}", messages=[{"role": "user", "content": "word " * 200}]) for n in range(40)]
    batch = client.batches.create(input_file_id=upload(client, *lines), endpoint=CHAT, completion_window="24h")
    wait(lambda: client.batches.retrieve(batch.id).status == "in_progress")
    assert client.batches.cancel(batch.id).cancelling_at is not None
    gateway.engine.pause = 0.0
    assert ended(client, batch.id, wait).cancelled_at is not None
    done = client.batches.create(
        input_file_id=upload(client, line("one", messages=[{"role": "user", "content": "x"}])),
        endpoint=CHAT,
        completion_window="24h",
    )
    ended(client, done.id, wait)
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(done.id)


def test_another_workspace_sees_no_batch(client: openai.OpenAI, gateway: Any, wait: Callable[..., None]) -> None:
    """Batches, and the files they wrote, are there for their workspace only."""
    file_id = upload(client, line("one", messages=[{"role": "user", "content": "x"}]))
    batch = client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")
    batch = ended(client, batch.id, wait)
    other = gateway.openai(gateway.key("shop"))
    for attempt in (
        lambda: other.batches.retrieve(batch.id),
        lambda: other.batches.cancel(batch.id),
        lambda: other.files.content(batch.output_file_id),
        lambda: other.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h"),
    ):
        with pytest.raises(openai.NotFoundError):
            attempt()
    assert list(other.batches.list()) == []
