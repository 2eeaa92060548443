"""Calls to providers: relayed, retried, counted and settled, whatever the provider or the client does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import httpx
import openai
import pytest
from tests.gateway.hotpath.conftest import HI, House, ask

from feilun.gateway.hotpath.calls import MESSAGE_TOKENS, TEMPLATE_TOKENS
from feilun.records import Provider, Target, new_id
from feilun.store import traces
from feilun.store.access import providers


def test_a_whole_answer_passes_and_is_billed(house: House) -> None:
    """The answer is the provider's, its names are ours, its cost is exact."""
    house.route("help", "words")
    raw = house.client.chat.completions.with_raw_response.create(model="help", messages=HI)
    answer = raw.parse()
    assert answer.choices[0].message.content.startswith("one two")
    assert answer.model == "help"
    assert answer.id == raw.headers["x-feilun-trace"]
    assert house.used() == (1, 3, 10)
    trace = traces.get(house.gateway.db, "bank", answer.id)
    assert (trace.cost, trace.model, trace.finish) == (3 * 2 + 10 * 3, "out/words", "stop")
    assert house.outside.fake.counted.bodies[0]["model"] == "words"


def test_a_stream_passes_and_is_billed(house: House) -> None:
    """Pieces come as the provider sends them; usage comes only if it was asked for, and is kept anyway."""
    house.route("help", "words")
    chunks = list(ask(house, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks).startswith("one two")
    assert {c.model for c in chunks} == {"help"}
    assert all(c.usage is None for c in chunks)
    told = list(ask(house, stream=True, stream_options={"include_usage": True}))
    assert told[-1].usage.total_tokens == 13
    assert house.used() == (2, 6, 20)


def test_a_client_that_leaves_is_billed_to_the_last_token(house: House) -> None:
    """A stream that its client closes is read to its end, and what the provider counted is what is kept."""
    house.route("help", "words-long")
    house.outside.fake.pause = 0.005
    with httpx.stream(
        "POST",
        f"{house.gateway.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {house.secret}"},
        json={"model": "help", "messages": HI, "stream": True, "max_tokens": 60},
    ) as stream:
        next(stream.iter_lines())
    assert house.used() == (1, 3, 60)
    assert house.counted() == (3, 60)


def test_a_client_that_leaves_before_a_whole_answer_is_billed(house: House) -> None:
    """A provider's answer that nobody reads is waited for, billed to the token, and its trace says so."""
    house.route("help", "words-long")
    house.outside.fake.pause = 0.02
    left = house.client.with_options(timeout=0.1)
    with pytest.raises(openai.APITimeoutError):
        left.chat.completions.create(model="help", messages=HI, max_tokens=60)
    assert house.used() == (1, 3, 60) == (1, *house.counted())
    (trace,) = traces.find(house.gateway.db, "bank")
    assert (trace.finish, trace.cost) == ("cancelled", 3 * 2 + 60 * 3)
    assert b'feilun_calls_total{endpoint="help",status="cancelled"' in house.gateway.state.hotpath.metrics.text()


def test_an_engine_of_ours_is_stopped_when_its_client_leaves(gateway: Any) -> None:
    """It stops before the end of a whole answer, and what it had counted until then is the bill and the trace."""
    engine, http = gateway.engine, gateway.http(gateway.key())
    engine.pause = 0.01
    body = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "on and on " * 300}]}
    with pytest.raises(httpx.ReadTimeout):
        http.post("/v1/chat/completions", json=body, timeout=0.5)
    gateway.wait(lambda: engine.counts["calls"] and gateway.state.hotpath.metrics.running == 0)
    gateway.flush()
    (trace,) = traces.find(gateway.db, "bank")
    assert trace.finish == "cancelled"
    assert (trace.usage.prompt_tokens, trace.usage.completion_tokens) == (
        engine.counts["prompt_tokens"],
        engine.counts["completion_tokens"],
    )
    assert 0 < trace.usage.completion_tokens < 900
    account = gateway.state.hotpath.ledger.account(("bank", "workspace", "bank"))
    assert account.day_tokens == trace.usage.prompt_tokens + trace.usage.completion_tokens
    assert (account.tokens, account.concurrent) == (0, 0)


@pytest.mark.parametrize("retries", [0, 2])
def test_what_counts_and_cannot_be_used_is_billed_each_time(house: House, retries: int) -> None:
    """An answer without an answer costs what the provider says, also when the call is sent again and then fails."""
    house.route("help", "words-empty", retries=retries)
    with pytest.raises(openai.APIStatusError, match="without choices"):
        ask(house)
    calls = 1 + retries
    assert house.used() == (calls, 3 * calls, 10 * calls) == (calls, *house.counted())
    assert {trace.finish for trace in traces.find(house.gateway.db, "bank")} == {"error"}
    house.route("mixed", "words-empty", Target("words", "out", weight=0))
    assert ask(house, model="mixed").usage.total_tokens == 13
    calls += 2
    assert house.used() == (calls, *house.counted())
    account = house.gateway.state.hotpath.ledger.account(("bank", "workspace", "bank"))
    assert (account.day_tokens, account.tokens, account.concurrent) == (13 * calls, 0, 0)


def test_a_call_is_sent_again_only_if_the_budget_has_room_for_it_again(house: House) -> None:
    """What a failed target counted is spent: another is not asked where both together could be too much."""
    house.route("help", "words-empty", Target("words", "out", weight=0))
    body = json.dumps({"model": "help", "messages": HI, "max_tokens": 10})
    house.limit(tokens_per_day=len(body) + MESSAGE_TOKENS + TEMPLATE_TOKENS + 10 + 5)
    answer = house.gateway.http(house.secret).post("/v1/chat/completions", content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
    assert house.used() == (1, 3, 10)


def test_a_stream_that_breaks_off_is_billed_as_far_as_it_came(house: House) -> None:
    """The client gets an error event; the words that came are counted."""
    house.route("help", "words-die-3", retries=0)
    with pytest.raises(openai.APIError, match="broke off"):
        list(ask(house, stream=True))
    assert house.used() == (1, 0, 3)
    assert house.counted() == (0, 3)


@pytest.mark.parametrize("bad", ["words-500", "words-garbage", "words-redirect", "words-503", "words-429"])
def test_what_fails_before_it_answers_is_tried_elsewhere(house: House, bad: str) -> None:
    """A second target takes the call, streamed or whole, and only its answer is billed."""
    house.route("help", bad, Target("words", "out", weight=0))
    assert ask(house).choices[0].message.content.startswith("one two")
    assert list(ask(house, stream=True))[-1].choices[0].finish_reason == "stop"
    assert house.used() == (2, 6, 20)


def test_a_broken_first_event_is_tried_elsewhere(house: House) -> None:
    """Garbage in place of the first event has reached no client, so another target may answer."""
    house.route("help", "words-sse", Target("words", "out", weight=0))
    assert len(list(ask(house, stream=True))) > 5


def test_the_same_target_is_tried_again(house: House) -> None:
    """A target that is overloaded for a moment is asked again, after a pause."""
    house.route("help", "words-flaky-2")
    assert ask(house).usage.total_tokens == 13


def test_a_fallback_endpoint_answers_when_nothing_here_does(house: House) -> None:
    """The chain of endpoints is followed, and the answer says so."""
    house.route("backup", "words")
    house.route("help", "words-500", fallback=("backup",), retries=0)
    raw = house.client.chat.completions.with_raw_response.create(model="help", messages=HI)
    assert raw.headers["x-feilun-fallback"] == "backup"


def test_a_provider_that_hangs_is_given_up(house: House) -> None:
    """The time limit of the phase ends the wait; the client is told 504."""
    house.route("help", "words-hang", timeouts={"first": 0.2}, retries=0)
    with pytest.raises(openai.APIStatusError) as caught:
        ask(house)
    assert caught.value.status_code == 504
    assert house.used() == (0, 0, 0)


def test_what_only_one_kind_of_provider_knows_is_not_sent_to_others(house: House) -> None:
    """A message for a provider of chat arrives as a chat, once, and as what a chat of it costs at most."""
    house.route("help", "words")
    with anthropic.Anthropic(base_url=house.gateway.url, api_key=house.secret, max_retries=0) as claude:
        claude.messages.create(model="help", max_tokens=9, messages=HI, extra_body={"top_k": 3})
    [body] = house.outside.fake.counted.bodies
    assert body.keys() <= {"model", "messages", "max_tokens", "max_completion_tokens", "stream"}


def test_nothing_is_tried_again_after_the_first_piece(house: House) -> None:
    """A stream that had begun is not begun again by another target."""
    house.route("help", "words-die-3", Target("words", "out", weight=0))
    with pytest.raises(openai.APIError):
        list(ask(house, stream=True))
    assert house.outside.fake.counted.calls == 1


def test_the_providers_refusal_of_a_request_is_the_clients(house: House) -> None:
    """A 400 passes with its message; a 401 of the provider is not the client's fault and is 502."""
    house.route("help", "words-400", retries=0)
    with pytest.raises(openai.BadRequestError, match="told to answer 400"):
        ask(house)
    house.route("locked", "words-401", retries=0)
    with pytest.raises(openai.APIStatusError, match="refuses us") as caught:
        ask(house, model="locked")
    assert caught.value.status_code == 502


def test_what_a_provider_cannot_do_is_said_and_is_no_outage(house: House, anthropic_client: Any) -> None:
    """Counts, and paths that it does not have, are a 400, sent once or not at all; the model stays with everybody."""
    house.route("help", "words-chat")
    asks = [
        lambda: anthropic_client.messages.count_tokens(model="help", messages=HI),
        lambda: house.client.responses.input_tokens.count(model="help", input="Hi"),
        lambda: house.client.embeddings.create(model="help", input="Hi"),
        lambda: house.client.completions.create(model="help", prompt="Hi"),
    ]
    for ask_it in asks * 6:
        with pytest.raises((openai.BadRequestError, anthropic.BadRequestError), match=r"cannot count|has no /v1/"):
            ask_it()
    assert house.gateway.state.hotpath.metrics.retries == 0
    assert ask(house).choices[0].message.content.startswith("one two")


def test_a_provider_of_anthropics_counts_tokens(house: House, anthropic_client: Any) -> None:
    """It is asked as its API wants it; what it has no path for is a 400 and no outage; a model here counts for it."""
    url = f"http://127.0.0.1:{house.outside.port}/v1"
    providers.put(house.gateway.db, Provider(new_id("provider"), "bank", "other", "anthropic", url), "sk-test")
    house.route("claude", Target("words", "other"))
    found = anthropic_client.messages.count_tokens(model="claude", system="Be kind.", messages=HI)
    assert found.input_tokens == 3
    assert set(house.outside.fake.counted.bodies[-1]) == {"model", "messages", "system"}
    for _ in range(6):
        with pytest.raises(openai.BadRequestError, match="cannot answer /v1/completions"):
            house.client.completions.create(model="claude", prompt="Hi")
    assert ask(house, model="claude").choices[0].message.content.startswith("one two")
    house.route("either", "words", Target("smollm2-135m-instruct", weight=0))
    assert anthropic_client.messages.count_tokens(model="either", messages=HI).input_tokens > 3


@pytest.mark.parametrize(("bad", "status"), [("words-400", 400), ("words-401", 502), ("words-404", 502)])
def test_refused_calls_are_no_outage(house: House, bad: str, status: int) -> None:
    """Nobody can take a provider's model away from others with calls that it refuses; such calls are sent once."""
    house.route("help", bad)
    for _ in range(8):
        with pytest.raises(openai.APIStatusError, match="told to answer") as caught:
            ask(house)
        assert caught.value.status_code == status
    assert len(house.outside.fake.counted.bodies) == 8


def test_a_providers_limit_is_told_as_it_is(house: House) -> None:
    """429 with the time to wait, asked once each; no outage is made of it."""
    house.route("help", "words-429-7")
    for _ in range(8):
        with pytest.raises(openai.RateLimitError, match="told to answer 429") as caught:
            ask(house)
        assert caught.value.response.headers["retry-after"] == "7"
        assert caught.value.body["type"] == "rate_limit_error"
    assert len(house.outside.fake.counted.bodies) == 8


def test_two_answers_are_two_traces_and_one_bill(house: House) -> None:
    """A trace of each call is there as soon as the client has the answer, once."""
    house.route("help", "words")
    seen = {ask(house).id for _ in range(5)}
    house.settled()
    asyncio.run_coroutine_threadsafe(house.gateway.state.writer.flush(), house.gateway.loop).result(10)
    assert {trace.id for trace in traces.find(house.gateway.db, "bank")} == seen


def test_metrics_tell_of_calls_and_tokens(house: House) -> None:
    """Prometheus' page has the call, its tokens and its times."""
    house.route("help", "words")
    ask(house)
    house.settled()
    page = house.gateway.state.hotpath.metrics.text().decode()
    assert 'feilun_calls_total{endpoint="help",status="ok",workspace="bank"} 1.0' in page
    assert 'feilun_tokens_total{endpoint="help",type="completion",workspace="bank"} 10.0' in page
    assert "feilun_time_to_first_token_seconds_bucket" in page
