"""The bytes of sources and the tables of datasets: plain and shared by all workspaces, or sealed for one of them.

Knows where both lie, and how what was plain becomes sealed. Does not know which must be.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from feilun.errors import BadSource, FeilunError, NotFound
from feilun.store.database import Database, serialise
from feilun.store.schema import DATASETS, LINEAGE, SOURCES

_PIECE = 1 << 20
_FEW = 500


def derived(db: Database, ws: str) -> Path:
    """Return the folder of what recipes make of a workspace's sources, in plain: reports, ledgers, unfinished work."""
    return db.root / "curation" / hashlib.sha256(ws.encode()).hexdigest()[:16]


def sum_of(content: bytes | Path) -> str:
    """Return the SHA-256 (hex) of bytes or of a file; raise BadSource if it cannot be read."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    try:
        with content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadSource(f"Cannot read {content}: {error.strerror}.") from error


def keep(db: Database, ws: str, content: bytes | Path, *, sealed: bool) -> tuple[str, int]:
    """Keep bytes, plain or sealed; return their SHA-256 and size. Raises BadSource, OutOfSpace."""
    size = len(content) if isinstance(content, bytes) else 0
    if not sealed:
        sha = db.blobs.put(content) if isinstance(content, bytes) else db.blobs.put_file(content)
        return sha, size or db.blobs.path(sha).stat().st_size
    sha = sum_of(content)
    counted = _Counted(content)
    if db.vault.has("blobs", ws, sha) and isinstance(content, bytes):
        return sha, size
    db.vault.put("blobs", ws, sha, counted)
    if counted.sha != sha:
        db.vault.remove("blobs", ws, sha)
        raise BadSource(f"{content!s:.200} changed while it was read.", "Wait until it is complete, then add it again.")
    return sha, counted.size


def kept(db: Database, ws: str, sha: str) -> bool:
    """Return whether the bytes with this sum are there for a workspace."""
    return db.vault.has("blobs", ws, sha) or db.blobs.path(sha).is_file()


def read(db: Database, ws: str, sha: str) -> bytes:
    """Return the bytes with this sum; raise FeilunError if they are missing, damaged, or their key is not there.

    Bytes that no source has any more were deleted, which is NotFound.
    """
    try:
        return db.vault.read("blobs", ws, sha, sha) if db.vault.has("blobs", ws, sha) else db.blobs.read(sha)
    except FeilunError as error:
        query = sa.select(SOURCES.c.id).where(SOURCES.c.workspace == ws, SOURCES.c.sha256 == sha, ~SOURCES.c.deleted)
        with db.reading() as conn:
            if conn.execute(query).first() is None:
                raise NotFound("This source was deleted just now.") from error
        raise


def drop(db: Database, conn: Connection, ws: str, sha: str) -> None:
    """Remove bytes that no living source has any more, of the workspace or, where they are plain, of any."""
    query = sa.select(SOURCES.c.workspace).where(SOURCES.c.sha256 == sha, ~SOURCES.c.deleted).distinct()
    living = set(conn.scalars(query))
    if ws not in living:
        db.vault.remove("blobs", ws, sha)
    if not living:
        db.blobs.remove(sha)


def seal(db: Database, ws: str, secret: Mapping[str, str]) -> None:
    """Seal the bytes of sources (id -> sum) of a workspace, and the tables with rows of theirs, where they are plain.

    The plain file goes once it is sealed, unless another workspace has the same as its own. What recipes made of plain
    bytes goes first, so that after a crash in between it is done again.
    """
    if any(db.blobs.path(sha).is_file() for sha in secret.values()):
        shutil.rmtree(derived(db, ws), ignore_errors=True)
    tables: set[str] = set()
    with db.reading() as conn:
        for some in _pieces(sorted(secret)):
            joined = sa.and_(LINEAGE.c.workspace == DATASETS.c.workspace, LINEAGE.c.child == DATASETS.c.id)
            query = sa.select(DATASETS.c.sha256).join(LINEAGE, joined)
            tables.update(conn.scalars(query.where(DATASETS.c.workspace == ws, LINEAGE.c.parent.in_(some))))
    for sha in sorted(set(secret.values())):
        _seal(db, ws, "blobs", sha, db.blobs.path(sha), SOURCES)
    for sha in sorted(tables):
        _seal(db, ws, "tables", sha, db.root / "tables" / f"{sha}.parquet", DATASETS)


def _seal(db: Database, ws: str, kind: str, sha: str, plain: Path, table: sa.Table) -> None:
    if not plain.is_file():
        return
    if not db.vault.has(kind, ws, sha):
        db.vault.put(kind, ws, sha, _of_file(plain))
    others = sa.select(table.c.workspace).where(table.c.sha256 == sha, table.c.workspace != ws)
    if table is SOURCES:
        others = others.where(~SOURCES.c.deleted)
    with db.writing() as conn:
        serialise(conn, "blob", sha)
        if all(db.vault.has(kind, other, sha) for other in conn.scalars(others)):
            plain.unlink(missing_ok=True)


class _Counted:
    """The pieces of bytes or of a file, and what was counted while they were given."""

    def __init__(self, content: bytes | Path) -> None:
        self._content = content
        self._sum = hashlib.sha256()
        self.size = 0

    @property
    def sha(self) -> str:
        return self._sum.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        content = self._content
        for piece in [content] if isinstance(content, bytes) else _of_file(content):
            self._sum.update(piece)
            self.size += len(piece)
            yield piece


def _of_file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _pieces(ids: list[str]) -> Iterable[list[str]]:
    return (ids[at : at + _FEW] for at in range(0, len(ids), _FEW))
