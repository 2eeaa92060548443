"""The figures about an engine: what the gateway costs it, and what many adapters cost.

Knows which loads make which figure. Does not know how engines or gateways are started.

Nothing is kept to a core here: the engine uses all of them, as it does at work, and the gateway takes its share.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from gateway_figures import take_turns
from measure import Bench, Load, Outcome
from peers import Gate
from table import Figure

from feilun.records import JSON

AT_ONCE = {1: 48, 8: 32, 32: 24}  # calls at once, and tokens of each
ADAPTER_CALLS, ADAPTER_TOKENS = 16, 24

ADAPTERS = Figure("tokens/s of 8 adapters mixed over one adapter, 16 calls at once", 0.7, 0.9)

Say = Callable[[str], None]


def through(number: int) -> Figure:
    """Return the line about that many calls at once."""
    return Figure(f"engine's tokens/s through Feilun over direct, {number} at once", 0.97, 0.99)


def _load(calls: int, tokens: int) -> Load:
    body: JSON = {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": tokens, "temperature": 0}
    return Load(calls, 0.0, body, warm=0.0)


def _speed(outcome: Outcome) -> float:
    return outcome.tokens / outcome.seconds


def speeds(bench: Bench, direct: Gate, feilun: Gate, rounds: int, say: Say) -> list[JSON]:
    """Return the rows about an engine through Feilun; each way is tried once before, so that both find warm caches."""
    rows = []
    for number, tokens in AT_ONCE.items():
        loads = [(direct, _load(number, tokens)), (feilun, _load(number, tokens))]
        take_turns(bench, [(gate, _load(number, 2)) for gate, _ in loads], 1)
        found = take_turns(bench, loads, rounds)
        one, other = (median(_speed(outcomes[index]) for outcomes in found) for index in (0, 1))
        say(f"  {number} at once: {other:.1f} tokens/s through Feilun, {one:.1f} direct")
        rows.append(through(number).row([_speed(ours) / _speed(theirs) for theirs, ours in found]))
    return rows


def adapters(bench: Bench, one: Gate, many: Gate, rounds: int, say: Say) -> list[JSON]:
    """Return the row about adapters: the same calls to ``one`` adapter and to ``many``, straight to the engine."""
    loads = [(gate, _load(ADAPTER_CALLS, ADAPTER_TOKENS)) for gate in (one, many)]
    take_turns(bench, [(gate, _load(ADAPTER_CALLS, 2)) for gate, _ in loads], 1)
    found = take_turns(bench, loads, rounds)
    slow, fast = (median(_speed(outcomes[index]) for outcomes in found) for index in (1, 0))
    say(f"  {slow:.1f} tokens/s with 8 adapters, {fast:.1f} with one")
    return [ADAPTERS.row([_speed(mixed) / _speed(single) for single, mixed in found])]
