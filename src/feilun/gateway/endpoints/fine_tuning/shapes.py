"""How trainings look from outside: the request, the job, its events and checkpoints, in OpenAI's shapes.

This module knows shapes, and which of a job's notes fill them. It does not know how anything is done.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from feilun.gateway.endpoints.fine_tuning.methods import Hyperparameters, Method
from feilun.gateway.shapes import WHOLE
from feilun.records import JSON, Job, JobEvent, ModelVersion

KIND, PREFIX = "training", "ftjob"
_OPENAI = ("n_epochs", "learning_rate_multiplier", "batch_size")


class TrainingRequest(BaseModel):
    """What to train on what: ``model`` is a base, or a version of the workspace to go on from."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str
    training_file: str
    validation_file: str | None = None
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
    """A training job; ``fine_tuned_model`` is the model version that it made, ``dataset`` what it learned from.

    A job that was paused is ``queued`` and ``paused``. ``estimate`` is what was expected before it began: seconds,
    tokens, steps. ``removed`` counts examples that were left out because an exam asks them.
    """

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    model: str
    fine_tuned_model: str | None
    organization_id: str
    status: Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]
    training_file: str
    validation_file: str | None = None
    trained_tokens: int | None
    result_files: list[str] = []
    hyperparameters: dict[str, Any]
    method: dict[str, Any]
    integrations: list[Any] = []
    seed: int
    suffix: str | None
    metadata: dict[str, Any] | None
    error: JobError | None
    estimated_finish: int | None = None
    dataset: str
    paused: bool = False
    estimate: dict[str, Any] | None = None
    removed: int = 0


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
    """The model as it was on the way, or is at the end; it can be called, and trained further, by its name."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    step_number: int
    metrics: dict[str, float]


def job_shape(job: Job, finish: float | None = None, *, paused: bool = False) -> FineTuningJob:
    """Return a job as the API shows it; ``finish`` is when it is expected to be done, if it runs."""
    asked, training = job.spec["request"], job.spec["training"]
    detail = job.error.get("error") if job.status == "failed" else None
    running = job.status == "running" and not paused
    said = asked.get("method") or {"type": "supervised", "supervised": {"hyperparameters": asked["hyperparameters"]}}
    how: Mapping[str, Any] = said[said["type"]]["hyperparameters"]
    return FineTuningJob.model_validate(
        {
            "id": job.id,
            "created_at": int(job.created),
            "finished_at": None if job.finished is None else int(job.finished),
            "model": asked["model"],
            "fine_tuned_model": job.result.get("model"),
            "organization_id": job.workspace,
            "status": "queued" if paused and job.status == "running" else job.status,
            "training_file": asked["training_file"],
            "validation_file": asked.get("validation_file"),
            "trained_tokens": job.result.get("tokens"),
            "result_files": job.result.get("files", []),
            "hyperparameters": {name: how.get(name, "auto") for name in _OPENAI},
            "method": said,
            "seed": training["seed"],
            "suffix": asked["suffix"],
            "metadata": asked["metadata"],
            "error": detail,
            "estimated_finish": max(int(finish), int(time.time())) if finish and running else None,
            "dataset": job.result.get("dataset") or training["dataset"],
            "paused": paused,
            "estimate": job.spec.get("estimate"),
            "removed": job.result.get("removed", job.spec.get("removed", 0)),
        }
    )


def event_shape(event: JobEvent) -> Event:
    """Return an event as the API shows it."""
    return Event(
        id=event.id,
        created_at=int(event.created),
        level=event.level,
        message=event.message,
        type="metrics" if event.data.get("type") == "metrics" else "message",
        data=event.data,
    )


def checkpoint_shape(version: ModelVersion, facts: JSON) -> Checkpoint:
    """Return a version that a job made, at its end or on its way, as the API shows it; ``facts`` are the run's."""
    losses: list[float] = facts.get("losses") or []
    step = int(version.meta.get("checkpoint") or len(losses))
    held = [loss for place, loss in facts.get("held_out") or [] if place <= step]
    metrics = {"step": float(step)}
    if 0 < step <= len(losses):
        metrics["train_loss"] = float(losses[step - 1])
    if held:
        metrics["full_valid_loss"] = float(held[-1])
    return Checkpoint(
        id=f"ftckpt-{version.id.removeprefix('model-')}",
        created_at=int(version.created),
        fine_tuned_model_checkpoint=version.id,
        fine_tuning_job_id=str(version.meta["job"]),
        step_number=step,
        metrics=metrics,
    )
