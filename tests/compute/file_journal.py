"""A journal that outlives its process, so that the tests of this room can kill one without needing the store."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

from feilun.compute.fake import MemoryJournal
from feilun.records import JSON, Job, JobStatus


class FileJournal(MemoryJournal):
    """The journal in memory, written to a file whole after each change."""

    def __init__(self, path: Path) -> None:
        """Open the journal at ``path``, or start an empty one."""
        super().__init__()
        self._path = path
        if path.exists():
            self._jobs, self._cancel, self._steps = pickle.loads(path.read_bytes())

    def create(self, job: Job) -> Job:
        """Add a job."""
        made = super().create(job)
        self._save()
        return made

    def start(self, job_id: str) -> None:
        """Set the job running."""
        super().start(job_id)
        self._save()

    def finish(self, job_id: str, status: JobStatus, result: JSON, error: JSON) -> None:
        """Set how the job ended."""
        super().finish(job_id, status, result, error)
        self._save()

    def save_step(self, job_id: str, name: str, output: JSON, seconds: float) -> None:
        """Record a step's output."""
        super().save_step(job_id, name, output, seconds)
        self._save()

    def _save(self) -> None:
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(pickle.dumps((self._jobs, self._cancel, self._steps)))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
