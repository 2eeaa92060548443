"""Sources and their bytes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from feilun.errors import BadSource, Conflict, FeilunError, NotFound
from feilun.records import Permissions, Source
from feilun.store import Database, sources

Add = Callable[..., Source]

FILL = """
import resource, sys
from pathlib import Path
from feilun.errors import OutOfSpace
from feilun.store.blobs import Blobs
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
blobs, big = Blobs(Path(sys.argv[1])), Path(sys.argv[2])
for attempt in (lambda: blobs.put(big.read_bytes()), lambda: blobs.put_file(big)):
    try:
        attempt()
    except OutOfSpace as error:
        print(error.code, sorted(path.name for path in blobs.root.iterdir()))
"""


def test_sum_and_size_are_those_of_the_content(db: Database, tmp_path: Path) -> None:
    """Whatever the caller says, a source has the sum and size of its bytes, from memory or from a file."""
    file = tmp_path / "big.bin"
    file.write_bytes(b"0123456789" * 300_000)
    for number, content in enumerate((file, file.read_bytes())):
        source = Source(f"source-{number}", "bank", "big", "wrong", -1, media="text/plain", meta={"页": 1})
        stored = sources.add(db, source, content)
        assert stored.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        assert stored.size == 3_000_000
        assert (stored.media, stored.meta, stored.created) == ("text/plain", {"页": 1}, source.created)
        assert sources.content(db, "bank", stored.id, "inspect") == file.read_bytes()
    assert len(list(db.blobs.root.iterdir())) == 1


def test_adding_again_changes_nothing(db: Database, add_source: Add) -> None:
    """The same id and bytes return what is there; the same id with other bytes is a conflict."""
    first = add_source("a", b"one")
    assert add_source("a", b"one", train=False) == first
    with pytest.raises(Conflict, match="source-a"):
        add_source("a", b"two")
    assert sources.find(db, "bank") == [first]


def test_find_by_origin(db: Database) -> None:
    """Sources are listed oldest first, all or of one origin."""
    for number, origin in enumerate(("file", "upload", "feedback", "file")):
        source = Source(f"source-{9 - number}", "bank", "a", "", 0, origin=origin, created=float(number))
        sources.add(db, source, bytes([number]))
    assert [one.id for one in sources.find(db, "bank")] == ["source-9", "source-8", "source-7", "source-6"]
    assert [one.id for one in sources.find(db, "bank", "file")] == ["source-9", "source-6"]
    assert sources.find(db, "bank", "nothing") == []


def test_deleting_removes_the_last_copy_of_the_bytes(db: Database, add_source: Add) -> None:
    """Bytes go when no source of any workspace has them; a deleted source is not found; it can be added again."""
    add_source("a", b"same"), add_source("b", b"same"), add_source("c", b"same", ws="other")
    path = db.blobs.path(sources.get(db, "bank", "source-a").sha256)
    sources.delete(db, "bank", "source-a")
    with pytest.raises(NotFound):
        sources.delete(db, "bank", "source-a")
    with pytest.raises(NotFound):
        sources.content(db, "bank", "source-a", "inspect")
    sources.delete(db, "bank", "source-b")
    assert path.is_file()
    sources.delete(db, "other", "source-c")
    assert not path.exists()
    assert add_source("a", b"same").id == "source-a"
    assert sources.content(db, "bank", "source-a", "train") == b"same"


def test_damaged_or_missing_bytes_are_named(db: Database, add_source: Add) -> None:
    """Bytes that are not those that were kept are never given out."""
    path = db.blobs.path(add_source("a", b"content").sha256)
    path.write_bytes(b"c0ntent")
    with pytest.raises(FeilunError, match=path.name):
        sources.content(db, "bank", "source-a", "inspect")
    path.unlink()
    with pytest.raises(FeilunError, match=path.name):
        sources.content(db, "bank", "source-a", "inspect")


def test_a_file_that_cannot_be_read_is_a_bad_source(db: Database, tmp_path: Path) -> None:
    """A missing file or a folder leaves no source behind."""
    for path in (tmp_path / "missing.txt", tmp_path):
        with pytest.raises(BadSource, match=path.name):
            sources.add(db, Source("source-a", "bank", "a", "", 0), path)
    assert sources.find(db, "bank") == []


def test_a_full_disk_is_out_of_space_and_leaves_nothing(tmp_path: Path) -> None:
    """A write that the system refuses for want of room is reported as such, and no part of the file stays."""
    big = tmp_path / "big"
    big.write_bytes(b"x" * (1 << 20))
    command = [sys.executable, "-c", FILL, str(tmp_path / "blobs"), str(big)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("out_of_space []\n" * 2, "")


def test_permissions_are_shown_as_they_are_in_force(db: Database, add_source: Add) -> None:
    """What is listed is what holds: the strictest of all copies in the workspace, not of other workspaces."""
    add_source("a", b"same", mask="pseudonymise"), add_source("b", b"same", leave=True)
    add_source("c", b"same", ws="other", leave=True)
    strict = Permissions(mask="pseudonymise")
    assert sources.get(db, "bank", "source-b").permissions == strict
    assert [one.permissions for one in sources.permitted(db, "bank", "train")] == [strict, strict]
    assert sources.get(db, "other", "source-c").permissions == Permissions(leave=True)
