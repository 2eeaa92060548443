"""The durable log of calls: what was safe is a row, once, whatever dies, fills up or is damaged."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feilun.errors import FeilunError, OutOfSpace
from feilun.records import Trace, Usage, new_id
from feilun.store import Database, open_database, traces, workspaces
from feilun.store.calls import usage
from feilun.store.calls.calllog import CallLog
from feilun.store.traces import line

_WRITER = """
import sys
from pathlib import Path
from feilun.records import Trace, Usage, new_id
from feilun.store.calls.calllog import CallLog
from feilun.store.traces import line
log = CallLog(Path(sys.argv[1]), "gateway", int(sys.argv[2]))
while True:
    made = [Trace(new_id("trace"), "bank", "k", "own", "m", (), "x" * 200, "stop", Usage(1, 2)) for _ in range(20)]
    log.write([line(trace) for trace in made])
    print(*(trace.id for trace in made), flush=True)
"""
_FULL = """
import resource, sys
from pathlib import Path
from feilun.errors import OutOfSpace
from feilun.store.calls.calllog import CallLog
log = CallLog(Path(sys.argv[1]), "gateway")
line = sys.stdin.buffer.readline().strip()
log.write([line])
resource.setrlimit(resource.RLIMIT_FSIZE, (len(line) + 100, resource.RLIM_INFINITY))
try:
    log.write([b"x" * 300, b"y" * 300])
except OutOfSpace:
    print("full")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.write([line.replace(b"trace-1", b"trace-2")])
print(log.waiting == 2 * (len(line) + 1))
"""


def _trace(number: int, ws: str = "bank", **more: Any) -> Trace:
    said = ({"role": "user", "content": f"第{number}个问题\n"},)
    made = Trace(f"trace-{number}", ws, "key-1", "own", "model-1", said, "答案", "stop", Usage(number, 1), created=9.0)
    return replace(made, **more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the folder of a log."""
    return tmp_path / "calls"


@pytest.fixture
def log(folder: Path) -> Iterator[CallLog]:
    """Give the log of this process."""
    made = CallLog(folder, "gateway")
    yield made
    made.close()


def _count(db: Database) -> int:
    return sum(row["calls"] for row in usage.report(db, "bank", ()))


def test_what_was_written_becomes_rows_once(db: Database, folder: Path, log: CallLog) -> None:
    """While the log is being written, and after it was closed, of which no file remains."""
    assert log.drain(db) == 0
    log.write([line(_trace(1)), line(_trace(2))])
    log.write([])
    assert (log.drain(db), log.drain(db), log.waiting) == (2, 0, 0)
    log.write([line(_trace(3)), line(_trace(1))])
    assert log.waiting > 0
    assert log.drain(db) == 1
    assert [trace.id for trace in traces.find(db, "bank")] == ["trace-1", "trace-2", "trace-3"]
    assert traces.get(db, "bank", "trace-3") == _trace(3)
    assert _count(db) == 3
    log.close()
    assert list(folder.iterdir()) == []


def test_segments_end_at_a_size_and_go_when_they_are_rows(db: Database, folder: Path) -> None:
    """Full ones stay until they are drained; a line may be larger than a segment."""
    log = CallLog(folder, "gateway", 1000)
    for number in range(8):
        log.write([line(_trace(number, answer="a" * (300 if number else 3_000_000)))])
    assert len(list(folder.iterdir())) > 2
    assert log.drain(db) == 8
    assert len(list(folder.iterdir())) <= 1
    log.close()
    assert list(folder.iterdir()) == []


def test_any_text_becomes_a_row(db: Database, log: CallLog) -> None:
    """Lone surrogates and NUL characters, in words, keys and messages."""
    dirty = "账\0 \ud800 \\u0000"
    given = _trace(1, answer=dirty, endpoint=dirty, messages=({dirty: [dirty]},), meta={"a": dirty})
    log.write([line(given), line(_trace(2, answer="\0"))])
    assert log.drain(db) == 2
    found = traces.get(db, "bank", "trace-1")
    assert found.answer == found.endpoint == found.meta["a"] == "账 \ufffd \\u0000"
    assert found.messages == ({found.answer: [found.answer]},)
    traces.add(db, [replace(given, id="trace-3")])
    assert traces.get(db, "bank", "trace-3") == replace(found, id="trace-3")
    assert {row["endpoint"] for row in usage.report(db, "bank", ("endpoint",))} == {found.answer, "own"}


def test_damaged_lines_are_set_aside_and_named(
    db: Database, folder: Path, log: CallLog, caplog: pytest.LogCaptureFixture
) -> None:
    """They neither hold up the others nor vanish; so are calls that can never be a row."""
    good = [line(_trace(number)) for number in range(1, 6)]
    endless = line(_trace(9)).replace(b'"completion_tokens":1', b'"completion_tokens":' + b"9" * 30)
    deep = line(_trace(8)).replace(b'"messages":[', b'"messages":[' + b'{"a":' * 5000)
    bad = [good[0][:40], b"\xff\xfe", b"", b"{}", endless, deep, line(_trace(7, ws="nowhere"))]
    with caplog.at_level(logging.ERROR):
        log.write([good[0], bad[0], good[1], *bad[1:6], good[2], bad[6], *good[3:]])
        assert log.drain(db) == 5
    assert len(traces.find(db, "bank")) == _count(db) == 5
    assert "cannot be kept" in caplog.text
    (aside,) = folder.glob("*.rejected")
    assert sorted(aside.read_bytes().split(b"\n")[:-1]) == sorted(bad)
    assert (log.drain(db), log.waiting) == (0, 0)


def test_a_dead_process_is_not_missed(db: Database, folder: Path, log: CallLog) -> None:
    """Every call that ``kill -9`` interrupted the telling of is there, once; half a line at the end is nothing."""
    told: set[str] = set()
    drained: list[int] = []
    for size in (1 << 14, 1 << 24):
        command = [sys.executable, "-c", _WRITER, str(folder), str(size)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(30):
                told.update(writer.stdout.readline().split())
            drained.append(log.drain(db))
            writer.send_signal(signal.SIGKILL)
            told.update(word for row in writer.stdout if row.endswith("\n") for word in row.split())
    last = max(folder.glob("*.calls"))
    with last.open("ab") as file:
        file.write(line(_trace(1))[:-9])
    log.write([line(_trace(2))])
    drained.append(log.drain(db))
    kept = {trace.id for trace in traces.find(db, "bank", limit=100_000)}
    assert told <= kept
    assert "trace-1" not in kept
    assert drained[0] == 0  # the segments are the writer's own while it lives
    assert len(kept) == _count(db) == sum(drained) >= 1200
    assert len(list(folder.iterdir())) == 1  # ours


def test_a_drainer_that_dies_counts_nothing_twice(db: Database, folder: Path) -> None:
    """A segment of which a part became rows before its process died is drained whole again."""
    first = CallLog(folder, "gateway")
    first.write([line(_trace(number)) for number in range(1, 40)])
    first.drain(db)
    first.write([line(_trace(40))])
    first.close()  # what the kernel does for a dead process: the lock is gone, the file is there
    again = CallLog(folder, "gateway")
    assert again.drain(db) == 1
    assert _count(db) == 40
    again.close()


@contextmanager
def _down(db: Database, server: Callable[[], Any]) -> Iterator[None]:
    db.close()
    name = db.engine.url.database
    if db.engine.dialect.name == "sqlite":
        file = Path(str(name))
        file.rename(file.with_suffix(".away"))
        file.mkdir()
        yield
        file.rmdir()
        file.with_suffix(".away").rename(file)
        return
    with server().admin.connect() as conn:
        conn.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    yield
    with server().admin.connect() as conn:
        conn.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_a_database_that_is_down_is_waited_for(
    db: Database, folder: Path, log: CallLog, request: pytest.FixtureRequest
) -> None:
    """Writing goes on, draining says what is wrong and loses nothing."""
    log.write([line(_trace(1))])
    assert log.drain(db) == 1
    with _down(db, lambda: request.getfixturevalue("postgres_server")):
        log.write([line(_trace(2)), line(_trace(3))])
        for _ in range(2):
            with pytest.raises(FeilunError, match="cannot be used"):
                log.drain(db)
    assert log.drain(db) == 2
    assert _count(db) == 3
    assert list(folder.glob("*.rejected")) == []


def test_a_full_disk_is_said_and_harms_nothing(tmp_path: Path, folder: Path) -> None:
    """What was refused is not there, what was safe before is, and writing goes on once there is room."""
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(folder)], input=line(_trace(1)), capture_output=True, check=True
    )
    assert done.stdout.split() == [b"full", b"True"]
    db = open_database(tmp_path / "home")
    workspaces.ensure(db, "bank")
    log = CallLog(folder, "next")
    assert log.drain(db) == 2
    assert [trace.id for trace in traces.find(db, "bank")] == ["trace-1", "trace-2"]
    assert list(folder.iterdir()) == []
    db.close()


def test_a_folder_that_cannot_be_is_our_error(tmp_path: Path) -> None:
    """A file in its place is said in plain words."""
    (tmp_path / "calls").write_text("a file")
    with pytest.raises(FeilunError, match="calls") as caught:
        CallLog(tmp_path / "calls", "gateway").write([b"{}"])
    assert not isinstance(caught.value, OutOfSpace)


def test_threads_write_and_drain_at_once(db: Database, log: CallLog) -> None:
    """Four writers and a drainer: every call is a row, once."""

    def write() -> None:
        for _ in range(10):
            log.write([line(_trace(1, id=new_id("trace"))) for _ in range(5)])

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    found = sum(log.drain(db) for _ in range(5))
    for thread in threads:
        thread.join()
    assert found + log.drain(db) == _count(db) == len(traces.find(db, "bank", limit=1000)) == 200


def test_rows_can_be_made_little_by_little(db: Database, log: CallLog) -> None:
    """A drain may be bounded in bytes; every call becomes a row once, in the end all of them."""
    log.write([line(_trace(number)) for number in range(1, 31)])
    counts = []
    while log.waiting:
        counts.append(log.drain(db, 1000))
    assert (len(counts) > 5, max(counts) < 10, sum(counts), _count(db)) == (True, True, 30, 30)


def test_the_next_segment_is_made_before_it_is_needed(db: Database, folder: Path) -> None:
    """Half way through a segment the next one is wanted; it is written to, or goes with the log if nobody needed it."""
    log = CallLog(folder, "gateway", 4000)
    log.write([line(_trace(1))])
    assert not log.needs_room
    number = 1
    while not log.needs_room:
        log.write([line(_trace(number := number + 1))])
    log.make_room()
    assert (log.needs_room, len(list(folder.iterdir()))) == (False, 2)
    while len(list(folder.iterdir())) < 3:
        log.write([line(_trace(number := number + 1))])
        if log.needs_room:
            log.make_room()
    assert log.drain(db) == number
    assert len(list(folder.iterdir())) == 2
    log.close()
    assert list(folder.iterdir()) == []
