"""A model of this machine sits an exam because somebody asked for it on the command line.

By log-probability the model is read in this process; in words, an engine is started as for serving. Answers are saved
in chunks; the same command goes on where it ended. This module knows how both are put together. It does not know how
answers are graded.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.errors import BadRequest, ModelNotFound
from feilun.records import JSON, Eval, EvalAnswer, EvalRun, ModelVersion, derived_id
from feilun.registry import Registry
from feilun.settings import Settings

PARTS = Registry("command's part", "local")
for _name, _target in {
    "likelihood": "feilun.engines.likelihood:Likelihood",
    "inputs": "feilun.evaluation.answered:inputs",
    "surroundings": "feilun.evaluation.answered:surroundings",
    "base": "feilun.engines.models:ensure_base",
    "base identity": "feilun.engines.identity:base_identity",
    "adapter identity": "feilun.engines.identity:adapter_identity",
    "engine": "feilun.serving:start_engine",
    "request": "feilun.engines.seam:Request",
    "sit": "feilun.evaluation.run:sit",
    "sitting": "feilun.evaluation.run:Sitting",
    "read": "feilun.evaluation.run:read_all",
    "possible": "feilun.evaluation.likely:by_likelihood",
    "add model": "feilun.store.models:add",
    "models": "feilun.store.models:find",
    "evals": "feilun.store.evals:find",
    "add run": "feilun.store.evals:add_run",
    "set run": "feilun.store.evals:set_run",
    "answers": "feilun.store.evals:answers",
    "add answers": "feilun.store.evals:add_answers",
    "wilson": "feilun.grading.calibration:wilson",
}.items():
    PARTS.add(_name, _target)


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants: the exam, the model, how (``likelihood`` or ``words``), a judge, float32 or bfloat16."""

    exam: Eval
    model: ModelVersion
    by: str
    judge: ModelVersion | None = None
    precision: str = "float32"
    tokens: int = 48
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """How it went: questions, their mean score with its 95 % interval, answers that could not be graded."""

    run: str
    questions: int
    score: float
    interval: tuple[float, float]
    errored: int
    missing: int
    scores: JSON

    @property
    def complete(self) -> bool:
        """Whether every question has a grade: only then may it be compared."""
        return not self.errored and not self.missing


def find_exam(db: Any, ws: str, name: str) -> Eval:
    """Return the newest exam of a name, or the one of an id; raise BadRequest that lists what there is."""
    found: list[Eval] = PARTS.load("evals")(db, ws)
    fitting = [exam for exam in found if name in {exam.name, exam.id}]
    if not fitting:
        names = ", ".join(sorted({exam.name for exam in found})[:20]) or "none"
        raise BadRequest(f"There is no exam {name!r}.", f"Known: {names}. feilun exam import brings others.")
    # What the API defines has no questions of its own: it is nobody's newer version.
    return next((exam for exam in fitting[::-1] if exam.items), fitting[-1])


def find_model(db: Any, settings: Settings, ws: str, name: str) -> ModelVersion:
    """Return a version by id or name (the newest), or the base model; raise ModelNotFound."""
    base: ModelVersion = PARTS.load("base")(settings.root, settings.model)
    if name in {"", base.id, base.name}:
        PARTS.load("add model")(db, base)
        return base
    known: list[ModelVersion] = PARTS.load("models")(db, ws)
    fitting = [version for version in known if name in {version.id, version.name}]
    if fitting:
        return fitting[-1]
    raise ModelNotFound(
        f"There is no model {name!r}.", f"Known: {', '.join(sorted({m.name for m in known} | {base.name}))}."
    )


async def sit(db: Any, settings: Settings, ws: str, order: Order, progress: Any) -> Score:
    """Have the model sit the exam, and return the score of all that is answered."""
    exam, parts = order.exam, ("likelihood",) if order.by == "likelihood" else ()
    asked = _limited(order)
    run = EvalRun(derived_id("evalrun", ws, exam.id, order.model.id, *parts), ws, exam.id, order.model.id)
    await asyncio.to_thread(PARTS.load("add run"), db, run)
    given: list[EvalAnswer] = await asyncio.to_thread(PARTS.load("answers"), db, ws, run.id)
    done = {answer.item for answer in given if not answer.meta.get("errored")}

    async def save(answers: list[EvalAnswer]) -> None:
        await asyncio.to_thread(PARTS.load("add answers"), db, answers)

    if order.by == "likelihood":
        await _read(settings, order, asked, run, save, done, progress)
    else:
        await _say(settings, order, asked, run, save, done, progress)
    answers: list[EvalAnswer] = await asyncio.to_thread(PARTS.load("answers"), db, ws, run.id)
    score = scored(order, asked, run.id, answers)
    whole = score.complete and len(asked.items) == len(exam.items)  # a part of an exam is not compared
    facts: JSON = {
        "by": order.by,
        "errored": score.errored,
        "missing": score.missing,
        "exam_version": exam.meta.get("version", ""),
    }
    if any(item.id not in done for item in asked.items):
        how = {"batch": settings.batch, "max_tokens": order.tokens}
        around = {**PARTS.load("surroundings")(settings), "precision": order.precision}
        facts["inputs"] = PARTS.load("inputs")(exam, how, around)
    await asyncio.to_thread(PARTS.load("set run"), db, ws, run.id, "succeeded" if whole else "failed", facts)
    return score


def _limited(order: Order) -> Eval:
    items = order.exam.items
    if not items:
        raise BadRequest(
            f"The exam {order.exam.name} has no question of its own.",
            f"Give its rows with a run: POST /v1/evals/{order.exam.id}/runs",
        )
    if order.by == "likelihood":
        items = tuple(item for item in items if PARTS.load("possible")(item))
        if not items:
            raise BadRequest(
                f"No question of {order.exam.name} offers options.", "Use --by words: it is answered in words."
            )
    items = items[: order.limit] if order.limit else items
    exam = order.exam
    return Eval(exam.id, exam.workspace, exam.name, items, exam.created, exam.meta)


async def _read(
    settings: Settings, order: Order, exam: Eval, run: EvalRun, save: Any, done: set[str], progress: Any
) -> None:
    base: ModelVersion = await asyncio.to_thread(PARTS.load("base"), settings.root, settings.model)
    adapter = Path(order.model.folder) if order.model.kind == "adapter" else None
    folder = Path(base.folder if adapter else order.model.folder)
    identity = await asyncio.to_thread(PARTS.load("base identity"), folder)
    if adapter:
        identity = await asyncio.to_thread(PARTS.load("adapter identity"), identity, adapter)
    read = PARTS.load("likelihood")(folder, adapter, order.precision)
    await PARTS.load("read")(read, {**identity, "precision": order.precision}, exam, run.id, save, done, progress)


async def _say(
    settings: Settings, order: Order, exam: Eval, run: EvalRun, save: Any, done: set[str], progress: Any
) -> None:
    engine = await PARTS.load("engine")(settings, settings.root)
    try:
        judge = _Judge(engine, order.judge) if order.judge else None
        how = PARTS.load("sitting")(batch=settings.batch, max_tokens=order.tokens, judge=judge)
        await PARTS.load("sit")(engine, order.model, exam, run.id, save, done, progress, how)
    finally:
        await engine.close()


class _Judge:
    """A model of this machine that judges, greedily."""

    def __init__(self, engine: Any, version: ModelVersion) -> None:
        self._engine, self._version = engine, version

    async def __call__(self, messages: tuple[JSON, ...]) -> str:
        """Return what it says."""
        await self._engine.load(self._version)
        request = PARTS.load("request")(model=self._version.id, messages=messages, max_tokens=512)
        return "".join([delta.text async for delta in self._engine.generate(request)])


def scored(order: Order, exam: Eval, run_id: str, answers: list[EvalAnswer]) -> Score:
    """Return the score of the exam's items among ``answers``; what is missing or could not be graded is counted."""
    wanted = {item.id for item in exam.items}
    kept = [answer for answer in answers if answer.item in wanted]
    errored = sum(bool(answer.meta.get("errored")) for answer in kept)
    graded = [answer for answer in kept if not answer.meta.get("errored")]
    values = [float(answer.score) for answer in graded]
    mean = sum(values) / len(values) if values else 0.0
    means: JSON = {}
    for name in ("acc", "acc_norm") if order.by == "likelihood" else ():
        found = [answer.meta["scores"][name] for answer in graded if "scores" in answer.meta]
        means[name] = sum(found) / len(found) if found else 0.0
    means["right"] = sum(bool(a.meta.get("passed", a.score >= 1)) for a in graded) / max(1, len(graded))
    return Score(run_id, len(wanted), mean, _interval(values), errored, len(wanted) - len(kept), means)


def _interval(values: list[float]) -> tuple[float, float]:
    """Return the 95 % interval of a mean score: Wilson's for right or wrong, else by the scores' own spread."""
    if not values:
        return 0.0, 1.0
    if set(values) <= {0.0, 1.0}:
        low, high = PARTS.load("wilson")(int(sum(values)), len(values))
        return float(low), float(high)
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1) / len(values))
    return max(0.0, mean - 1.96 * spread), min(1.0, mean + 1.96 * spread)
