"""Jobs survive kill -9, are cancelled, fail with a body, and never run twice at once."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.compute import Context, holder, lock, run
from feilun.compute.fake import MemoryJournal
from feilun.errors import BadModel, Busy, Cancelled, Conflict, FeilunError, NotFound, OutOfSpace
from feilun.records import JSON, Job, new_id
from feilun.store import Journal, open_database, workspaces

DEATHS = ["before 0", "inside 0", "after 0", "inside 2", "before 3", "after 3", "inside 4", "after 4"]


def job() -> Job:
    """Return a fresh job."""
    return Job(new_id("turn"), "demo", "turn", {"paths": ["a", "文件"]})


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Journal]:
    """Return a journal that outlives its process: the store's."""
    database = open_database(tmp_path)
    workspaces.ensure(database, "demo")
    yield Journal(database)
    database.close()


def run_in_process(folder: Path, job_id: str, die_at: str = "") -> subprocess.CompletedProcess[str]:
    """Run the job of ``job_child.py`` in a process of its own."""
    argv = [sys.executable, str(Path(__file__).with_name("job_child.py")), str(folder), job_id, die_at]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("die_at", DEATHS)
def test_killed_job_goes_on(tmp_path: Path, kept: Journal, die_at: str) -> None:
    """Killed at any point, the job ends with each step's output once; only the killed step's work runs again."""
    one = kept.create(job())
    assert run_in_process(tmp_path, one.id, die_at).returncode == -9
    assert kept.get(one.id).status == "running"
    second = run_in_process(tmp_path, one.id)
    assert (second.returncode, second.stdout, second.stderr) == (0, "10\n", "")
    assert (kept.get(one.id).status, kept.get(one.id).result) == ("succeeded", {"total": 10})
    assert [(name, output) for name, _, output in kept.steps(one.id)] == [
        (f"step {n}", {"total": sum(range(n + 1))}) for n in range(5)
    ]
    ran = (tmp_path / "runs").read_text().split()
    twice = [die_at.split()[1]] if die_at.startswith("inside") else []
    assert sorted(ran) == sorted([*map(str, range(5)), *twice])


def test_job_killed_at_every_step_in_turn(tmp_path: Path, kept: Journal) -> None:
    """A job that dies in every one of its steps still ends, and did each step's work exactly twice."""
    one = kept.create(job())
    for number in range(5):
        assert run_in_process(tmp_path, one.id, f"inside {number}").returncode == -9
    assert run_in_process(tmp_path, one.id).stdout == "10\n"
    assert (tmp_path / "runs").read_text().split() == sorted("0123401234")


async def test_finished_job_returns_its_result(tmp_path: Path) -> None:
    """Running a job that succeeded gives the recorded result and does nothing."""
    journal = MemoryJournal()
    one = journal.create(job())

    async def work(context: Context) -> JSON:
        return {"n": (1, 2), "id": context.job.id}

    first = await run(journal, one.id, work, locks=tmp_path)

    async def never(context: Context) -> JSON:
        raise AssertionError(context.job.id)

    assert first == await run(journal, one.id, never, locks=tmp_path) == {"n": [1, 2], "id": one.id}


async def test_failure_is_recorded_and_tried_again(tmp_path: Path) -> None:
    """A failed job keeps the error's body; a second run goes on from the step that failed."""
    journal = MemoryJournal()
    one = journal.create(job())
    counts = {"read": 0, "train": 0}

    async def work(context: Context) -> JSON:
        async def read() -> JSON:
            counts["read"] += 1
            return {"rows": 3}

        async def train() -> JSON:
            counts["train"] += 1
            if counts["train"] == 1:
                raise BadModel("The model is cut off.", "Fetch it again.")
            return {"model": "model-1"}

        return {**await context.step("read", read), **await context.step("train", train)}

    with pytest.raises(BadModel):
        await run(journal, one.id, work, locks=tmp_path)
    failed = journal.get(one.id)
    assert (failed.status, failed.error["error"]["code"]) == ("failed", "bad_model")
    assert failed.error["error"]["message"] == "The model is cut off. Fetch it again."
    assert await run(journal, one.id, work, locks=tmp_path) == {"rows": 3, "model": "model-1"}
    assert counts == {"read": 1, "train": 2}
    assert (journal.get(one.id).status, journal.get(one.id).error) == ("succeeded", {})


async def test_unexpected_error_is_an_internal_one(tmp_path: Path) -> None:
    """An exception that is not ours is recorded as an internal error that names it, and raised."""
    journal = MemoryJournal()
    one = journal.create(job())

    async def work(context: Context) -> JSON:
        raise ZeroDivisionError(f"in {context.job.kind}")

    with pytest.raises(ZeroDivisionError):
        await run(journal, one.id, work, locks=tmp_path)
    error = journal.get(one.id).error["error"]
    assert error["code"] == FeilunError.code
    assert "ZeroDivisionError: in turn" in error["message"]


async def test_full_disk_is_out_of_space(tmp_path: Path) -> None:
    """The operating system's "no space left" fails the job as OutOfSpace."""
    journal = MemoryJournal()
    one = journal.create(job())

    async def work(context: Context) -> JSON:
        raise OSError(errno.ENOSPC, "No space left on device", f"/data/{context.job.kind}")

    with pytest.raises(OutOfSpace, match="/data/turn"):
        await run(journal, one.id, work, locks=tmp_path)
    assert journal.get(one.id).error["error"]["code"] == "out_of_space"


async def test_result_that_is_no_json_fails(tmp_path: Path) -> None:
    """What cannot be recorded fails the job instead of being lost."""
    journal = MemoryJournal()
    one = journal.create(job())

    async def work(context: Context) -> JSON:
        return await context.step("bad", lambda: asyncio.sleep(0, {"share": float("nan")}))

    with pytest.raises(ValueError, match="JSON"):
        await run(journal, one.id, work, locks=tmp_path)
    assert journal.get(one.id).status == "failed"
    assert journal.steps(one.id) == []


async def test_cancel_reaches_waiting_work(tmp_path: Path) -> None:
    """Work that only waits is cancelled, cleans up, and the job is cancelled for good."""
    journal = MemoryJournal()
    one = journal.create(job())
    cleaned = asyncio.Event()

    async def work(context: Context) -> JSON:
        journal.request_cancel(context.job.id)
        try:
            await asyncio.sleep(600)
        finally:
            await asyncio.sleep(0.01)
            cleaned.set()
        return {}

    for _ in range(2):
        with pytest.raises(Cancelled):
            await run(journal, one.id, work, locks=tmp_path)
    assert cleaned.is_set()
    assert (journal.get(one.id).status, journal.get(one.id).error["error"]["code"]) == ("cancelled", "cancelled")


async def test_cancel_reaches_work_in_a_thread(tmp_path: Path) -> None:
    """Work in a thread that looks between its pieces stops; the next step does not begin."""
    journal = MemoryJournal()
    one = journal.create(job())
    pieces: list[int] = []

    async def work(context: Context) -> JSON:
        def heavy() -> JSON:
            for number in range(1_000):
                if number == 3:
                    journal.request_cancel(one.id)
                context.check_cancelled()
                pieces.append(number)
            return {}

        return await context.step("heavy", lambda: asyncio.to_thread(heavy))

    with pytest.raises(Cancelled):
        await run(journal, one.id, work, locks=tmp_path)
    assert pieces == [0, 1, 2]
    assert journal.steps(one.id) == []


async def test_job_cancelled_before_it_starts(tmp_path: Path) -> None:
    """A queued job that was cancelled begins no step."""
    journal = MemoryJournal()
    one = journal.create(job())
    journal.request_cancel(one.id)
    began = threading.Event()

    async def work(context: Context) -> JSON:
        async def first() -> JSON:
            began.set()
            return {}

        return await context.step("first", first)

    with pytest.raises(Cancelled):
        await run(journal, one.id, work, locks=tmp_path)
    assert not began.is_set()
    assert journal.get(one.id).status == "cancelled"


async def test_interrupted_job_stays_unfinished(tmp_path: Path) -> None:
    """Ctrl-C and shutdown are not cancellation: the job stays running in the journal, its lock free, and goes on."""
    journal = MemoryJournal()
    one = journal.create(job())
    waiting, gate = asyncio.Event(), asyncio.Event()

    async def work(context: Context) -> JSON:
        await context.step("first", lambda: asyncio.sleep(0, {"n": 1}))
        waiting.set()
        await gate.wait()
        return {"done": True}

    task = asyncio.create_task(run(journal, one.id, work, locks=tmp_path))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [left.id for left in journal.unfinished()] == [one.id]
    gate.set()
    assert await run(journal, one.id, work, locks=tmp_path) == {"done": True}


async def test_job_that_runs_is_busy(tmp_path: Path) -> None:
    """A second run of a running job is refused and leaves the first one's record alone."""
    journal = MemoryJournal()
    one = journal.create(job())
    journal.start(one.id)
    with lock(tmp_path / f"{one.id}.lock", f"turn {one.id}"):
        with pytest.raises(Busy, match=one.id):
            await run(journal, one.id, lambda _: asyncio.sleep(0, {}), locks=tmp_path)
    assert journal.get(one.id).status == "running"


async def test_unknown_job(tmp_path: Path) -> None:
    """An unknown id is not found, and nothing is locked."""
    with pytest.raises(NotFound):
        await run(MemoryJournal(), "turn-none", lambda _: asyncio.sleep(0, {}), locks=tmp_path)
    assert holder(tmp_path / "turn-none.lock") == {}


async def test_two_steps_of_one_name_are_refused(tmp_path: Path) -> None:
    """A repeated name would silently return the other step's output, so it is an error."""
    journal = MemoryJournal()
    one = journal.create(job())

    async def work(context: Context) -> JSON:
        await context.step("same", lambda: asyncio.sleep(0, {"n": 1}))
        return await context.step("same", lambda: asyncio.sleep(0, {"n": 2}))

    with pytest.raises(Conflict, match="same"):
        await run(journal, one.id, work, locks=tmp_path)


async def test_events_are_kept(tmp_path: Path) -> None:
    """Events carry their level and numbers, also when the job fails."""
    journal = MemoryJournal()
    one = journal.create(job())

    async def work(context: Context) -> JSON:
        context.event("training", loss=2.5, step=1)
        context.event("慢", "warn")
        raise BadModel("no")

    with contextlib.suppress(BadModel):
        await run(journal, one.id, work, locks=tmp_path)
    events = journal.events(one.id)
    assert [(event.message, event.level, event.data) for event in events] == [
        ("training", "info", {"loss": 2.5, "step": 1}),
        ("慢", "warn", {}),
    ]
