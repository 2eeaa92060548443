"""Before a call is sent: which targets may answer it, the most that it can cost, and what it holds of its budgets.

This module knows endpoints, limits and permissions. It does not send anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from feilun.errors import BadRequest
from feilun.gateway.hotpath.breaker import Breakers
from feilun.gateway.hotpath.calls import MOST_ANSWER, Call, sticky_key
from feilun.gateway.hotpath.images import check_images
from feilun.gateway.hotpath.ledger import Account, Ledger, Reservation
from feilun.gateway.hotpath.privacy import kept_inside
from feilun.gateway.hotpath.routes import MOST_FALLBACKS, Choice, Routes, Wanted, alone
from feilun.gateway.snapshot import Snapshot
from feilun.records import Endpoint
from feilun.wire import Timeouts

Resolve = Callable[[str, str], Awaitable[tuple[Endpoint, str]]]  # workspace, name -> endpoint and deployment
Latest = Callable[[], Awaitable[None]]  # has the snapshot show what is in the store now
LARGEST_AT_ONCE = 1 << 14  # bytes; what is searched in a larger call would hold up all others


@dataclass(slots=True)
class Plan:
    """The targets of a call in order, what it holds, and its bounds."""

    call: Call
    order: list[Choice]
    accounts: tuple[Account, ...]
    held: Reservation
    most: int | None
    timeouts: Timeouts
    attempts: int
    kept_inside: str = ""
    first: float = 0.0


class Planner:
    """Makes plans."""

    def __init__(
        self, snapshot: Snapshot, ledger: Ledger, breakers: Breakers, resolve: Resolve, latest: Latest, context: int
    ) -> None:
        """Keep what is in force; ``context`` is the window of models that are served here, in tokens."""
        self._snapshot, self._ledger, self._resolve, self._context = snapshot, ledger, resolve, context
        self._latest = latest
        self._routes = Routes(breakers)
        self.private_hosts: frozenset[str] = frozenset()

    async def plan(self, call: Call) -> Plan:
        """Return the plan of a call, whose worst case is reserved.

        Raises ModelNotFound, MustNotLeave, RateLimited, BudgetExhausted, or EngineDown where nothing can be reached.
        """
        ws = call.key.workspace
        if call.images:
            await check_images(call.body, self.private_hosts)
        # An exam may ask a provider's model by its own name; clients ask endpoints only.
        only = alone(self._snapshot.endpoints(ws), call.name) if call.kind == "eval" else None
        found = (only, "") if only else self._snapshot.endpoint(ws, call.name)  # mostly there: nothing to wait for
        endpoint, deployment = found or await self._resolve(ws, call.name)
        reason = ""
        if deployment and len(endpoint.targets) > 1 and call.kind == "eval":
            endpoint = replace(endpoint, targets=endpoint.targets[:1])  # an exam is sat by one version
        targets = endpoint.targets
        if len(targets) == 1 and not endpoint.fallback:  # the common case
            target = targets[0]
            if target.provider:
                reason = await self._kept(call)
            order = self._routes.only(endpoint, target, deployment, reason)
            price_in, price_out, outside = target.price_in, target.price_out, bool(target.provider)
        else:
            chain = await self._chain(ws, endpoint, deployment)
            if any(target.provider for one, _ in chain for target in one.targets):
                reason = await self._kept(call)
            answer = MOST_ANSWER if call.answer is None else call.answer
            call.unit = sticky_key(call, endpoint.sticky)
            wanted = Wanted(call.prompt, answer, call.unit, call.images, reason)
            order = self._routes.order(chain, wanted, self._snapshot.scores(ws))
            price_in = max(choice.target.price_in for choice in order)
            price_out = max(choice.target.price_out for choice in order)
            outside = any(target.provider for target in targets)
        accounts = self._ledger.accounts(ws, call.key.member, call.key.id, endpoint.name)
        prompt, answer, most = self._bounds(call, order, accounts, (price_in, price_out))
        held = self._ledger.reserve(accounts, prompt + answer, prompt * price_in + answer * price_out)
        attempts = max(len(order), 1 + endpoint.retries)
        kept = reason if outside else ""
        return Plan(call, order, accounts, held, most, _timeouts(endpoint), attempts, kept)

    async def _kept(self, call: Call) -> str:
        """Return why a call must not be sent outside; empty if it may."""
        ws = call.key.workspace
        if call.sources and not self._snapshot.private(ws).knows(call.sources):
            await self._latest()  # one may have been added just now
        private = self._snapshot.private(ws)
        if private.texts and (call.images or call.prompt > LARGEST_AT_ONCE):
            return await asyncio.to_thread(kept_inside, call, private)
        return kept_inside(call, private)

    def _bounds(
        self, call: Call, order: list[Choice], accounts: tuple[Account, ...], prices: tuple[int, int]
    ) -> tuple[int, int, int | None]:
        """Return the most tokens of the prompt and of all answers, and what to ask for where the call says nothing.

        Where a budget, or a minute, would not allow the model's whole window, the answer is bounded by what is left.
        """
        window = 0
        for choice in order:
            own = choice.target.context or (0 if choice.target.provider else self._context)
            if not own:
                window = 0  # one that is not known bounds nothing
                break
            window = max(window, own)
        prompt = min(call.prompt, window) if window else call.prompt
        if call.answer is not None:
            return prompt, (min(call.answer, window) if window else call.answer) * call.choices, None
        wanted = window or MOST_ANSWER
        room = self._ledger.room(accounts, *prices, prompt, wanted * call.choices)
        if room is None:
            return prompt, wanted * call.choices, None
        each = max(1, min(wanted, room // call.choices))
        return prompt, each * call.choices, each

    async def _chain(self, ws: str, endpoint: Endpoint, deployment: str) -> list[tuple[Endpoint, str]]:
        """Return the endpoints to try, each once: an endpoint, then its fallbacks and theirs."""
        chain = [(endpoint, deployment)]
        seen = {endpoint.name}
        waiting = list(endpoint.fallback)
        while waiting and len(chain) < MOST_FALLBACKS:
            name = waiting.pop(0)
            if name not in seen:
                seen.add(name)
                found = await self._resolve(ws, name)
                chain.append(found)
                waiting += found[0].fallback
        return chain


def _timeouts(endpoint: Endpoint) -> Timeouts:
    given = endpoint.timeouts
    if not given:
        return DEFAULT_TIMEOUTS
    try:
        return Timeouts(
            connect=float(given.get("connect", DEFAULT_TIMEOUTS.connect)),
            first=float(given.get("first", DEFAULT_TIMEOUTS.first)),
            between=float(given.get("between", DEFAULT_TIMEOUTS.between)),
            total=float(given.get("total", DEFAULT_TIMEOUTS.total)),
        )
    except (TypeError, ValueError) as error:
        raise BadRequest(f"The timeouts of {endpoint.name} are no numbers.", "Mend the endpoint.") from error


DEFAULT_TIMEOUTS = Timeouts(connect=5.0, first=300.0, between=120.0, total=0.0)
