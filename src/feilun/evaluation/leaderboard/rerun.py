"""A cell of the leaderboard once more: the same answers, or which input changed.

Answers are greedy and asked in fixed groups, so that the same model, exam and settings give the same texts on the same
machine. This module knows what such an input is. It does not know which engine answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from feilun.errors import BadRequest, NotFound
from feilun.evaluation.answered import IDENTITY, exam_hash
from feilun.evaluation.run import Progress, Save, Sitting
from feilun.records import JSON, Eval, EvalAnswer, EvalItem, EvalRun, ModelVersion, content_hash
from feilun.store import evals, models
from feilun.store.database import Database

SitAgain = Callable[[ModelVersion, Eval, Save, Sitting, Progress | None], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Rerun:
    """What came of it: ``same`` of ``questions`` answers are equal; ``changed`` maps an input to (before, now).

    ``differing`` are the items whose answers differ; ``scores`` says how many of those were scored otherwise.
    """

    run: str
    questions: int
    same: int
    changed: dict[str, tuple[str, str]]
    differing: tuple[str, ...]
    scores: int

    @property
    def reproduced(self) -> bool:
        """Whether every answer is the same."""
        return self.same == self.questions


def newest(db: Database, ws: str, model: str, exam: str) -> tuple[Eval, EvalRun, ModelVersion]:
    """Return the newest answered run of a model (id or name) on an exam (id or name); raise NotFound, BadRequest.

    Behind an exam's name, ``(likelihood)`` means the run in which options were read by their likelihood.
    """
    versions = [each for each in models.find(db, ws) if model in {each.id, each.name}]
    read = exam.endswith(("/likelihood", " (likelihood)"))
    named = exam.split("/")[0].removesuffix(" (likelihood)")
    found = [
        (each, run, version)
        for each in evals.find(db, ws)
        if named in {each.id, each.name}
        for run in evals.find_runs(db, ws, each.id)
        for version in versions
        if run.model == version.id and run.status == "succeeded" and not run.meta.get("trial")
        if (run.meta.get("by") == "likelihood") == read
    ]
    if found:
        return max(found, key=lambda each: each[1].created)
    outside = [run for each in evals.find(db, ws) for run in evals.find_runs(db, ws, each.id) if run.model == model]
    if outside:
        raise BadRequest(
            f"{model} is not on this machine, so nobody can say what it is now.",
            "Begin a new run through POST /v1/evals/{id}/runs, and compare the two.",
        )
    raise NotFound(f"There is no finished run of {model} on {exam}.", "feilun leaderboard lists what there is.")


async def rerun(
    db: Database,
    ws: str,
    found: tuple[Eval, EvalRun, ModelVersion],
    sit_again: SitAgain,
    now: JSON,
    progress: Progress | None = None,
) -> Rerun:
    """Have the model of ``found`` (what :func:`newest` returned) answer once more; nothing that is kept is changed.

    ``sit_again`` has a version answer an exam; ``now`` holds the settings of today by their names, as
    ``answered.inputs`` writes them. What the run itself fixed (how many questions together, how long an answer, whether
    options are read by their likelihood) is done as it was.
    """
    exam, run, version = found
    before = evals.answers(db, ws, run.id)
    again = _as_asked(exam, run, before)
    was: JSON = run.meta.get("inputs", {})
    how = Sitting(int(was.get("batch") or now["batch"]), int(was.get("max_tokens") or now["max_tokens"]))
    given: dict[str, EvalAnswer] = {}

    async def save(rows: list[EvalAnswer]) -> None:
        given.update({row.item: row for row in rows})

    await sit_again(version, again, save, how, progress)
    kept = {answer.item: answer for answer in before}
    differing = tuple(item.id for item in again.items if given[item.id].answer != kept[item.id].answer)
    facts = {**now, "batch": how.batch, "max_tokens": how.max_tokens, "exam": exam_hash(again)}
    changed = {name: (str(was[name]), str(facts[name])) for name in was if name in facts and was[name] != facts[name]}
    hashes = ({str(row.meta.get(IDENTITY, "")) for row in rows.values()} for rows in (kept, given))
    old, new = ("+".join(sorted(each)) for each in hashes)
    if old and old != new:
        changed["model"] = (old, new)
    missing = [item for item in exam.items if item.id not in kept]
    if missing:
        changed["questions"] = (str(len(kept)), str(len(exam.items)))
    scores = sum(given[item].score != kept[item].score for item in differing)
    return Rerun(run.id, len(again.items), len(again.items) - len(differing), changed, differing, scores)


def _as_asked(exam: Eval, run: EvalRun, answers: list[EvalAnswer]) -> Eval:
    """Return the exam as the run asked it: its own questions, or the rows that came with the run."""
    if "data_source" not in run.meta:
        known = {answer.item for answer in answers}
        return replace(exam, items=tuple(item for item in exam.items if item.id in known))
    if any(not answer.meta.get("sample", {}).get("input") for answer in answers):
        raise BadRequest("The answers of this run came with their questions: no model was asked.", "There is no rerun.")
    items = []
    for answer in answers:
        messages = answer.meta["sample"]["input"]
        meta = {"messages": messages, "key": content_hash(messages)}
        items.append(EvalItem(answer.item, str(messages[-1]["content"]), ("",), (), meta))
    return replace(exam, items=tuple(items))
