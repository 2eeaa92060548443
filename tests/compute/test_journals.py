"""Every journal keeps one contract: the one in memory, and the store's on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.compute import Journal
from feilun.compute.fake import MemoryJournal
from feilun.errors import NotFound
from feilun.records import Job, JobEvent, new_id
from feilun.store import Journal as StoreJournal
from feilun.store import open_database, workspaces


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    """Give an empty journal with the workspaces ``demo`` and ``other``."""
    if request.param == "memory":
        yield MemoryJournal()
    elif request.param == "sqlite":
        yield from in_database(tmp_path, "")
    else:
        with request.getfixturevalue("postgres_server").new_database() as url:
            yield from in_database(tmp_path, url)


def in_database(folder: Path, url: str) -> Iterator[Journal]:
    """Give the journal of an empty database."""
    database = open_database(folder, url)
    for name in ("demo", "other"):
        workspaces.ensure(database, name)
    yield StoreJournal(database)
    database.close()


def job(number: int = 0, workspace: str = "demo", kind: str = "turn") -> Job:
    """Return a fresh job; a larger ``number`` is newer."""
    return Job(new_id("turn"), workspace, kind, {"paths": ["a", "文件"]}, created=1_000.0 + number)


def test_create_is_idempotent(journal: Journal) -> None:
    """A job that is there stays as it is."""
    first = job()
    assert journal.create(first) == first
    journal.start(first.id)
    assert journal.create(first).status == "running"
    assert len(journal.find("demo")) == 1


def test_get_is_confined_to_the_workspace(journal: Journal) -> None:
    """A foreign or unknown id is not found; no workspace means all."""
    mine = journal.create(job())
    assert journal.get(mine.id) == journal.get(mine.id, "demo") == mine
    for wrong in ((mine.id, "other"), ("turn-none", "demo"), ("turn-none", "")):
        with pytest.raises(NotFound):
            journal.get(*wrong)


def test_find_is_newest_first_and_pages(journal: Journal) -> None:
    """Pages follow each other without gap or repeat, by kind and workspace."""
    made = [journal.create(job(number)) for number in range(5)]
    journal.create(job(9, kind="training"))
    journal.create(job(9, workspace="other"))
    newest_first = [one.id for one in reversed(made)]
    first = journal.find("demo", "turn", limit=2)
    second = journal.find("demo", "turn", limit=9, after=first[-1].id)
    assert [one.id for one in (*first, *second)] == newest_first
    assert len(journal.find("demo")) == 6


def test_start_forgets_the_earlier_end(journal: Journal) -> None:
    """A job that failed and starts again is running, without result, error or end, and keeps its steps."""
    one = journal.create(job())
    journal.start(one.id)
    journal.save_step(one.id, "read", {"rows": 3}, 0.5)
    journal.finish(one.id, "failed", {}, {"error": {"code": "bad_model"}})
    ended = journal.get(one.id)
    assert (ended.status, ended.error["error"]["code"]) == ("failed", "bad_model")
    assert ended.finished is not None
    journal.start(one.id)
    again = journal.get(one.id)
    assert (again.status, again.result, again.error, again.finished) == ("running", {}, {}, None)
    assert journal.step(one.id, "read") == {"rows": 3}


def test_finish_keeps_the_result(journal: Journal) -> None:
    """What a job returned is read back as it was."""
    one = journal.create(job())
    result = {"模型": "model-1", "shares": [0.5, None, True], "nested": {"n": 1}}
    journal.finish(one.id, "succeeded", result, {})
    assert (journal.get(one.id).status, journal.get(one.id).result) == ("succeeded", result)


def test_steps_are_recorded_once_in_order(journal: Journal) -> None:
    """The first record of a name stays; an empty output is a record; other jobs' steps are not seen."""
    one, other = journal.create(job()), journal.create(job())
    assert journal.step(one.id, "z") is None
    journal.save_step(one.id, "z", {}, 0.25)
    journal.save_step(one.id, "a", {"n": 1}, 2.0)
    journal.save_step(one.id, "a", {"n": 2}, 9.0)
    assert journal.step(one.id, "z") == {}
    assert journal.steps(one.id) == [("z", 0.25, {}), ("a", 2.0, {"n": 1})]
    assert journal.steps(other.id) == []


def test_events_keep_their_order_and_page(journal: Journal) -> None:
    """Events follow each other as they were added, even at one moment; an event added again stays one."""
    one = journal.create(job())
    made = [JobEvent(f"event-{9 - n}-{one.id}", one.id, f"第{n}", data={"loss": n}, created=5.0) for n in range(6)]
    for event in (*made, made[0]):
        journal.add_event(event)
    first = journal.events(one.id, limit=4)
    assert first + journal.events(one.id, after=first[-1].id) == made
    assert journal.events(one.id, after=made[-1].id) == []


def test_cancel_is_asked_for_and_seen(journal: Journal) -> None:
    """A running job is asked, a queued one is cancelled at once, an ended one stays as it is."""
    running, queued, ended = (journal.create(job()) for _ in range(3))
    journal.start(running.id)
    journal.finish(ended.id, "succeeded", {}, {})
    assert not journal.cancel_requested(running.id)
    for one in (running, running, queued, ended):
        journal.request_cancel(one.id)
    seen = [(journal.get(one.id).status, journal.cancel_requested(one.id)) for one in (running, queued, ended)]
    assert seen == [("running", True), ("cancelled", True), ("succeeded", False)]
    assert journal.get(queued.id).finished is not None


def test_the_end_is_final(journal: Journal) -> None:
    """A job that succeeded or was cancelled neither starts again nor ends otherwise."""
    for status in ("succeeded", "cancelled"):
        one = journal.create(job())
        journal.start(one.id)
        journal.finish(one.id, status, {"n": 1}, {})
        ended = journal.get(one.id)
        journal.start(one.id)
        journal.finish(one.id, "failed", {}, {"error": {}})
        assert journal.get(one.id) == ended
        assert (ended.status, ended.result) == (status, {"n": 1})


def test_unfinished_lists_queued_and_running(journal: Journal) -> None:
    """Only jobs that have not ended, of every workspace, oldest first."""
    running, queued, done = (journal.create(job(n, ws)) for n, ws in enumerate(("demo", "other", "demo")))
    journal.create(job(7, kind="training"))
    journal.start(running.id)
    journal.finish(done.id, "cancelled", {}, {})
    assert [one.id for one in journal.unfinished("turn")] == [running.id, queued.id]
    assert len(journal.unfinished()) == 3


def test_unknown_jobs_are_not_found(journal: Journal) -> None:
    """Writing to a job that is not there is refused."""
    calls = (
        lambda: journal.start("turn-none"),
        lambda: journal.finish("turn-none", "failed", {}, {}),
        lambda: journal.request_cancel("turn-none"),
        lambda: journal.save_step("turn-none", "read", {}, 0.0),
        lambda: journal.add_event(JobEvent("event-none", "turn-none", "hello")),
    )
    for call in calls:
        with pytest.raises(NotFound):
            call()


def test_threads_may_write_together(journal: Journal) -> None:
    """Eight threads lose nothing and record a shared step once."""
    one = journal.create(job())

    def write(number: int) -> None:
        journal.save_step(one.id, f"own {number}", {"n": number}, 0.0)
        journal.save_step(one.id, "shared", {"n": number}, 0.0)
        journal.add_event(JobEvent(new_id("event"), one.id, f"{number}"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for name, _, _ in journal.steps(one.id)) == sorted([*(f"own {n}" for n in range(8)), "shared"])
    assert len(journal.events(one.id)) == 8
