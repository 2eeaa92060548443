"""How a turn proves its candidate: both models sit the exams, the engine is checked, a verdict is kept.

This module knows who answers which exam, and what becomes of a verdict. It does not know what the exams ask, nor how
the candidate was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from feilun.compute import to_the_end
from feilun.engines import Engine
from feilun.errors import BadModel, EngineDown
from feilun.evaluation import Sitting, compare, decide, sit
from feilun.evaluation.answered import IDENTITY, inputs, surroundings
from feilun.evaluation.golden import check_identity
from feilun.flywheel.without import decide_without
from feilun.records import (
    JSON,
    Comparison,
    Deployment,
    Eval,
    EvalAnswer,
    EvalRun,
    Job,
    ModelVersion,
    Verdict,
    derived_id,
)
from feilun.serving import start_engine
from feilun.settings import Settings
from feilun.store import evals, lineage, models, rollouts, verdicts
from feilun.store.database import Database

ANSWER_TOKENS = 32


class Proof:
    """The proof of one turn. Its engine starts when it is needed, and ends with :meth:`stop_engine`."""

    def __init__(
        self,
        db: Database,
        settings: Settings,
        job: Job,
        say: Callable[[JSON], None],
        base: ModelVersion | None = None,
    ) -> None:
        """Keep what is needed; ``settings`` are those that the turn began with, ``base`` another base than theirs."""
        self.base = base
        self.db, self.settings, self.job, self.say = db, settings, job, say
        self.ws, self.drill, self.without = job.workspace, str(job.spec["drill"]), "without" in job.spec
        self.engine: Engine | None = None

    async def exams(self, data: JSON, model: str) -> JSON:
        """Have a model sit all exams; answers that are there already (same model, same exam) are kept.

        ``data`` names the exams ``own`` and ``general``, and may name ``guards``: names with exams of their own.
        """
        version = await asyncio.to_thread(models.get, self.db, self.ws, model)
        runs = {}
        for name, exam_id in _exams(data).items():
            exam = await asyncio.to_thread(evals.get, self.db, self.ws, exam_id)
            new = EvalRun(derived_id("evalrun", self.ws, exam.id, model), self.ws, exam.id, model)
            await asyncio.to_thread(evals.add_run, self.db, new)
            given = await asyncio.to_thread(evals.answers, self.db, self.ws, new.id)
            # An answer that does not say which model gave it proves nothing: it is asked again.
            done = {answer.item for answer in given if answer.meta.get(IDENTITY)}
            facts: JSON = {"turn": self.job.id}
            if len(done) < len(exam.items):
                how = Sitting(batch=self.settings.batch, max_tokens=ANSWER_TOKENS)
                await self._sit(version, exam, new.id, done, how)
                facts["inputs"] = inputs(exam, asdict(how), surroundings(self.settings))
            await asyncio.to_thread(evals.set_run, self.db, self.ws, new.id, "succeeded", facts)
            edges = [(exam.id, new.id, "asked"), (model, new.id, "answered by")]
            await asyncio.to_thread(lineage.link, self.db, self.ws, edges)
            runs[name] = new.id
        return {"runs": runs}

    async def _sit(self, version: ModelVersion, exam: Eval, run_id: str, done: set[str], how: Sitting) -> None:
        async def save(rows: list[EvalAnswer]) -> None:
            await asyncio.to_thread(evals.add_answers, self.db, rows)

        def progress(at: int, of: int) -> None:
            self.say({"exam": exam.name, "at": at, "of": of})

        await sit(await self._engine(), version, exam, run_id, save, done, progress, how)

    async def identity(self, trained: JSON) -> JSON:
        """Check that the serving engine reproduces what the trainer wrote down."""
        version = await asyncio.to_thread(models.get, self.db, self.ws, trained["model"])
        if self.drill == "changed-template":
            version = _with_changed_template(version, self.settings.root / "turns" / self.job.id / "drill")
        try:
            found = await check_identity(await self._engine(), version, self.settings.tolerance)
        except EngineDown:  # its process is started again
            found = await check_identity(await self._engine(), version, self.settings.tolerance)
        return {**asdict(found), "differs": list(found.differs)}

    def judge(self, found: JSON) -> JSON:
        """Decide, keep the verdict, promote if it says so."""
        own = general = None
        guards: dict[str, Comparison] = {}
        if found["identity"]["differs"]:
            promoted, reason = False, identity_reason(found["identity"]["differs"][0])
        else:
            own, general = (self.compared(found, name) for name in ("own", "general"))
            guards = {name: self.compared(found, name) for name in found.get("guards", {})}
            if self.without:
                promoted, reason = decide_without(own, general, self.settings.margin)
            else:
                promoted, reason = decide(own, general, self.settings.margin, self.settings.pass_mark, guards)
        verdict = Verdict(
            id=derived_id("verdict", self.job.id),
            workspace=self.ws,
            candidate=found["model"],
            incumbent=found["incumbent"],
            promoted=promoted,
            reason=reason,
            own=own,
            general=general,
            meta={"turn": self.job.id, "drill": self.drill, "guards": {n: asdict(each) for n, each in guards.items()}},
        )
        verdicts.add(self.db, verdict)
        runs = [*found["incumbent_runs"].values(), *found["candidate"].values()]
        lineage.link(self.db, self.ws, [(run_id, verdict.id, "compared in") for run_id in runs])
        decided: JSON = {"verdict": verdict.id, "promoted": promoted, "reason": reason, "rollout": "", "how": {}}
        if promoted:
            deployment = Deployment(derived_id("deployment", self.job.id), self.ws, "own", found["model"], verdict.id)
            # What contains revoked data must not go on serving a part of the calls.
            enough = rollouts.NEVER if self.without else self.settings.canary
            made, how = rollouts.promote(self.db, deployment, enough)
            decided |= {"rollout": made.id, "how": made.begun()} if made else {"how": how}
        return decided

    def compared(self, found: JSON, name: str) -> Comparison:
        """Return how both models did in the exam ``name`` (``own``, ``general``, or that of a guard)."""
        exam = evals.get(self.db, self.ws, _exams(found)[name])
        before = evals.answers(self.db, self.ws, found["incumbent_runs"][name])
        after = evals.answers(self.db, self.ws, found["candidate"][name])
        return compare(exam, before, after, (found["incumbent"], found["model"]))

    async def _engine(self) -> Engine:
        if self.engine is None:
            self.engine = await start_engine(self.settings, self.settings.root, base=self.base)
        return self.engine

    async def stop_engine(self) -> None:
        """End the engine, if it was started."""
        engine, self.engine = self.engine, None
        if engine is not None:
            await to_the_end(engine.close())


def _exams(data: JSON) -> dict[str, str]:
    """Return the ids of all exams by their names."""
    return {"own": data["own"], "general": data["general"], **data.get("guards", {})}


def _with_changed_template(version: ModelVersion, folder: Path) -> ModelVersion:
    """Return the version as an engine would serve it if one character of its chat template had changed: a drill."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in Path(version.folder).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    file = folder / "chat_template.jinja"
    text = file.read_text(encoding="utf-8")
    place = text.index("assistant")
    file.write_text(f"{text[:place]}A{text[place + 1 :]}", encoding="utf-8")
    return replace(version, folder=str(folder))


def identity_reason(difference: str) -> JSON:
    """Return in words why a version that an engine serves otherwise than it was trained is not promoted."""
    return {
        "en": f"The serving engine is not what was trained: {difference} The present model stays.",
        "zh": f"服务引擎与训练结果不一致：{difference}保留现有模型。",
    }


def check_there(base: ModelVersion) -> None:
    """Raise BadModel, which says what to do, where the files of a base are gone."""
    if not (Path(base.folder) / "config.json").is_file():
        raise BadModel(
            f"The base model {base.name} is gone from {base.folder}.",
            "Put its folder back, or fetch it again with feilun pull; nothing else was lost.",
        )
