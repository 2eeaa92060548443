"""A circuit breaker for each deployment: what fails again and again is left alone for a while, then tried once.

It knows successes, failures, what others found out, and times. It does not know what a deployment is.

Source: the circuit breaker pattern (Nygard 2007, Release It!).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Circuit:
    """The state of one deployment: closed (calls go), open (until ``until``), half open (one call tries).

    ``down`` is what somebody else saw: nobody is there.
    """

    failures: int = 0
    opened: int = 0
    until: float = 0.0
    trying: float = 0.0
    down: bool = False


class Breakers:
    """Circuits by deployment. After ``threshold`` failures in a row a circuit opens, each time for longer."""

    def __init__(
        self,
        threshold: int = 5,
        first: float = 1.0,
        longest: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with every circuit closed."""
        self._threshold, self._first, self._longest, self._clock = threshold, first, longest, clock
        self._circuits: dict[str, Circuit] = {}

    def allows(self, name: str) -> bool:
        """Say whether a call may go to a deployment now; a half open circuit lets one call through."""
        circuit = self._circuits.get(name)
        if circuit is None or not circuit.until:
            return True
        now = self._clock()
        # A try that never ended (its caller left) must not keep the circuit shut for ever.
        return now >= circuit.until and now >= circuit.trying

    def begin(self, name: str) -> None:
        """Note that a call goes to a deployment."""
        circuit = self._circuits.get(name)
        if circuit is not None and circuit.until:
            circuit.trying = self._clock() + self._longest

    def succeeded(self, name: str) -> None:
        """Close the circuit."""
        if name in self._circuits:
            del self._circuits[name]

    def spared(self, name: str) -> None:
        """Note that a call told nothing about a deployment: where the circuit is half open, another one may try."""
        circuit = self._circuits.get(name)
        if circuit is not None:
            circuit.trying = 0.0

    def failed(self, name: str) -> None:
        """Count a failure; open the circuit after too many, and at once when the one try failed."""
        circuit = self._circuits.setdefault(name, Circuit())
        circuit.failures += 1
        if circuit.until or circuit.failures >= self._threshold:
            pause = min(self._longest, self._first * 2.0**circuit.opened) * random.uniform(0.8, 1.2)
            circuit.until, circuit.trying = max(circuit.until, self._clock() + pause), 0.0
            circuit.opened += 1

    def down(self, name: str, seconds: float) -> None:
        """Open the circuit of what cannot be reached at all, for so long at least."""
        circuit = self._circuits.setdefault(name, Circuit())
        circuit.until, circuit.trying, circuit.down = max(circuit.until, self._clock() + seconds), 0.0, True

    def up(self, name: str) -> None:
        """Close the circuit of what could not be reached and now can; what calls alone have opened stays as it is."""
        circuit = self._circuits.get(name)
        if circuit is not None and circuit.down:
            del self._circuits[name]

    def states(self) -> dict[str, str]:
        """Return ``closed``, ``open`` or ``half open`` of every deployment that failed lately."""
        now = self._clock()
        return {
            name: "closed" if not circuit.until else "open" if now < circuit.until else "half open"
            for name, circuit in self._circuits.items()
        }
