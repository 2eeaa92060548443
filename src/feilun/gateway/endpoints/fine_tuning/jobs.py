"""``/v1/fine_tuning/jobs``: from an uploaded file to a model version of the workspace, as a durable job.

This module knows which call does what to a job. It does not know how a model is trained.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query

from feilun.errors import BadRequest, Conflict, NotFound
from feilun.gateway.door import Builder, StrictRoute
from feilun.gateway.endpoints.files import uploaded
from feilun.gateway.endpoints.fine_tuning.estimating import estimate
from feilun.gateway.endpoints.fine_tuning.judged import FEEDBACK, feedback_source, of_feedback
from feilun.gateway.endpoints.fine_tuning.material import SHORT, Material, material, window_of
from feilun.gateway.endpoints.fine_tuning.methods import Chosen, chosen
from feilun.gateway.endpoints.fine_tuning.shapes import (
    KIND,
    PREFIX,
    Checkpoint,
    Event,
    FineTuningJob,
    TrainingRequest,
    checkpoint_shape,
    event_shape,
    job_shape,
)
from feilun.gateway.endpoints.fine_tuning.work import Finish, flag_of
from feilun.gateway.shapes import Page, cut, page
from feilun.gateway.state import Gateway, Here
from feilun.records import JSON, Job, JobEvent, Key, ModelVersion, Source, new_id
from feilun.store import Database, models
from feilun.store.access import revoked
from feilun.store.access.naming import check_name
from feilun.training.plan import Plan
from feilun.training.recipes import default_rate, numbers

router = APIRouter(prefix="/v1/fine_tuning", tags=["fine-tuning"], route_class=StrictRoute)
MOST_SHOWN = 20
ROOM = {"distillation": 512, "reasoning": 256, "grpo": 96}  # tokens of an answer that is still to come
CHECKPOINTS = 2  # models on the way, beside the one at the end
_OVER = {"succeeded", "failed", "cancelled"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, looked up: the method, the base, the version to go on from, the files."""

    chosen: Chosen
    base: ModelVersion
    start: str
    training: Source
    validation: Source | None
    rewarder: str = ""  # the folder of the reward model


@router.post("/jobs")
async def create_fine_tuning_job(given: TrainingRequest, here: Here, key: Builder) -> FineTuningJob:
    """Queue a training on an uploaded file. Its data must permit training, and hold at least 10 examples.

    Whoever asks for the job asks for its model: the version that it makes is on as soon as the job has succeeded.
    What an exam of the workspace asks is left out of the training data, and the job's events say so.
    """
    asked = await look_up(given, here, key)
    taken = await asyncio.to_thread(_materials, here, asked, given.suffix or "")
    spec = spec_of(given, asked, taken, key.id)
    expected = (here.db, here.settings, key.workspace, asked.base, spec["training"], asked.chosen.teacher)
    spec["estimate"] = await asyncio.to_thread(estimate, *expected)
    job = Job(new_id(PREFIX), key.workspace, KIND, spec)
    job = await asyncio.to_thread(_create, here, job, taken)
    here.background.wake(KIND)
    return job_shape(job)


@router.get("/jobs")
async def list_fine_tuning_jobs(
    here: Here, key: Builder, after: str = "", limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Page[FineTuningJob]:
    """List the training jobs of the workspace, newest first."""
    found = await asyncio.to_thread(here.journal.find, key.workspace, KIND, limit + 1, after)
    own = [job for job in found if job.id.startswith(PREFIX)]
    shown = await asyncio.to_thread(lambda: [_shape(here, job) for job in own[:limit]])
    return Page[FineTuningJob](**page(shown, more=len(own) > limit))


@router.get("/jobs/{job_id}")
async def retrieve_fine_tuning_job(job_id: str, here: Here, key: Builder) -> FineTuningJob:
    """Return a training job as it is now."""
    return _shape(here, await _job(here, key.workspace, job_id))


@router.post("/jobs/{job_id}/cancel")
async def cancel_fine_tuning_job(job_id: str, here: Here, key: Builder) -> FineTuningJob:
    """Ask a training job to stop; one that waits is cancelled at once, one that has ended stays as it is."""
    await _job(here, key.workspace, job_id)
    await asyncio.to_thread(here.journal.request_cancel, job_id)
    here.background.wake(KIND)
    return _shape(here, await _job(here, key.workspace, job_id))


@router.post("/jobs/{job_id}/pause")
async def pause_fine_tuning_job(job_id: str, here: Here, key: Builder) -> FineTuningJob:
    """Have a training job stop at its last checkpoint and wait; others go on meanwhile."""
    job = await _job(here, key.workspace, job_id)
    if job.status in _OVER:
        raise Conflict(f"The job {job_id} has ended ({job.status}).", "Only a job that is not over can be paused.")
    flag = flag_of(here.db, job_id)
    await asyncio.to_thread(flag.parent.mkdir, parents=True, exist_ok=True)
    await asyncio.to_thread(flag.touch)
    return _shape(here, await _job(here, key.workspace, job_id))


@router.post("/jobs/{job_id}/resume")
async def resume_fine_tuning_job(job_id: str, here: Here, key: Builder) -> FineTuningJob:
    """Have a paused training job go on where it stopped, with the same losses as if it had not."""
    job = await _job(here, key.workspace, job_id)
    flag = flag_of(here.db, job_id)
    if job.status in _OVER or not flag.exists():
        raise Conflict(f"The job {job_id} is not paused.", "Only a job that was paused can be resumed.")
    await asyncio.to_thread(flag.unlink, missing_ok=True)
    here.background.wake(KIND)
    return _shape(here, await _job(here, key.workspace, job_id))


@router.get("/jobs/{job_id}/events")
async def list_fine_tuning_events(
    job_id: str, here: Here, key: Builder, after: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 20
) -> Page[Event]:
    """List what happened in a job, oldest first, so that ``after`` = the last event seen gives the news."""
    await _job(here, key.workspace, job_id)
    found = await asyncio.to_thread(here.journal.events, job_id, after, limit + 1)
    return Page[Event](**page([event_shape(event) for event in found[:limit]], more=len(found) > limit))


@router.get("/jobs/{job_id}/checkpoints")
async def list_fine_tuning_checkpoints(
    job_id: str, here: Here, key: Builder, after: str = "", limit: Annotated[int, Query(ge=1, le=100)] = 10
) -> Page[Checkpoint]:
    """List the models that a job kept on its way, newest first; each can be called, and trained further."""
    await _job(here, key.workspace, job_id)
    versions = await asyncio.to_thread(models.find, here.db, key.workspace)
    own = [version for version in versions if version.meta.get("job") == job_id]
    facts = await asyncio.to_thread(_facts, own)
    found = [checkpoint_shape(version, facts) for version in own]
    shown, more = cut(sorted(found, key=lambda each: -each.step_number), after, limit)
    return Page[Checkpoint](**page(shown, more))


def _facts(versions: list[ModelVersion]) -> JSON:
    """Return what the run that made these versions noted; nothing where that is gone."""
    for version in versions:
        file = Path(version.folder) / "training.json"
        if version.folder and file.is_file():
            found: JSON = json.loads(file.read_text(encoding="utf-8"))
            return found
    return {}


async def look_up(given: TrainingRequest, here: Gateway, key: Key) -> Asked:
    """Return what a request names; raise what is wrong with it."""
    method = chosen(given.method, given.hyperparameters)
    route = await here.answering.route(key.workspace, given.model)
    version, start = route.version, ""
    if version.kind != "base":
        await asyncio.to_thread(revoked.check, here.db, key.workspace, version.id)
        start, version = version.id, (await here.answering.local(key.workspace, version.id))[1]
    if method.teacher:
        await here.answering.resolve(key.workspace, method.teacher)
    training = feedback_source(key.workspace)
    if given.training_file != FEEDBACK:
        training = await uploaded(here, key.workspace, given.training_file, "training_file")
    validation = None
    if given.validation_file:
        validation = await uploaded(here, key.workspace, given.validation_file, "validation_file")
        if validation.sha256 == training.sha256:
            raise BadRequest("The validation file is the training file.", "Hold other examples out.", "validation_file")
        if method.name in {"reinforcement", "reasoning", "distillation"}:
            raise BadRequest(
                f"{method.name} takes no validation file.", "Have an exam compare the models.", "validation_file"
            )
    rewarder = ""
    if method.rewarder:
        found = (await here.answering.route(key.workspace, method.rewarder)).version
        rewarder = await asyncio.to_thread(reward_folder, here.db, key.workspace, found)
    return Asked(method, version, start, training, validation, rewarder)


def reward_folder(db: Database, ws: str, version: ModelVersion) -> str:
    """Return the folder of a reward model; raise BadRequest for another kind of version, Forbidden if revoked."""
    if version.meta.get("method") != "reward":
        raise BadRequest(
            f"{version.id} is no reward model.",
            "Train one with the method reward.",
            "method.reinforcement.reward_model",
        )
    revoked.check(db, ws, version.id)
    return version.folder


def _materials(here: Gateway, asked: Asked, suffix: str) -> list[Material]:
    found = []
    suffix = suffix and check_name(suffix, "A suffix", "suffix")
    for source, param in ((asked.training, "training_file"), (asked.validation, "validation_file")):
        if source is not None:
            name = f"uploads/{suffix or source.name}"[:190] + (" (held out)" if param == "validation_file" else "")
            if source.id == FEEDBACK:
                found.append(of_feedback(here.db, source.workspace, name, asked.chosen))
            else:
                found.append(material(here.db, source, name, asked.chosen, asked.base, param))
    return found


def spec_of(given: TrainingRequest, asked: Asked, taken: list[Material], key: str) -> JSON:
    """Return what the job is told."""
    method = asked.chosen
    training: JSON = {
        "dataset": taken[0].version.id,
        "base": asked.base.id,
        "name": given.suffix or "",
        "seed": (given.seed or 0) % 2**31,
        "replay": True,
        "checkpoints": CHECKPOINTS,
        **method.plan(default_rate(method.recipe)),
    }
    numbers(method.recipe, training["options"])  # what it does not take is refused here, not once it runs
    room = ROOM.get(method.recipe, 0) and int(training["options"].get("max_tokens") or ROOM[method.recipe])
    longest = max(each.longest for each in taken) or (SHORT if room else 0)
    need = -(-(longest + room) // 64) * 64
    if need > Plan("", "", "", "", "").longest:
        training["longest"] = min(need, window_of(asked.base) or need)
    if asked.rewarder:
        training["options"]["reward_model"] = asked.rewarder
    if asked.start:
        training["start"] = asked.start
    if len(taken) > 1:
        training["held_out"] = taken[1].version.id
    request = {
        "model": given.model,
        "training_file": asked.training.id,
        "validation_file": asked.validation.id if asked.validation else None,
        "hyperparameters": method.hyperparameters,
        "method": {"type": method.name, method.name: method.said},
        "suffix": given.suffix,
        "metadata": given.metadata,
        "key": key,
    }
    spec: JSON = {"request": request, "training": training, "removed": sum(len(each.removed) for each in taken)}
    return spec | ({"teacher": method.teacher} if method.teacher else {})


def _create(here: Gateway, job: Job, taken: list[Material]) -> Job:
    kept = here.journal.create(job)
    said = [JobEvent(new_id("event"), job.id, f"Validated: {taken[0].version.rows} examples to learn from.")]
    for each in taken:
        data = {"removed": list(each.removed[:MOST_SHOWN])}
        said += [JobEvent(new_id("event"), job.id, note, "warn", data) for note in each.notes]
    for event in said:
        here.journal.add_event(event)
    return kept


async def _job(here: Gateway, ws: str, job_id: str) -> Job:
    job = await asyncio.to_thread(here.journal.get, job_id, ws)
    if job.kind != KIND or not job.id.startswith(PREFIX):
        raise NotFound(f"There is no training job {job_id[:100]!r}.", "GET /v1/fine_tuning/jobs lists them.")
    return job


def _shape(here: Gateway, job: Job) -> FineTuningJob:
    if job.status in _OVER:
        return job_shape(job)
    return job_shape(job, Finish(here.db, job.id).read(), paused=flag_of(here.db, job.id).exists())
