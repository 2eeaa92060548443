"""The ledger: what each workspace, member, key and endpoint may still use. Reserve the worst case, then settle.

A call reserves its worst case in every account that it touches, or is refused before anything is sent; afterwards the
exact use takes the place of what was reserved. So calls at once can never spend more than there is. This module knows
limits, tokens and money. It does not know HTTP, models or where a call goes.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from feilun.errors import BudgetExhausted, RateLimited
from feilun.records import Limit, LimitScope
from feilun.store.calls.usage import Spent as UsedBefore

_log = logging.getLogger(__name__)
MINUTE = 60
Place = tuple[str, LimitScope, str]  # workspace, scope, id or name
Clock = Callable[[], float]


@dataclass(slots=True)
class Spent:
    """What was used of a day's and a month's budget, in tokens and in nano-units of money."""

    day_tokens: int = 0
    month_tokens: int = 0
    day_money: int = 0
    month_money: int = 0

    def add(self, tokens: int, money: int) -> None:
        """Count a use."""
        self.day_tokens += tokens
        self.month_tokens += tokens
        self.day_money += money
        self.month_money += money


class Window:
    """A sum over the last minute, to the second."""

    __slots__ = ("_seconds", "total")

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque()  # [second, amount]
        self.total = 0

    def turn(self, now: int) -> int:
        """Forget what is older than a minute; return the sum."""
        seconds = self._seconds
        while seconds and seconds[0][0] <= now - MINUTE:
            self.total -= seconds.popleft()[1]
        return self.total

    def add(self, now: int, amount: int) -> None:
        """Add an amount at a second that is not before the last one."""
        if self._seconds and self._seconds[-1][0] >= now:
            self._seconds[-1][1] += amount
        else:
            self._seconds.append([now, amount])
        self.total += amount

    def correct(self, second: int, amount: int) -> None:
        """Change what was added at ``second``, if that is not forgotten yet."""
        for entry in self._seconds:
            if entry[0] >= second:
                entry[1] += amount
                self.total += amount
                return

    def wait(self, now: int, most: int, amount: int) -> int:
        """Return in how many seconds ``amount`` more will be within ``most``."""
        over = self.total + amount - most
        for second, part in self._seconds:
            over -= part
            if over <= 0:
                return max(1, second + MINUTE - now)
        return MINUTE


@dataclass(slots=True)
class Account:
    """One workspace, member, key or endpoint: what it used, what is reserved, and its limit if it has one."""

    place: Place
    limit: Limit | None = None
    spent: Spent = field(default_factory=Spent)
    tokens: int = 0
    money: int = 0
    concurrent: int = 0
    requests: Window = field(default_factory=Window)
    minute_tokens: Window = field(default_factory=Window)
    alerted: bool = False

    def most_tokens(self) -> int | None:
        """Return how many tokens a budget still allows; None without a budget."""
        if (limit := self.limit) is None:
            return None
        left = [
            budget - used - self.tokens
            for budget, used in (
                (limit.tokens_per_day, self.spent.day_tokens),
                (limit.tokens_per_month, self.spent.month_tokens),
            )
            if budget is not None
        ]
        return min(left) if left else None

    def most_money(self) -> int | None:
        """Return how much money a budget still allows; None without a budget."""
        if (limit := self.limit) is None:
            return None
        left = [
            budget - used - self.money
            for budget, used in (
                (limit.money_per_day, self.spent.day_money),
                (limit.money_per_month, self.spent.month_money),
            )
            if budget is not None
        ]
        return min(left) if left else None


@dataclass(slots=True)
class Reservation:
    """What one call holds until it is settled: at most ``tokens`` and ``money`` in each of its accounts."""

    accounts: tuple[Account, ...]
    tokens: int
    money: int
    second: int
    done: bool = False


class Ledger:
    """The accounts of all workspaces, in memory. ``clock`` gives UTC seconds since the epoch."""

    def __init__(self, clock: Clock = time.time) -> None:
        """Start with nothing used and no limits."""
        self._clock = clock
        self._accounts: dict[Place, Account] = {}
        self._day = self._month = ""
        self._next_day = 0.0
        self.alerts: deque[str] = deque(maxlen=100)

    def open(self, used: Iterable[UsedBefore]) -> None:
        """Take over what was used today and this month before we started."""
        self._turn(self._clock())
        for each in used:
            for account in self.accounts(each.workspace, each.member, each.key, each.endpoint):
                spent = account.spent
                spent.day_tokens += each.tokens_day
                spent.month_tokens += each.tokens_month
                spent.day_money += each.cost_day
                spent.month_money += each.cost_month

    def limit(self, limits: Iterable[Limit]) -> None:
        """Put these limits in force, and no others."""
        wanted = {(limit.workspace, limit.scope, limit.target): limit for limit in limits}
        for place, account in self._accounts.items():
            if account.limit != wanted.get(place):
                account.limit, account.alerted = wanted.get(place), False
        for place in wanted.keys() - self._accounts.keys():
            self.account(place).limit = wanted[place]

    def account(self, place: Place) -> Account:
        """Return the account of a place."""
        found = self._accounts.get(place)
        if found is None:
            found = self._accounts[place] = Account(place)
        return found

    def accounts(self, ws: str, member: str, key: str, endpoint: str) -> tuple[Account, ...]:
        """Return the accounts that a call touches."""
        places: list[Place] = [(ws, "workspace", ws), (ws, "key", key), (ws, "endpoint", endpoint)]
        if member:
            places.append((ws, "member", member))
        return tuple([self.account(place) for place in places])

    def room(self, accounts: tuple[Account, ...], price_in: int, price_out: int, prompt: int) -> int | None:
        """Return how many answer tokens the budgets allow beside ``prompt`` tokens; None if no budget bounds them."""
        self._turn(self._clock())
        most: int | None = None
        for account in accounts:
            if account.limit is None:
                continue
            tokens, money = account.most_tokens(), account.most_money()
            if tokens is not None:
                most = tokens - prompt if most is None else min(most, tokens - prompt)
            if money is not None and price_out > 0:
                affordable = (money - prompt * price_in) // price_out
                most = affordable if most is None else min(most, affordable)
        return most

    def reserve(self, accounts: tuple[Account, ...], tokens: int, money: int) -> Reservation:
        """Reserve the worst case of a call in all accounts; raise RateLimited or BudgetExhausted and hold nothing."""
        now = self._clock()
        self._turn(now)
        second = int(now)
        for account in accounts:
            if account.limit is not None:
                _check(account, account.limit, tokens, money, second)
        for account in accounts:
            account.tokens += tokens
            account.money += money
            account.concurrent += 1
            if account.limit is not None:
                account.requests.add(second, 1)
                account.minute_tokens.add(second, tokens)
        return Reservation(accounts, tokens, money, second)

    def settle(self, held: Reservation, tokens: int, money: int) -> None:
        """Replace what a call holds by what it used; a second time changes nothing."""
        if held.done:
            return
        held.done = True
        self._turn(self._clock())
        for account in held.accounts:
            account.tokens -= held.tokens
            account.money -= held.money
            account.concurrent -= 1
            account.spent.add(tokens, money)
            if account.limit is not None:
                account.minute_tokens.correct(held.second, tokens - held.tokens)
                self._alert(account, account.limit)

    def headers(self, accounts: tuple[Account, ...]) -> list[tuple[bytes, bytes]]:
        """Return OpenAI's rate-limit headers for the tightest limit; none where there is no limit."""
        second = int(self._clock())
        found: list[tuple[bytes, bytes]] = []
        for name, limits in (
            (b"requests", [(a.limit.requests_per_minute, a.requests) for a in accounts if a.limit]),
            (b"tokens", [(a.limit.tokens_per_minute, a.minute_tokens) for a in accounts if a.limit]),
        ):
            known = [(most - window.turn(second), most, window) for most, window in limits if most is not None]
            if known:
                left, most, window = min(known, key=lambda each: each[0])
                reset = window.wait(second, most, 1) if left < most else 0
                found += [
                    (b"x-ratelimit-limit-" + name, b"%d" % most),
                    (b"x-ratelimit-remaining-" + name, b"%d" % max(0, left)),
                    (b"x-ratelimit-reset-" + name, b"%ds" % reset),
                ]
        return found

    def _turn(self, now: float) -> None:
        """Begin a new day or month."""
        if now < self._next_day:
            return
        today = datetime.fromtimestamp(now, UTC)
        day, month = today.strftime("%Y-%m-%d"), today.strftime("%Y-%m")
        for account in self._accounts.values():
            if self._day and day != self._day:
                account.spent.day_tokens = account.spent.day_money = 0
                account.alerted = False
            if self._month and month != self._month:
                account.spent.month_tokens = account.spent.month_money = 0
        self._day, self._month = day, month
        midnight = today.replace(hour=0, minute=0, second=0, microsecond=0)
        self._next_day = (midnight + timedelta(days=1)).timestamp()

    def _alert(self, account: Account, limit: Limit) -> None:
        if account.alerted:
            return
        spent = account.spent
        for name, budget, used in (
            ("tokens of the day", limit.tokens_per_day, spent.day_tokens),
            ("tokens of the month", limit.tokens_per_month, spent.month_tokens),
            ("money of the day", limit.money_per_day, spent.day_money),
            ("money of the month", limit.money_per_month, spent.month_money),
        ):
            if budget is not None and used >= budget * limit.soft:
                account.alerted = True
                ws, scope, target = account.place
                text = f"{scope} {target} of workspace {ws} has used {used} of {budget} ({name})"
                self.alerts.append(text)
                _log.warning("budget: %s", text)
                return


def _check(account: Account, limit: Limit, tokens: int, money: int, second: int) -> None:
    """Raise unless one more call fits into an account."""
    ws, scope, target = account.place
    whose = f"the {scope} {target}" if scope != "workspace" else f"the workspace {ws}"
    if limit.concurrent is not None and account.concurrent >= limit.concurrent:
        raise _limited(f"More than {limit.concurrent} calls at once for {whose}.", 1)
    requests, per_minute = limit.requests_per_minute, limit.tokens_per_minute
    if requests is not None and account.requests.turn(second) + 1 > requests:
        wait = account.requests.wait(second, requests, 1)
        raise _limited(f"More than {requests} requests a minute for {whose}.", wait)
    if per_minute is not None and account.minute_tokens.turn(second) + tokens > per_minute:
        wait = account.minute_tokens.wait(second, per_minute, tokens)
        raise _limited(f"This call could use {tokens} tokens; {whose} may use {per_minute} a minute.", wait)
    left_tokens, left_money = account.most_tokens(), account.most_money()
    if left_tokens is not None and tokens > left_tokens:
        raise BudgetExhausted(
            f"This call could use {tokens} tokens; the budget of {whose} has {max(0, left_tokens)} left.",
            "Ask for fewer with max_tokens, or raise the budget.",
        )
    if left_money is not None and money > left_money:
        raise BudgetExhausted(
            f"This call could cost {money / 1e9:.6f}; the budget of {whose} has {max(0, left_money) / 1e9:.6f} left.",
            "Ask for fewer tokens with max_tokens, or raise the budget.",
        )


def _limited(text: str, wait: int) -> RateLimited:
    error = RateLimited(text, f"Try again in {wait} s.")
    error.retry_after = float(wait)
    return error
