"""A wheel, its rules, and one of its turns, as plain typed data. Does not know where they are kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from feilun.records import JSON


@dataclass(frozen=True, slots=True)
class Rules:
    """When a wheel turns by itself, and what it may cost.

    ``paths`` are what it reads. It turns after so many new ``corrections`` (0: never for that), when there is a new or
    changed source, when calls have ``drift``-ed, when the ``base`` model is another one, and ``every_hours`` (0: never)
    if there is anything new. Budgets are in minutes or, at ``hour_price``, in money; 0 is no limit.
    """

    paths: tuple[str, ...] = ()
    corrections: int = 10
    source: bool = True
    drift: bool = True
    base: bool = True
    every_hours: float = 0.0
    turn_minutes: float = 120.0
    day_minutes: float = 360.0
    turn_money: float = 0.0
    day_money: float = 0.0
    hour_price: float = 0.0


@dataclass(frozen=True, slots=True)
class Wheel:
    """A workspace's wheel: whether it turns by itself, its rules, and what it last turned on (``state``)."""

    workspace: str
    on: bool = False
    rules: Rules = field(default_factory=Rules)
    state: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spin:
    """One turn that a wheel took, and what came of it.

    ``why`` is what triggered it (``trigger``, ``en``, ``zh``), ``before`` what there was to learn from when it began.
    """

    id: str
    workspace: str
    why: JSON
    before: JSON
    status: Literal["running", "succeeded", "failed", "stopped"] = "running"
    outcome: JSON = field(default_factory=dict)
    began: float = field(default_factory=time.time)
    ended: float | None = None
