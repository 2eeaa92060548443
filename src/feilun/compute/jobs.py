"""Durable jobs: work in named steps whose outputs are recorded, so that a killed job goes on where it stopped.

This module knows the order of writes that makes a job survive ``kill -9``. It does not know where the rows are kept
(a ``Journal``), nor what any job does.

A step runs **at least once**: if the process dies after the work and before the record, the work is done again when
the job goes on. So a step's work must be idempotent: the same ids (``derived_id``), whole files by write-and-rename.
Its recorded output is read back by every later run, exactly as JSON gives it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, Protocol

from feilun.compute.failures import describe, disk_errors
from feilun.compute.locks import lock
from feilun.errors import Cancelled, Conflict
from feilun.records import JSON, Job, JobEvent, JobStatus, new_id

CANCEL_POLL_SECONDS = 0.5


class Journal(Protocol):
    """Where jobs are written down. Every method is one quick, durable transaction and may be called from any thread.

    An unknown job, or one in another workspace, raises NotFound. A job that succeeded or was cancelled stays so.
    """

    def create(self, job: Job) -> Job:
        """Add a job, or return the one that is there with this id."""

    def get(self, job_id: str, ws: str = "") -> Job:
        """Return a job; an empty ``ws`` looks in all workspaces."""

    def find(self, ws: str, kind: str = "", limit: int = 20, after: str = "") -> list[Job]:
        """Return jobs, newest first, those older than the job ``after``."""

    def start(self, job_id: str) -> None:
        """Set a queued, running or failed job running; forget how an earlier try ended, keep its steps."""

    def finish(self, job_id: str, status: JobStatus, result: JSON, error: JSON) -> None:
        """Record how the job ended, and when; no effect on a job that has ended."""

    def request_cancel(self, job_id: str) -> None:
        """Cancel a queued job at once, ask whoever runs a running one; no effect on a job that has ended."""

    def cancel_requested(self, job_id: str) -> bool:
        """Say whether somebody asked for it."""

    def step(self, job_id: str, name: str) -> JSON | None:
        """Return the recorded output of a step, or None if it has not finished."""

    def save_step(self, job_id: str, name: str, output: JSON, seconds: float) -> None:
        """Record a step's output; the first record of a name stays."""

    def steps(self, job_id: str) -> list[tuple[str, float, JSON]]:
        """Return (name, seconds, output) of the recorded steps in the order in which they finished."""

    def add_event(self, event: JobEvent) -> None:
        """Add an event, unless one with its id is there."""

    def events(self, job_id: str, after: str = "", limit: int = 100) -> list[JobEvent]:
        """Return events in the order in which they were added, those that follow the event ``after``."""

    def unfinished(self, kind: str = "") -> list[Job]:
        """Return the jobs of all workspaces that are queued or running, oldest first."""


class Context:
    """What a job's work is given: its job, its steps, its events."""

    def __init__(self, job: Job, journal: Journal) -> None:
        """Bind the context to one run of ``job``."""
        self.job = job
        self._journal = journal
        self._names: set[str] = set()

    async def step(self, name: str, work: Callable[[], Awaitable[JSON]]) -> JSON:
        """Return the recorded output of the step, or do ``work``, record its output with one durable write, return it.

        The output is a JSON object of what later steps need, ids and numbers rather than data. Raises Conflict if the
        work of one job uses a name twice, Cancelled if the job was cancelled, and whatever ``work`` raises.
        """
        if name in self._names:
            raise Conflict(f"The job {self.job.id} has two steps named {name}.", "Give every step its own name.")
        self._names.add(name)
        done = await asyncio.to_thread(self._begin, name)
        if done is not None:
            return done
        began = time.perf_counter()
        output = _as_json(await work())
        seconds = time.perf_counter() - began
        await asyncio.to_thread(self._journal.save_step, self.job.id, name, output, seconds)
        return output

    def _begin(self, name: str) -> JSON | None:
        done = self._journal.step(self.job.id, name)
        if done is None:
            self.check_cancelled()
        return done

    def event(self, message: str, level: Literal["info", "warn", "error"] = "info", **data: object) -> None:
        """Tell people what happens; ``data`` holds numbers such as ``loss``. A step that runs again tells it again."""
        self._journal.add_event(JobEvent(new_id("event"), self.job.id, message, level, _as_json(data)))

    def check_cancelled(self) -> None:
        """Raise Cancelled if somebody asked for it. Work in threads calls this between its pieces."""
        if self._journal.cancel_requested(self.job.id):
            raise _cancelled(self.job.id)


async def run(journal: Journal, job_id: str, work: Callable[[Context], Awaitable[JSON]], *, locks: Path) -> JSON:
    """Run or resume a job in this process, under ``locks/<job id>.lock``, and record how it ended; return its result.

    A job that succeeded returns its recorded result without running; one that failed tries again from the step that
    failed. ``work`` is cancelled within a second of ``request_cancel``. If this process is interrupted instead
    (Ctrl-C, shutdown, kill), the job stays unfinished and the next ``run`` goes on. Raises Busy if another process
    runs the job, Cancelled, and whatever ``work`` raises, after recording it.
    """
    job = await asyncio.to_thread(journal.get, job_id)
    with lock(locks / f"{job_id}.lock", f"{job.kind} {job_id}"):
        await asyncio.to_thread(journal.start, job_id)
        job = await asyncio.to_thread(journal.get, job_id)
        if job.status == "succeeded":
            return job.result
        if job.status == "cancelled":
            raise _cancelled(job_id)
        try:
            with disk_errors():
                result = _as_json(await _unless_cancelled(journal, job, work))
        except Cancelled as error:
            await asyncio.to_thread(journal.finish, job_id, "cancelled", {}, describe(error))
            raise
        except Exception as error:
            await asyncio.to_thread(journal.finish, job_id, "failed", {}, describe(error))
            raise
        await asyncio.to_thread(journal.finish, job_id, "succeeded", result, {})
        return result


async def _unless_cancelled(journal: Journal, job: Job, work: Callable[[Context], Awaitable[JSON]]) -> JSON:
    """Return what ``work`` returns; cancel it, and raise Cancelled, once somebody asks for it."""
    task = asyncio.ensure_future(work(Context(job, journal)))
    try:
        while not (await asyncio.wait({task}, timeout=CANCEL_POLL_SECONDS))[0]:
            if await asyncio.to_thread(journal.cancel_requested, job.id):
                await _cancel(task)
                if task.cancelled() or task.exception() is not None:
                    raise _cancelled(job.id)
        return task.result()
    finally:
        await _cancel(task)


async def _cancel(task: asyncio.Future[JSON]) -> None:
    """Cancel ``task`` and let its clean-up end, so that nothing of the job runs once the lock is free."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})


def _cancelled(job_id: str) -> Cancelled:
    return Cancelled(f"The job {job_id} was cancelled.", "Start a new job to do it after all.")


def _as_json(value: object) -> JSON:
    """Return ``value`` as the journal will give it back, so that a resumed run sees what the first one saw."""
    plain = json.loads(json.dumps(value, ensure_ascii=False, allow_nan=False))
    if not isinstance(plain, dict):
        raise TypeError(f"steps and jobs return a JSON object, not {type(value).__name__}")
    return plain
