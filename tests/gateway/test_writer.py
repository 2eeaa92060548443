"""The writer of calls: safe before anybody is told, rows when there is time, nothing lost at the end."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from feilun.errors import EngineDown, FeilunError
from feilun.gateway import writer as writing
from feilun.gateway.writer import Writer
from feilun.records import Trace, Usage, new_id
from feilun.store import Database, open_database, traces, workspaces


@pytest.fixture
def db(tmp_path: Path) -> Database:
    """Give an open home with a workspace."""
    made = open_database(tmp_path / "home")
    workspaces.ensure(made, "bank")
    return made


@asynccontextmanager
async def running(db: Database) -> AsyncIterator[Writer]:
    """Give a writer at work."""
    writer = Writer(db, db.root / "calls")
    work, follow = asyncio.create_task(writer.run()), asyncio.create_task(writer.follow())
    try:
        yield writer
    finally:
        follow.cancel()
        await asyncio.wait({follow})
        await writer.close()
        await work
        await writer.end()
        db.close()


def some(count: int) -> list[bytes]:
    """Return lines of calls."""
    return [
        traces.line(Trace(new_id("trace"), "bank", "key-1", "own", "m", (), "yes", "stop", Usage(3, 1)))
        for _ in range(count)
    ]


def rows(db: Database) -> int:
    """Return how many calls are rows."""
    return len(traces.find(db, "bank", limit=10_000))


def wait_for_rows(db: Database, more_than: int) -> int:
    """Return how many calls are rows once there are more; the test's own limit ends a wait in vain."""
    while (count := rows(db)) <= more_than:
        threading.Event().wait(0.05)
    return count


async def test_calls_at_once_share_a_wait_and_become_rows(db: Database) -> None:
    """All of them are on the disk when they are told so, and rows soon after, without anybody asking."""
    async with running(db) as writer:
        await asyncio.gather(*(writer.write(some(2)) for _ in range(40)))
        assert sum(path.read_bytes().count(b"\n") for path in (db.root / "calls").iterdir()) == 80
        assert await asyncio.to_thread(wait_for_rows, db, 79) == 80


async def test_while_many_calls_come_rows_wait_but_not_for_ever(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads rows gets them at once; else they come little by little, though the load never ends."""
    monkeypatch.setattr(writing, "LATE_SECONDS", 1.5)
    async with running(db) as writer:
        loading = True

        async def load() -> None:
            while loading:
                await asyncio.gather(*(writer.write(some(1)) for _ in range(20)))
                await asyncio.sleep(0.02)

        task = asyncio.create_task(load())
        await asyncio.sleep(0.7)
        assert await asyncio.to_thread(rows, db) == 0
        await writer.settled()
        early = await asyncio.to_thread(rows, db)
        assert early > 0
        await asyncio.to_thread(wait_for_rows, db, early)
        makers = [thread.native_id or 0 for thread in threading.enumerate() if thread.name.startswith("rows")]
        if sys.platform == "linux":
            assert [os.getpriority(os.PRIO_PROCESS, each) for each in makers] == [writing.LAST]
        loading = False
        await task


async def test_a_disk_that_cannot_be_written_is_told_to_every_caller(db: Database) -> None:
    """Nobody hears that a call is safe when it is not; once it can be written, calls are taken again."""
    folder = db.root / "calls"
    folder.write_text("This is no folder.")
    async with running(db) as writer:
        failed = await asyncio.gather(*(writer.write(some(1)) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in failed] == [FeilunError] * 3
        folder.unlink()
        await writer.write(some(1))
        await writer.flush()
        assert await asyncio.to_thread(rows, db) == 1


async def test_after_the_end_nothing_is_taken(db: Database) -> None:
    """A late call is refused; what was taken before is a row."""
    async with running(db) as writer:
        await writer.write(some(1))
        await writer.close()
        with pytest.raises(EngineDown):
            await writer.write(some(1))
    again = open_database(db.root)
    assert rows(again) == 1
    again.close()
