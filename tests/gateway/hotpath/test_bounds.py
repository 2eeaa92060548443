"""Budgets, limits and lengths on the way of a call: what bounds an answer, and what is said when nothing is left."""

from __future__ import annotations

import time
from typing import Any

import anthropic
import openai
import pytest
from tests.gateway.hotpath.conftest import HI, House, ask

from feilun.records import Target


def test_a_budget_bounds_the_answer_and_then_refuses(house: House) -> None:
    """Without max_tokens the answer is bounded by what is left; with nothing left the call is refused with 429."""
    house.route("help", "words-long")
    house.limit(tokens_per_day=400)
    raw = house.client.chat.completions.with_raw_response.create(model="help", messages=HI)
    most = house.outside.fake.counted.bodies[-1]["max_tokens"]
    assert 0 < most < 400
    assert raw.parse().usage.total_tokens <= 400
    with pytest.raises(openai.RateLimitError, match="budget of the workspace bank") as caught:
        ask(house, max_tokens=400)
    assert caught.value.code == "insufficient_quota"
    assert sum(house.used()[1:]) <= 400


def test_a_completion_is_as_long_as_it_is_elsewhere(house: House) -> None:
    """Without max_tokens it has 16 tokens, with a budget or without, and no more than these is held for it."""
    house.route("help", Target("words-long", "out", context=2048))
    for number in range(2):
        assert house.client.completions.create(model="help", prompt="Hi").usage.completion_tokens == 16
        assert house.outside.fake.counted.bodies[-1]["max_tokens"] == 16
        if not number:
            house.limit(tokens_per_day=250)
    assert house.client.completions.create(model="help", prompt=["Hi", "Ho"], max_tokens=2).usage.completion_tokens == 2


def test_a_minute_with_less_room_than_a_window_still_answers(house: House) -> None:
    """The answer is bounded by what the minute has left; what never fits is said at once, and how to mend it."""
    house.route("help", Target("words", "out", context=2048))
    house.limit(tokens_per_minute=1000)
    for left in (1000, 1000 - 13):
        ask(house)
        assert 0 < house.outside.fake.counted.bodies[-1]["max_tokens"] < left
        house.settled()
    with pytest.raises(openai.BadRequestError, match=r"never fits. Ask for fewer with max_tokens"):
        ask(house, max_tokens=1500)


def test_a_spent_budget_says_when_there_is_more(house: House, anthropic_client: Any) -> None:
    """In both APIs the client is told to come back when the day begins, and not in a second."""
    house.route("help", "words")
    house.limit(tokens_per_day=5)
    for ask_it in (ask, lambda _: anthropic_client.messages.create(model="help", max_tokens=5, messages=HI)):
        with pytest.raises((openai.RateLimitError, anthropic.RateLimitError)) as caught:
            ask_it(house)
        begins = time.time() + int(caught.value.response.headers["retry-after"])
        assert (begins + 10) % 86_400 < 20


def test_limits_come_with_the_headers_that_clients_read(house: House) -> None:
    """Rate-limit headers count down; beyond the limit comes 429 with retry-after."""
    house.route("help", "words")
    house.limit(requests_per_minute=2)
    raw = house.client.chat.completions.with_raw_response.create(model="help", messages=HI)
    assert raw.headers["x-ratelimit-limit-requests"] == "2"
    assert raw.headers["x-ratelimit-remaining-requests"] == "1"
    ask(house)
    with pytest.raises(openai.RateLimitError) as caught:
        ask(house)
    assert int(caught.value.response.headers["retry-after"]) > 0


def test_headers_say_why_a_call_stayed_and_who_answered_instead(house: House) -> None:
    """Whatever characters the reason or the name has; limits stand beside them."""
    base = house.gateway.state.answering.base_name
    house.route("inside", Target(base))
    house.route("help", "words", fallback=("inside",))
    house.limit(requests_per_minute=50)
    named = {"feilun_sources": "Grüße\r\nx-new: line"}
    raw = house.client.chat.completions.with_raw_response.create(model="help", messages=HI, metadata=named)
    assert raw.headers["x-feilun-kept-inside"] == "the source Gr??e x-new: line is not in this workspace."
    assert "x-new" not in raw.headers
    assert raw.headers["x-feilun-fallback"] == "inside"
    assert raw.headers["x-feilun-trace"] == raw.headers["x-request-id"] == raw.parse().id
    assert (raw.headers["x-ratelimit-limit-requests"], raw.headers["x-ratelimit-remaining-requests"]) == ("50", "49")
