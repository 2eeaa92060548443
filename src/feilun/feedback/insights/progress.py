"""Whether what a person accepted has helped: in the exams since, and in the calls since.

This module knows exam items that stand for an insight, verdicts and deployments. It does not know how a model learns.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from feilun.errors import NotFound
from feilun.feedback.insights.signs import Call
from feilun.records import JSON, EvalItem, Verdict, derived_id
from feilun.store import Database, evals, lineage, verdicts
from feilun.store.insights import Insight


def examined(db: Database, ws: str, insight: Insight) -> list[JSON]:
    """Return, for each verdict since an insight was accepted, how its questions went before and after (shares 0-1).

    A verdict counts if both models sat an exam with questions of the insight: those that were held back for it and
    those about the corrections that it wrote. Oldest first.
    """
    if insight.status != "accepted":
        return []
    taught = {derived_id("source", "feedback", each) for each in insight.outcome.get("feedback", [])}
    found = []
    for verdict in verdicts.find(db, ws):
        if verdict.created >= insight.outcome.get("at", 0.0):
            counted = _counted(db, ws, verdict, insight.id, taught)
            if counted:
                found.append(counted)
    return found


def is_of(item: EvalItem, insight_id: str, taught: Collection[str]) -> bool:
    """Say whether an exam item stands for an insight."""
    return item.meta.get("insight") == insight_id or not set(taught).isdisjoint(item.meta.get("sources") or ())


def _counted(db: Database, ws: str, verdict: Verdict, insight_id: str, taught: Collection[str]) -> JSON | None:
    shares: dict[str, float] = {}
    count = 0
    for edge in lineage.ancestors(db, ws, verdict.id):
        if edge.child != verdict.id or edge.relation != "compared in":
            continue
        try:
            run = evals.get_run(db, ws, edge.parent)
            exam = evals.get(db, ws, run.eval)
        except NotFound:
            continue
        items = {item.id for item in exam.items if is_of(item, insight_id, taught)}
        if items:
            scores = [answer.score >= 1 for answer in evals.answers(db, ws, run.id) if answer.item in items]
            shares[run.model] = sum(scores) / len(items)
            count = len(items)
    if not {verdict.candidate, verdict.incumbent} <= shares.keys():
        return None
    before, after = shares[verdict.incumbent], shares[verdict.candidate]
    return {
        "verdict": verdict.id,
        "promoted": verdict.promoted,
        "questions": count,
        "before": round(before, 4),
        "after": round(after, 4),
        "shrank": after > before,
    }


def served_since(db: Database, ws: str, insight: Insight) -> float | None:
    """Return since when (s since 1970) something is served that was judged after an insight was accepted, or None."""
    accepted = float(insight.outcome.get("at", 0.0))
    judged = {verdict.id for verdict in verdicts.find(db, ws) if verdict.created >= accepted}
    times = [each.created for each in verdicts.deployments(db, ws) if each.verdict in judged]
    return min(times, default=None)


def before_and_after(calls: Sequence[Call], near: Collection[int], served: float | None) -> JSON:
    """Return how many calls there were, asked this (``near``), and failed at it, before and since a time.

    ``share`` is the failed calls of this theme among all calls.
    """
    told: JSON = {"served": served}
    for name in ("before", "after"):
        mine = [
            place
            for place, call in enumerate(calls)
            if (name == "after") == (served is not None and call.trace.created >= served)
        ]
        asks = [place for place in mine if place in near]
        failed = sum(calls[place].bad for place in asks)
        share = round(failed / len(mine), 4) if mine else None
        told[name] = {"calls": len(mine), "near": len(asks), "failed": failed, "share": share}
    return told
