"""The journal of durable jobs: their state, the steps they finished, the events for people to follow.

Knows rows. Does not know how a job is run, nor what its steps do.
"""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from feilun.records import JSON, Job, JobEvent, JobStatus
from feilun.store.database import Database, insert, one, rows, serialise
from feilun.store.schema import EVENTS, JOBS, STEPS, from_row, to_row

_OPEN = ("queued", "running")


class Journal:
    """What is known about jobs, in a database."""

    def __init__(self, db: Database) -> None:
        """Keep the database."""
        self._db = db

    def create(self, job: Job) -> Job:
        """Keep a job and return it as kept; one that is there already stays as it is."""
        with self._db.writing() as conn:
            insert(conn, JOBS, [to_row(job, cancel=False)])
        return self.get(job.id, job.workspace)

    def get(self, job_id: str, ws: str = "") -> Job:
        """Return a job (of a workspace); raise NotFound."""
        with self._db.reading() as conn:
            return from_row(Job, self._row(conn, job_id, ws))

    def find(self, ws: str, kind: str = "", limit: int = 20, after: str = "") -> list[Job]:
        """Return up to ``limit`` jobs of a workspace (of one kind), newest first, from below the job ``after`` on."""
        query = sa.select(JOBS).where(JOBS.c.workspace == ws)
        if kind:
            query = query.where(JOBS.c.kind == kind)
        with self._db.reading() as conn:
            if after:
                mark = self._row(conn, after, ws)
                place = sa.tuple_(JOBS.c.created, JOBS.c.id)
                query = query.where(place < sa.tuple_(sa.literal(mark["created"], sa.Double), mark["id"]))
            query = query.order_by(JOBS.c.created.desc(), JOBS.c.id.desc()).limit(limit)
            return [from_row(Job, row) for row in rows(conn, query)]

    def unfinished(self, kind: str = "") -> list[Job]:
        """Return the queued and running jobs of every workspace (of one kind), oldest first."""
        query = sa.select(JOBS).where(JOBS.c.status.in_(_OPEN))
        if kind:
            query = query.where(JOBS.c.kind == kind)
        with self._db.reading() as conn:
            return [from_row(Job, row) for row in rows(conn, query.order_by(JOBS.c.created, JOBS.c.id))]

    def start(self, job_id: str) -> None:
        """Set a job running, also one that failed before; one that succeeded or was cancelled stays so."""
        with self._db.writing() as conn:
            self._row(conn, job_id)
            where = sa.and_(JOBS.c.id == job_id, JOBS.c.status.in_((*_OPEN, "failed")))
            conn.execute(sa.update(JOBS).where(where).values(status="running", result={}, error={}, finished=None))

    def finish(self, job_id: str, status: JobStatus, result: JSON, error: JSON) -> None:
        """Record how a job ended; a job that has ended already stays as it is."""
        values = {"status": status, "result": result, "error": error, "finished": time.time()}
        with self._db.writing() as conn:
            self._row(conn, job_id)
            conn.execute(sa.update(JOBS).where(JOBS.c.id == job_id, JOBS.c.status.in_(_OPEN)).values(values))

    def request_cancel(self, job_id: str) -> None:
        """Ask a running job to stop, and cancel at once one that waits; a job that has ended stays as it is."""
        waiting = sa.and_(JOBS.c.id == job_id, JOBS.c.status == "queued")
        with self._db.writing() as conn:
            self._row(conn, job_id)
            conn.execute(sa.update(JOBS).where(JOBS.c.id == job_id, JOBS.c.status.in_(_OPEN)).values(cancel=True))
            conn.execute(sa.update(JOBS).where(waiting).values(status="cancelled", finished=time.time()))

    def cancel_requested(self, job_id: str) -> bool:
        """Return whether somebody asked the job to stop; raise NotFound."""
        with self._db.reading() as conn:
            return bool(self._row(conn, job_id)["cancel"])

    def step(self, job_id: str, name: str) -> JSON | None:
        """Return the output of a step that the job finished, or None."""
        query = sa.select(STEPS.c.output).where(STEPS.c.job == job_id, STEPS.c.name == name)
        with self._db.reading() as conn:
            found: JSON | None = conn.execute(query).scalar_one_or_none()
            return found

    def save_step(self, job_id: str, name: str, output: JSON, seconds: float) -> None:
        """Record that a step is finished; of several records of one step the first stays."""
        with self._db.writing() as conn:
            self._row(conn, job_id)
            seq = self._next(conn, STEPS, job_id)
            insert(conn, STEPS, [{"job": job_id, "name": name, "output": output, "seconds": seconds, "seq": seq}])

    def steps(self, job_id: str) -> list[tuple[str, float, JSON]]:
        """Return (name, seconds, output) of every finished step, in the order in which they were finished."""
        query = sa.select(STEPS.c.name, STEPS.c.seconds, STEPS.c.output).where(STEPS.c.job == job_id)
        with self._db.reading() as conn:
            return [(row.name, row.seconds, row.output) for row in conn.execute(query.order_by(STEPS.c.seq))]

    def add_event(self, event: JobEvent) -> None:
        """Record an event; one that is there already stays as it is; raise NotFound for the job."""
        with self._db.writing() as conn:
            self._row(conn, event.job)
            insert(conn, EVENTS, [to_row(event, seq=self._next(conn, EVENTS, event.job))])

    def events(self, job_id: str, after: str = "", limit: int = 100) -> list[JobEvent]:
        """Return up to ``limit`` events of a job, oldest first, from behind the event ``after`` on."""
        query = sa.select(EVENTS).where(EVENTS.c.job == job_id).order_by(EVENTS.c.seq).limit(limit)
        with self._db.reading() as conn:
            self._row(conn, job_id)
            if after:
                mark = sa.select(EVENTS.c.seq).where(EVENTS.c.job == job_id, EVENTS.c.id == after)
                query = query.where(EVENTS.c.seq > one(conn, mark, f"event {after}")["seq"])
            return [from_row(JobEvent, row) for row in rows(conn, query)]

    @staticmethod
    def _row(conn: Connection, job_id: str, ws: str = "") -> dict[str, Any]:
        query = sa.select(JOBS).where(JOBS.c.id == job_id)
        return one(conn, query.where(JOBS.c.workspace == ws) if ws else query, f"job {job_id}")

    @staticmethod
    def _next(conn: Connection, table: sa.Table, job_id: str) -> int:
        serialise(conn, table.name, job_id)
        last = conn.execute(sa.select(sa.func.max(table.c.seq)).where(table.c.job == job_id)).scalar_one()
        return int(last or 0) + 1
