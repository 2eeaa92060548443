"""One turn of the wheel, readable top to bottom: see ``_Turn.work``.

A turn is a durable job: each step's output is recorded, and a turn that was killed goes on where it stopped when the
same command is run again. This module knows the order of the steps and what passes between them. It does not know how
any of them is done.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from feilun import apps
from feilun.compute import Context, PeakMemory, lock, run, to_the_end
from feilun.curation import ingest
from feilun.curation.documents import Skip
from feilun.curation.ingest import Progress
from feilun.curation.readers.confined import shared_pool
from feilun.engines.models import ensure_base
from feilun.errors import BadSetting, Cancelled, FeilunError
from feilun.flywheel.data import guard_exams, make_data
from feilun.flywheel.proving import Proof, check_there
from feilun.flywheel.result import leave_result
from feilun.records import JSON, Job, new_id
from feilun.settings import Settings
from feilun.store import Journal, audit, datasets, models, verdicts, workspaces
from feilun.store.database import Database
from feilun.training import run_training

SAMPLE = Path(apps.__file__).parent / "credit_union"
DRILLS = ("shuffled-answers", "changed-template")
PROOF = ("general", "guards", "tolerance", "margin", "pass_mark")
KEPT = ("model", "engine", "batch", "context", "minimum_samples", "epochs", "canary", *PROOF)
AGAIN_RATE, AGAIN_EPOCHS = 5e-4, 3  # a version that goes on from another has less to learn
Say = Callable[[JSON], None]


def sample_paths() -> list[Path]:
    """Return the files and the exam of the sample organisation."""
    return [SAMPLE / "files", SAMPLE / "exams" / "exam_own.jsonl"]


async def turn(
    db: Database,
    settings: Settings,
    workspace: str,
    paths: Sequence[Path],
    drill: str = "",
    say: Say = lambda _: None,
    without: Sequence[str] | None = None,
) -> JSON:
    """Turn the wheel once for ``workspace`` over the files below ``paths``; return what ``last-turn.json`` holds.

    A turn of this workspace that was killed is finished first, and is what is returned if it had the same inputs.
    ``drill`` names a deliberate fault (``shuffled-answers``, ``changed-template``) that the proof must catch. ``say``
    gets progress. ``without`` names sources that were revoked: the turn then reads no folder, trains from the base, and
    its candidate need not be better than the incumbent (``flywheel.without``). Raises Busy while another process turns
    this workspace's wheel, NotFound for a guard exam that is none, NothingUsable, TooFewSamples, BadModel.
    """
    if drill and drill not in DRILLS:
        raise BadSetting(f"There is no drill named {drill}.", f"Choices: {', '.join(DRILLS)}.")
    await asyncio.to_thread(guard_exams, workspace, settings.guards)  # a name that is none ends it at once
    root, journal = settings.root, Journal(db)
    kept = {name: getattr(settings, name) for name in KEPT}
    spec: JSON = {"paths": [str(path.absolute()) for path in paths], "drill": drill, "settings": kept}
    if without is not None:
        spec["without"] = list(without)
    await asyncio.to_thread(workspaces.ensure, db, workspace)
    with lock(root / "locks" / f"turn-{workspace}.lock", f"a turn of the workspace {workspace}"):
        result: JSON | None = None
        for old in journal.unfinished("turn"):
            if old.workspace == workspace:
                say({"note": f"Going on with {old.id}, which did not finish."})
                try:
                    done = await _Turn(db, settings, old, say).run(journal)
                except FeilunError as error:
                    if old.spec == spec and not isinstance(error, Cancelled):
                        raise
                    say({"note": f"{old.id} has ended: {error.message}"})
                else:
                    result = done if old.spec == spec else None
        if result is None:
            job = journal.create(Job(new_id("turn"), workspace, "turn", spec))
            result = await _Turn(db, settings, job, say).run(journal)
        return result


class _Turn:
    """The steps of one turn, each with the ids of what came before it."""

    def __init__(self, db: Database, settings: Settings, job: Job, say: Say) -> None:
        # A turn that goes on keeps the settings that it began with: its earlier steps were made under them.
        self.db, self.settings, self.job, self.say = db, replace(settings, **job.spec["settings"]), job, say
        self.ws, self.root, self.drill = job.workspace, settings.root, str(job.spec["drill"])
        self.without = "without" in job.spec
        self.folder = settings.root / "turns" / job.id
        self.proof = Proof(db, self.settings, job, say)
        self.peak = PeakMemory()

    async def run(self, journal: Journal) -> JSON:
        """Run or resume the job; the engine never outlives it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.peak:
            try:
                with audit.acting(self.job.id):
                    return await run(journal, self.job.id, self.work, locks=self.root / "locks")
            finally:
                await self.proof.stop_engine()
                shared_pool().rest()

    async def work(self, context: Context) -> JSON:
        """Turn the wheel once."""
        read = await self._step(context, "ingest", self._ingest)
        data = await self._step(context, "curate", lambda: self._curate(read))
        base = await self._step(context, "base", self._base)
        incumbent = await self._step(context, "incumbent", lambda: self._incumbent(data, base))
        await self.proof.stop_engine()
        trained = await self._train(context, data, base, incumbent["incumbent"])
        identity = await self._step(context, "identity", lambda: self.proof.identity(trained))
        candidate: JSON = {"runs": {}}
        if not identity["differs"]:
            candidate = await self._step(context, "candidate", lambda: self.proof.exams(data, trained["model"]))
        found = {**data, **incumbent, **trained, "identity": identity, "candidate": candidate["runs"]}
        verdict = await self._step(context, "verdict", lambda: asyncio.to_thread(self.proof.judge, found))
        return await self._step(context, "report", lambda: self._report({**found, **verdict}))

    async def _step(self, context: Context, name: str, work: Callable[[], Any]) -> JSON:
        self.say({"step": name})
        return await context.step(name, work)

    async def _ingest(self) -> JSON:
        if self.without:
            return {"added": 0, "unchanged": 0, "skipped": []}
        paths = [Path(path) for path in self.job.spec["paths"]]
        stop = threading.Event()

        def look_up(_: Progress) -> None:
            if stop.is_set():
                raise Cancelled("Reading was stopped.", "Turn again: what was read is not read twice.")

        reading = asyncio.ensure_future(asyncio.to_thread(ingest, self.db, self.ws, paths, look_up))
        try:
            report = await asyncio.shield(reading)
        except asyncio.CancelledError:
            # A thread cannot be cancelled, but it ends after the file that it reads.
            stop.set()
            await to_the_end(asyncio.wait({reading}))
            reading.exception()
            raise
        skipped = [asdict(item) for item in report.skipped]
        return {"added": len(report.added), "unchanged": len(report.unchanged), "skipped": skipped}

    async def _curate(self, read: JSON) -> JSON:
        skipped = [Skip(**item) for item in read["skipped"]]
        data: JSON = await asyncio.to_thread(make_data, self.db, self.settings, self.job, skipped)
        shared_pool().rest()  # training wants the memory of the processes that read files
        return data

    async def _base(self) -> JSON:
        base = await asyncio.to_thread(
            ensure_base, self.root, self.settings.model, lambda text: self.say({"note": text})
        )
        await asyncio.to_thread(models.add, self.db, base)
        return {"base": base.id}

    async def _incumbent(self, data: JSON, base: JSON) -> JSON:
        current = await asyncio.to_thread(verdicts.current, self.db, self.ws)
        incumbent = current.model if current else base["base"]
        proof = await asyncio.to_thread(self._proof_of, incumbent, base["base"])
        try:
            return {"incumbent": incumbent, "incumbent_runs": (await proof.exams(data, incumbent))["runs"]}
        finally:
            if proof is not self.proof:
                await proof.stop_engine()

    def _proof_of(self, model: str, base: str) -> Proof:
        """Return what has a model sit exams: one on another base than this turn's needs an engine of its own."""
        version = models.get(self.db, self.ws, model)
        if version.kind == "base" or version.base == base:
            return self.proof
        other = models.get(self.db, self.ws, version.base)
        check_there(other)
        return Proof(self.db, self.settings, self.job, self.say, other)

    async def _train(self, context: Context, data: JSON, base: JSON, incumbent: str) -> JSON:
        self.say({"step": "train"})
        spec: JSON = {"dataset": data["dataset"], "base": base["base"], "name": f"{self.ws} {self.job.id}"}
        start = await asyncio.to_thread(self._start, incumbent, base["base"])
        if start and not self.without:
            spec.update(start=start, learning_rate=AGAIN_RATE, epochs=self.settings.epochs or AGAIN_EPOCHS)
        return await run_training(context, self.db, self.settings, spec, self.say)

    def _start(self, incumbent: str, base: str) -> str:
        """Return the version to go on from: the incumbent, if all that it ever learnt from may still be trained on."""
        model = incumbent
        while model and model != base:
            version = models.get(self.db, self.ws, model)
            learnt = str(version.meta["dataset"])
            permitted = len(datasets.read(self.db, self.ws, learnt, "train"))
            if version.base != base or permitted < datasets.get(self.db, self.ws, learnt).rows:
                return ""
            model = str(version.meta.get("start", ""))
        return incumbent if incumbent != base else ""

    async def _report(self, found: JSON) -> JSON:
        steps = await asyncio.to_thread(Journal(self.db).steps, self.job.id)
        return await asyncio.to_thread(leave_result, self.db, self.settings, self.job, found, steps, self.peak.mib)
