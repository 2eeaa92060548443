"""Insights and imported rows on both databases: kept, found again, decided once; all or nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from feilun.errors import Conflict, NotFound
from feilun.records import Eval, EvalAnswer, EvalRun, Feedback, Job, Trace, Usage
from feilun.store import Database, Journal, evals, feedback, lineage, traces
from feilun.store.calls import imported, usage
from feilun.store.insights import Insight, kept

ONE = Insight(
    "insight-1",
    "bank",
    "狗, dog: May I bring my dog?",
    "May I bring my dog?",
    ("狗", "dog"),
    "knowledge",
    ({"trace": "trace-1", "why": ["rated"]},),
    3,
    0.75,
    {"rated": 1},
    {"down": 1, "up": 0, "of_all_down": 0.5},
    {"counts": [1, 0], "word": "steady"},
)


def test_an_insight_comes_back_as_it_was_kept(db: Database) -> None:
    """Every field, with its evidence in the lineage; other workspaces have none."""
    (found,) = kept.keep(db, "bank", [ONE])
    assert found == ONE
    assert kept.get(db, "bank", ONE.id) == ONE
    assert [(edge.parent, edge.relation) for edge in lineage.ancestors(db, "bank", ONE.id)] == [("trace-1", "evidence")]
    assert kept.find(db, "other") == []
    with pytest.raises(NotFound):
        kept.get(db, "other", ONE.id)


def test_finding_again_keeps_decisions(db: Database) -> None:
    """New figures, the same decision; what is not found any more fades unless it was decided."""
    kept.keep(db, "bank", [ONE, replace(ONE, id="insight-2")])
    kept.decide(db, "bank", "insight-2", "dismissed", {"said": {"reason": "x"}}, ())
    found = {
        one.id: one for one in kept.keep(db, "bank", [replace(ONE, calls=9), replace(ONE, id="insight-2", calls=5)])
    }
    assert (found["insight-1"].calls, found["insight-1"].status) == (9, "open")
    assert (found["insight-2"].calls, found["insight-2"].status) == (5, "dismissed")
    found = {one.id: one for one in kept.keep(db, "bank", [])}
    assert [found[key].status for key in ("insight-1", "insight-2")] == ["faded", "dismissed"]
    assert [one.status for one in kept.keep(db, "bank", [ONE]) if one.id == ONE.id] == ["open"]


def test_it_is_decided_once(db: Database) -> None:
    """The same words again change nothing, other words are a conflict; what was written is in the lineage."""
    kept.keep(db, "bank", [ONE])
    said = {"said": {"answers": ["On a leash."]}, "at": 1.0}
    first = kept.decide(db, "bank", ONE.id, "accepted", said, ["feedback-1"])
    assert kept.decide(db, "bank", ONE.id, "accepted", {**said, "at": 2.0}, []) == first
    with pytest.raises(Conflict):
        kept.decide(db, "bank", ONE.id, "accepted", {"said": {"answers": ["No."]}}, [])
    assert [edge.child for edge in lineage.descendants(db, "bank", ONE.id)] == ["feedback-1"]


def _rows(ws: str = "bank") -> imported.Rows:
    said = ({"role": "user", "content": "费用？"},)
    trace = Trace("trace-a", ws, "imported", "own", "there/m", said, "四。", "stop", Usage(5, 3), created=1e9)
    run = EvalRun("evalrun-a", ws, "eval-a", "gpt", "succeeded", 1e9, {"total": 1})
    job = Job("evalrun-a", ws, "eval_run", {}, "succeeded", created=1e9, finished=1e9)
    return imported.Rows(
        [trace],
        [Feedback("feedback-a", ws, "trace-a", 1, created=1e9)],
        [Eval("eval-a", ws, "exam", created=1e9)],
        [(run, job, [EvalAnswer("evalrun-a", "item-000000", "q", "a", 1.0)])],
        [("trace-a", "feedback-a", "rated")],
        {"from": "there"},
    )


def test_imported_rows_are_kept_once(db: Database) -> None:
    """Calls, judgements, exams, runs with answers and job; not counted as use; again they are known."""
    new = imported.keep(db, "bank", _rows())
    assert new == {"traces": {"trace-a"}, "feedback": {"feedback-a"}, "evals": {"eval-a"}, "runs": {"evalrun-a"}}
    assert traces.get(db, "bank", "trace-a") == _rows().traces[0]
    assert [one.id for one in feedback.find(db, "bank")] == ["feedback-a"]
    assert [one.answer for one in evals.answers(db, "bank", "evalrun-a")] == ["a"]
    assert Journal(db).get("evalrun-a", "bank").status == "succeeded"
    assert usage.report(db, "bank", ("key",)) == []
    assert imported.keep(db, "bank", _rows()) == {"traces": set(), "feedback": set(), "evals": set(), "runs": set()}
    assert imported.known(db, "bank", ["trace-a", "trace-b"]) == {"trace-a"}
    assert imported.elsewhere(db, "other", ["evalrun-a"]) == {"evalrun-a"}
    assert imported.elsewhere(db, "bank", ["evalrun-a"]) == set()


def test_half_of_them_is_none_of_them(db: Database) -> None:
    """A run of an exam's answers that cannot be kept takes everything with it."""
    rows = _rows()
    broken = replace(rows, runs=[(rows.runs[0][0], rows.runs[0][1], [EvalAnswer("evalrun-none", "item", "", "", 1.0)])])
    with pytest.raises(NotFound):
        imported.keep(db, "bank", broken)
    assert traces.find(db, "bank") == []
    assert evals.find(db, "bank") == []
