"""The work behind a training's job: what a teacher has to answer, the training, and its models turned on.

A job that is paused stops where its last checkpoint is and waits; others go on meanwhile. This module knows the order
of things. It does not know how a model learns, nor HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from feilun.compute import Context
from feilun.curation.sealing import seal_training
from feilun.errors import BadModel, EngineDown, MissingDependency, TooFewSamples
from feilun.gateway.endpoints.fine_tuning.material import LEAST, leaks, told
from feilun.gateway.endpoints.fine_tuning.teacher import Teacher, enough
from feilun.gateway.hotpath import Hotpath
from feilun.gateway.surface.patience import Holder
from feilun.records import JSON, Source, derived_id
from feilun.settings import Settings
from feilun.store import Database, datasets, models, sources
from feilun.training import run_training

LOOK_SECONDS = 0.3
Progress = Callable[[JSON], None]


def _quiet(_message: JSON) -> None:
    """Tell nobody."""


class Work:
    """Trainings, one job at a time."""

    def __init__(
        self, db: Database, settings: Settings, hotpath: Hotpath | None, progress: Progress = _quiet, key: str = ""
    ) -> None:
        """Keep the store, the way on which a teacher is asked, and who follows what the training process says.

        ``key`` is the id of the key with which a teacher is asked, if it is not that of whoever began the job.
        """
        self._db, self._settings, self._hotpath, self._progress, self._key = db, settings, hotpath, progress, key

    async def run(self, context: Context) -> JSON:
        """Do a job; one that is paused, before or meanwhile, stays as it is."""
        flag = flag_of(self._db, context.job.id)
        if flag.exists():
            context.check_cancelled()
            raise asyncio.CancelledError  # as if this process ended: the job is not over
        task = asyncio.ensure_future(self._work(context))
        try:
            while not (await asyncio.wait({task}, timeout=LOOK_SECONDS))[0]:
                if flag.exists():
                    context.event("Paused.")
                    raise asyncio.CancelledError
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({task})

    async def _work(self, context: Context) -> JSON:
        spec = context.job.spec
        training = dict(spec["training"])
        if spec.get("teacher"):
            taught = await context.step("taught", lambda: self._teach(context))
            training["dataset"] = taught["dataset"]
        sealed = await context.step("sealed", lambda: asyncio.to_thread(self._seal, context, training["dataset"]))
        training["dataset"] = sealed["dataset"]
        note = Finish(self._db, context.job.id)

        def follow(message: JSON) -> None:
            note.take(message)
            self._progress(message)

        result = await run_training(context, self._db, self._settings, training, follow)
        note.forget()
        await asyncio.to_thread(self._turn_on, context, result)
        files = await asyncio.to_thread(self._results, context, result)
        return {
            **result,
            "files": files,
            "dataset": sealed["dataset"],
            "removed": spec.get("removed", 0) + sealed["removed"],
        }

    async def _teach(self, context: Context) -> JSON:
        """Have the prompts answered; return the dataset version that holds them with their answers."""
        job, spec = context.job, context.job.spec
        ws, training = job.workspace, spec["training"]
        holder = Holder(self._db, ws, self._key or spec["request"]["key"], "training")
        prompts = await asyncio.to_thread(datasets.read, self._db, ws, training["dataset"], "train")
        asked = {"teacher": spec["teacher"], "options": training.get("options"), "seed": training.get("seed")}
        if self._hotpath is None:
            raise EngineDown("There is no gateway on whose way a teacher is asked.", "Use feilun up and its API.")
        teacher = Teacher(self._hotpath, holder.key, asked, self._db.root / "jobs" / job.id)
        taught, left = await teacher.teach(context, prompts)
        for reason, count in left.items():
            context.event(f"{count} answers are left out: each {reason}.", "warn")
        enough(taught, left, LEAST["training_file"])
        before = await asyncio.to_thread(datasets.get, self._db, ws, training["dataset"])
        meta = {**before.meta, "teacher": spec["teacher"], "prompts": before.id}
        name = f"{before.name} by {spec['teacher']}"[:200]
        version, _ = await asyncio.to_thread(datasets.write, self._db, ws, name, taught, "train", meta)
        return {"dataset": version.id, "answers": len(taught)}

    def _seal(self, context: Context, dataset: str) -> JSON:
        """Take out what an exam of the workspace asks, also in other words; return the dataset version that is left."""
        ws = context.job.workspace
        records = datasets.read(self._db, ws, dataset, "train")
        try:
            sealed = seal_training(self._db, ws, records, self._settings.embedding)
        except (BadModel, MissingDependency) as error:
            context.event(f"Not compared with exams by meaning: {error.message}", "warn")
            sealed = seal_training(self._db, ws, records)
        if not sealed.removed:
            return {"dataset": dataset, "removed": 0}
        removed = leaks(sealed)
        context.event(told(removed), "warn", removed=list(removed[:20]))
        if len(sealed.kept) < LEAST["training_file"]:
            raise TooFewSamples(f"{told(removed)} {len(sealed.kept)} examples are left: too few.", "Add others.")
        before = datasets.get(self._db, ws, dataset)
        meta = {**before.meta, "removed": int(before.meta.get("removed", 0)) + len(removed)}
        version, _ = datasets.write(self._db, ws, before.name, sealed.kept, "train", meta)
        return {"dataset": version.id, "removed": len(removed)}

    def _results(self, context: Context, result: JSON) -> list[str]:
        """Keep the losses as a file that the API gives out; return its id."""
        job = context.job
        name, meta = f"{job.id}-metrics.csv", {"purpose": "fine-tune-results", "job": job.id}
        source = Source(
            derived_id("file", job.id, "metrics"), job.workspace, name, "", 0, "upload", "text/csv", meta=meta
        )
        return [sources.add(self._db, source, metrics_of(result).encode()).id]

    def _turn_on(self, context: Context, result: JSON) -> None:
        """Have what the job made answer to its id, for whoever asked for the job."""
        who = str(context.job.spec["request"].get("key") or context.job.id)
        for model in (result["model"], *result.get("checkpoints", ())):
            if models.get(self._db, context.job.workspace, model).kind != "base":  # those are never off
                models.turn_on(self._db, context.job.workspace, model, who)


def metrics_of(result: JSON) -> str:
    """Return the losses of a run as CSV: a line for every step, with the held-out loss where it was looked at."""
    held = {int(step): loss for step, loss in result.get("held_out") or []}
    rows = [(step, loss, held.get(step, "")) for step, loss in enumerate(result.get("loss") or [], 1)]
    return "\n".join(["step,train_loss,valid_loss", *(",".join(map(str, row)) for row in rows)]) + "\n"


def flag_of(db: Database, job: str) -> Path:
    """Return the file that is there while a job is paused."""
    return db.root / "jobs" / job / "paused"


class Finish:
    """When a training is expected to be done, kept where other processes see it."""

    def __init__(self, db: Database, job: str) -> None:
        """Name the file."""
        self._file, self._written = db.root / "jobs" / job / "finish", 0.0

    def take(self, message: JSON) -> None:
        """Note what a message of the training process says of it, once a second."""
        now = time.time()
        if "seconds_left" in message and now - self._written >= 1.0:
            self._written = now
            with contextlib.suppress(OSError):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.write_text(f"{now + float(message['seconds_left']):.0f}", encoding="utf-8")

    def forget(self) -> None:
        """Say that the training is over."""
        self._file.unlink(missing_ok=True)

    def read(self) -> float | None:
        """Return the time (s) at which it is expected; None if nobody knows."""
        try:
            return float(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
