"""Import is safe: killed, out of disk, with files that change, doubled or odd names; and it tells how far it is."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from feilun.curation import documents, ingest
from feilun.curation.documents import Unreadable
from feilun.curation.ingest import Progress
from feilun.curation.readers.confined import Pool
from feilun.curation.scan import load, scan
from feilun.errors import OutOfSpace
from feilun.store import Database, open_database, sources, workspaces
from feilun.store.schema import DIGESTS

WS = "harbour"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Give an empty store with one workspace."""
    database = open_database(tmp_path / "home")
    workspaces.ensure(database, WS)
    yield database
    database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with files of several kinds, some of them within an archive, and rules."""
    root = tmp_path / "org"
    (root / "policy").mkdir(parents=True)
    (root / "faq.csv").write_text("question,answer\nWhat is the yearly fee?,The fee is 5 dollars.\n")
    (root / "policy" / "a.md").write_text("# Opening\nThe desk opens at nine o'clock on Thursdays.\n")
    (root / "z.txt").write_text("The last text of this folder stands here, for everybody to read.\n")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(3):
            info = zipfile.ZipInfo(f"inner/{number}.txt", (2024, 1, 5, 0, 0, 0))
            archive.writestr(info, f"The text with number {number} within the archive stands here.")
    (root / "box.zip").write_bytes(stream.getvalue())
    (root / "feilun.permissions.yaml").write_text('"policy/": {train: no}\n"box.zip/inner/1.txt": {retrieve: no}\n')
    return root


def state(db: Database) -> list[Any]:
    """Return everything that an import leaves behind, but for the times."""
    with db.reading() as conn:
        found = conn.execute(sa.select(DIGESTS.c.source, DIGESTS.c.digest).where(DIGESTS.c.workspace == WS)).all()
    digests: dict[str, list[str]] = {}
    for source, digest in found:
        digests.setdefault(source, []).append(digest)
    return sorted(
        (s.id, s.name, s.sha256, s.size, s.media, str(s.permissions), json.dumps(s.meta, sort_keys=True),
         sources.content(db, WS, s.id, "inspect"), sorted(digests.get(s.id, [])))
        for s in sources.find(db, WS)
    )  # fmt: skip


def die_at(home: Path, folder: Path, commit: int, most: int = 0) -> int:
    """Import in a process of its own that is killed at a commit (0: never); return how it ended.

    ``most``: bytes of the largest file that it may write, as if the disk had no more; 7 is then the end.
    """
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code, left = 1, commit
    try:
        if most:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        mine = open_database(home)

        def count(_conn: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sa.event.listen(mine.engine, "commit", count)
        with Pool(size=1) as pool:
            ingest(mine, WS, [folder], pool=pool)
        code = 0
    except OutOfSpace as error:
        code = error.exit_code
    finally:
        os._exit(code)


def test_killed_imports_are_finished_by_the_next(db: Database, folder: Path, tmp_path: Path) -> None:
    """Killed before, between and after any of its writes, and run again: the same sources as without the kills."""
    home = tmp_path / "other"
    other = open_database(home)
    workspaces.ensure(other, WS)
    other.close()
    # Each process gets further than the one before, and dies at another of the writes of a file.
    assert [die_at(home, folder, commit) for commit in (1, 4, 9)] == [-signal.SIGKILL] * 3
    ingest(db, WS, [folder])
    undisturbed = state(db)
    assert len(undisturbed) == 6
    other = open_database(home)
    assert 0 < len(sources.find(other, WS)) < 6
    assert not ingest(other, WS, [folder]).skipped
    assert state(other) == undisturbed
    assert [d.name for d in documents(other, WS, "train")] == [d.name for d in documents(db, WS, "train")]
    other.close()


def test_a_full_disk_stops_it_and_the_next_goes_on(db: Database, folder: Path, tmp_path: Path) -> None:
    """Without room an import ends with OutOfSpace, nothing half is kept, and with room it is finished."""
    (folder / "m.txt").write_text("many words stand here, and more of them. " * 55_000)
    home = tmp_path / "other"
    other = open_database(home)
    workspaces.ensure(other, WS)
    other.close()
    assert die_at(home, folder, 0, 2 << 20) == OutOfSpace.exit_code
    ingest(db, WS, [folder])
    other = open_database(home)
    names = {source.name for source in sources.find(other, WS)}
    assert names
    assert "m.txt" not in names
    ingest(other, WS, [folder])
    assert state(other) == state(db)
    other.close()


def test_files_that_change_are_read_whole_or_not_at_all(tmp_path: Path) -> None:
    """A file that is written to all the time is either read as it was at one moment or refused."""
    path = tmp_path / "log.txt"
    size = 1 << 16  # a large write may be interrupted half-way for as long as other programs want
    path.write_bytes(b"0" * size)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number = (number + 1) % 10
            with path.open("r+b", buffering=0) as file:
                file.write(str(number).encode() * size)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            with contextlib.suppress(Unreadable):
                assert len(set(load(path))) == 1
    finally:
        stop.set()
        writer.join()
    assert load(path)


# A process of its own that mostly sleeps: it is let in again and again, however busy this one and the machine are.
GROW = """
import sys, time
with open(sys.argv[1], "a", buffering=1) as file:
    print("begun", flush=True)
    while True:
        file.write("and on and on\\n")
        time.sleep(0.0005)
"""


def test_a_growing_file_is_refused_and_the_rest_is_read(db: Database, folder: Path) -> None:
    """Import goes on past a file that is being written, and reads it the next time."""
    growing = folder / "growing.txt"
    growing.write_text("It begins here with some words.\n" * 100_000)
    with subprocess.Popen([sys.executable, "-c", GROW, str(growing)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        report = ingest(db, WS, [folder])
        writer.kill()
    assert [(each.name, each.reason) for each in report.skipped] == [("growing.txt", "changing")]
    assert len(ingest(db, WS, [folder]).added) == 1


def test_the_same_name_below_two_folders(db: Database, tmp_path: Path) -> None:
    """Files with one name are two sources, also with the same bytes; the stricter rules of one hold for its copy."""
    for name, text in (("one", "The same words stand in both."), ("two", "The same words stand in both.")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(text)
    (tmp_path / "two" / "feilun.permissions.yaml").write_text("a.txt: {train: no}")
    paths = [tmp_path / "one", tmp_path / "two"]
    first = ingest(db, WS, paths)
    assert len(set(first.added)) == 2
    again = ingest(db, WS, paths)
    assert (again.added, sorted(again.unchanged)) == ([], sorted(first.added))
    assert documents(db, WS, "train") == []


def test_names_that_are_no_utf8(db: Database, tmp_path: Path) -> None:
    """A file name from an old Chinese disk is kept as what it is."""
    raw = os.fsencode(tmp_path) + b"/org/" + "会费.txt".encode("gbk")
    (tmp_path / "org").mkdir()
    try:
        Path(os.fsdecode(raw)).write_text("The fee is five dollars.")
    except OSError:
        pytest.skip("this file system wants UTF-8")
    ingest(db, WS, [tmp_path / "org"])
    assert [document.name for document in documents(db, WS, "train")] == ["会费.txt"]


def test_a_link_that_takes_a_file_s_place(tmp_path: Path) -> None:
    """A file that became a link after the folder was listed is not followed."""
    (tmp_path / "org").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    path = tmp_path / "org" / "a.txt"
    path.write_text("words")
    (found,), _, _ = scan([tmp_path / "org"])
    path.unlink()
    path.symlink_to(tmp_path / "secret.txt")
    with pytest.raises(Unreadable) as caught:
        load(found.path)
    assert caught.value.reason == "link"


def test_progress_is_told(db: Database, folder: Path) -> None:
    """Every file is told once it is done, in order, with how many there are."""
    told: list[Progress] = []
    ingest(db, WS, [folder], told.append)
    assert [(each.done, each.files) for each in told] == [(1, 4)] * 3 + [(2, 4), (3, 4), (4, 4)]
    assert told[-1].sources == 6
    assert told[0].name == "box.zip/inner/0.txt"
