"""A journal in memory, for tests and trials. It keeps the contract of a real one and forgets all at exit.

It knows nothing about files or databases.
"""

from __future__ import annotations

import copy
import threading
import time
from dataclasses import replace

from feilun.errors import NotFound
from feilun.records import JSON, Job, JobEvent, JobStatus

_OPEN: tuple[JobStatus, ...] = ("queued", "running")


class MemoryJournal:
    """A ``Journal`` whose rows are dictionaries."""

    def __init__(self) -> None:
        """Start empty."""
        self._guard = threading.RLock()
        self._jobs: dict[str, Job] = {}
        self._cancel: set[str] = set()
        self._steps: dict[str, dict[str, tuple[float, JSON]]] = {}
        self._events: dict[str, list[JobEvent]] = {}

    def create(self, job: Job) -> Job:
        """Add a job, or return the one that is there with this id."""
        with self._guard:
            return self._jobs.setdefault(job.id, copy.deepcopy(job))

    def get(self, job_id: str, ws: str = "") -> Job:
        """Return a job; raise NotFound."""
        with self._guard:
            job = self._jobs.get(job_id)
            if job is None or ws not in ("", job.workspace):
                raise NotFound(f"There is no job {job_id}.", "List the jobs to see their ids.")
            return copy.deepcopy(job)

    def find(self, ws: str, kind: str = "", limit: int = 20, after: str = "") -> list[Job]:
        """Return jobs, newest first."""
        with self._guard:
            if after:
                self.get(after, ws)
            found = [job for job in self._jobs.values() if job.workspace == ws and kind in ("", job.kind)]
            found.sort(key=lambda job: (job.created, job.id), reverse=True)
            if after:
                last = self._jobs[after]
                found = [job for job in found if (job.created, job.id) < (last.created, last.id)]
            return copy.deepcopy(found[:limit])

    def start(self, job_id: str) -> None:
        """Set the job running, unless it succeeded or was cancelled."""
        with self._guard:
            job = self.get(job_id)
            if job.status in (*_OPEN, "failed"):
                self._jobs[job_id] = replace(job, status="running", result={}, error={}, finished=None)

    def finish(self, job_id: str, status: JobStatus, result: JSON, error: JSON) -> None:
        """Record how the job ended, and when, unless it has ended."""
        result, error = copy.deepcopy((result, error))
        with self._guard:
            job = self.get(job_id)
            if job.status in _OPEN:
                self._jobs[job_id] = replace(job, status=status, result=result, error=error, finished=time.time())

    def request_cancel(self, job_id: str) -> None:
        """Cancel a queued job at once; ask whoever runs a running one."""
        with self._guard:
            job = self.get(job_id)
            if job.status in _OPEN:
                self._cancel.add(job_id)
            if job.status == "queued":
                self._jobs[job_id] = replace(job, status="cancelled", finished=time.time())

    def cancel_requested(self, job_id: str) -> bool:
        """Say whether somebody asked for it."""
        with self._guard:
            self.get(job_id)
            return job_id in self._cancel

    def step(self, job_id: str, name: str) -> JSON | None:
        """Return the recorded output of a step."""
        with self._guard:
            found = self._steps.get(job_id, {}).get(name)
            return copy.deepcopy(found[1]) if found else None

    def save_step(self, job_id: str, name: str, output: JSON, seconds: float) -> None:
        """Record a step's output; the first record of a name stays."""
        with self._guard:
            self.get(job_id)
            self._steps.setdefault(job_id, {}).setdefault(name, (seconds, copy.deepcopy(output)))

    def steps(self, job_id: str) -> list[tuple[str, float, JSON]]:
        """Return (name, seconds, output) of the recorded steps."""
        with self._guard:
            found = self._steps.get(job_id, {})
            return [(name, seconds, copy.deepcopy(output)) for name, (seconds, output) in found.items()]

    def add_event(self, event: JobEvent) -> None:
        """Add an event, unless one with its id is there."""
        with self._guard:
            self.get(event.job)
            found = self._events.setdefault(event.job, [])
            if all(one.id != event.id for one in found):
                found.append(copy.deepcopy(event))

    def events(self, job_id: str, after: str = "", limit: int = 100) -> list[JobEvent]:
        """Return events in the order in which they were added."""
        with self._guard:
            self.get(job_id)
            found = self._events.get(job_id, [])
            ids = [event.id for event in found]
            if after and after not in ids:
                raise NotFound(f"The job {job_id} has no event {after}.")
            first = ids.index(after) + 1 if after else 0
            return copy.deepcopy(found[first : first + limit])

    def unfinished(self, kind: str = "") -> list[Job]:
        """Return the jobs that are queued or running, oldest first."""
        with self._guard:
            found = [job for job in self._jobs.values() if job.status in _OPEN and kind in ("", job.kind)]
            return copy.deepcopy(sorted(found, key=lambda job: (job.created, job.id)))
