"""A rollout, its rules, and what of a call counts, as plain typed data. Does not know where they are kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from feilun.records import JSON

Status = Literal["running", "promoted", "rolled back", "superseded"]
STAGES = (0.05, 0.5)  # shares of the calls before the candidate gets all of them


@dataclass(frozen=True, slots=True)
class Rules:
    """When a stage is over: after so many rated calls of the candidate, calls of any kind, or days; whichever is first.

    The days count only once it had ``fewest`` calls. ``margin`` is the difference in ratings that counts as none.
    """

    rated: int = 200
    calls: int = 1000
    days: float = 3.0
    fewest: int = 20
    margin: float = 0.05


RULES = Rules()


@dataclass(frozen=True, slots=True)
class Rollout:
    """A candidate that gets a ``share`` of an endpoint's calls; ``deployment`` is what the rest still goes to.

    ``history`` tells what happened: ``{"time", "share", "who", "en", "zh"}``. ``evidence`` is what its calls showed.
    """

    id: str
    workspace: str
    endpoint: str
    model: str
    incumbent: str
    deployment: str
    verdict: str = ""
    status: Status = "running"
    share: float = STAGES[0]
    rules: JSON = field(default_factory=dict)
    evidence: JSON = field(default_factory=dict)
    history: tuple[JSON, ...] = ()
    created: float = field(default_factory=time.time)

    def limits(self) -> Rules:
        """Return the rules, those that were not said as they always are."""
        return Rules(**self.rules)

    def begun(self) -> JSON:
        """Return how it began, in words (``en``, ``zh``)."""
        return {language: self.history[0][language] for language in ("en", "zh")} if self.history else {}

    def reason(self) -> JSON:
        """Return the latest entry of the history."""
        return self.history[-1] if self.history else {}

    def shares(self) -> list[tuple[float, float]]:
        """Return since when (s) which share of the calls went to the candidate."""
        found: list[tuple[float, float]] = []
        for entry in self.history:
            if not found or found[-1][1] != entry["share"]:
                found.append((float(entry["time"]), float(entry["share"])))
        return found


@dataclass(frozen=True, slots=True)
class Rating:
    """What somebody thought of an answer (0-1). ``unit`` is the conversation, ``asked`` when the call came (s)."""

    id: str
    trace: str
    model: str
    unit: str
    value: float
    asked: float
    created: float

    @property
    def ended(self) -> float:
        """When it was given (s)."""
        return self.created


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is over: the version that answered, how, and in what time (s)."""

    id: str
    model: str
    unit: str
    answer: str
    finish: str
    seconds: float
    created: float

    @property
    def ended(self) -> float:
        """When it was over (s)."""
        return self.created + self.seconds
