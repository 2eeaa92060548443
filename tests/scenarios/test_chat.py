"""Chats and completions by OpenAI's own clients against the embedded model."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.scenarios.service import BASE, pieces, said, whole

pytestmark = pytest.mark.model
PARIS: Any = [{"role": "user", "content": "What is the capital of France?"}]
COUNT: Any = [{"role": "user", "content": "Count from one to twenty in words, with commas."}]


async def test_whole(client: Any) -> None:
    """A whole answer is right, ended for a reason, and counted."""
    answer = await said(client.chat.completions.create(model=BASE, messages=PARIS, max_tokens=16, temperature=0))
    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason in {"stop", "length"}
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert 0 < answer.usage.completion_tokens <= 16
    assert answer.model == BASE
    assert answer.object == "chat.completion"


async def test_streamed(client: Any) -> None:
    """A streamed answer is the whole one in pieces; its usage comes last, for those who ask."""
    wanted: dict[str, Any] = {"model": BASE, "messages": PARIS, "max_tokens": 12, "temperature": 0}
    answer = await said(client.chat.completions.create(**wanted))
    options = {"include_usage": True}
    chunks = await pieces(client.chat.completions.create(**wanted, stream=True, stream_options=options))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == answer.choices[0].message.content
    assert len(chunks) > 5
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == answer.usage.completion_tokens
    assert chunks[-2].choices[0].finish_reason == answer.choices[0].finish_reason
    plain = await pieces(client.chat.completions.create(**wanted, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in plain)
    assert len({chunk.id for chunk in plain}) == 1


async def test_stream_helper(client: Any) -> None:
    """The client's own helper puts a stream together."""
    manager = client.chat.completions.stream(model=BASE, messages=PARIS, max_tokens=12, temperature=0)
    events, final = await whole(manager, lambda stream: stream.get_final_completion())
    assert "Paris" in final.choices[0].message.content
    assert {"chunk", "content.delta"} <= {event.type for event in events}


async def test_several_choices_are_reproducible(client: Any) -> None:
    """The choices of one call differ, and the same seed brings them again; another one brings others."""
    wanted: dict[str, Any] = {"model": BASE, "messages": COUNT, "max_tokens": 12, "temperature": 1.5, "n": 3}

    async def ask(seed: int) -> list[str]:
        answer = await said(client.chat.completions.create(**wanted, seed=seed))
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        return [choice.message.content for choice in answer.choices]

    first = await ask(7)
    assert len(set(first)) > 1
    assert await ask(7) == first
    assert await ask(8) != first


async def test_stop_ends_before_its_text(client: Any) -> None:
    """A stop text ends the answer and is not part of it; the answer says which of them it was."""
    wanted: dict[str, Any] = {"model": BASE, "messages": PARIS, "max_tokens": 16, "temperature": 0}
    stopped = await said(client.chat.completions.create(**wanted, stop=["never said", "France"]))
    assert stopped.choices[0].finish_reason == "stop"
    assert "France" not in stopped.choices[0].message.content
    assert stopped.choices[0].stop_reason == "France"
    chunks = await pieces(client.chat.completions.create(**wanted, stop="France", stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == stopped.choices[0].message.content
    assert chunks[-1].choices[0].stop_reason == "France"


async def test_logprobs(client: Any) -> None:
    """Every token has its log-probability and its likeliest rivals, whole and streamed alike."""
    wanted: dict[str, Any] = {"model": BASE, "messages": PARIS, "max_tokens": 8, "temperature": 0}
    asked = {**wanted, "logprobs": True, "top_logprobs": 3}
    answer = await said(client.chat.completions.create(**asked))
    rows = answer.choices[0].logprobs.content
    assert "".join(row.token for row in rows).startswith(answer.choices[0].message.content)
    for row in rows:
        assert row.logprob <= 0
        assert len(row.top_logprobs) == 3
        assert row.top_logprobs[0].token == row.token
        assert math.isclose(row.top_logprobs[0].logprob, row.logprob, abs_tol=1e-6)
        assert sum(math.exp(each.logprob) for each in row.top_logprobs) <= 1 + 1e-6
    chunks = await pieces(client.chat.completions.create(**asked, stream=True))
    streamed = [row for chunk in chunks if chunk.choices[0].logprobs for row in chunk.choices[0].logprobs.content]
    assert [row.token for row in streamed] == [row.token for row in rows]


async def test_penalties_and_bias(client: Any) -> None:
    """A token that is forbidden by its bias is not said; a token that is wished for is said at once."""
    wanted: dict[str, Any] = {"model": BASE, "messages": PARIS, "max_tokens": 8, "temperature": 0}
    plain = await said(client.chat.completions.create(**wanted, logprobs=True))
    bias = {"260": 91, "253": 90}
    forced = await said(client.chat.completions.create(**wanted, logit_bias=bias))
    assert forced.choices[0].message.content != plain.choices[0].message.content
    assert len(set(forced.choices[0].message.content.split())) == 1
    varied = await said(client.chat.completions.create(**wanted, logit_bias=bias, frequency_penalty=2))
    assert len(set(varied.choices[0].message.content.split())) == 2


async def test_conversation(client: Any) -> None:
    """Later turns and instructions of developers are part of what the model sees."""
    messages: Any = [
        {"role": "developer", "content": "You are brief."},
        {"role": "user", "content": [{"type": "text", "text": "My cat is called Miso."}]},
        {"role": "assistant", "content": "Nice."},
        {"role": "user", "content": "What is my cat called?"},
    ]
    answer = await said(client.chat.completions.create(model=BASE, messages=messages, max_tokens=16, temperature=0))
    assert "Miso" in answer.choices[0].message.content


async def test_completions(client: Any) -> None:
    """A text is continued, several at once too, echoed if asked for, and streamed."""
    wanted: dict[str, Any] = {"model": BASE, "max_tokens": 4, "temperature": 0}
    prompts = ["The capital of France is", "One, two, three,"]
    answer = await said(client.completions.create(prompt=prompts, echo=True, **wanted))
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[0].text.startswith(prompts[0])
    assert "Paris" in answer.choices[0].text
    assert "four" in answer.choices[1].text
    rows = (await said(client.completions.create(prompt=prompts[0], logprobs=2, **wanted))).choices[0].logprobs
    assert prompts[0] + "".join(rows.tokens) == answer.choices[0].text
    assert [len(row) for row in rows.top_logprobs] == [2, 2, 2, 2]
    chunks = await pieces(client.completions.create(prompt=prompts[0], stream=True, **wanted))
    streamed = "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
    assert prompts[0] + streamed == answer.choices[0].text


async def test_models(client: Any) -> None:
    """Models are listed, and each is found by its name."""
    names = [model.id for model in await pieces(client.models.list())]
    assert BASE in names
    assert (await said(client.models.retrieve(BASE))).id == BASE
