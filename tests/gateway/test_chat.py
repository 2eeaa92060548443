"""Chat through the official client: answers, streams, limits, refusals, and what every call leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from feilun.store import lineage, traces

BASE = "smollm2-135m-instruct"
ASK = [{"role": "user", "content": "What is the fee? 费用是多少？"}]


def test_an_answer_names_its_trace_and_the_trace_is_safe(client: openai.OpenAI, gateway: Any) -> None:
    """The id of an answer is the id of a trace that holds question, answer and usage."""
    answer = client.chat.completions.create(model=BASE, messages=ASK)
    gateway.flush()
    trace = traces.get(gateway.db, "bank", answer.id)
    assert trace.answer == answer.choices[0].message.content == "You said: What is the fee? 费用是多少？"
    assert trace.messages == ({"role": "user", "content": ASK[0]["content"]},)
    assert (trace.usage.prompt_tokens, trace.usage.completion_tokens) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert trace.permissions.train
    assert [edge.parent for edge in lineage.ancestors(gateway.db, "bank", answer.id)] == [trace.model]


def test_a_stream_says_the_same_and_ends_after_its_trace(client: openai.OpenAI, gateway: Any) -> None:
    """Streamed pieces add up to the answer; the usage chunk is last and the trace is there by then."""
    whole = client.chat.completions.create(model=BASE, messages=ASK)
    chunks = list(
        client.chat.completions.create(model=BASE, messages=ASK, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    gateway.flush()
    assert traces.get(gateway.db, "bank", chunks[0].id).answer == text


def test_leaving_a_stream_stops_the_engine_and_keeps_what_it_cost(
    client: openai.OpenAI, gateway: Any, wait: Callable[[Callable[[], object]], None]
) -> None:
    """A client that leaves has its trace all the same, with the tokens that it had."""
    gateway.engine.pause = 0.02
    stream = client.chat.completions.create(
        model=BASE, messages=[{"role": "user", "content": "word " * 1000}], stream=True
    )
    seen = [next(iter(stream)) for _ in range(5)]
    stream.close()
    gateway.flush()
    wait(lambda: traces.find(gateway.db, "bank"))
    gateway.flush()
    trace = traces.get(gateway.db, "bank", seen[0].id)
    assert trace.finish == "cancelled"
    assert 0 < trace.usage.completion_tokens < 900
    assert trace.answer.startswith("You said: word")


def test_several_answers_cost_their_prompt_once(client: openai.OpenAI, gateway: Any) -> None:
    """``n`` answers have a trace each; usage counts the prompt once and every answer."""
    one = client.chat.completions.create(model=BASE, messages=ASK)
    three = client.chat.completions.create(model=BASE, messages=ASK, n=3)
    assert len(three.choices) == 3
    assert three.usage.prompt_tokens == one.usage.prompt_tokens
    assert three.usage.completion_tokens == 3 * one.usage.completion_tokens
    gateway.flush()
    kept = [trace for trace in traces.find(gateway.db, "bank") if trace.id.startswith(three.id)]
    assert sum(trace.usage.prompt_tokens for trace in kept) == three.usage.prompt_tokens
    assert sum(trace.usage.completion_tokens for trace in kept) == three.usage.completion_tokens


def test_options_reach_the_engine(client: openai.OpenAI, gateway: Any) -> None:
    """Limits, stops, log-probabilities, parts of text and ``store`` do what they say."""
    short = client.chat.completions.create(model=BASE, messages=ASK, max_tokens=2)
    assert (short.choices[0].message.content, short.choices[0].finish_reason) == ("You said:", "length")
    stopped = client.chat.completions.create(model=BASE, messages=ASK, stop=["fee"])
    assert stopped.choices[0].message.content == "You said: What is the "
    likely = client.chat.completions.create(model=BASE, messages=ASK, logprobs=True)
    assert [each.token for each in likely.choices[0].logprobs.content][:2] == ["You", " said:"]
    parts = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    assert client.chat.completions.create(model=BASE, messages=parts).choices[0].message.content == "You said: a\nb"
    private = client.chat.completions.create(model=BASE, messages=ASK, store=False)
    gateway.flush()
    assert not traces.get(gateway.db, "bank", private.id).permissions.train


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"model": "gpt-9"}, "model_not_found"),
        ({"model": "own"}, "model_not_found"),
        ({"tools": [{"type": "retrieval"}]}, "invalid_request"),
        ({"response_format": {"type": "xml"}}, "invalid_request"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "invalid_request",
        ),
        ({"messages": []}, "invalid_request"),
        ({"temperature": 3}, "invalid_request"),
        ({"n": 9}, "invalid_request"),
        ({"max_tokens": -1}, "invalid_request"),
        ({"messages": [{"role": "user", "content": "word " * 3000}]}, "context_length_exceeded"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_reason(client: openai.OpenAI, wrong: dict, code: str) -> None:
    """Unknown models, unsupported behaviour and wrong numbers are client errors with a stable code, streaming too."""
    for stream in (False, True):
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(**{"model": BASE, "messages": ASK, "stream": stream, **wrong})
        assert caught.value.status_code in {400, 404}
        assert caught.value.code == code
        assert caught.value.type == "invalid_request_error"


def test_a_crash_in_the_middle_is_told_and_the_next_call_works(client: openai.OpenAI, gateway: Any) -> None:
    """A stream ends with an error event, a plain call with 503; both leave a trace; then all is well again."""
    gateway.engine.crash_after = 2
    with pytest.raises(openai.APIError, match="engine stopped"):
        list(client.chat.completions.create(model=BASE, messages=ASK, stream=True))
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=BASE, messages=ASK)
    assert (caught.value.status_code, caught.value.code) == (503, "engine_down")
    gateway.flush()
    assert {trace.finish for trace in traces.find(gateway.db, "bank")} == {"error"}
    gateway.engine.crash_after = None
    assert client.chat.completions.create(model=BASE, messages=ASK).choices[0].finish_reason == "stop"


def test_the_base_is_listed_and_found_by_its_name(client: openai.OpenAI) -> None:
    """Without a promotion there is the base and nothing else."""
    listed = client.models.list().data
    assert [(model.id, model.kind) for model in listed] == [(BASE, "base")]
    assert client.models.retrieve(BASE).model_version == listed[0].model_version
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("own")
