"""A chain of steps over one batch of rows: what each row has become, and why, row by row.

This module knows how operators are called, and that one that fails sets the row aside. It does not know shards,
processes or files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from feilun.curation.recipes.catalogue import operators
from feilun.curation.recipes.plan import Step
from feilun.curation.seam import Compare, Entry, Judge, Mend, Mended, Mending, MendRows, Note, Row, Ruling, Surroundings

SNIPPET = 80  # characters of a text that are shown before and after a change
_MARGIN = 24
SET_ASIDE = "set_aside"
logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Worker:
    """An operator at work."""

    name: str
    operator: Mend | Judge | Compare
    only: str = ""


def start(steps: Sequence[Step], around: Surroundings) -> list[Worker]:
    """Return the working operators of steps."""
    return [Worker(s.operator, operators()[s.operator].make(around, **s.parameters), s.only) for s in steps]


def compares(step: Step) -> bool:
    """Tell whether a step looks at all rows together."""
    return isinstance(operators()[step.operator].make(Surroundings(), **step.parameters), Compare)


def run(worker: Worker, rows: list[Row], ledger: list[Entry]) -> list[Row]:
    """Return the rows after a step that looks at each by itself; what happened goes into ``ledger``."""
    if worker.only:
        chosen = {row.id: row for row in _run(worker, [row for row in rows if row.meta.get(worker.only)], ledger)}
        return [chosen.get(row.id, row) for row in rows if row.id in chosen or not row.meta.get(worker.only)]
    return _run(worker, rows, ledger)


def _run(worker: Worker, rows: list[Row], ledger: list[Entry]) -> list[Row]:
    operator = worker.operator
    if isinstance(operator, Mend):
        return _mend(worker.name, operator, rows, ledger)
    if isinstance(operator, Judge):
        kept, rulings = _each(worker.name, rows, operator.judge, ledger)
        return _rule(worker.name, kept, rulings, ledger)
    raise TypeError(f"{worker.name} compares rows")


def apply(worker: Worker, rows: list[Row], decided: Any, ledger: list[Entry]) -> list[Row]:
    """Return the rows after what was decided about all of them together."""
    operator = worker.operator
    if not isinstance(operator, Compare):
        raise TypeError(f"{worker.name} does not compare rows")
    kept, rulings = _each(worker.name, rows, lambda batch: operator.apply(batch, decided), ledger)
    return _rule(worker.name, kept, rulings, ledger)


def sketch(worker: Worker, rows: list[Row], ledger: list[Entry]) -> tuple[list[Row], Any]:
    """Return the rows that could be looked at, and their sketch."""
    operator = worker.operator
    if not isinstance(operator, Compare):
        raise TypeError(f"{worker.name} does not compare rows")
    try:
        return rows, operator.sketch(rows)
    except Exception:
        logger.exception("%s cannot look at a batch; looking for the row", worker.name)
    kept, _ = _each(worker.name, rows, lambda batch: [operator.sketch([row]) for row in batch], ledger)
    return kept, operator.sketch(kept)


def _each(
    name: str, rows: Sequence[Row], call: Callable[[Sequence[Row]], Sequence[T]], ledger: list[Entry]
) -> tuple[list[Row], list[T]]:
    """Return the rows and what ``call`` answers to each; those at which it fails are set aside with the error."""
    if not rows:
        return [], []
    try:
        answers = list(call(rows))
        if len(answers) == len(rows):
            return list(rows), answers
        raise ValueError(f"{len(answers)} answers to {len(rows)} rows")
    except Exception as error:
        if len(rows) == 1:
            logger.exception("%s failed at %s", name, rows[0].id)
            ledger.append(_entry(rows[0], name, SET_ASIDE, Note("failed", f"{type(error).__name__}: {error}"[:300])))
            return [], []
    half = len(rows) // 2
    first, second = (_each(name, part, call, ledger) for part in (rows[:half], rows[half:]))
    return first[0] + second[0], first[1] + second[1]


def _mend(name: str, operator: Mend, rows: Sequence[Row], ledger: list[Entry]) -> list[Row]:
    def call(batch: Sequence[Row]) -> list[Sequence[Mended | None]]:
        if isinstance(operator, MendRows):
            return operator.mend_rows(batch)
        texts: list[str] = []
        langs: list[str] = []
        for row in batch:
            texts += row.texts
            langs += [row.lang] * len(row.texts)
        found = iter(operator.mend(texts, langs))
        # next() raises StopIteration if there are too few; too many are a fault as well.
        answers: list[Sequence[Mended | None]] = [[next(found) for _ in row.texts] for row in batch]
        if next(found, found) is not found:
            raise ValueError("more answers than texts")
        return answers

    kept, found = _each(name, rows, call, ledger)
    return [_mended(name, row, enumerate(texts), ledger) for row, texts in zip(kept, found, strict=True)]


def _mended(name: str, row: Row, found: Iterable[tuple[int, Mended | None]], ledger: list[Entry]) -> Row:
    texts: list[str] | None = None
    for place, mended in found:
        # A label is no text: to mend it would make another label.
        if mended is None or row.roles[place] == "label":
            continue
        old = row.texts[place]
        changed = mended.text != old
        before, after = _snippets(old, mended.text) if changed else ("", "")
        for note in mended.notes or ((Note(name),) if changed else ()):
            action = "changed" if changed else "noted"
            ledger.append(_entry(row, name, action, note, before=before, after=after))
        if changed:
            texts = texts or list(row.texts)
            texts[place] = mended.text
    return row if texts is None else replace(row, texts=tuple(texts))


def _rule(
    name: str, rows: Sequence[Row], rulings: Sequence[Sequence[Ruling | Mending]], ledger: list[Entry]
) -> list[Row]:
    kept = []
    for row, found in zip(rows, rulings, strict=True):
        now, dropped = row, False
        for ruling in found:
            if isinstance(ruling, Mending):
                now = _mended(name, now, [(ruling.place, ruling.mended)], ledger)
                continue
            dropped = dropped or ruling.action == "drop"
            ledger.append(_entry(now, name, _ACTIONS[ruling.action], ruling.note, ruling.score, now.text[:SNIPPET]))
            now = _ruled(now, name, ruling)
        if not dropped:
            kept.append(now)
    return kept


_ACTIONS = {"drop": "dropped", "flag": "flagged", "note": "noted"}


def _ruled(row: Row, name: str, ruling: Ruling) -> Row:
    meta = {**row.meta, **ruling.meta}
    if ruling.action == "flag":
        meta["flags"] = [
            *row.meta.get("flags", ()),
            {"by": name, "why": ruling.note.reason, "detail": ruling.note.detail},
        ]
    return replace(row, meta=meta, lang=str(meta.get("lang", row.lang)))


def _entry(
    row: Row, name: str, action: str, note: Note, score: float = 0.0, before: str = "", after: str = ""
) -> Entry:
    return Entry(
        row.id,
        name,
        action,
        note.reason,
        note.detail,
        note.times,
        score,
        before,
        after,
        row.name,
        row.place,
        row.source,
    )


def _snippets(old: str, new: str) -> tuple[str, str]:
    """Return what stands around the first difference of two texts, before and after."""
    most = min(len(old), len(new))
    step = start = 0
    # By halves of what is left: comparing pieces is done at the speed of memory, characters are not.
    step = most
    while step:
        if old.startswith(new[start : start + step], start):
            start += step
            step = min(step, most - start)
        else:
            step //= 2
    start = max(0, start - _MARGIN)
    return old[start : start + SNIPPET], new[start : start + SNIPPET]
