"""Content-addressed files in a folder, and the one way in which the store writes a file: all of it or nothing.

Knows bytes and their SHA-256. Does not know what the bytes mean, whose they are, or who may read them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from feilun.errors import BadSource, FeilunError, OutOfSpace

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PIECE = 1 << 20
_STALE_SECONDS = 3600.0


@contextmanager
def written_whole(path: Path, durable: bool = True) -> Iterator[IO[bytes]]:
    """Give a file to write that becomes ``path`` (durably, atomically) when the block ends well; else nothing is left.

    What can be made again need not be ``durable``: it may be lost, or empty, if the machine loses its power.
    Raises OutOfSpace when the disk is full and FeilunError for any other refusal of the file system.
    """
    part = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        part.replace(path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        if error.errno in _FULL:
            raise OutOfSpace(f"No room left on the disk for {path}.", "Free some space and try again.") from error
        raise FeilunError(f"Cannot write {path}: {error.strerror}.", "Check the folder's permissions.") from error
    finally:
        part.unlink(missing_ok=True)


def sweep_parts(folder: Path) -> None:
    """Remove what killed writers left below ``folder``: unfinished files that nobody has touched for an hour."""
    for part in folder.rglob(".*.part"):
        try:
            if time.time() - part.stat().st_mtime > _STALE_SECONDS:
                part.unlink()
        except FileNotFoundError:
            continue  # another process swept it


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Blobs:
    """A folder of immutable files, each named by the SHA-256 (hex) of its content."""

    def __init__(self, root: Path) -> None:
        """Keep the folder; it is made at the first write."""
        self.root = root

    def path(self, sha: str) -> Path:
        """Return where the content with this sum is, or would be."""
        return self.root / sha

    def put(self, data: bytes) -> str:
        """Keep ``data`` and return its SHA-256; content that is already there is not written again."""
        sha = hashlib.sha256(data).hexdigest()
        if not self.path(sha).is_file():
            with written_whole(self.path(sha)) as file:
                file.write(data)
        return sha

    def put_file(self, path: Path) -> str:
        """Keep a copy of a file, read in pieces, and return its SHA-256; raise BadSource if it cannot be read."""
        try:
            with path.open("rb") as source:
                sha = hashlib.file_digest(source, "sha256").hexdigest()
        except OSError as error:
            raise BadSource(f"Cannot read {path}: {error.strerror}.") from error
        if self.path(sha).is_file():
            return sha
        with path.open("rb") as source, written_whole(self.path(sha)) as file:
            copied = hashlib.sha256()
            while piece := source.read(_PIECE):
                copied.update(piece)
                file.write(piece)
            if copied.hexdigest() != sha:
                raise BadSource(f"{path} changed while it was read.", "Wait until it is complete, then add it again.")
        return sha

    def read(self, sha: str) -> bytes:
        """Return the content; raise FeilunError, naming the file, if it is missing or damaged."""
        path = self.path(sha)
        hint = "Restore it from a backup, or add the file again."
        try:
            data = path.read_bytes()
        except OSError as error:
            raise FeilunError(f"Cannot read {path}: {error.strerror}.", hint) from error
        if hashlib.sha256(data).hexdigest() != sha:
            raise FeilunError(f"The file {path} is damaged.", hint)
        return data

    def remove(self, sha: str) -> None:
        """Remove the content, if it is there."""
        self.path(sha).unlink(missing_ok=True)
