"""The ledger: what each workspace, member, key and endpoint may still use. Reserve the worst case, then settle.

A call reserves its worst case in every account that it touches, or is refused before anything is sent; afterwards the
exact use takes the place of what was reserved. So calls at once can never spend more than there is. This module knows
limits, tokens and money. It does not know HTTP, models or where a call goes.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from feilun.errors import BadRequest, BudgetExhausted, FeilunError, RateLimited
from feilun.records import Limit, LimitScope
from feilun.store.calls.usage import Spent

_log = logging.getLogger(__name__)
MINUTE = 60
NO_LIMIT = 1 << 100
# A minute's requests and tokens are one number, requests above tokens: what a call adds to both is one addition.
_ABOVE = 64
REQUEST = 1 << _ABOVE
_TOKENS = REQUEST - 1
_LARGEST = 1 << 48  # tokens that a call can hold, so that the calls of a minute never come up to a request
_MOST_SETS, _MOST_NUMBERS = 100_000, 10_000  # combinations of accounts, and bounds, that are remembered
_numbers: dict[int, int] = {}
_FEWER = "Ask for fewer with max_tokens, or send less."
_NONE = Limit("", "", "workspace", "", created=0.0)
Place = tuple[str, LimitScope, str]  # workspace, scope, id or name
Clock = Callable[[], float]


@dataclass(slots=True)
class Window:
    """The requests and tokens of the last minute, to the second: ``total`` and amounts are ``REQUEST * n + tokens``.

    Amounts are kept by second, oldest first. A dict of numbers is nothing that the garbage collector looks at: with ten
    thousand keys that is a quarter of all time. What is older than a minute is forgotten up to the second ``turned``.
    """

    seconds: dict[int, int] = field(default_factory=dict, init=False)
    turned: int = field(default=0, init=False)
    total: int = field(default=0, init=False)

    def turn(self, now: int) -> int:
        """Forget what is older than a minute; return the sum."""
        if now != self.turned:
            seconds, self.turned = self.seconds, now
            while seconds and (first := next(iter(seconds))) <= now - MINUTE:
                self.total -= seconds.pop(first)
        return self.total

    def add(self, now: int, amount: int) -> None:
        """Add an amount at a second; one before the last counts as the last, should the clock be set back."""
        seconds = self.seconds
        if now in seconds:
            seconds[now] += amount
        else:
            last = max(now, next(reversed(seconds))) if seconds else now
            seconds[last] = seconds.get(last, 0) + amount
        self.total += amount

    def correct(self, second: int, amount: int) -> None:
        """Change the tokens added at ``second``, if they are not forgotten; a call from before the limit added none."""
        if second in self.seconds:
            amount = max(amount, -(self.seconds[second] & _TOKENS))
            self.seconds[second] += amount
            self.total += amount

    def wait(self, now: int, requests: int, tokens: int = 0) -> int:
        """Return in how many seconds a minute will have so many requests and tokens fewer."""
        for second, part in self.seconds.items():
            requests, tokens = requests - (part >> _ABOVE), tokens - (part & _TOKENS)
            if requests <= 0 and tokens <= 0:
                return max(1, second + MINUTE - now)
        return MINUTE


@dataclass(slots=True)
class Account(Window):
    """One workspace, member, key or endpoint: what it used (``month_…``), what is reserved, its limit if it has one.

    Of what was used this month, ``before_…`` is what was used before today. The rest is what a call is held against,
    as plain numbers: budgets of the day and the month are one bound of the month's use, which changes at midnight.
    """

    place: Place
    limit: Limit | None = None
    month_tokens: int = 0
    month_money: int = 0
    before_tokens: int = 0
    before_money: int = 0
    tokens: int = 0
    money: int = 0
    concurrent: int = 0
    most_concurrent: int = NO_LIMIT
    most_requests: int = NO_LIMIT  # as a window counts them
    most_minute: int = NO_LIMIT
    most_tokens: int = NO_LIMIT
    most_money: int = NO_LIMIT
    alert_tokens: int = NO_LIMIT
    alert_money: int = NO_LIMIT

    @property
    def day_tokens(self) -> int:
        """Return how many tokens were used today."""
        return self.month_tokens - self.before_tokens

    @property
    def day_money(self) -> int:
        """Return how much money was used today."""
        return self.month_money - self.before_money

    def whose(self) -> str:
        """Say in words whose account it is."""
        ws, scope, target = self.place
        return f"the {scope} {target}" if scope != "workspace" else f"the workspace {ws}"

    def put(self, limit: Limit | None) -> None:
        """Put a limit in force, for the day that it is."""
        self.limit = limit
        limit = limit or _NONE
        requests = limit.requests_per_minute
        self.most_concurrent = _one(limit.concurrent)
        self.most_requests = _one(None if requests is None else requests << _ABOVE)
        self.most_minute = _one(limit.tokens_per_minute)
        tokens, money = (self.before_tokens, limit.tokens_per_day), (self.before_money, limit.money_per_day)
        self.most_tokens, self.alert_tokens = _bounds(tokens, limit.tokens_per_month, limit.soft)
        self.most_money, self.alert_money = _bounds(money, limit.money_per_month, limit.soft)

    def begin_day(self, *, month: bool) -> None:
        """Begin a new day, and a new ``month`` if it is one."""
        if month:
            self.month_tokens = self.month_money = 0
        self.before_tokens, self.before_money = self.month_tokens, self.month_money
        self.put(self.limit)

    def renewed(self, tokens: int, money: int, second: int) -> float:
        """Return in how many seconds the budgets that have no room for so much begin anew: tomorrow or next month."""
        limit = self.limit
        midnight = datetime.fromtimestamp(second, UTC).replace(hour=0, minute=0)
        begins = midnight + timedelta(days=1)
        if limit is not None and (
            _over(limit.tokens_per_month, self.month_tokens + self.tokens + tokens)
            or _over(limit.money_per_month, self.month_money + self.money + money)
        ):
            begins = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        return max(1.0, begins.replace(second=0).timestamp() - second)

    def left(self) -> tuple[int, int]:
        """Return how many tokens and how much money the budgets still allow; where there is none, as good as all."""
        return self.most_tokens - self.month_tokens - self.tokens, self.most_money - self.month_money - self.money


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
        self._sets: dict[tuple[str, str, str, str], tuple[Account, ...]] = {}
        self._day = self._month = ""
        self._next_day = 0.0
        self._second = 0
        self.alerts: deque[str] = deque(maxlen=100)

    def open(self, used: Iterable[Spent]) -> None:
        """Take over what was used today and this month before we started."""
        self._turn(self._clock())
        for each in used:
            for account in self.accounts(each.workspace, each.member, each.key, each.endpoint):
                account.month_tokens += each.tokens_month
                account.month_money += each.cost_month
                account.before_tokens += each.tokens_month - each.tokens_day
                account.before_money += each.cost_month - each.cost_day
                account.put(account.limit)

    def limit(self, limits: Iterable[Limit]) -> None:
        """Put these limits in force, and no others."""
        wanted = {(limit.workspace, limit.scope, limit.target): limit for limit in limits}
        for place, account in self._accounts.items():
            if account.limit != wanted.get(place):
                account.put(wanted.get(place))
        for place in wanted.keys() - self._accounts.keys():
            self.account(place).put(wanted[place])

    def account(self, place: Place) -> Account:
        """Return the account of a place."""
        found = self._accounts.get(place)
        if found is None:
            found = self._accounts[place] = Account(place)
        return found

    def accounts(self, ws: str, member: str, key: str, endpoint: str) -> tuple[Account, ...]:
        """Return the accounts that a call touches."""
        found = self._sets.get((ws, member, key, endpoint))
        if found is None:
            places: list[Place] = [(ws, "workspace", ws), (ws, "key", key), (ws, "endpoint", endpoint)]
            if member:
                places.append((ws, "member", member))
            if len(self._sets) >= _MOST_SETS:
                self._sets.clear()
            found = self._sets[ws, member, key, endpoint] = tuple([self.account(place) for place in places])
        return found

    def room(
        self, accounts: tuple[Account, ...], price_in: int, price_out: int, prompt: int, wanted: int
    ) -> int | None:
        """Return how many answer tokens the budgets allow beside ``prompt`` tokens; None if no budget bounds them.

        A minute that can never hold ``wanted`` of them bounds them as a budget does; another one is worth waiting for.
        """
        now = self._clock()
        self._turn(now)
        bounds: list[int] = []
        for account in accounts:
            left_tokens, left_money = account.left()
            if account.most_tokens is not NO_LIMIT:
                bounds.append(left_tokens - prompt)
            if prompt + wanted > account.most_minute:
                bounds.append(account.most_minute - (account.turn(int(now)) & _TOKENS) - prompt)
            if account.most_money is not NO_LIMIT and price_out > 0:
                bounds.append((left_money - prompt * price_in) // price_out)
        return min(bounds, default=None)

    def reserve(self, accounts: tuple[Account, ...], tokens: int, money: int) -> Reservation:
        """Reserve the worst case of a call in all accounts, or raise RateLimited, BudgetExhausted or BadRequest."""
        now, tokens = self._clock(), min(tokens, _LARGEST)
        if now >= self._next_day:
            self._turn(now)
        if now >= self._second + 1 or now < self._second:
            self._second = int(now)
        second = self._second  # the same object for all accounts, as are other numbers that they share
        for account in accounts:
            if account.limit is not None and (
                account.concurrent >= account.most_concurrent
                or (minute := account.turn(second)) >= account.most_requests
                or (minute & _TOKENS) + tokens > account.most_minute
                or account.month_tokens + account.tokens + tokens > account.most_tokens
                or account.month_money + account.money + money > account.most_money
            ):
                raise _refusal(account, account.limit, tokens, money, second)
        for account in accounts:
            account.tokens += tokens
            account.money += money
            account.concurrent += 1
            if account.limit is not None:
                account.add(second, REQUEST + tokens)
        return Reservation(accounts, tokens, money, second)

    def settle(self, held: Reservation, tokens: int, money: int) -> None:
        """Replace what a call holds by what it used; a second time changes nothing."""
        if held.done:
            return
        held.done = True
        now = self._clock()
        if now >= self._next_day:
            self._turn(now)
        for account in held.accounts:
            account.tokens -= held.tokens
            account.money -= held.money
            account.concurrent -= 1
            account.month_tokens += tokens
            account.month_money += money
            if account.limit is not None:
                account.correct(held.second, min(tokens, _LARGEST) - held.tokens)
                if account.month_tokens >= account.alert_tokens or account.month_money >= account.alert_money:
                    self._alert(account, account.limit)

    def headers(self, accounts: tuple[Account, ...]) -> bytes:
        """Return the lines of OpenAI's rate-limit headers for the tightest limit; none where there is no limit."""
        second = int(self._clock())
        requests: tuple[int, Account] | None = None  # left, of whose
        tokens: tuple[int, Account] | None = None
        for account in accounts:
            minute = account.turn(second) if account.limit is not None else 0
            if account.most_requests is not NO_LIMIT:
                left = (account.most_requests >> _ABOVE) - (minute >> _ABOVE)
                if requests is None or left < requests[0]:
                    requests = left, account
            if account.most_minute is not NO_LIMIT:
                left = account.most_minute - (minute & _TOKENS)
                if tokens is None or left < tokens[0]:
                    tokens = left, account
        lines = b""
        if requests is not None:
            left, account = requests
            most = account.most_requests >> _ABOVE
            reset = account.wait(second, 1 - left) if left < 1 else MINUTE if left < most else 0
            lines = _LINES % (b"requests", most, b"requests", max(0, left), b"requests", reset)
        if tokens is not None:
            left, account = tokens
            most = account.most_minute
            reset = account.wait(second, 0, 1 - left) if left < 1 else MINUTE if left < most else 0
            lines += _LINES % (b"tokens", most, b"tokens", max(0, left), b"tokens", reset)
        return lines

    def _turn(self, now: float) -> None:
        """Begin a new day or month."""
        if now < self._next_day:
            return
        today = datetime.fromtimestamp(now, UTC)
        day, month = today.strftime("%Y-%m-%d"), today.strftime("%Y-%m")
        if self._day and day != self._day:
            for account in self._accounts.values():
                account.begin_day(month=month != self._month)
        self._day, self._month = day, month
        midnight = today.replace(hour=0, minute=0, second=0, microsecond=0)
        self._next_day = (midnight + timedelta(days=1)).timestamp()

    def _alert(self, account: Account, limit: Limit) -> None:
        """Say once, until tomorrow, that a budget is nearly spent."""
        account.alert_tokens = account.alert_money = NO_LIMIT
        ws, scope, target = account.place
        for used, budget, name in (
            (account.day_tokens, limit.tokens_per_day, "tokens of the day"),
            (account.month_tokens, limit.tokens_per_month, "tokens of the month"),
            (account.day_money, limit.money_per_day, "money of the day"),
            (account.month_money, limit.money_per_month, "money of the month"),
        ):
            if budget is not None and used >= budget * limit.soft:
                text = f"{scope} {target} of workspace {ws} has used {used} of {budget} ({name})"
                self.alerts.append(text)
                _log.warning("budget: %s", text)
                return


_LINES = b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %d\r\nx-ratelimit-reset-%b: %ds\r\n"


def _one(number: int | None) -> int:
    """Return the same object for the same number: the bounds of ten thousand keys fit into a cache, if they are few."""
    if number is None:
        return NO_LIMIT
    if len(_numbers) > _MOST_NUMBERS:
        _numbers.clear()
    return _numbers.setdefault(number, number)


def _over(most: int | None, used: int) -> bool:
    return most is not None and used > most


def _bounds(day: tuple[int, int | None], month: int | None, soft: float) -> tuple[int, int]:
    """Return how much may be used of a month by the end of this day, and from how much on to say that it is nearly so.

    ``day`` is what was used before today, and the day's budget.
    """
    bounds = [(since + most, since + math.ceil(most * soft)) for since, most in ((0, month), day) if most is not None]
    return _one(min((most for most, _ in bounds), default=None)), _one(min((soon for _, soon in bounds), default=None))


def _refusal(account: Account, limit: Limit, tokens: int, money: int, second: int) -> FeilunError:
    """Return why one more call does not fit into an account."""
    whose = account.whose()
    if account.concurrent >= account.most_concurrent:
        return _limited(f"More than {limit.concurrent} calls at once for {whose}.", 1)
    over = (account.turn(second) >> _ABOVE) + 1 - (account.most_requests >> _ABOVE)
    if over > 0:
        text = f"More than {limit.requests_per_minute} requests a minute for {whose}."
        return _limited(text, account.wait(second, over))
    most = account.most_minute
    over = (account.total & _TOKENS) + tokens - most
    if over > 0:
        text = f"This call could use {tokens} tokens; {whose} may use {most} a minute"
        if tokens > most:
            return BadRequest(f"{text}, so it never fits.", _FEWER, "max_tokens")
        return _limited(f"{text}.", account.wait(second, 0, over))
    left_tokens, left_money = account.left()
    if tokens > left_tokens:
        text = f"This call could use {tokens} tokens; the budget of {whose} has {max(0, left_tokens)} left."
    else:
        left = max(0, left_money) / 1e9
        text = f"This call could cost {money / 1e9:.6f}; the budget of {whose} has {left:.6f} left."
    error = BudgetExhausted(text, "Ask for fewer tokens with max_tokens, or raise the budget.")
    error.retry_after = account.renewed(tokens, money, second)
    return error


def _limited(text: str, wait: int) -> RateLimited:
    error = RateLimited(text, f"Try again in {wait} s.")
    error.retry_after = float(wait)
    return error
