"""What an exam that is kept can show, from how its questions hang together and how often answers have got worse.

This module knows exams and their runs. It does not know formulas, nor who asks.
"""

from __future__ import annotations

from itertools import pairwise

from feilun.errors import NotFound
from feilun.evaluation.compare import cluster_of
from feilun.evaluation.statistics import Plan, clustered, design_effect, plan
from feilun.evaluation.statistics.power import USUAL_LOSS
from feilun.records import Eval
from feilun.store import evals
from feilun.store.database import Database


def find_exam(db: Database, ws: str, wanted: str) -> Eval:
    """Return the exam with this id, or the newest of this name; raise NotFound that names those there are."""
    found = evals.find(db, ws)
    fitting = [each for each in found if each.id == wanted] or [each for each in found if each.name == wanted]
    if not fitting:
        names = ", ".join(sorted({each.name for each in found})) or "none yet"
        raise NotFound(f"There is no exam {wanted[:100]!r} in this workspace.", f"There are: {names}.")
    return fitting[-1]


def outlook(db: Database, ws: str, wanted: str, loss: float | None = None) -> tuple[Plan, bool]:
    """Return what an exam (id or name) can show, and whether earlier runs say how answers change.

    The share that gets worse is that of the two newest runs, half of what changed both ways between them; the design
    effect is that of the newest run's right answers in their clusters. Raises NotFound for an unknown exam.
    """
    exam = find_exam(db, ws, wanted)
    runs = [evals.answers(db, ws, run.id) for run in evals.find_runs(db, ws, exam.id)]
    whole = [{answer.item: answer.score for answer in run} for run in runs if run]
    if not exam.items:
        questions = max((len(run) for run in whole), default=0)
        if not questions:
            raise NotFound(f"The exam {exam.name} has no questions of its own, and no run.", "Run it once.")
        return plan(questions, USUAL_LOSS if loss is None else loss), False
    ids = [item.id for item in exam.items]
    clusters = [cluster_of(item) for item in exam.items]
    whole = [run for run in whole if all(item in run for item in ids)]
    effect = _effect([whole[-1][item] for item in ids] if whole else [], clusters)
    for before, after in list(pairwise(whole))[-1:]:
        moved = sum(abs(before[item] - after[item]) for item in ids) / len(ids)
        known = min(0.4, max(0.0, moved / 2))
        return plan(len(ids), known if loss is None else loss, effect), loss is None
    return plan(len(ids), USUAL_LOSS if loss is None else loss, effect), False


def _effect(scores: list[float], clusters: list[str | None]) -> float:
    """Return the design effect of right answers about their mean; a fifth of the most where nobody has answered yet."""
    if scores:
        mean = sum(scores) / len(scores)
        return design_effect(clustered([score - mean for score in scores], clusters))
    found = clustered([0.0] * len(clusters), clusters)
    return 1 + (max(1.0, float(found.sizes.sum()) / found.effective) - 1) / 5
