"""What is marked so is on the disk in no readable form, and is read by those only who have the keys."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from feilun.errors import FeilunError
from feilun.records import Permissions, Record, Source
from feilun.store import Database, datasets, open_database, sources
from feilun.store.vault.cipher import HEADER, PIECE, TAG, Broken, seal, unseal

Add = Callable[..., Source]
SECRET = "The board agreed to close the branch in Lindholm next spring. 董事会决定明年春天关闭分行。"
KEY, KEY_ID = bytes(range(32)), b"12345678"


def on_disk(db: Database, text: str) -> list[str]:
    """Return the files of the home that hold a text as it is."""
    found = [path for path in db.root.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
    return [str(path.relative_to(db.root)) for path in found]


def passage(source: str = "source-a", number: int = 1) -> Record:
    """Return a record with the secret in it."""
    return Record(f"record-{number}", "passage", (source,), text=f"{SECRET} {number}")


def sealed(data: bytes, step: int = 1 << 16) -> bytes:
    """Return data sealed, given in steps of some size."""
    out = io.BytesIO()
    seal(KEY, KEY_ID, (data[at : at + step] for at in range(0, len(data), step)), out)
    return out.getvalue()


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 7])
@pytest.mark.parametrize("step", [1 << 16, 3 * PIECE])
def test_a_stream_comes_back(size: int, step: int) -> None:
    """Of any size, given in steps of any size; the same twice is never the same sealed."""
    data = bytes(at % 251 for at in range(1021)) * (size // 1021 + 1)
    data = data[:size]
    assert b"".join(unseal(KEY, io.BytesIO(sealed(data, step)))) == data
    assert sealed(data) != sealed(data)


def test_what_was_changed_moved_or_cut_off_is_refused() -> None:
    """Any bit, the order of pieces, a missing last piece, one too many, another file's piece, another key."""
    whole = sealed(b"a" * (2 * PIECE + 5))
    first, second = HEADER + PIECE + TAG, HEADER + 2 * (PIECE + TAG)
    head, pieces = whole[:HEADER], (whole[HEADER:first], whole[first:second], whole[second:])
    wrong = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (8, 20, HEADER, first, len(whole) - 1)]
    wrong += [head + pieces[1] + pieces[0] + pieces[2], whole[:second], whole[:-1], whole + pieces[2], head]
    wrong.append(head + sealed(b"a" * (2 * PIECE + 5))[HEADER:])
    for data in wrong:
        with pytest.raises(Broken):
            b"".join(unseal(KEY, io.BytesIO(data)))
    with pytest.raises(Broken):
        b"".join(unseal(KEY[::-1], io.BytesIO(whole)))


@pytest.mark.parametrize("way", ["bytes", "file"])
def test_a_source_that_is_marked_is_never_on_the_disk(db: Database, tmp_path: Path, way: str) -> None:
    """Neither its bytes nor tables with its rows; whoever may read it reads it as ever."""
    content: bytes | Path = SECRET.encode() * 5
    if way == "file":
        content = tmp_path / "secret.txt"
        content.write_bytes(SECRET.encode() * 5)
    kept = sources.add(db, Source("source-a", "bank", "a", "", 0, permissions=Permissions(encrypt=True)), content)
    assert kept.size == len(SECRET.encode()) * 5
    assert sources.content(db, "bank", "source-a", "train") == SECRET.encode() * 5
    version, _ = datasets.write(db, "bank", "data", [passage()], "train")
    again, _ = datasets.write(db, "bank", "data", [passage()], "train")
    assert again.id == version.id
    assert datasets.read(db, "bank", version.id, "train") == [passage()]
    assert on_disk(db, SECRET[:40]) == []
    assert [path.name for path in (db.root / "tables").glob("*.parquet")] == []
    sources.delete(db, "bank", "source-a")
    assert [path for path in (db.root / "blobs").rglob("*") if path.is_file()] == []


def test_what_is_marked_later_is_sealed_then(db: Database, add_source: Add) -> None:
    """Its bytes, its tables, and what was made of it; whether by name or by the workspace."""
    add_source("a", SECRET.encode()), add_source("other", SECRET.encode(), ws="other")
    sources.add(db, Source("source-b", "bank", "b", "", 0, meta={"parents": ["source-a"]}), SECRET.encode() + b"b")
    version, _ = datasets.write(db, "bank", "data", [passage()], "train")
    sources.grant(db, "bank", "source-a", {"encrypt": True})
    assert datasets.read(db, "bank", version.id, "train") == [passage()]
    assert sources.content(db, "bank", "source-b", "train") == SECRET.encode() + b"b"
    assert list((db.root / "tables").glob("*.parquet")) == []
    # Another workspace has the same bytes as its own, and has not marked them.
    assert on_disk(db, SECRET) == [f"blobs/{sources.get(db, 'other', 'source-other').sha256}"]
    sources.set_default(db, "other", {"encrypt": True})
    assert on_disk(db, SECRET) == []
    assert sources.content(db, "other", "source-other", "train") == SECRET.encode()


def test_a_copy_of_what_is_marked_is_sealed_too(db: Database, add_source: Add) -> None:
    """The strictest of all copies holds, whichever came first, also for what is made of them."""
    add_source("a", SECRET.encode(), encrypt=True)
    assert add_source("b", SECRET.encode()).permissions.encrypt
    sources.add(db, Source("source-c", "bank", "c", "", 0, meta={"parents": ["source-b"]}), f"{SECRET} c".encode())
    add_source("d", f"{SECRET} d".encode())
    assert len(on_disk(db, SECRET)) == 1
    add_source("e", f"{SECRET} d".encode(), encrypt=True)
    assert on_disk(db, SECRET) == []


def test_without_the_keys_it_is_not_read(db: Database, add_source: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    """A master key that is another one, a workspace's key that is gone, a file that was damaged: each says so."""
    sha = add_source("a", SECRET.encode(), encrypt=True).sha256
    version, _ = datasets.write(db, "bank", "data", [passage()], "train")
    monkeypatch.setenv("FEILUN_MASTER_KEY", "A" * 43 + "=")
    for attempt in (
        lambda: sources.content(db, "bank", "source-a", "train"),
        lambda: datasets.read(db, "bank", version.id, "train"),
    ):
        with pytest.raises(FeilunError, match="master key"):
            attempt()
    monkeypatch.delenv("FEILUN_MASTER_KEY")
    path = db.vault.path("blobs", "bank", sha)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(FeilunError, match="damaged"):
        sources.content(db, "bank", "source-a", "train")
    (key,) = (db.root / "secrets" / "workspaces" / "bank").iterdir()
    assert key.stat().st_mode & 0o077 == 0
    key.unlink()
    with pytest.raises(FeilunError, match=f"{key.name} is not there"):
        datasets.read(db, "bank", version.id, "train")


def test_keys_are_changed(db: Database, add_source: Add) -> None:
    """Everything is sealed under a new key, the earlier ones are gone, and everything is read as before."""
    add_source("a", SECRET.encode(), encrypt=True), add_source("b", b"b", encrypt=True)
    add_source("other", SECRET.encode(), ws="other", encrypt=True)
    version, _ = datasets.write(db, "bank", "data", [passage()], "train")
    keys = db.root / "secrets" / "workspaces"
    before, theirs = list((keys / "bank").iterdir()), list((keys / "other").iterdir())
    assert db.vault.rotate("bank") == 3
    assert len(before) == len(list((keys / "bank").iterdir())) == 1
    assert before != list((keys / "bank").iterdir())
    assert theirs == list((keys / "other").iterdir())
    reopened = open_database(db.root, "" if db.engine.dialect.name == "sqlite" else str(db.engine.url))
    assert sources.content(reopened, "bank", "source-a", "train") == SECRET.encode()
    assert datasets.read(reopened, "bank", version.id, "train") == [passage()]
    assert sources.content(reopened, "other", "source-other", "train") == SECRET.encode()
    reopened.close()
