"""Models, exams, runs, answers, verdicts, deployments."""

from __future__ import annotations

from dataclasses import replace

import pytest

from feilun.errors import BadRequest, NotFound
from feilun.records import Comparison, Deployment, Eval, EvalAnswer, EvalItem, EvalRun, ModelVersion, Verdict
from feilun.store import Database, changes, evals, models, verdicts

BASE = ModelVersion("model-base", "", "base", "base", "", "models/base", {"weights": "0"}, created=1.0)
OWN = ModelVersion("model-own", "bank", "own", "adapter", "model-base", "models/own", {"adapter": "1"}, created=2.0)
ITEMS = tuple(EvalItem(f"item-{n}", f"问题 {n}?", (f"{n}", "别的"), ("no",), {"topic": n}) for n in (3, 1, 2))
EXAM = Eval("eval-1", "bank", "own exam", ITEMS, created=1.0, meta={"criteria": [{"type": "contains"}]})
RUN = EvalRun("evalrun-1", "bank", "eval-1", "model-own", created=1.0, meta={"seed": 1})


def test_bases_are_everybodys_and_adapters_their_owners(db: Database) -> None:
    """Every workspace sees a base; an adapter only its own; adding again changes nothing."""
    for model in (OWN, BASE, replace(OWN, name="renamed")):
        assert models.add(db, model) in {OWN.id: [OWN], BASE.id: [BASE]}[model.id]
    assert models.find(db, "bank") == [BASE, OWN]
    assert models.find(db, "other") == [BASE]
    assert models.get(db, "other", "model-base") == BASE
    for ws in ("other", ""):
        with pytest.raises(NotFound):
            models.get(db, ws, "model-own")


def test_a_version_is_on_once_somebody_turned_it_on(db: Database) -> None:
    """Off at first; on for whoever asked first, until turned off; each change is news; a base is never off."""
    models.add(db, BASE)
    models.add(db, OWN)
    assert models.turned_on(db) == {}
    before = changes.number(db)
    assert models.turn_on(db, "bank", OWN.id, "key-1") == models.turn_on(db, "bank", OWN.id, "key-2") == OWN
    assert models.turned_on(db) == {("bank", OWN.id): "key-1"}
    assert changes.number(db) > before
    before = changes.number(db)
    assert models.turn_off(db, "bank", OWN.id) == models.turn_off(db, "bank", OWN.id) == OWN
    assert models.turned_on(db) == {}
    assert changes.number(db) > before
    with pytest.raises(BadRequest):
        models.turn_on(db, "bank", BASE.id, "key-1")
    for switch in (models.turn_off, lambda *to: models.turn_on(*to, "key-1")):
        with pytest.raises(NotFound):
            switch(db, "other", OWN.id)


def test_exams_come_back_as_they_were(db: Database) -> None:
    """Items keep their order and types; adding again changes nothing; a foreign exam is not found."""
    assert evals.add(db, EXAM) == EXAM
    assert evals.add(db, replace(EXAM, items=())) == EXAM
    assert evals.find(db, "bank") == [EXAM]
    with pytest.raises(NotFound):
        evals.get(db, "other", "eval-1")


def test_runs_and_their_answers(db: Database) -> None:
    """A later answer to an item replaces the earlier one; answers come in the order of the exam's items."""
    evals.add(db, EXAM)
    assert evals.add_run(db, RUN) == evals.add_run(db, replace(RUN, model="other")) == RUN
    answers = [EvalAnswer("evalrun-1", f"item-{n}", "提示", f"答 {n}", n / 2, {"tokens": n}) for n in (1, 2, 3)]
    evals.add_answers(db, answers)
    better = replace(answers[0], answer="改了", score=1.0)
    evals.add_answers(db, [better])
    assert evals.answers(db, "bank", "evalrun-1") == [answers[2], better, answers[1]]
    assert evals.set_run(db, "bank", "evalrun-1", "running", {"done": 3}).meta == {"seed": 1, "done": 3}
    assert evals.set_run(db, "bank", "evalrun-1", "succeeded", {"seed": 2}).meta == {"seed": 2, "done": 3}
    assert [run.status for run in evals.find_runs(db, "bank", "eval-1")] == ["succeeded"]


def test_a_batch_of_answers_is_kept_whole_or_not_at_all(db: Database) -> None:
    """One answer to a run that is not there undoes its batch."""
    evals.add(db, EXAM)
    evals.add_run(db, RUN)
    with pytest.raises(NotFound):
        evals.add_answers(db, [EvalAnswer(run, "item-1", "", "", 0.0) for run in ("evalrun-1", "evalrun-x")])
    assert evals.answers(db, "bank", "evalrun-1") == []


def test_runs_are_confined_to_their_workspace(db: Database) -> None:
    """A run needs an exam of its workspace, and is not found from another."""
    evals.add(db, EXAM)
    evals.add_run(db, RUN)
    for attempt in (
        lambda: evals.add_run(db, replace(RUN, id="evalrun-2", workspace="other")),
        lambda: evals.get_run(db, "other", "evalrun-1"),
        lambda: evals.set_run(db, "other", "evalrun-1", "failed", {}),
        lambda: evals.answers(db, "other", "evalrun-1"),
        lambda: evals.delete(db, "other", "eval-1"),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert evals.find_runs(db, "other", "eval-1") == []
    assert evals.get_run(db, "bank", "evalrun-1").status == "queued"


def test_deleting_an_exam_deletes_its_runs(db: Database) -> None:
    """Nothing of the exam is left, and nothing of another one is touched."""
    for exam in (EXAM, replace(EXAM, id="eval-2")):
        evals.add(db, exam)
        evals.add_run(db, replace(RUN, id=f"evalrun-{exam.id}", eval=exam.id))
        evals.add_answers(db, [EvalAnswer(f"evalrun-{exam.id}", "item-1", "", "", 1.0)])
    evals.delete(db, "bank", "eval-1")
    assert [exam.id for exam in evals.find(db, "bank")] == ["eval-2"]
    assert len(evals.answers(db, "bank", "evalrun-eval-2")) == 1
    for attempt in (
        lambda: evals.get_run(db, "bank", "evalrun-eval-1"),
        lambda: evals.delete(db, "bank", "eval-1"),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_verdicts_come_back_as_they_were(db: Database) -> None:
    """Comparisons, reasons in both languages and their absence survive."""
    own = Comparison(120, 0.025, 0.9, 0.875, (0.8, 0.93), 105, 0, 1e-30)
    verdict = Verdict("verdict-1", "bank", "model-2", "model-1", True, {"en": "better", "zh": "更好"}, own, created=1.0)
    assert verdicts.add(db, verdict) == verdicts.add(db, replace(verdict, promoted=False)) == verdict
    assert verdicts.get(db, "bank", "verdict-1") == verdict
    assert verdicts.find(db, "bank") == [verdict]
    with pytest.raises(NotFound):
        verdicts.get(db, "other", "verdict-1")


def test_the_last_promotion_is_current(db: Database) -> None:
    """Order is that of promoting, not of clocks; promoting again changes nothing; each is counted as a change."""
    assert verdicts.current(db, "bank") is None
    first = Deployment("deployment-1", "bank", "own", "model-1", "verdict-1", created=9.0)
    second = replace(first, id="deployment-2", model="model-2", created=5.0)
    for deployment in (first, second, first, replace(first, id="deployment-3", endpoint="draft")):
        verdicts.promote(db, deployment)
    assert verdicts.current(db, "bank") == second
    assert verdicts.current(db, "bank", "draft") == replace(first, id="deployment-3", endpoint="draft")
    assert verdicts.current(db, "other") is None
    assert [one.id for one in verdicts.deployments(db, "bank")] == ["deployment-1", "deployment-2", "deployment-3"]
    assert changes.number(db) == 3
