"""Rows in files: cut into shards by what they hold, written whole or not at all, read one shard at a time.

This module knows rows and folders. It does not know operators. A shard ends at a row that its own content chooses, so
that a row more or less changes one shard and leaves all others as they were. Where rows stand in their files is kept
beside them, not in them: what was made of a row holds although lines were put in before it.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from feilun.curation.seam import Entry, Row
from feilun.errors import FeilunError
from feilun.store.blobs import written_whole

LEAST, MOST = 256 << 10, 2 << 20  # bytes of text in a shard
# The first shards are smaller, so that of a small table, too, most is found again when a row has changed.
_FIRST = ((16, 16 << 10), (64, 64 << 10))  # up to which shard, bytes at least
FORM = b"2"  # of the files in which what was made is kept: those of another are made anew
_SIZES = struct.Struct("<QQ")  # how many bytes the sketch takes, and the rows
_ENDS = 32  # one row of so many may end a shard
_encode = msgspec.msgpack.Encoder().encode
_rows = msgspec.msgpack.Decoder(list[Row]).decode
_raw = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_places = msgspec.msgpack.Decoder(dict[str, str]).decode
_entries = msgspec.msgpack.Decoder(list[Entry]).decode


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard: its rows without their places, the places by row, how many rows there are and how many bytes of text."""

    rows: Path
    places: Path
    count: int
    size: int


def row_id(source: str, name: str, roles: Iterable[str], texts: Iterable[str], meta: Any, again: int = 0) -> str:
    """Return the id of a row: what it holds and where it is from; ``again`` counts rows of a file with one content."""
    told = hashlib.blake2b(_encode([source, name, list(roles), list(texts), meta, again]), digest_size=16)
    return f"row-{told.hexdigest()}"


def sum_of(*parts: bytes) -> str:
    """Return a name for bytes."""
    told = hashlib.blake2b(digest_size=20)
    for part in parts:
        told.update(len(part).to_bytes(8, "big"))
        told.update(part)
    return told.hexdigest()


def gather(rows: Iterable[Row], folder: Path) -> Iterator[Shard]:
    """Write rows into shards below ``folder`` and yield these, in order."""
    batch: list[Row] = []
    size, done, least = 0, 0, _least(0)
    for row in rows:
        batch.append(row)
        size += sum(map(len, row.texts)) + 64
        if size >= MOST or (size >= least and int(row.id[-8:], 16) % _ENDS == 0):
            yield _keep(batch, size, folder)
            batch, size, done = [], 0, done + 1
            least = _least(done)
    if batch:
        yield _keep(batch, size, folder)


def _least(done: int) -> int:
    """Return how many bytes a shard takes at least after so many."""
    return next((least for count, least in _FIRST if done < count), LEAST)


def _keep(rows: list[Row], size: int, folder: Path) -> Shard:
    plain = encode_rows(rows)
    places = _encode({row.id: row.place for row in rows if row.place})
    shard = Shard(folder / f"in-{sum_of(plain)}", folder / f"at-{sum_of(places)}", len(rows), size)
    for path, data in ((shard.rows, plain), (shard.places, places)):
        if not path.is_file():
            keep(path, data)
    return shard


def keep(path: Path, data: bytes) -> None:
    """Write a file that can be made again: whole or not at all, though not safe from a power cut. Raises OutOfSpace."""
    with written_whole(path, durable=False) as file:
        file.write(data)


def encode_rows(rows: Sequence[Row]) -> bytes:
    """Return rows as bytes, without their places."""
    # Taken off and put on again: a copy of every row costs as much as all else that is done with it here.
    places = [row.place for row in rows]
    for row in rows:
        row.place = ""
    try:
        return _encode(rows)
    finally:
        for row, place in zip(rows, places, strict=True):
            row.place = place


def read_rows(data: bytes, places: Path | None = None) -> list[Row]:
    """Return the rows of bytes, each at its place."""
    rows = _rows(data)
    if places is not None:
        known = _places(places.read_bytes())
        for row in rows:
            row.place = known.get(row.id, row.place)
    return rows


def count_rows(data: bytes) -> int:
    """Return how many rows bytes hold."""
    return len(_raw(data))


def made(rows: list[Row], sketch: Any = None) -> bytes:
    """Return what a chain made of a shard as bytes: its rows, and a sketch (pickled) if the next step compares.

    The sketch stands first and can be read without the rows: all shards' are read while nobody works.
    """
    told = b"" if sketch is None else pickle.dumps(sketch, protocol=5)
    plain = encode_rows(rows)
    return _SIZES.pack(len(told), len(plain)) + told + plain


def rows_of(path: Path) -> bytes:
    """Return the rows (encoded) that were made of a shard; raise FeilunError if the file is damaged."""
    with _made(path) as (file, size):
        file.seek(size, os.SEEK_CUR)
        return file.read()


def sketch_of(path: Path) -> Any:
    """Return the sketch that was made of a shard; raise FeilunError if the file is damaged."""
    with _made(path) as (file, size):
        return pickle.loads(file.read(size))


@contextmanager
def _made(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open what was made of a shard where its sketch begins, and tell the sketch's size (bytes)."""
    damaged = FeilunError(f"The file {path} is damaged.", "Remove it and curate again.")
    try:
        with path.open("rb") as file:
            size, rows = _SIZES.unpack(file.read(_SIZES.size))
            if _SIZES.size + size + rows != os.fstat(file.fileno()).st_size:
                raise damaged
            yield file, size
    except (OSError, struct.error) as error:
        raise damaged from error


def encode_entries(entries: list[Entry]) -> bytes:
    """Return ledger entries as bytes, without the places of their rows."""
    for entry in entries:
        entry.place = ""
    return _encode(entries)


def read_entries(path: Path, places: Path) -> Iterator[Entry]:
    """Yield the ledger entries of a file, with the places of their rows."""
    known = _places(places.read_bytes())
    for entry in _entries(path.read_bytes()):
        entry.place = known.get(entry.row, "")
        yield entry
