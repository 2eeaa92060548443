"""Which deployments may answer a call, in which order: weights, stickiness, cost, health, and what must not leave.

This module knows endpoints, their targets and circuits. It does not know HTTP, nor how a target is reached.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from feilun.errors import EngineDown, MustNotLeave
from feilun.gateway.hotpath.breaker import Breakers
from feilun.records import Endpoint, Target

MOST_FALLBACKS = 8


@dataclass(slots=True)
class Choice:
    """One deployment that may answer: a target of an endpoint. ``deployment`` is what lineage calls it."""

    endpoint: Endpoint
    target: Target
    deployment: str = ""
    name: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the name of its circuit: the same model on the same provider fails for everybody."""
        target = self.target
        provided = target.provider
        self.name = f"{self.endpoint.workspace}/{provided}/{target.model}" if provided else target.model

    @property
    def remote(self) -> bool:
        """Say whether calls to it leave this house."""
        return bool(self.target.provider)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a call asks of a route: how much it may cost, whether its data may leave, and what it sticks to."""

    prompt: int
    answer: int
    sticky: str = ""
    images: bool = False
    keep_inside: str = ""  # why the call's data must not leave; empty: they may


Scores = Mapping[tuple[str, str], float]  # (exam, model) -> share right (0-1)


class Routes:
    """The order in which targets are tried."""

    def __init__(self, breakers: Breakers, dice: Callable[[], float] = random.random) -> None:
        """Keep the circuits; ``dice`` gives a number in [0, 1)."""
        self._breakers, self._dice = breakers, dice

    def only(self, endpoint: Endpoint, target: Target, deployment: str, keep_inside: str) -> list[Choice]:
        """Return the only target of an endpoint without fallbacks, or raise as :meth:`order` does."""
        choice = Choice(endpoint, target, deployment)
        if target.provider and (keep_inside or not self._breakers.allows(choice.name)):
            return self.order([(endpoint, deployment)], Wanted(0, 0, keep_inside=keep_inside), {})
        return [choice]

    def order(self, chain: Sequence[tuple[Endpoint, str]], wanted: Wanted, scores: Scores) -> list[Choice]:
        """Return the targets of an endpoint and of its fallbacks (``chain``, with their deployments), best first.

        Raises MustNotLeave if only outside deployments are left for data that must stay, EngineDown if every circuit
        is open.
        """
        found = [
            # What an endpoint only tries is no deployment: its calls are known by the version that answered.
            Choice(one, target, deployment if target is one.targets[0] else "")
            for one, deployment in chain
            for target in self._ordered(one, wanted, scores)
        ]
        if len(found) == 1 and not found[0].remote:
            return found  # the common case; one engine of our own is supervised, a circuit would only add a wait
        inside = [choice for choice in found if not (wanted.keep_inside and choice.remote)]
        if found and not inside:
            raise MustNotLeave(
                f"This call was not sent outside: {wanted.keep_inside}",
                "Give the endpoint a model that is served here, or permit its data to leave.",
            )
        able = [choice for choice in inside if choice.target.images or not (wanted.images and choice.remote)] or inside
        open_ones = [choice for choice in able if self._breakers.allows(choice.name)]
        if not open_ones:
            raise EngineDown(
                f"Nothing that serves {chain[0][0].name} can be reached just now.", "Try again in a few seconds."
            )
        return open_ones

    def _ordered(self, endpoint: Endpoint, wanted: Wanted, scores: Scores) -> list[Target]:
        targets = endpoint.targets
        if len(targets) == 1:
            return list(targets)
        if endpoint.policy == "cheapest":
            good = [t for t in targets if scores.get((endpoint.exam, _full_name(t)), -1.0) >= endpoint.bar]
            # Those that have not shown that they are good enough are tried last, the best of them first.
            rest = sorted(
                (t for t in targets if t not in good), key=lambda t: -scores.get((endpoint.exam, _full_name(t)), -1.0)
            )
            return [*sorted(good, key=lambda t: t.price_in * wanted.prompt + t.price_out * wanted.answer), *rest]
        keys = {target: self._draw(target, wanted.sticky) for target in targets}
        return sorted(targets, key=lambda target: keys[target])

    def _draw(self, target: Target, sticky: str) -> float:
        """Return a key by which targets are sorted: weighted, and the same for the same ``sticky``.

        Source: weighted rendezvous hashing (Thaler and Ravishankar 1998; Schindelhauer and Schomaker 2005).
        """
        if sticky:
            digest = hashlib.blake2b(f"{_full_name(target)}\0{sticky}".encode(), digest_size=8).digest()
            chance = (int.from_bytes(digest, "big") + 0.5) / 2**64
        else:
            chance = max(self._dice(), 1e-12)
        return -math.log(chance) / target.weight if target.weight > 0 else math.inf


def alone(endpoints: Iterable[Endpoint], name: str) -> Endpoint | None:
    """Return an endpoint with nothing behind it but the provider's model of this full name, None if no endpoint has it.

    Its price, window and patience are those of the dearest target that has this model.
    """
    found = [(one, target) for one in endpoints for target in one.targets if target.provider]
    fitting = [(one, target) for one, target in found if _full_name(target) == name]
    if not fitting:
        return None
    one, target = max(fitting, key=lambda each: (each[1].price_out, each[1].price_in))
    only = (replace(target, weight=1.0),)
    return replace(one, name=name, targets=only, fallback=(), sticky="", policy="weighted")


def _full_name(target: Target) -> str:
    return f"{target.provider}/{target.model}" if target.provider else target.model
