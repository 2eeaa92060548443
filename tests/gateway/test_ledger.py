"""The ledger: nothing is overspent, whatever the order of reservations and settlements."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.errors import BadRequest, BudgetExhausted, RateLimited
from feilun.gateway.hotpath.ledger import Ledger, Window
from feilun.records import Limit
from feilun.store.calls.usage import Spent

NOON = 1_780_000_000.0


@dataclass
class Clock:
    """A clock that stands until it is told to go on."""

    now: float = NOON

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def limit(scope: str = "key", target: str = "key-1", **most: float) -> Limit:
    """Return a limit of the workspace ``bank``."""
    return Limit(f"limit-{scope}", "bank", scope, target, **most)


def test_a_budget_is_never_overspent_by_one_token() -> None:
    """The worst case of all calls that run at once, and what is settled, stays within the budget."""
    ledger, dice = Ledger(Clock()), random.Random(7)
    ledger.limit([limit("workspace", "bank", tokens_per_day=10_000)])
    held, used, refused = [], 0, 0
    for _ in range(2_000):
        if held and dice.random() < 0.5:
            reservation = held.pop(dice.randrange(len(held)))
            spent = dice.randint(0, reservation.tokens)
            used += spent
            ledger.settle(reservation, spent, 0)
        else:
            try:
                held.append(ledger.reserve(ledger.accounts("bank", "", "key-1", "own"), dice.randint(1, 900), 0))
            except BudgetExhausted:
                refused += 1
        assert used + sum(each.tokens for each in held) <= 10_000
    assert refused > 0
    assert used > 9_000


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50), st.integers(0, 90)), max_size=60))
def test_every_account_balances(calls: list[tuple[int, int, int]]) -> None:
    """When everything is settled nothing is held, and each account has spent what was used, no matter the times."""
    clock = Clock()
    ledger = Ledger(clock)
    ledger.limit([limit(tokens_per_minute=100), limit("member", "m", concurrent=3)])
    used = 0
    for tokens, spent, pause in calls:
        clock.now += pause
        try:
            held = ledger.reserve(ledger.accounts("bank", "m", "key-1", "own"), tokens, tokens * 3)
        except RateLimited:
            continue
        used += spent
        ledger.settle(held, spent, spent * 3)
        ledger.settle(held, 999, 999)
    for account in ledger.accounts("bank", "m", "key-1", "own"):
        assert (account.tokens, account.money, account.concurrent) == (0, 0, 0)
        assert (account.month_tokens, account.month_money) == (used, used * 3)


def test_a_refused_call_holds_nothing() -> None:
    """A call that one account refuses is held by none of the others."""
    ledger = Ledger(Clock())
    ledger.limit([limit("endpoint", "own", tokens_per_day=10)])
    accounts = ledger.accounts("bank", "", "key-1", "own")
    with pytest.raises(BudgetExhausted, match="endpoint own has 10 left"):
        ledger.reserve(accounts, 11, 0)
    assert [account.tokens for account in accounts] == [0, 0, 0]
    assert ledger.reserve(accounts, 10, 0).tokens == 10


def test_requests_per_minute_come_back_after_a_minute() -> None:
    """The limit counts the last sixty seconds, and says how long to wait."""
    clock = Clock()
    ledger = Ledger(clock)
    ledger.limit([limit(requests_per_minute=2)])
    accounts = ledger.accounts("bank", "", "key-1", "own")
    for _ in range(2):
        ledger.settle(ledger.reserve(accounts, 1, 0), 1, 0)
        clock.now += 10
    with pytest.raises(RateLimited, match="2 requests a minute") as caught:
        ledger.reserve(accounts, 1, 0)
    assert caught.value.retry_after == 40
    clock.now += 40
    ledger.reserve(accounts, 1, 0)


def test_calls_at_once_are_limited() -> None:
    """A call too many at once is refused; when one is over the next may come."""
    ledger = Ledger(Clock())
    ledger.limit([limit(concurrent=1)])
    accounts = ledger.accounts("bank", "", "key-1", "own")
    first = ledger.reserve(accounts, 1, 0)
    with pytest.raises(RateLimited, match="1 calls at once"):
        ledger.reserve(accounts, 1, 0)
    ledger.settle(first, 1, 0)
    ledger.reserve(accounts, 1, 0)


def test_a_new_day_has_a_new_budget_and_a_month_goes_on() -> None:
    """At midnight UTC the day's sum begins again, and the month's does not."""
    clock = Clock()
    ledger = Ledger(clock)
    ledger.open([Spent("bank", "", "key-1", "own", 5, 70, 50, 700)])
    ledger.limit([limit(tokens_per_day=10)])
    accounts = ledger.accounts("bank", "", "key-1", "own")
    ledger.settle(ledger.reserve(accounts, 5, 5), 5, 5)
    with pytest.raises(BudgetExhausted):
        ledger.reserve(accounts, 1, 0)
    clock.now += 86_400
    ledger.reserve(accounts, 10, 0)
    spent = ledger.account(("bank", "key", "key-1"))
    assert (spent.day_tokens, spent.month_tokens, spent.month_money) == (0, 75, 705)


def test_an_alert_comes_once_before_the_budget_is_spent() -> None:
    """At the soft share there is one alert; calls go on until the hard stop."""
    ledger = Ledger(Clock())
    ledger.limit([limit(money_per_day=100, soft=0.5)])
    accounts = ledger.accounts("bank", "", "key-1", "own")
    for _ in range(3):
        ledger.settle(ledger.reserve(accounts, 1, 30), 1, 30)
    assert list(ledger.alerts) == ["key key-1 of workspace bank has used 60 of 100 (money of the day)"]
    with pytest.raises(BudgetExhausted, match=r"has 0\.000000 left"):
        ledger.reserve(accounts, 1, 30)


def test_room_is_what_the_tightest_budget_allows() -> None:
    """The answer's bound follows from tokens and from money, whichever is less."""
    ledger = Ledger(Clock())
    accounts = ledger.accounts("bank", "", "key-1", "own")
    assert ledger.room(accounts, 1, 2, 10, 500) is None
    ledger.limit([limit(tokens_per_day=100), limit("workspace", "bank", money_per_day=50)])
    assert ledger.room(accounts, 1, 2, 10, 500) == 20
    assert ledger.room(accounts, 0, 0, 10, 500) == 90


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), min_size=1, max_size=50))
def test_the_window_is_the_sum_of_the_last_minute(adds: list[tuple[int, int]]) -> None:
    """The kept sum equals the sum over all that was added less than sixty seconds ago."""
    window, now, all_added = Window(), 0, []
    for pause, amount in adds:
        now += pause
        window.turn(now)
        window.add(now, amount)
        all_added.append((now, amount))
        assert window.turn(now) == sum(each for second, each in all_added if second > now - 60)


def test_a_minute_bounds_only_what_it_could_never_hold() -> None:
    """An answer that a whole minute has no room for is bounded by what is left; any other waits for its minute."""
    clock = Clock()
    ledger = Ledger(clock)
    ledger.limit([limit(tokens_per_minute=100)])
    accounts = ledger.accounts("bank", "", "key-1", "own")
    ledger.settle(ledger.reserve(accounts, 40, 0), 30, 0)
    assert ledger.room(accounts, 0, 0, 20, 80) is None
    assert ledger.room(accounts, 0, 0, 20, 81) == 50
    with pytest.raises(RateLimited, match="may use 100 a minute") as waits:
        ledger.reserve(accounts, 100, 0)
    assert waits.value.retry_after == 60
    with pytest.raises(BadRequest, match="never fits") as caught:
        ledger.reserve(accounts, 101, 0)
    assert (caught.value.param, "max_tokens" in caught.value.hint) == ("max_tokens", True)


@pytest.mark.parametrize(
    ("most", "hours"),
    [
        ({"tokens_per_day": 5}, 11),
        ({"money_per_day": 5}, 11),
        ({"tokens_per_month": 5}, 11 + 24),
        ({"money_per_month": 5}, 11 + 24),
        ({"tokens_per_day": 5, "tokens_per_month": 5}, 11 + 24),
        ({"tokens_per_day": 5, "tokens_per_month": 500}, 11),
    ],
)
def test_a_spent_budget_says_when_it_begins_anew(most: dict[str, int], hours: int) -> None:
    """With the next day or month (UTC), whichever has room; here it is 13:00 on the last day but one of a year."""
    ledger = Ledger(Clock(datetime(2026, 12, 30, 13, tzinfo=UTC).timestamp()))
    ledger.limit([limit(**most)])
    with pytest.raises(BudgetExhausted) as caught:
        ledger.reserve(ledger.accounts("bank", "", "key-1", "own"), 10, 10)
    assert caught.value.retry_after == hours * 3600


def test_an_alert_comes_again_with_the_next_day() -> None:
    """What is spent of a month is told once a day, and a day's budget begins anew."""
    clock = Clock()
    ledger = Ledger(clock)
    ledger.limit([limit(tokens_per_day=100, tokens_per_month=110, soft=0.5)])
    accounts = ledger.accounts("bank", "", "key-1", "own")
    for _ in range(2):
        ledger.settle(ledger.reserve(accounts, 50, 0), 50, 0)
        clock.now += 86_400
    assert [text.partition(" has ")[2] for text in ledger.alerts] == [
        "used 50 of 100 (tokens of the day)",
        "used 50 of 100 (tokens of the day)",
    ]
    with pytest.raises(BudgetExhausted, match="has 10 left"):
        ledger.reserve(accounts, 11, 0)


def test_headers_tell_of_the_tightest_limits() -> None:
    """Each from the account that has least of it left; a limit that is spent says when there is more."""
    clock = Clock()
    ledger = Ledger(clock)
    accounts = ledger.accounts("bank", "", "key-1", "own")
    assert ledger.headers(accounts) == b""
    ledger.limit([limit(requests_per_minute=2, tokens_per_minute=900), limit("endpoint", "own", tokens_per_minute=500)])
    ledger.settle(ledger.reserve(accounts, 400, 0), 100, 0)
    clock.now += 15
    ledger.settle(ledger.reserve(accounts, 30, 0), 30, 0)
    assert ledger.headers(accounts).decode().splitlines() == [
        "x-ratelimit-limit-requests: 2",
        "x-ratelimit-remaining-requests: 0",
        "x-ratelimit-reset-requests: 45s",
        "x-ratelimit-limit-tokens: 500",
        "x-ratelimit-remaining-tokens: 370",
        "x-ratelimit-reset-tokens: 60s",
    ]


def test_equal_bounds_of_many_keys_are_apart() -> None:
    """Accounts share the numbers of their limits, not what they used of them; a changed limit changes one account."""
    ledger = Ledger(Clock())
    ledger.limit([limit("key", f"key-{number}", tokens_per_day=10) for number in range(3)])
    one, other = (ledger.accounts("bank", "", f"key-{number}", "own") for number in range(2))
    ledger.settle(ledger.reserve(one, 10, 0), 10, 0)
    with pytest.raises(BudgetExhausted):
        ledger.reserve(one, 1, 0)
    assert ledger.reserve(other, 10, 0).tokens == 10
    ledger.limit([limit("key", "key-0", tokens_per_day=11), limit("key", "key-1", tokens_per_day=10)])
    assert ledger.reserve(one, 1, 0).tokens == 1
    with pytest.raises(BudgetExhausted):
        ledger.reserve(other, 1, 0)


def test_a_call_that_asks_for_more_than_there_is_counts_once() -> None:
    """However many tokens it wants, or its provider says that it used, it is one request of the minute."""
    ledger = Ledger(Clock())
    ledger.limit([limit(requests_per_minute=5)])
    accounts = ledger.accounts("bank", "", "key-1", "own")
    held = [ledger.reserve(accounts, 10**30, 0) for _ in range(3)]
    assert b"remaining-requests: 2\r\n" in ledger.headers(accounts)
    for each, used in zip(held, (7, 10**30, 0), strict=True):
        ledger.settle(each, used, 0)
    assert b"remaining-requests: 2\r\n" in ledger.headers(accounts)
    assert accounts[1].tokens == 0


def test_a_limit_that_comes_while_calls_run_refuses_nobody_wrongly() -> None:
    """What was reserved before it, and is given back in the same second, takes nothing from the minute's sums."""
    ledger = Ledger(Clock())
    accounts = ledger.accounts("bank", "", "key-1", "own")
    early = ledger.reserve(accounts, 5_000, 0)
    ledger.limit([limit(requests_per_minute=5, tokens_per_minute=1_000)])
    late = ledger.reserve(accounts, 300, 0)
    ledger.settle(early, 10, 0)
    ledger.settle(late, 300, 0)
    assert b"remaining-requests: 4\r\n" in ledger.headers(accounts)
    assert ledger.reserve(accounts, 600, 0).tokens == 600
