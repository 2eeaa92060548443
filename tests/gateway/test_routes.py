"""Which target a call goes to: weights, stickiness, cost, circuits, and data that must stay."""

from __future__ import annotations

from collections import Counter

import pytest

from feilun.errors import EngineDown, MustNotLeave
from feilun.gateway.hotpath.breaker import Breakers
from feilun.gateway.hotpath.routes import Routes, Wanted
from feilun.records import Endpoint, Target

PLAIN = Wanted(prompt=100, answer=10)


def endpoint(*targets: Target, **more: object) -> Endpoint:
    """Return an endpoint ``help`` of the workspace ``bank``."""
    return Endpoint("endpoint-1", "bank", "help", targets, **more)


def first(routes: Routes, one: Endpoint, wanted: Wanted = PLAIN) -> str:
    """Return the model that would be tried first."""
    return routes.order([(one, "")], wanted, {})[0].target.model


def test_shares_follow_the_weights() -> None:
    """A canary with a tenth of the weight gets about a tenth of the calls, one without weight none."""
    one = endpoint(Target("old", weight=9), Target("new", weight=1), Target("spare", weight=0))
    routes = Routes(Breakers())
    seen = Counter(first(routes, one) for _ in range(4000))
    assert seen["spare"] == 0
    assert 0.06 < seen["new"] / 4000 < 0.14


def test_what_sticks_stays_and_still_follows_the_weights() -> None:
    """The same conversation always goes to the same target; many conversations are shared out."""
    one = endpoint(Target("a"), Target("b"))
    routes = Routes(Breakers())
    where = {name: first(routes, one, Wanted(1, 1, sticky=name)) for name in map(str, range(400))}
    assert all(first(routes, one, Wanted(1, 1, sticky=name)) == model for name, model in where.items())
    assert 120 < Counter(where.values())["a"] < 280


def test_the_cheapest_that_is_good_enough_comes_first() -> None:
    """Of the targets whose score passes the bar the cheapest is taken; others come after, the best first."""
    one = endpoint(
        Target("big", provider="out", price_in=10, price_out=30),
        Target("small", price_in=1, price_out=2),
        Target("tiny"),
        policy="cheapest",
        exam="clinic",
        bar=0.8,
    )
    scores = {("clinic", "out/big"): 0.95, ("clinic", "small"): 0.81, ("clinic", "tiny"): 0.3}
    order = [choice.target.model for choice in Routes(Breakers()).order([(one, "")], PLAIN, scores)]
    assert order == ["small", "big", "tiny"]


def test_data_that_must_stay_goes_to_a_model_that_is_here() -> None:
    """Outside targets are passed over; where there are only such, the call is refused and says why."""
    mixed = endpoint(Target("gpt", provider="out", weight=100), Target("own"))
    routes = Routes(Breakers())
    inside = Wanted(1, 1, keep_inside="it quotes rates.xlsx.")
    assert [choice.target.model for choice in routes.order([(mixed, "")], inside, {})] == ["own"]
    with pytest.raises(MustNotLeave, match="quotes rates"):
        routes.order([(endpoint(Target("gpt", provider="out")), "")], inside, {})


def test_a_circuit_opens_and_one_call_tries_it_again() -> None:
    """After five failures a target is left alone; after a pause one call tries it, and success closes the circuit."""
    now = [0.0]
    breakers = Breakers(threshold=5, first=1.0, clock=lambda: now[0])
    routes = Routes(breakers)
    one = endpoint(Target("a", provider="out"), Target("b", provider="out", weight=0))
    name = routes.order([(one, "")], PLAIN, {})[0].name
    for _ in range(5):
        breakers.failed(name)
    assert first(routes, one) == "b"
    assert breakers.states() == {name: "open"}
    now[0] = 2.0
    assert first(routes, one) == "a"
    breakers.begin(name)
    assert first(routes, one) == "b"
    breakers.spared(name)  # it was a call that any target would have refused
    assert first(routes, one) == "a"
    assert breakers.states() == {name: "half open"}
    breakers.begin(name)
    breakers.succeeded(name)
    assert first(routes, one) == "a"


def test_when_nothing_can_be_reached_the_caller_is_told() -> None:
    """With every circuit open the call is refused at once."""
    breakers = Breakers(threshold=1)
    routes = Routes(breakers)
    one = endpoint(Target("a", provider="out"))
    breakers.failed(routes.order([(one, "")], PLAIN, {})[0].name)
    with pytest.raises(EngineDown, match="Nothing that serves help"):
        routes.order([(one, "")], PLAIN, {})


def test_fallbacks_come_after_all_targets_of_the_endpoint() -> None:
    """The chain is tried in order."""
    here, there = endpoint(Target("a"), Target("b")), endpoint(Target("c"))
    order = [choice.target.model for choice in Routes(Breakers()).order([(here, ""), (there, "")], PLAIN, {})]
    assert order[2] == "c"
    assert set(order[:2]) == {"a", "b"}
