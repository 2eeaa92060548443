"""The nouns of the review queue, as plain typed data. Does not know where they are kept, nor what follows from them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from feilun.records import JSON

Kind = Literal["label", "correct", "prefer", "accept"]
Scale = Literal["nominal", "ordinal", "interval"]
Status = Literal["open", "disputed", "unsettled", "done", "withdrawn"]
Action = Literal["label", "correct", "prefer", "accept", "reject"]
State = Literal["leased", "decided", "skipped"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decides: a label, a corrected text, ``a``, ``b`` or ``tie``; nothing for accept and reject."""

    action: Action
    value: str = ""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a model (``by``: which) would decide. It counts for nothing until a person decides the same."""

    decision: Decision
    by: str


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """A row that waits for people, with the sources whose permissions hold for it, and why it is here (en, zh).

    ``row`` holds ``messages`` or ``text``; for ``prefer`` also the answers ``a`` and ``b``. ``options`` are the labels,
    for an ordinal scale in their order, for an interval scale numbers. ``needed``: how many people decide; one more
    does if they do not agree. ``gold`` is the known answer of a row that measures annotators and is never finished.
    ``sealed``: it is kept encrypted, with all that was decided about it.
    """

    id: str
    workspace: str
    queue: str
    kind: Kind
    row: JSON
    sources: tuple[str, ...]
    why: JSON
    options: tuple[str, ...] = ()
    scale: Scale = "nominal"
    needed: int = 1
    gold: Decision | None = None
    suggestion: Suggestion | None = None
    status: Status = "open"
    result: JSON | None = None
    created: float = field(default_factory=time.time)
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one person (``annotator``: a member, or a key without one) decided about an item, in how many seconds.

    ``suggested``: a model had suggested it. While it is leased, or was skipped, there is no decision.
    """

    item: str
    annotator: str
    state: State
    until: float
    decision: Decision | None = None
    reason: str = ""
    seconds: float = 0.0
    suggested: bool = False
    created: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Settled:
    """What the decisions about an item come to: its status, and the result once it is done."""

    status: Status
    result: JSON | None = None
