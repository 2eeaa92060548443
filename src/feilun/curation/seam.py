"""What an operator of a recipe is: it mends texts, judges rows, or compares all rows with each other.

This module knows the shapes that operators and recipes share. It does not know any operator, nor how recipes run.

Operators are deterministic: what they answer depends on what they are given and on their parameters only, never on
the order or size of batches, on the process, or on the time. They look at whole batches, so that they can work on
arrays instead of row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec
import numpy as np

from feilun.records import JSON

Words = tuple[str, str]  # the same in English and in Chinese


@dataclass(slots=True)
class Row:
    """A row on its way through a recipe.

    ``texts`` are its texts in order and ``roles`` what each is: ``text`` (passages, documents, labelled texts),
    ``system``, ``user``, ``assistant`` (conversations), ``prompt``, ``chosen``, ``rejected`` (preferences), ``label``.
    ``lang`` is ``zh``, ``en`` or another code, empty while nobody has looked. ``place`` says where in the file ``name``
    of the source it stands.
    """

    id: str
    source: str
    name: str
    place: str
    roles: tuple[str, ...]
    texts: tuple[str, ...]
    lang: str = ""
    meta: JSON = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Return all texts but labels as one."""
        return "\n".join([text for role, text in zip(self.roles, self.texts, strict=True) if role != "label"])


@dataclass(frozen=True, slots=True)
class Note:
    """Why something was done: a key of the operator's ``reasons``, how often, and what was found, in its own words."""

    reason: str
    detail: str = ""
    times: int = 1


@dataclass(frozen=True, slots=True)
class Mended:
    """What a text has become, and why; with no new text (the same) the notes only tell what was seen."""

    text: str
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What becomes of a row: dropped, flagged for a person, or only noted (``score`` and ``meta`` are kept)."""

    action: Literal["drop", "flag", "note"]
    note: Note
    score: float = 0.0
    meta: JSON = field(default_factory=dict)


@runtime_checkable
class Mend(Protocol):
    """Changes texts, each by itself."""

    def mend(self, texts: Sequence[str], langs: Sequence[str]) -> list[Mended | None]:
        """Return what each text has become; None where nothing was found."""


@runtime_checkable
class MendRows(Mend, Protocol):
    """Changes texts, those of a row together: what one of them tells holds in the others."""

    def mend_rows(self, rows: Sequence[Row]) -> list[Sequence[Mended | None]]:
        """Return what each text of each row has become."""


@runtime_checkable
class Judge(Protocol):
    """Looks at rows, each by itself."""

    def judge(self, rows: Sequence[Row]) -> list[Sequence[Ruling]]:
        """Return the rulings about each row; nothing for most."""


@runtime_checkable
class Compare(Protocol):
    """Looks at all rows together: first a sketch of each batch, then one decision, then what it means for each row."""

    def sketch(self, rows: Sequence[Row]) -> Any:
        """Return what must be known of a batch to decide: small, and picklable."""

    def decide(self, sketches: Sequence[Any]) -> Any:
        """Return what follows from the sketches of all batches, in their order: picklable."""

    def apply(self, rows: Sequence[Row], decided: Any) -> list[Sequence[Ruling | Mending]]:
        """Return what becomes of each row."""


@dataclass(frozen=True, slots=True)
class Mending:
    """New texts for a row that was compared with others: the place among its texts, and what that has become."""

    place: int
    mended: Mended


class Entry(msgspec.Struct, array_like=True):
    """One line of the ledger: what happened to a row, by which operator, and why."""

    row: str
    operator: str
    action: str  # changed, dropped, flagged, noted, set_aside
    reason: str
    detail: str = ""
    times: int = 1
    score: float = 0.0
    before: str = ""
    after: str = ""
    name: str = ""
    place: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an operator: its default gives its type; bounds and choices are checked before anything runs."""

    default: bool | int | float | str | tuple[str, ...]
    help: Words
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What operators may know beside the rows.

    ``exams``: texts of every exam's questions. ``terms``: the workspace's own list of sensitive terms. ``embed`` gives
    unit vectors (n × d, float32) of texts, ``likelihood`` the mean log-probability of a token (nats) of each text given
    what stands before it; None where no such model is at hand. ``key`` is the workspace's own, for pseudonyms.
    ``published``: numbers, addresses and names that the organisation itself tells everybody, folded: no secrets.
    """

    exams: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    key: bytes = b""
    published: tuple[str, ...] = ()
    embed: Callable[[Sequence[str]], np.ndarray] | None = None
    likelihood: Callable[[Sequence[tuple[str, str]]], Sequence[float]] | None = None


@dataclass(frozen=True)
class Operator:
    """A named step that recipes can use. ``version`` changes whenever its answers may.

    ``reasons`` gives the plain words of every reason it may note. ``origin`` names the paper, standard or
    observation behind it. ``make`` returns the working operator: it is called with the surroundings and with every
    parameter by name.
    """

    name: str
    version: int
    about: Words
    origin: str
    reasons: Mapping[str, Words]
    make: Callable[..., Mend | Judge | Compare]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
