"""The journal of jobs in the database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from feilun.errors import NotFound
from feilun.records import Job, JobEvent
from feilun.store import Database, Journal, open_database


@pytest.fixture
def journal(db: Database) -> Journal:
    """Return the journal of an empty database."""
    return Journal(db)


def _job(number: int = 1, ws: str = "bank", kind: str = "turn") -> Job:
    return Job(f"{kind}-{number}", ws, kind, {"文件": [1, None, 0.5]}, created=1000.0 + number)


def test_create_is_idempotent(journal: Journal) -> None:
    """A job that is there stays as it is, whatever became of it."""
    assert journal.create(_job()) == _job()
    journal.start("turn-1")
    assert journal.create(_job()).status == "running"
    with pytest.raises(NotFound):
        journal.create(Job("turn-1", "other", "turn", {}))
    with pytest.raises(NotFound):
        journal.create(_job(2, ws="nowhere"))


def test_get_and_find(journal: Journal) -> None:
    """Jobs are found by workspace and kind, newest first, page after page, and not from elsewhere."""
    for number in (3, 1, 2):
        journal.create(_job(number))
    journal.create(_job(9, kind="training")), journal.create(_job(8, ws="other"))
    assert [job.id for job in journal.find("bank", "turn")] == ["turn-3", "turn-2", "turn-1"]
    assert [job.id for job in journal.find("bank", limit=1)] == ["training-9"]
    assert [job.id for job in journal.find("bank", "turn", 1, after="turn-3")] == ["turn-2"]
    assert journal.find("bank", after="turn-1") == []
    assert journal.get("turn-8").workspace == "other"
    for attempt in (lambda: journal.get("turn-8", "bank"), lambda: journal.find("bank", after="turn-8")):
        with pytest.raises(NotFound):
            attempt()


def test_the_life_of_a_job(journal: Journal) -> None:
    """Queued, running, failed, running again, succeeded; the first end of each run stays."""
    journal.create(_job())
    assert [job.status for job in journal.unfinished()] == ["queued"]
    journal.start("turn-1")
    journal.finish("turn-1", "failed", {}, {"error": {"message": "坏了"}})
    assert journal.unfinished("turn") == []
    journal.start("turn-1")
    job = journal.get("turn-1")
    assert (job.status, job.error, job.finished) == ("running", {}, None)
    journal.finish("turn-1", "succeeded", {"promoted": True}, {})
    ended = journal.get("turn-1")
    journal.finish("turn-1", "failed", {}, {"error": {}})
    journal.start("turn-1")
    journal.request_cancel("turn-1")
    assert journal.get("turn-1") == ended
    assert (ended.status, ended.result) == ("succeeded", {"promoted": True})
    assert ended.finished is not None


def test_a_cancelled_job_stays_cancelled(journal: Journal) -> None:
    """A waiting job is cancelled at once, a running one when it says so; neither comes back."""
    journal.create(_job(1)), journal.create(_job(2))
    journal.start("turn-2")
    assert not journal.cancel_requested("turn-2")
    for job_id in ("turn-1", "turn-2"):
        journal.request_cancel(job_id)
        assert journal.cancel_requested(job_id)
    assert [journal.get(f"turn-{n}").status for n in (1, 2)] == ["cancelled", "running"]
    journal.finish("turn-2", "cancelled", {}, {})
    for job_id in ("turn-1", "turn-2"):
        journal.start(job_id)
        journal.finish(job_id, "succeeded", {}, {})
        assert journal.get(job_id).status == "cancelled"


def test_steps_are_kept_once_and_in_order(journal: Journal, db: Database, url: str) -> None:
    """The first record of a step stays, an empty one too, and another process reads it."""
    journal.create(_job(1)), journal.create(_job(2))
    assert journal.step("turn-1", "read") is None
    journal.save_step("turn-1", "read", {}, 0.25)
    journal.save_step("turn-1", "a second", {"rows": 3}, 1.5)
    journal.save_step("turn-1", "read", {"rows": 9}, 9.0)
    assert journal.steps("turn-1") == [("read", 0.25, {}), ("a second", 1.5, {"rows": 3})]
    assert journal.steps("turn-2") == []
    again = open_database(db.root, url)
    assert Journal(again).step("turn-1", "read") == {}
    again.close()


def test_many_threads_record_one_step_and_all_events(journal: Journal) -> None:
    """Sixteen writers at once: one step stays, no event is lost, each has its own place."""
    journal.create(_job())

    def write(number: int) -> None:
        journal.save_step("turn-1", "train", {"by": number}, 1.0)
        journal.add_event(JobEvent(f"event-{number}", "turn-1", str(number), created=1.0))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(32)))
    assert len(journal.steps("turn-1")) == 1
    events = journal.events("turn-1")
    assert sorted(int(event.message) for event in events) == list(range(32))
    assert journal.events("turn-1", after=events[9].id, limit=3) == events[10:13]


def test_events_come_in_the_order_in_which_they_happened(journal: Journal) -> None:
    """Order is that of writing, whatever the ids and clocks say; writing again adds nothing."""
    journal.create(_job())
    written = [
        JobEvent("event-c", "turn-1", "first", created=9.0),
        JobEvent("event-a", "turn-1", "第二", "warn", {"loss": 0.5}, created=8.0),
        JobEvent("event-b", "turn-1", "third", "error", created=8.0),
    ]
    for event in (*written, written[0]):
        journal.add_event(event)
    assert journal.events("turn-1") == written
    assert journal.events("turn-1", after="event-c", limit=1) == [written[1]]
    with pytest.raises(NotFound):
        journal.events("turn-1", after="event-x")


def test_unknown_jobs_are_not_found(journal: Journal) -> None:
    """Nothing is recorded about a job that is not there."""
    for attempt in (
        lambda: journal.get("turn-1"),
        lambda: journal.start("turn-1"),
        lambda: journal.finish("turn-1", "failed", {}, {}),
        lambda: journal.request_cancel("turn-1"),
        lambda: journal.cancel_requested("turn-1"),
        lambda: journal.save_step("turn-1", "read", {}, 0.0),
        lambda: journal.add_event(JobEvent("event-1", "turn-1", "hello")),
        lambda: journal.events("turn-1"),
    ):
        with pytest.raises(NotFound):
            attempt()
