"""``/v1/fine_tuning/jobs``: from an uploaded file to a model version of the workspace, as a durable job.

This module knows the OpenAI shapes of a training. It does not know how a model is trained.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from feilun.errors import BadRequest, Forbidden, ModelNotFound, NotFound, TooFewSamples
from feilun.gateway.door import Builder, StrictRoute
from feilun.gateway.endpoints.files import uploaded
from feilun.gateway.examples import MINIMUM, chat_records
from feilun.gateway.shapes import WHOLE, Page, page
from feilun.gateway.state import Gateway, Here
from feilun.records import JSON, DatasetVersion, Job, JobEvent, Source, new_id
from feilun.store import Database, datasets, models, sources
from feilun.training.plan import Plan

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"], route_class=StrictRoute)
KIND, PREFIX = "training", "ftjob"
_STATUS = {
    "queued": "queued",
    "running": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
}


class Hyperparameters(BaseModel):
    """How to train; ``auto`` lets the recipe choose. Others of the OpenAI API are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    n_epochs: Literal["auto"] | Annotated[int, Field(ge=1, le=50)] = "auto"
    learning_rate_multiplier: Literal["auto"] | Annotated[float, Field(gt=0, le=100)] = "auto"
    batch_size: Literal["auto"] = "auto"


class Supervised(BaseModel):
    """Supervised training."""

    model_config = ConfigDict(extra="forbid")

    hyperparameters: Hyperparameters = Field(default_factory=Hyperparameters)


class Method(BaseModel):
    """The method; only ``supervised`` is known here."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["supervised"] = "supervised"
    supervised: Supervised = Field(default_factory=Supervised)


class TrainingRequest(BaseModel):
    """What to train on what."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str
    training_file: str
    validation_file: None = None
    integrations: Annotated[list[Any] | None, Field(max_length=0)] = None
    suffix: str | None = Field(default=None, max_length=64)
    seed: int | None = WHOLE
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    metadata: dict[str, Any] | None = None


class JobError(BaseModel):
    """Why a job failed."""

    code: str | None
    message: str
    param: str | None = None


class FineTuningJob(BaseModel):
    """A training job; ``fine_tuned_model`` is the model version that it made, ``dataset`` what it learned from."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    model: str
    fine_tuned_model: str | None
    organization_id: str
    status: Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]
    training_file: str
    validation_file: None = None
    trained_tokens: int | None
    result_files: list[str] = []
    hyperparameters: dict[str, Any]
    method: dict[str, Any]
    integrations: list[Any] = []
    seed: int
    suffix: str | None
    metadata: dict[str, Any] | None
    error: JobError | None
    estimated_finish: None = None
    dataset: str


class Event(BaseModel):
    """Something that happened in a job."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any]


class Checkpoint(BaseModel):
    """A checkpoint that can be served; jobs here keep none."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"


@router.post("")
async def create_fine_tuning_job(given: TrainingRequest, here: Here, key: Builder) -> FineTuningJob:
    """Queue a training on an uploaded file. Its data must permit training, and hold at least 10 examples.

    Whoever asks for the job asks for its model: the version that it makes is on as soon as the job has succeeded.
    """
    route = await here.answering.route(key.workspace, given.model)
    if route.version.kind != "base":
        raise ModelNotFound(
            f"{given.model[:100]} cannot be trained further.", f"Train on {here.answering.base_name}.", "model"
        )
    source = await uploaded(here, key.workspace, given.training_file, "training_file")
    dataset = await asyncio.to_thread(_dataset, here, source, given.suffix or "")
    wanted = given.method.supervised.hyperparameters if given.method else given.hyperparameters
    wanted = wanted or Hyperparameters()
    rate = wanted.learning_rate_multiplier
    spec: JSON = {
        "request": {
            "model": given.model,
            "training_file": source.id,
            "hyperparameters": wanted.model_dump(),
            "suffix": given.suffix,
            "metadata": given.metadata,
            "key": key.id,
        },
        "training": {
            "dataset": dataset.id,
            "base": route.version.id,
            "name": given.suffix or "",
            "epochs": 0 if wanted.n_epochs == "auto" else wanted.n_epochs,
            "learning_rate": 0 if rate == "auto" else _default_rate() * rate,
            "seed": (given.seed or 0) % 2**31,
            "replay": True,
        },
    }
    job = await asyncio.to_thread(here.journal.create, Job(new_id(PREFIX), key.workspace, KIND, spec))
    here.background.wake(KIND)
    return _shape(job)


@router.get("")
async def list_fine_tuning_jobs(
    here: Here, key: Builder, after: str = "", limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Page[FineTuningJob]:
    """List the training jobs of the workspace, newest first."""
    found = await asyncio.to_thread(here.journal.find, key.workspace, KIND, limit + 1, after)
    own = [job for job in found if job.id.startswith(PREFIX)]
    return Page[FineTuningJob](**page([_shape(job) for job in own[:limit]], more=len(own) > limit))


@router.get("/{job_id}")
async def retrieve_fine_tuning_job(job_id: str, here: Here, key: Builder) -> FineTuningJob:
    """Return a training job as it is now."""
    return _shape(await _job(here, key.workspace, job_id))


@router.post("/{job_id}/cancel")
async def cancel_fine_tuning_job(job_id: str, here: Here, key: Builder) -> FineTuningJob:
    """Ask a training job to stop; one that waits is cancelled at once, one that has ended stays as it is."""
    await _job(here, key.workspace, job_id)
    await asyncio.to_thread(here.journal.request_cancel, job_id)
    return _shape(await _job(here, key.workspace, job_id))


@router.get("/{job_id}/events")
async def list_fine_tuning_events(
    job_id: str, here: Here, key: Builder, after: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 20
) -> Page[Event]:
    """List what happened in a job, oldest first, so that ``after`` = the last event seen gives the news."""
    await _job(here, key.workspace, job_id)
    found = await asyncio.to_thread(here.journal.events, job_id, after, limit + 1)
    return Page[Event](**page([_event(event) for event in found[:limit]], more=len(found) > limit))


@router.get("/{job_id}/checkpoints")
async def list_fine_tuning_checkpoints(job_id: str, here: Here, key: Builder) -> Page[Checkpoint]:
    """List the checkpoints that can be served: none; a job's own are kept for resuming it only."""
    await _job(here, key.workspace, job_id)
    return Page[Checkpoint](**page([], more=False))


async def trained(db: Database, job: Job, result: JSON) -> JSON:
    """Turn on what a job made, for whoever asked for the job; return its result."""
    who = str(job.spec["request"].get("key") or job.id)
    await asyncio.to_thread(models.turn_on, db, job.workspace, result["model"], who)
    return result


async def _job(here: Gateway, ws: str, job_id: str) -> Job:
    job = await asyncio.to_thread(here.journal.get, job_id, ws)
    if job.kind != KIND or not job.id.startswith(PREFIX):
        raise NotFound(f"There is no training job {job_id[:100]!r}.", "GET /v1/fine_tuning/jobs lists them.")
    return job


def _dataset(here: Gateway, source: Source, suffix: str) -> DatasetVersion:
    if source.meta.get("purpose") != "fine-tune":
        raise BadRequest(
            f"{source.id} was uploaded for {source.meta.get('purpose')}, not for fine-tune.",
            "Upload it with purpose fine-tune.",
            "training_file",
        )
    data = sources.content(here.db, source.workspace, source.id, "train")
    records = chat_records(data.split(b"\n"), source)
    if len(records) < MINIMUM:
        raise TooFewSamples(
            f"Training file has {len(records)} example(s), but must have at least {MINIMUM} different examples.",
            "Add more.",
            "training_file",
        )
    meta = {"file": source.id}
    name = f"uploads/{suffix or source.name}"[:200]
    version, left_out = datasets.write(here.db, source.workspace, name, records, "train", meta)
    if version.rows < MINIMUM:
        raise Forbidden(
            f"Of {len(records)} examples {len(left_out)} may not be trained on: {left_out[0][1]}.",
            "Its owner can change its permissions.",
            "training_file",
        )
    return version


def _default_rate() -> float:
    return Plan("", "", "", "", "").learning_rate


def _shape(job: Job) -> FineTuningJob:
    asked, training = job.spec["request"], job.spec["training"]
    detail = job.error.get("error") if job.status == "failed" else None
    return FineTuningJob.model_validate(
        {
            "id": job.id,
            "created_at": int(job.created),
            "finished_at": None if job.finished is None else int(job.finished),
            "model": asked["model"],
            "fine_tuned_model": job.result.get("model"),
            "organization_id": job.workspace,
            "status": _STATUS[job.status],
            "training_file": asked["training_file"],
            "trained_tokens": job.result.get("tokens"),
            "hyperparameters": asked["hyperparameters"],
            "method": {"type": "supervised", "supervised": {"hyperparameters": asked["hyperparameters"]}},
            "seed": training["seed"],
            "suffix": asked["suffix"],
            "metadata": asked["metadata"],
            "error": detail,
            "dataset": training["dataset"],
        }
    )


def _event(event: JobEvent) -> Event:
    return Event(
        id=event.id,
        created_at=int(event.created),
        level=event.level,
        message=event.message,
        type="metrics" if event.data.get("type") == "metrics" else "message",
        data=event.data,
    )
