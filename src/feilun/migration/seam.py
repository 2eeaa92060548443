"""What a reader of another system's data hands over, as plain typed data. Does not know where it came from or goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from feilun.records import JSON


@dataclass(frozen=True, slots=True)
class Call:
    """An exchange with a model; ``key`` is its id there, ``endpoint`` what was called, ``created`` s since 1970."""

    key: str
    messages: tuple[JSON, ...]
    answer: str
    endpoint: str = ""
    model: str = ""
    created: float = 0.0
    finish: str = "stop"
    tokens: tuple[int, int] = (0, 0)
    meta: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judged:
    """What somebody, or something, said about a call (its id there). A call that is not here may have come before."""

    key: str
    call: str
    thumb: int | None = None
    score: float | None = None
    correction: str = ""
    comment: str = ""
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Example:
    """A row of the dataset ``dataset``, from the file ``file``: a conversation with its answer."""

    dataset: str
    file: str
    messages: tuple[JSON, ...]
    meta: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Definition:
    """An eval: what our ``/v1/evals`` keeps of one, under the id that it had there."""

    key: str
    name: str
    meta: JSON
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Sat:
    """A run of an eval, with its answers in the order of their rows."""

    key: str
    eval: str
    model: str
    status: str
    meta: JSON
    created: float = 0.0
    answers: tuple[JSON, ...] = ()


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that clients name by its id (``key``), with its OpenAI purpose; ``file`` is where its bytes are.

    Without ``data`` they are those of the file.
    """

    key: str
    file: str
    name: str
    purpose: str
    data: bytes | None = None
    meta: JSON = field(default_factory=dict)


@dataclass(slots=True)
class Brought:
    """Everything that a reader found, what it left out (place, reason), fields that it knows no use for, and notes.

    ``came`` counts what was there, by kind; ``files`` are those that were read. Unknown fields are kept where what
    they belong to has a place for them.
    """

    calls: list[Call] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    definitions: list[Definition] = field(default_factory=list)
    sat: list[Sat] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    came: Counter[str] = field(default_factory=Counter)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    unknown: dict[str, set[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def leave(self, place: str, reason: str) -> None:
        """Note that something stays where it is, and why."""
        self.left_out.append((place, reason))

    def note(self, text: str) -> None:
        """Note something that people should know, once."""
        if text not in self.notes:
            self.notes.append(text)

    def rest(self, kind: str, row: Mapping[str, Any], known: Sequence[str]) -> JSON:
        """Return the fields of a row that are not known, to be kept with it, and note their names."""
        found = {
            str(name): value for name, value in row.items() if name not in known and value not in (None, "", [], {})
        }
        if found:
            self.unknown.setdefault(kind, set()).update(found)
        return found


@dataclass(frozen=True, slots=True)
class Report:
    """What an import did: what came (by kind), what is here now and was not before, what stayed out and why.

    ``ids`` maps ids there to ids here where they differ.
    """

    home: str
    came: dict[str, int]
    added: dict[str, int]
    known: dict[str, int]
    left_out: list[tuple[str, str]]
    unknown: dict[str, list[str]]
    notes: list[str]
    ids: dict[str, str]
