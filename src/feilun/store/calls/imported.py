"""Calls, judgements, exams and runs that come from another system: rows that are written all or none.

Knows their tables. Does not know where they come from. Calls that were made elsewhere are not counted as use here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from feilun.records import JSON, Eval, EvalAnswer, EvalRun, Feedback, Job, Trace
from feilun.store import audit, lineage
from feilun.store.calls.usage import day
from feilun.store.database import Database, insert, serialise
from feilun.store.schema import ANSWERS, EVAL_RUNS, EVALS, FEEDBACK, JOBS, TRACES, to_row

_FEW = 500


@dataclass(frozen=True, slots=True)
class Rows:
    """What is to be kept; every judgement's trace and every run's exam is among it, or kept already.

    ``runs`` come with their answers and the job that once made them, which has ended. ``edges`` are of the lineage.
    """

    traces: Sequence[Trace] = ()
    feedback: Sequence[Feedback] = ()
    evals: Sequence[Eval] = ()
    runs: Sequence[tuple[EvalRun, Job, Sequence[EvalAnswer]]] = ()
    edges: Sequence[tuple[str, str, str]] = ()
    facts: JSON = field(default_factory=dict)


def keep(db: Database, ws: str, given: Rows) -> dict[str, set[str]]:
    """Keep rows in one transaction; those that are there stay as they are. Return the ids that are new, by noun.

    Raises NotFound for an unknown workspace.
    """
    runs = [run for run, _, _ in given.runs]
    with db.writing() as conn:
        serialise(conn, "imported", ws)
        new = {
            "traces": _new(conn, TRACES, ws, [each.id for each in given.traces]),
            "feedback": _new(conn, FEEDBACK, ws, [each.id for each in given.feedback]),
            "evals": _new(conn, EVALS, ws, [each.id for each in given.evals]),
            "runs": _new(conn, EVAL_RUNS, ws, [run.id for run in runs]),
        }
        insert(conn, TRACES, [_trace(each) for each in given.traces if each.id in new["traces"]])
        insert(conn, FEEDBACK, [to_row(each) for each in given.feedback if each.id in new["feedback"]])
        insert(conn, EVALS, [to_row(each) for each in given.evals if each.id in new["evals"]])
        for run, job, answers in given.runs:
            if run.id in new["runs"]:
                insert(conn, JOBS, [to_row(job, cancel=False)])
                insert(conn, EVAL_RUNS, [to_row(run)])
                insert(conn, ANSWERS, [to_row(each) for each in answers])
        lineage.record(conn, ws, given.edges)
        if any(new.values()):
            counts = {noun: len(ids) for noun, ids in new.items()}
            audit.note(conn, ws, "", "import.rows", str(given.facts.get("from", "")), {**given.facts, **counts})
    return new


def known(db: Database, ws: str, traces: Iterable[str]) -> set[str]:
    """Return those of some ids that are traces of a workspace."""
    wanted = list(traces)
    with db.reading() as conn:
        return set(wanted) - _new(conn, TRACES, ws, wanted)


def elsewhere(db: Database, ws: str, runs: Iterable[str]) -> set[str]:
    """Return those of some ids that are runs, or jobs, of other workspaces: ids of runs are everybody's."""
    wanted, found = list(runs), set()
    with db.reading() as conn:
        for table in (EVAL_RUNS, JOBS):
            for at in range(0, len(wanted), _FEW):
                mine = sa.and_(table.c.id.in_(wanted[at : at + _FEW]), table.c.workspace != ws)
                found |= set(conn.scalars(sa.select(table.c.id).where(mine)))
    return found


def _new(conn: Connection, table: sa.Table, ws: str, ids: Sequence[str]) -> set[str]:
    there: set[str] = set()
    for at in range(0, len(ids), _FEW):
        where = sa.and_(table.c.workspace == ws, table.c.id.in_(ids[at : at + _FEW]))
        there |= set(conn.scalars(sa.select(table.c.id).where(where)))
    return set(ids) - there


def _trace(trace: Trace) -> dict[str, Any]:
    usage = trace.usage
    row = to_row(replace(trace))
    del row["usage"]
    counts = ("prompt_tokens", "completion_tokens", "cached_tokens")
    row |= {name: getattr(usage, name) for name in counts}
    return row | {"day": day(trace.created), "origin": trace.deployment}
