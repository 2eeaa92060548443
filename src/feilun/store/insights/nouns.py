"""The noun of the room, as plain typed data. Does not know where it is kept, nor what follows from it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from feilun.records import JSON

Proposal = Literal["knowledge", "template", "samples", "exam"]
State = Literal["open", "faded", "accepted", "dismissed"]


@dataclass(frozen=True, slots=True)
class Insight:
    """Questions that go wrong again and again, named in the words of those who asked.

    ``question`` is the most typical one, ``terms`` are what sets it apart; both without personal data. ``evidence``
    holds one ``{"trace", "why"}`` a failed call, newest last. ``calls`` counts all calls that ask this, failed or not,
    ``share`` is the failed share of them (0-1). ``reasons`` counts why, ``rated`` has ``down``, ``up`` and
    ``of_all_down`` (share of the workspace's bad ratings), ``trend`` has ``counts`` (eight equal spans of time, oldest
    first) and ``word``. ``faded``: nothing like it was found when last looked. ``outcome`` is what the decision wrote.
    """

    id: str
    workspace: str
    name: str
    question: str
    terms: tuple[str, ...]
    proposal: Proposal
    evidence: tuple[JSON, ...]
    calls: int
    share: float
    reasons: JSON
    rated: JSON
    trend: JSON
    status: State = "open"
    outcome: JSON = field(default_factory=dict)
    live: JSON = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
