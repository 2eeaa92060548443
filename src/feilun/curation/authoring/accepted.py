"""Drafts that a person accepted -> a sealed version of an exam.

This module knows finished rows of the review queue. It does not know how they were decided, or how the exam is sat.
"""

from __future__ import annotations

from dataclasses import dataclass

from feilun.curation.authoring.draft import queue_name
from feilun.errors import NothingUsable
from feilun.records import JSON, Eval, EvalItem, derived_id
from feilun.signs import signed
from feilun.store import evals, lineage, sources
from feilun.store.database import Database
from feilun.store.review import queue


@dataclass(frozen=True, slots=True)
class Authored:
    """The exam as kept, and why rows are not in it: not decided, rejected, contradictory, not permitted any more."""

    exam: Eval
    waiting: int
    rejected: int
    contradictory: int
    forbidden: int


def authored_exam(db: Database, ws: str, name: str) -> Authored:
    """Make the exam of the accepted drafts and keep it; the same decisions give the same version.

    Only what a person accepted gets in. Questions that are accepted with several answers are left out, and so is what
    its source no longer permits. Raises NothingUsable if nothing is accepted, BadRequest or Conflict for the name of
    another exam.
    """
    rows = queue.find(db, ws, queue_name(name))
    done = [row for row in rows if row.status == "done" and isinstance(row.row.get("exam"), dict)]
    accepted = [row for row in done if (row.result or {}).get("action") == "accept"]
    permitted = {source.id for source in sources.permitted(db, ws, "evaluate")}
    usable = [row for row in accepted if set(row.sources) <= permitted]
    answers: dict[str, set[str]] = {}
    for row in usable:
        told: JSON = row.row["exam"]
        answers.setdefault(signed(str(told["question"])), set()).add(signed(str(told["answer"])))
    items: dict[str, EvalItem] = {}
    edges = []
    for row in sorted(usable, key=lambda row: row.id):
        key = signed(str(row.row["exam"]["question"]))
        if len(answers[key]) == 1 and key not in items:
            items[key] = _item(row.row["exam"])
            edges.append((row.id, items[key].id, "accepted"))
    if not items:
        raise NothingUsable(
            f"No draft for {name} has been accepted yet.",
            f'feilun review next --queue "{queue_name(name)}" --as NAME shows the next one.',
        )
    meta: JSON = {"kind": "own", "sealed": True, "authored": True}
    made = Eval(
        derived_id("eval", ws, name, [i.id for i in items.values()]), ws, name, tuple(items.values()), meta=meta
    )
    kept, _ = evals.add_named(db, made, new_version=True)
    lineage.link(db, ws, [(row, kept.id, how) for row, _, how in edges])
    twice = sum(len(many) > 1 for many in answers.values())
    open_ = len([row for row in rows if row.status not in {"done", "withdrawn"}])
    return Authored(kept, open_, len(done) - len(accepted), twice, len(accepted) - len(usable))


def _item(told: JSON) -> EvalItem:
    question, accept = str(told["question"]), tuple(str(text) for text in told["accept"])
    names = ("lang", "topic", "file", "place", "quote", "difficulty", "sources", "how")
    meta: JSON = {name: told[name] for name in names if name in told}
    meta["cluster"] = f"{told.get('file', '')} {told.get('place', '')}".strip()
    return EvalItem(derived_id("item", question, list(accept), []), question, accept, (), meta)
