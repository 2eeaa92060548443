"""A new base: every adapter of the workspace trained and proven anew on it; the better ones promoted, the others named.

Each adapter is a durable job of its own, so that an upgrade that was killed or cancelled goes on where it stopped when
the same command is run again. This module knows which adapters count and in which exams they meet. It does not know how
one is trained or sits an exam.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace

from feilun.compute import Context, describe, lock, run
from feilun.curation.sealing import Sealed, seal_training
from feilun.engines.models import ensure_base
from feilun.errors import Cancelled, Conflict, FeilunError
from feilun.evaluation import decide
from feilun.flywheel.data import general_exam, guard_exams
from feilun.flywheel.proving import Proof, check_there, identity_reason
from feilun.records import JSON, Deployment, Eval, EvalRun, Job, ModelVersion, Verdict, derived_id
from feilun.settings import Settings
from feilun.store import Journal, audit, datasets, evals, lineage, models, rollouts, verdicts
from feilun.store.access import revoked
from feilun.store.database import Database
from feilun.training import run_training
from feilun.training.plan import Plan

KIND = "upgrade"
GENERAL = "general exam"
_ANEW = ("start", "learning_rate", "base", "name", "job", "seed")  # what an adapter was given that another base is not
Say = Callable[[JSON], None]


async def upgrade(
    db: Database, settings: Settings, workspace: str, base: str, say: Say = lambda _: None, only: Sequence[str] = ()
) -> JSON:
    """Train and prove every adapter of a workspace (or ``only`` these) on the base that ``base`` names.

    Returns ``base``, and lists of adapters with their new version and reason: ``better`` (promoted wherever the old one
    serves), ``not_better`` and ``failed``. Raises BadModel for the base, Conflict if there is no adapter, Busy while
    the workspace's wheel turns, Cancelled.
    """
    with lock(settings.root / "locks" / f"turn-{workspace}.lock", f"the upgrade of the workspace {workspace}"):
        new = await asyncio.to_thread(ensure_base, settings.root, base, lambda text: say({"note": text}))
        await asyncio.to_thread(models.add, db, new)
        found = await asyncio.to_thread(adapters, db, workspace, new.id, only)
        if not found:
            raise Conflict(f"No adapter of {workspace} is on another base than {new.name}.", "There is nothing to do.")
        result: JSON = {"base": new.id, "name": new.name, "better": [], "not_better": [], "failed": []}
        journal = Journal(db)
        for number, old in enumerate(found, 1):
            say({"note": f"{number}/{len(found)}: {old.name} ({old.id})"})
            key = derived_id(KIND, workspace, new.id, old.id)
            spec: JSON = {"base": new.id, "adapter": old.id, "drill": ""}
            job = journal.create(Job(key, workspace, KIND, spec))
            try:
                with audit.acting(job.id):
                    one = _Upgrade(db, settings, job, old, new, say)
                    done = await run(journal, job.id, one.work, locks=settings.root / "locks")
            except Cancelled:
                raise
            except FeilunError as error:
                result["failed"].append({"adapter": old.id, "name": old.name, **describe(error)["error"]})
            else:
                result["better" if done["promoted"] else "not_better"].append(done)
        return result


def adapters(db: Database, ws: str, base: str, only: Sequence[str] = ()) -> list[ModelVersion]:
    """Return the adapters that count: on another base, and in use, or neither tried, replaced nor built upon yet.

    What has learnt revoked data is left out.
    """
    every = [one for one in models.find(db, ws) if one.workspace == ws and one.kind == "adapter" and one.base != base]
    used, tainted = models.found_on(db, ws), revoked.all_models(db, ws)
    before = {each.model for each in verdicts.deployments(db, ws)}
    refused = {each.candidate for each in verdicts.find(db, ws) if not each.promoted}
    built_on = {str(one.meta.get("start") or "") for one in every}
    idle = before | refused | built_on
    found = [one for one in every if one.id not in tainted and (one.id in used or one.id not in idle)]
    return [one for one in found if not only or one.id in only]


class _Upgrade:
    """The steps of one adapter."""

    def __init__(
        self, db: Database, settings: Settings, job: Job, old: ModelVersion, new: ModelVersion, say: Say
    ) -> None:
        self.db, self.settings, self.job, self.old, self.new, self.say = db, settings, job, old, new, say
        self.ws = job.workspace

    async def work(self, context: Context) -> JSON:
        """Train, sit the exams that the present adapter sat, compare, promote."""
        exams = await context.step("exams", lambda: asyncio.to_thread(self._exams))
        before = await context.step("present", lambda: self._sit(self.old, exams))
        sealed = await context.step("sealed", lambda: asyncio.to_thread(self._seal))
        self.say({"step": "train"})
        check_there(self.new)
        trained = await run_training(context, self.db, self.settings, {**self._spec(), **sealed}, self.say)
        version = await asyncio.to_thread(models.get, self.db, self.ws, trained["model"])
        identity = await context.step("identity", lambda: self._identity(trained))
        after = await context.step("candidate", lambda: self._sit(version, exams))
        found = {**exams, "incumbent": self.old.id, "incumbent_runs": before["runs"], "candidate": after["runs"]}
        found |= {"model": version.id, "identity": identity}
        return await context.step("verdict", lambda: asyncio.to_thread(self._judge, found))

    def _spec(self) -> JSON:
        names = {field.name for field in fields(Plan)} | {"dataset", "held_out", "replay"}
        left_out = {*_ANEW, "epochs"} if self.old.meta.get("start") else {*_ANEW}  # few, as it went on from another
        kept = {name: value for name, value in self.old.meta.items() if name in names - left_out}
        return {**kept, "base": self.new.id, "name": self.old.name}

    def _seal(self) -> JSON:
        """Return what to learn from: what the adapter learnt from, without what has become an exam's question since."""
        found: JSON = {}
        for role in ("dataset", "held_out"):
            if before := str(self.old.meta.get(role) or ""):
                records = datasets.read(self.db, self.ws, before, "train")
                sealed = seal_training(self.db, self.ws, records, self.settings.embedding)
                found[role] = self._without(before, sealed) if sealed.removed else before
        return found

    def _without(self, before: str, sealed: Sealed) -> str:
        name = datasets.get(self.db, self.ws, before).name
        facts = {"upgrade": self.job.id, "sealed": before, "removed": len(sealed.removed)}
        version, _ = datasets.write(self.db, self.ws, name, sealed.kept, "train", facts)
        lineage.link(self.db, self.ws, [(before, version.id, "sealed")])
        self.say({"note": f"{name}: {len(sealed.removed)} left out because an exam asks them by now."})
        return version.id

    def _exams(self) -> JSON:
        """Return the exam that both sit: all that the adapter has sat, else all of the workspace's own."""
        every = [exam for exam in evals.find(self.db, self.ws) if exam.items and exam.meta.get("kind") != "guard"]
        own = [exam for exam in every if exam.name != GENERAL]
        sat = [
            exam
            for exam in own
            if any(one.model == self.old.id and one.status == "succeeded" for one in self._runs(exam))
        ]
        # Of an exam that grew with every turn the latest counts: the others are parts of it.
        latest = {exam.name: exam for exam in (sat or own)}
        if not latest:
            raise Conflict(
                f"{self.old.name} has never sat an exam, and there is none to compare the two with.",
                "Add one: feilun turn with an exam file, or POST /v1/evals.",
            )
        whole = next(iter(latest.values())) if len(latest) == 1 else self._joined(list(latest.values()))
        general, guards = general_exam(self.ws, self.settings.general), guard_exams(self.ws, self.settings.guards)
        for exam in (whole, general, *guards.values()):
            evals.add(self.db, exam)
        return {"own": whole.id, "general": general.id, "guards": {name: exam.id for name, exam in guards.items()}}

    def _runs(self, exam: Eval) -> list[EvalRun]:
        return evals.find_runs(self.db, self.ws, exam.id)

    def _joined(self, exams: Sequence[Eval]) -> Eval:
        key = derived_id("eval", self.ws, "joined", [exam.id for exam in exams])
        items = tuple(replace(item, id=derived_id("item", key, item.id)) for exam in exams for item in exam.items)
        return Eval(key, self.ws, " + ".join(exam.name for exam in exams), items)

    async def _sit(self, version: ModelVersion, exams: JSON) -> JSON:
        base = await asyncio.to_thread(models.get, self.db, self.ws, version.base)
        check_there(base)
        proof = Proof(self.db, self.settings, self.job, self.say, base)
        try:
            return await proof.exams(exams, version.id)
        finally:
            await proof.stop_engine()

    async def _identity(self, trained: JSON) -> JSON:
        proof = Proof(self.db, self.settings, self.job, self.say, self.new)
        try:
            return await proof.identity(trained)
        finally:
            await proof.stop_engine()

    def _judge(self, found: JSON) -> JSON:
        """Decide as a turn does; promote where the old adapter serves, and turn on what was turned on."""
        proof = Proof(self.db, self.settings, self.job, self.say)
        own, general = (proof.compared(found, name) for name in ("own", "general"))
        guards = {name: proof.compared(found, name) for name in found.get("guards", {})}
        promoted, reason = decide(own, general, self.settings.margin, self.settings.pass_mark, guards)
        if found["identity"]["differs"]:
            promoted, reason = False, identity_reason(found["identity"]["differs"][0])
        verdict = Verdict(
            derived_id("verdict", self.job.id),
            self.ws,
            found["model"],
            self.old.id,
            promoted,
            reason,
            own,
            general,
            meta={"upgrade": self.job.id, "base": self.new.id, "guards": {n: asdict(c) for n, c in guards.items()}},
        )
        verdicts.add(self.db, verdict)
        runs = [*found["incumbent_runs"].values(), *found["candidate"].values()]
        edges = [(run_id, verdict.id, "compared in") for run_id in runs]
        lineage.link(self.db, self.ws, [*edges, (self.old.id, found["model"], "upgraded")])
        served = self._promote(verdict) if promoted else []
        return {
            "adapter": self.old.id,
            "name": self.old.name,
            "model": found["model"],
            "verdict": verdict.id,
            "promoted": promoted,
            "reason": reason["en"],
            "reason_zh": reason["zh"],
            "own": [own.incumbent, own.candidate, *own.interval],
            "endpoints": served,
        }

    def _promote(self, verdict: Verdict) -> list[str]:
        current = {each.endpoint: each for each in verdicts.deployments(self.db, self.ws)}
        served = []
        for endpoint, each in current.items():
            if each.model == self.old.id:
                key = derived_id("deployment", self.job.id, endpoint)
                made = Deployment(key, self.ws, endpoint, verdict.candidate, verdict.id)
                rollouts.promote(self.db, made, self.settings.canary)
                served.append(endpoint)
        if (self.ws, self.old.id) in models.turned_on(self.db):
            models.turn_on(self.db, self.ws, verdict.candidate, self.job.id)
        return served
