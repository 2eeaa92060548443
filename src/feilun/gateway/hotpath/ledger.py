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

from feilun.errors import BadRequest, BudgetExhausted, RateLimited
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

    __slots__ = ("_seconds", "_turned", "total")

    def __init__(self) -> None:
        # Amounts by second, oldest first. A dict of numbers is nothing that the garbage collector looks at: with ten
        # thousand keys that is a quarter of all time.
        self._seconds: dict[int, int] = {}
        self._turned = 0  # the second up to which everything that is older than a minute is forgotten
        self.total = 0

    def turn(self, now: int) -> int:
        """Forget what is older than a minute; return the sum."""
        if now != self._turned:
            seconds, self._turned = self._seconds, now
            while seconds and (first := next(iter(seconds))) <= now - MINUTE:
                self.total -= seconds.pop(first)
        return self.total

    def add(self, now: int, amount: int) -> None:
        """Add an amount at a second; one before the last counts as the last, should the clock be set back."""
        seconds = self._seconds
        if now in seconds:
            seconds[now] += amount
        else:
            last = max(now, next(reversed(seconds))) if seconds else now
            seconds[last] = seconds.get(last, 0) + amount
        self.total += amount

    def correct(self, second: int, amount: int) -> None:
        """Change what was added at ``second``, if that is not forgotten yet."""
        if second in self._seconds:
            self._seconds[second] += amount
            self.total += amount

    def wait(self, now: int, most: int, amount: int) -> int:
        """Return in how many seconds ``amount`` more will be within ``most``."""
        over = self.total + amount - most
        for second, part in self._seconds.items():
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
    budgets: tuple[tuple[str, str, int, float], ...] = ()  # what is spent, its name, the most, when to say so

    def whose(self) -> str:
        """Say in words whose account it is."""
        ws, scope, target = self.place
        return f"the {scope} {target}" if scope != "workspace" else f"the workspace {ws}"

    def put(self, limit: Limit | None) -> None:
        """Put a limit in force."""
        self.limit, self.alerted = limit, False
        self.budgets = ()
        if limit is not None:
            named = (
                ("day_tokens", "tokens of the day", limit.tokens_per_day),
                ("month_tokens", "tokens of the month", limit.tokens_per_month),
                ("day_money", "money of the day", limit.money_per_day),
                ("month_money", "money of the month", limit.money_per_month),
            )
            soft = limit.soft
            self.budgets = tuple((spent, name, most, most * soft) for spent, name, most in named if most is not None)

    def renewed(self, tokens: int, money: int, second: int) -> float:
        """Return in how many seconds the budgets that have no room for so much begin anew: tomorrow or next month."""
        limit, spent = self.limit, self.spent
        midnight = datetime.fromtimestamp(second, UTC).replace(hour=0, minute=0)
        begins = midnight + timedelta(days=1)
        if limit is not None and (
            _over(limit.tokens_per_month, spent.month_tokens + self.tokens + tokens)
            or _over(limit.money_per_month, spent.month_money + self.money + money)
        ):
            begins = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        return max(1.0, begins.replace(second=0).timestamp() - second)

    def most_tokens(self) -> int | None:
        """Return how many tokens the budgets still allow; None without such a budget."""
        limit, spent = self.limit, self.spent
        if limit is None:
            return None
        return _left(limit.tokens_per_day, spent.day_tokens, limit.tokens_per_month, spent.month_tokens, self.tokens)

    def most_money(self) -> int | None:
        """Return how much money the budgets still allow; None without such a budget."""
        limit, spent = self.limit, self.spent
        if limit is None:
            return None
        return _left(limit.money_per_day, spent.day_money, limit.money_per_month, spent.month_money, self.money)


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
        places: list[Place] = [(ws, "workspace", ws), (ws, "key", key), (ws, "endpoint", endpoint)]
        if member:
            places.append((ws, "member", member))
        return tuple([self.account(place) for place in places])

    def room(
        self, accounts: tuple[Account, ...], price_in: int, price_out: int, prompt: int, wanted: int
    ) -> int | None:
        """Return how many answer tokens the budgets allow beside ``prompt`` tokens; None if no budget bounds them.

        A minute that can never hold ``wanted`` of them bounds them as a budget does; another one is worth waiting for.
        """
        now = self._clock()
        self._turn(now)
        most: int | None = None
        for account in accounts:
            if account.limit is None:
                continue
            tokens, money = account.most_tokens(), account.most_money()
            if tokens is not None:
                most = tokens - prompt if most is None else min(most, tokens - prompt)
            minute = account.limit.tokens_per_minute
            if minute is not None and prompt + wanted > minute:
                left = minute - account.minute_tokens.turn(int(now)) - prompt
                most = left if most is None else min(most, left)
            if money is not None and price_out > 0:
                affordable = (money - prompt * price_in) // price_out
                most = affordable if most is None else min(most, affordable)
        return most

    def reserve(self, accounts: tuple[Account, ...], tokens: int, money: int) -> Reservation:
        """Reserve the worst case of a call in all accounts; raise RateLimited or BudgetExhausted and hold nothing.

        Raises BadRequest for what a limit can never hold.
        """
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
        if self._clock() >= self._next_day:
            self._turn(self._clock())
        for account in held.accounts:
            account.tokens -= held.tokens
            account.money -= held.money
            account.concurrent -= 1
            account.spent.add(tokens, money)
            if account.limit is not None:
                account.minute_tokens.correct(held.second, tokens - held.tokens)
                if account.budgets and not account.alerted:
                    self._alert(account)

    def headers(self, accounts: tuple[Account, ...]) -> list[tuple[bytes, bytes]]:
        """Return OpenAI's rate-limit headers for the tightest limit; none where there is no limit."""
        second = int(self._clock())
        requests: tuple[int, int, Window] | None = None  # left, most, over which window
        tokens: tuple[int, int, Window] | None = None
        for account in accounts:
            if (limit := account.limit) is None:
                continue
            if (most := limit.requests_per_minute) is not None:
                left = most - account.requests.turn(second)
                if requests is None or left < requests[0]:
                    requests = left, most, account.requests
            if (most := limit.tokens_per_minute) is not None:
                left = most - account.minute_tokens.turn(second)
                if tokens is None or left < tokens[0]:
                    tokens = left, most, account.minute_tokens
        found: list[tuple[bytes, bytes]] = []
        if requests is not None:
            found += _fields(b"requests", *requests, second)
        if tokens is not None:
            found += _fields(b"tokens", *tokens, second)
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

    def _alert(self, account: Account) -> None:
        for spent, name, budget, soon in account.budgets:
            used = getattr(account.spent, spent)
            if used >= soon:
                account.alerted = True
                ws, scope, target = account.place
                text = f"{scope} {target} of workspace {ws} has used {used} of {budget} ({name})"
                self.alerts.append(text)
                _log.warning("budget: %s", text)
                return


def _over(most: int | None, used: int) -> bool:
    return most is not None and used > most


def _left(day: int | None, today: int, month: int | None, this_month: int, held: int) -> int | None:
    """Return what the tighter of two budgets has left; None if there is neither."""
    of_day = None if day is None else day - today - held
    of_month = None if month is None else month - this_month - held
    return of_month if of_day is None or (of_month is not None and of_month < of_day) else of_day


def _check(account: Account, limit: Limit, tokens: int, money: int, second: int) -> None:
    """Raise unless one more call fits into an account."""
    if limit.concurrent is not None and account.concurrent >= limit.concurrent:
        raise _limited(f"More than {limit.concurrent} calls at once for {account.whose()}.", 1)
    most = limit.requests_per_minute
    if most is not None and account.requests.turn(second) >= most:
        wait = account.requests.wait(second, most, 1)
        raise _limited(f"More than {most} requests a minute for {account.whose()}.", wait)
    most = limit.tokens_per_minute
    if most is not None and account.minute_tokens.turn(second) + tokens > most:
        text = f"This call could use {tokens} tokens; {account.whose()} may use {most} a minute"
        if tokens > most:
            raise BadRequest(f"{text}, so it never fits.", "Ask for fewer with max_tokens, or send less.", "max_tokens")
        raise _limited(f"{text}.", account.minute_tokens.wait(second, most, tokens))
    if account.budgets:
        text = ""
        if (left := account.most_tokens()) is not None and tokens > left:
            text = f"This call could use {tokens} tokens; the budget of {account.whose()} has {max(0, left)} left."
        elif (left := account.most_money()) is not None and money > left:
            text = (
                f"This call could cost {money / 1e9:.6f}; the budget of {account.whose()} has "
                f"{max(0, left) / 1e9:.6f} left."
            )
        if text:
            error = BudgetExhausted(text, "Ask for fewer tokens with max_tokens, or raise the budget.")
            error.retry_after = account.renewed(tokens, money, second)
            raise error


def _fields(name: bytes, left: int, most: int, window: Window, second: int) -> list[tuple[bytes, bytes]]:
    reset = window.wait(second, most, 1) if left < 1 else MINUTE if left < most else 0
    return [
        (b"x-ratelimit-limit-" + name, b"%d" % most),
        (b"x-ratelimit-remaining-" + name, b"%d" % max(0, left)),
        (b"x-ratelimit-reset-" + name, b"%ds" % reset),
    ]


def _limited(text: str, wait: int) -> RateLimited:
    error = RateLimited(text, f"Try again in {wait} s.")
    error.retry_after = float(wait)
    return error
