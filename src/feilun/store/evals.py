"""Exams, their runs and every answer given. Knows their rows and names; does not know how answers are scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from feilun.errors import BadRequest, Conflict
from feilun.records import JSON, Eval, EvalAnswer, EvalRun, JobStatus
from feilun.signs import signed
from feilun.store import changes
from feilun.store.access import naming
from feilun.store.database import Database, insert, one, rows
from feilun.store.schema import ANSWERS, EVAL_RUNS, EVALS, from_row, to_row

OF_TURNS = frozenset({"own", "own exam", "general exam"})


def add(db: Database, exam: Eval) -> Eval:
    """Keep an exam and return it as kept; one that is there already stays as it is. Raises BadRequest for no name."""
    naming.check_name(exam.name, "An exam's name")
    with db.writing() as conn:
        insert(conn, EVALS, [to_row(exam)])
    return get(db, exam.workspace, exam.id)


def add_named(db: Database, exam: Eval, *, new_version: bool = False) -> tuple[Eval, Eval | None]:
    """Keep an exam that people named; return it as kept, and the version that it takes the place of, if any.

    Of exams of one name the newest counts, so it must be the same exam: of its last version at least half of the
    questions must be asked again, unless somebody says that it is a ``new_version``. Raises BadRequest for a name of
    turns, Conflict for that of another exam, and for a version that a later one has taken the place of.
    """
    check_name(exam.name)
    named = [each for each in find(db, exam.workspace) if each.items and each.name == exam.name]
    if not named or named[-1].id == exam.id:
        return add(db, exam), None
    if any(each.id == exam.id for each in named):
        raise Conflict(f"A later version has taken the place of this one of {exam.name!r}.", "Choose another name.")
    last = named[-1]
    if last.meta.get("kind") != exam.meta.get("kind"):
        raise Conflict(f"There is an exam {exam.name!r} of another kind.", "Choose another name.")
    asked = {signed(item.question) for item in exam.items}
    again = sum(signed(item.question) in asked for item in last.items)
    if not new_version and 2 * again < len(last.items):
        raise Conflict(
            f"There is another exam {exam.name!r}: only {again} of its {len(last.items)} questions are asked here. In "
            "its place, its questions would not be sealed any more.",
            "Choose another name, or say that this is a new version of it (--new-version).",
        )
    return add(db, exam), last


def check_name(name: str) -> None:
    """Raise BadRequest for what is no name, and for one that turns give to exams that they make anew.

    Those are not sealed by their names.
    """
    naming.check_name(name, "An exam's name")
    if signed(name) in OF_TURNS:
        raise BadRequest(f"{name!r} is what turns call an exam of their own.", "Choose another name (--name).", "name")


def get(db: Database, ws: str, eval_id: str) -> Eval:
    """Return an exam; raise NotFound."""
    with db.reading() as conn:
        return from_row(Eval, one(conn, _select(EVALS, ws, eval_id), f"eval {eval_id}"))


def find(db: Database, ws: str) -> list[Eval]:
    """Return the exams of a workspace, oldest first."""
    query = sa.select(EVALS).where(EVALS.c.workspace == ws).order_by(EVALS.c.created, EVALS.c.id)
    with db.reading() as conn:
        return [from_row(Eval, row) for row in rows(conn, query)]


def update(db: Database, ws: str, eval_id: str, name: str, meta: JSON) -> Eval:
    """Set an exam's name and merge ``meta`` into what it has; return it; raise NotFound, BadRequest for no name."""
    query = _select(EVALS, ws, eval_id)
    with db.writing() as conn:
        exam = one(conn, query.with_for_update(), f"eval {eval_id}")
        if name != exam["name"]:
            naming.check_name(name, "An exam's name")
        where = sa.and_(EVALS.c.workspace == ws, EVALS.c.id == eval_id)
        conn.execute(sa.update(EVALS).where(where).values(name=name, meta={**exam["meta"], **meta}))
        return from_row(Eval, one(conn, query, f"eval {eval_id}"))


def delete(db: Database, ws: str, eval_id: str) -> None:
    """Delete an exam with its runs and their answers; raise NotFound."""
    runs = sa.select(EVAL_RUNS.c.id).where(EVAL_RUNS.c.workspace == ws, EVAL_RUNS.c.eval == eval_id)
    with db.writing() as conn:
        one(conn, _select(EVALS, ws, eval_id), f"eval {eval_id}")
        conn.execute(sa.delete(ANSWERS).where(ANSWERS.c.run.in_(runs)))
        conn.execute(sa.delete(EVAL_RUNS).where(EVAL_RUNS.c.workspace == ws, EVAL_RUNS.c.eval == eval_id))
        conn.execute(sa.delete(EVALS).where(EVALS.c.workspace == ws, EVALS.c.id == eval_id))
        changes.bump(conn)


def add_run(db: Database, run: EvalRun) -> EvalRun:
    """Keep a run of an exam that is there and return it as kept; one that is there already stays as it is."""
    with db.writing() as conn:
        one(conn, _select(EVALS, run.workspace, run.eval), f"eval {run.eval}")
        insert(conn, EVAL_RUNS, [to_row(run)])
    return get_run(db, run.workspace, run.id)


def get_run(db: Database, ws: str, run_id: str) -> EvalRun:
    """Return a run; raise NotFound."""
    with db.reading() as conn:
        return from_row(EvalRun, one(conn, _select(EVAL_RUNS, ws, run_id), f"eval run {run_id}"))


def find_runs(db: Database, ws: str, eval_id: str) -> list[EvalRun]:
    """Return the runs of an exam, oldest first."""
    query = sa.select(EVAL_RUNS).where(EVAL_RUNS.c.workspace == ws, EVAL_RUNS.c.eval == eval_id)
    with db.reading() as conn:
        return [from_row(EvalRun, row) for row in rows(conn, query.order_by(EVAL_RUNS.c.created, EVAL_RUNS.c.id))]


def set_run(db: Database, ws: str, run_id: str, status: JobStatus, meta: JSON) -> EvalRun:
    """Set a run's status and merge ``meta`` into what it has; return it; raise NotFound."""
    query = _select(EVAL_RUNS, ws, run_id)
    with db.writing() as conn:
        run = one(conn, query.with_for_update(), f"eval run {run_id}")
        where = sa.and_(EVAL_RUNS.c.workspace == ws, EVAL_RUNS.c.id == run_id)
        conn.execute(sa.update(EVAL_RUNS).where(where).values(status=status, meta={**run["meta"], **meta}))
        if status == "succeeded":
            changes.bump(conn)  # cost-aware routes follow its score
        return from_row(EvalRun, one(conn, query, f"eval run {run_id}"))


def delete_run(db: Database, ws: str, run_id: str) -> None:
    """Delete a run with its answers; raise NotFound."""
    with db.writing() as conn:
        one(conn, _select(EVAL_RUNS, ws, run_id), f"eval run {run_id}")
        conn.execute(sa.delete(ANSWERS).where(ANSWERS.c.run == run_id))
        conn.execute(sa.delete(EVAL_RUNS).where(EVAL_RUNS.c.workspace == ws, EVAL_RUNS.c.id == run_id))
        changes.bump(conn)


def add_answers(db: Database, answers: Sequence[EvalAnswer]) -> None:
    """Keep answers in one transaction; an item's later answer replaces its earlier one; raise NotFound for the run."""
    with db.writing() as conn:
        for run in sorted({answer.run for answer in answers}):
            one(conn, sa.select(EVAL_RUNS.c.id).where(EVAL_RUNS.c.id == run), f"eval run {run}")
        # In one order, so that two writers cannot wait for each other.
        values = [to_row(answer) for answer in sorted(answers, key=lambda answer: (answer.run, answer.item))]
        insert(conn, ANSWERS, values, replace=("prompt", "answer", "score", "meta"))


def answers(db: Database, ws: str, run_id: str) -> list[EvalAnswer]:
    """Return the answers of a run in the order of the exam's items; raise NotFound."""
    with db.reading() as conn:
        run = from_row(EvalRun, one(conn, _select(EVAL_RUNS, ws, run_id), f"eval run {run_id}"))
        exam = from_row(Eval, one(conn, _select(EVALS, ws, run.eval), f"eval {run.eval}"))
        found = rows(conn, sa.select(ANSWERS).where(ANSWERS.c.run == run_id))
    order = {item.id: place for place, item in enumerate(exam.items)}
    found.sort(key=lambda row: (order.get(row["item"], len(order)), row["item"]))
    return [from_row(EvalAnswer, row) for row in found]


def _select(table: sa.Table, ws: str, noun_id: str) -> sa.Select[Any]:
    return sa.select(table).where(table.c.workspace == ws, table.c.id == noun_id)
