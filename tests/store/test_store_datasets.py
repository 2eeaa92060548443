"""Dataset versions: immutable, numbered, hashed, whole or not there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from feilun.errors import BadRequest, FeilunError, NotFound
from feilun.records import DatasetVersion, Record, Source, content_hash
from feilun.store import Database, Edge, datasets, lineage, open_database

Add = Callable[..., Source]
Chat = Callable[..., Record]

WRITE = """
import os, sys
from pathlib import Path
from feilun.records import Record
from feilun.store import datasets, open_database

def write(first, count, rows):
    database = open_database(Path(sys.argv[1]), sys.argv[2])
    for number in range(first, first + count):
        texts = [f"{number} {row} " + "x" * 200 for row in range(rows)]
        records = [Record(f"record-{n}", "passage", ("source-a",), text=text) for n, text in enumerate(texts)]
        version, _ = datasets.write(database, "bank", "samples", records, "train")
        print(number, version.id, version.version, flush=True)
    database.close()

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        write(*map(int, line.split()))
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("end", flush=True)
"""


@contextmanager
def _writer(db: Database, url: str) -> Iterator[subprocess.Popen[str]]:
    """Start a process that forks a writer for each line ``first count rows`` and prints what it wrote, then ``end``."""
    command = [sys.executable, "-W", "error", "-c", WRITE, str(db.root), url]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1)
    yield process
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


def _send(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _until_end(process: subprocess.Popen[str]) -> list[str]:
    return list(iter(lambda: _line(process), "end"))


def test_what_is_written_is_read_again(db: Database, add_source: Add) -> None:
    """Every field of a record survives, in any language, in order."""
    add_source("a"), add_source("b")
    records = [
        Record("record-2", "passage", ("source-b", "source-a"), text="第一行\n第二行 😀", meta={"place": {"页": 3}}),
        Record("record-1", "chat", ("source-a",), ({"role": "user", "content": "多少钱?", "weight": 0.5},)),
        Record("record-3", "passage", ("source-a",), meta={"none": None, "list": [1, 2.5, True, []]}),
    ]
    version, left_out = datasets.write(db, "bank", "样本", records, "train", {"recipe": "plain"})
    assert left_out == []
    assert datasets.read(db, "bank", version.id, "train") == records
    assert (version.name, version.version, version.rows) == ("样本", 1, 3)
    assert version.meta == {"recipe": "plain", "purpose": "train"}
    assert datasets.get(db, "bank", version.id) == version


def test_the_same_content_is_the_same_version(db: Database, add_source: Add, chat: Chat) -> None:
    """Writing again returns what is there; other content, order or ids are a new version; names count separately."""
    add_source("a")
    one, two = chat(1, "a"), chat(2, "a")
    first, _ = datasets.write(db, "bank", "samples", [one, two], "train")
    assert datasets.write(db, "bank", "samples", [one, two], "train") == (first, [])
    swapped, _ = datasets.write(db, "bank", "samples", [two, one], "train")
    renamed, _ = datasets.write(db, "bank", "samples", [replace(one, id="record-9"), two], "train")
    elsewhere, _ = datasets.write(db, "bank", "exam", [one, two], "train")
    assert [first.version, swapped.version, renamed.version, elsewhere.version] == [1, 2, 3, 1]
    assert len({first.sha256, swapped.sha256, renamed.sha256}) == 3
    assert elsewhere.sha256 == first.sha256
    assert elsewhere.id != first.id
    assert datasets.find(db, "bank", "samples") == [first, swapped, renamed]
    assert len(datasets.find(db, "bank")) == 4
    assert datasets.latest(db, "bank", "samples") == renamed
    with pytest.raises(NotFound):
        datasets.latest(db, "bank", "nothing")


def test_the_hash_is_that_of_the_records(db: Database, add_source: Add) -> None:
    """The sum is the same on every machine and database, and does not depend on the order of keys."""
    add_source("a")
    for meta in ({"b": 1, "a": {"y": 2, "x": 1}}, {"a": {"x": 1, "y": 2}, "b": 1}):
        version, _ = datasets.write(
            db, "bank", "samples", [Record("record-1", "passage", ("source-a",), text="文", meta=meta)], "train"
        )
        assert version.version == 1
    row = {"id": "record-1", "kind": "passage", "sources": ["source-a"], "messages": [], "text": "文"}
    assert version.sha256 == content_hash([{**row, "meta": {"a": {"x": 1, "y": 2}, "b": 1}}])
    assert version.sha256 == "6facef4f2e93253456fccc4a190a9db8ee49abcbc005bbd1eeb7758d32fa71d5"


def test_what_json_and_databases_refuse_is_cleaned(db: Database, add_source: Add) -> None:
    """NUL characters, lone surrogates, numbers as keys and NaN do not stop a dataset, and it reads as sound."""
    add_source("a")
    meta = {2: "two", 10: "ten", "nan": float("nan"), "pair": ("a\0", "\udfff")}
    record = Record("record-1", "passage", ("source-a",), text="a\0b\ud800", meta=meta)
    version, _ = datasets.write(db, "bank", "sam\0ples\ud800", [record], "train", {"note": "\0"})
    read = datasets.read(db, "bank", version.id, "train")[0]
    assert read.text == "ab\ufffd"
    assert read.meta == {"2": "two", "10": "ten", "nan": None, "pair": ["a", "\ufffd"]}
    assert datasets.write(db, "bank", "samples\ufffd", [record], "train")[0].id == version.id


def test_a_version_never_changes(db: Database, add_source: Add, chat: Chat) -> None:
    """Later writes leave the file of an earlier version as it was, byte for byte, also those of the same content."""
    add_source("a")
    first, _ = datasets.write(db, "bank", "samples", [chat(1, "a")], "train")
    path = db.root / "tables" / f"{first.sha256}.parquet"
    before, stamp = path.read_bytes(), path.stat().st_mtime_ns
    datasets.write(db, "bank", "samples", [chat(1, "a"), chat(2, "a")], "train")
    datasets.write(db, "bank", "samples", [chat(1, "a")], "train", {"other": "meta"})
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, stamp)
    assert datasets.get(db, "bank", first.id) == first


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "other"])
def test_damage_is_noticed_and_named(db: Database, add_source: Add, chat: Chat, damage: str) -> None:
    """A file that is not what was written is never read as data; writing the same content again mends it."""
    add_source("a")
    records = [chat(1, "a")]
    version, _ = datasets.write(db, "bank", "samples", records, "train")
    other, _ = datasets.write(db, "bank", "samples", [chat(2, "a")], "train")
    path = db.root / "tables" / f"{version.sha256}.parquet"
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[:-20])
    elif damage == "changed":
        path.write_bytes(data.replace(b"record-1", b"record-7"))
    elif damage == "gone":
        path.unlink()
    else:
        path.write_bytes((db.root / "tables" / f"{other.sha256}.parquet").read_bytes())
    with pytest.raises(FeilunError, match=path.name):
        datasets.read(db, "bank", version.id, "train")
    assert datasets.write(db, "bank", "samples", records, "train")[0] == version
    assert datasets.read(db, "bank", version.id, "train") == records


@pytest.mark.parametrize("name", ["", "  ", "x" * 201])
def test_a_name_is_needed(db: Database, name: str) -> None:
    """An empty or endless name is refused."""
    with pytest.raises(BadRequest):
        datasets.write(db, "bank", name, [], "train")


def test_an_unknown_workspace_is_not_found(db: Database) -> None:
    """Nothing is written for a workspace that is not there."""
    with pytest.raises(NotFound):
        datasets.write(db, "nowhere", "samples", [], "train")


def test_sources_are_linked(db: Database, add_source: Add, chat: Chat) -> None:
    """A version derives from the sources of its records, not from those that were left out."""
    add_source("a"), add_source("b"), add_source("closed", train=False)
    records = [chat(1, "a"), chat(2, "a", "b"), chat(3, "closed")]
    version, _ = datasets.write(db, "bank", "samples", records, "train")
    edges = [Edge("source-a", version.id, "data"), Edge("source-b", version.id, "data")]
    assert lineage.ancestors(db, "bank", version.id) == edges
    assert lineage.descendants(db, "bank", "source-closed") == []


def test_two_processes_write_without_duplicates(db: Database, url: str, add_source: Add) -> None:
    """Two writers of the same six contents end with six versions numbered 1 to 6, and agree on each."""
    add_source("a")
    with _writer(db, url) as one, _writer(db, url) as two:
        for process in (one, two):
            _send(process, "0 6 3")
        told = [_until_end(process)[1:] for process in (one, two)]
    assert told[0] == told[1]
    found = datasets.find(db, "bank", "samples")
    assert sorted(version.version for version in found) == [1, 2, 3, 4, 5, 6]
    assert len({version.sha256 for version in found}) == 6


def test_a_killed_writer_leaves_no_half_version(db: Database, url: str, add_source: Add) -> None:
    """After ``kill -9`` at ten moments every version that exists reads as sound, and what was told is there."""
    add_source("a")
    moments = random.Random(7)
    lines: list[str] = []
    with _writer(db, url) as process:
        for attempt in range(10):
            _send(process, f"{attempt * 1000} 1000 400")
            child = int(_line(process))
            lines.append(_line(process))
            time.sleep(moments.uniform(0, 0.1))
            os.kill(child, signal.SIGKILL)
            lines += _until_end(process)
    told = {line.split()[1]: int(line.split()[2]) for line in lines}
    again = open_database(db.root, url)
    found = {version.id: version for version in datasets.find(again, "bank", "samples")}
    assert {name: found[name].version for name in told} == told
    assert sorted(version.version for version in found.values()) == list(range(1, len(found) + 1))
    assert all(_whole(again, version) for version in found.values())
    again.close()


def _whole(db: Database, version: DatasetVersion) -> bool:
    linked = lineage.ancestors(db, "bank", version.id) == [Edge("source-a", version.id, "data")]
    return linked and len(datasets.read(db, "bank", version.id, "train")) == version.rows == 400


def test_unfinished_files_are_swept(db: Database, url: str) -> None:
    """What a killed writer left is removed at a later opening; what may still be written is left alone."""
    old, new = db.root / "tables" / ".0ld.part", db.root / "tables" / ".new.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    open_database(db.root, url).close()
    assert (old.exists(), new.exists()) == (False, True)
