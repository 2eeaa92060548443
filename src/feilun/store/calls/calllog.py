"""The durable log of calls: lines in files, safe before a client is told, that become rows when there is time.

A process appends to segments of its own, which it locks for as long as it lives; a segment that nobody locks was left
by a dead one. Knows files and when their lines have become rows. Does not know what a call is.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from feilun.errors import Busy, FeilunError, OutOfSpace
from feilun.store import traces
from feilun.store.blobs import sync_folder
from feilun.store.database import Database
from feilun.store.schema import CHANGES

LARGEST_SEGMENT = 4 << 20
LARGEST_BATCH = 1000
STEP = 1 << 20  # zeros that are written ahead
_PIECE = 256 << 10  # bytes that become rows at a time: what they are meanwhile takes many times as much
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_log = logging.getLogger(__name__)


@dataclass
class _Segment:
    """A file of lines: ``safe`` bytes are on the disk, of which ``drained`` have become rows; zeros up to ``room``."""

    path: Path
    handle: int
    safe: int = 0
    room: int = 0
    drained: int = 0


@dataclass(frozen=True)
class Batch:
    """Lines that were written up to ``end`` and count once ``handle`` is synced."""

    segment: _Segment
    end: int

    @property
    def handle(self) -> int:
        """Return the file's handle."""
        return self.segment.handle


class CallLog:
    """The log of one process, in a folder that it may share with others. For any number of threads."""

    def __init__(self, folder: Path, name: str, largest: int = LARGEST_SEGMENT) -> None:
        """Keep where to write, and how large (bytes) a segment may become; nothing is written yet."""
        self._folder, self._name, self._largest = folder, name, largest
        self._turn, self._writing, self._draining = threading.Lock(), threading.Lock(), threading.Lock()
        self._current: _Segment | None = None
        self._next: _Segment | None = None
        self._full: list[_Segment] = []

    def write(self, lines: Sequence[bytes]) -> None:
        """Return once the lines (see :func:`line`) are on the disk, all with one sync.

        Raises OutOfSpace or FeilunError when they are not; then none of them counts, and earlier ones are as they were.
        """
        if not lines:
            return
        with self._turn:
            batch, failure = self.append(lines), None
            try:
                os.fdatasync(batch.handle)
            except OSError as error:
                failure = error
            self.settle(batch, failure)

    def append(self, lines: Sequence[bytes]) -> Batch:
        """Write lines without a sync: :meth:`settle` has to follow before anything else is written. Raises as write."""
        data = b"\n".join(lines) + b"\n"
        with self._writing:
            try:
                if self._current is None:
                    self._current, self._next = self._next or self._open(), None
                return Batch(self._current, _append(self._current, data))
            except OSError as error:
                self._retire()
                raise _refusal(error, self._folder) from error

    def settle(self, batch: Batch, failure: OSError | None) -> None:
        """Count the lines of a batch that was synced, or take them back if that failed; raises as write then."""
        segment = batch.segment
        with self._writing:
            if failure is None:
                segment.safe = batch.end
                if segment.safe >= self._largest:
                    self._retire()
                return
            try:
                _take_back(segment)
            finally:
                self._retire()
        raise _refusal(failure, self._folder) from failure

    def drain(self, db: Database, most: int = 0) -> int:
        """Make rows of what is safe on the disk here, and of what dead processes left; return how many calls were new.

        With ``most``, of about so many bytes of this process only.
        What the database does not take now (it raises what it raises) stays for the next time. Lines that can never be
        a row are set aside, into ``NAME.rejected`` beside the log.
        """
        with self._draining:
            count = 0
            with self._writing:
                mine = [*self._full, *filter(None, [self._current])]
            for segment in mine:
                count += _drain(db, segment, segment.safe, most)
                with self._writing:
                    self._drop_if_done(segment)
                if most and count:
                    return count
            for segment in self._left_behind():
                try:
                    count += _drain(db, segment, os.fstat(segment.handle).st_size)
                    segment.path.unlink(missing_ok=True)
                finally:
                    os.close(segment.handle)
            return count

    @property
    def needs_room(self) -> bool:
        """Whether :meth:`make_room` has something to do: soon a segment will be full."""
        current = self._current
        return self._next is None and current is not None and current.safe > self._largest // 2

    def make_room(self) -> None:
        """Make the next segment, so that no call waits for it; a disk that is full is met by whoever writes."""
        try:
            made = self._open()
        except OSError:
            return
        try:
            _reserve(made, self._largest)
        except OSError:
            made.path.unlink(missing_ok=True)
            os.close(made.handle)
            return
        with self._writing:
            self._next = made

    @property
    def waiting(self) -> int:
        """How many bytes of this process have not become rows yet."""
        with self._writing:
            return sum(each.safe - each.drained for each in [*self._full, *filter(None, [self._current])])

    def close(self) -> None:
        """Let go of the segments: what has not become rows is drained by whoever drains next."""
        with self._draining, self._writing:
            self._retire()
            if self._next is not None:
                self._full.append(self._next)
                self._next = None
            for segment in self._full[:]:
                self._drop_if_done(segment)
            for segment in self._full:
                os.close(segment.handle)
            self._full.clear()

    def _open(self) -> _Segment:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._name}-{time.time_ns():020}-{secrets.token_hex(4)}.calls"
        # It is locked before it has the name that others look for: nobody ever takes it for a dead process's.
        hidden = path.with_name(f".{path.name}")
        handle = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            hidden.rename(path)
            sync_folder(self._folder)
        except OSError:
            os.close(handle)
            hidden.unlink(missing_ok=True)
            raise
        return _Segment(path, handle)

    def _retire(self) -> None:
        if self._current is not None:
            os.ftruncate(self._current.handle, self._current.safe)
            self._full.append(self._current)
            self._current = None

    def _drop_if_done(self, segment: _Segment) -> None:
        if segment is not self._current and segment.drained == segment.safe:
            segment.path.unlink(missing_ok=True)
            os.close(segment.handle)
            self._full.remove(segment)

    def _left_behind(self) -> Iterator[_Segment]:
        """Give the segments that nobody locks, oldest first, locked."""
        for path in sorted(self._folder.glob("*.calls")):
            try:
                handle = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue  # another process drained it
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                continue
            yield _Segment(path, handle)


def _append(segment: _Segment, data: bytes) -> int:
    end = segment.safe + len(data)
    try:
        if end > segment.room:
            _reserve(segment, max(segment.room + STEP, end))
        _put(segment.handle, memoryview(data), segment.safe)
    except OSError:
        _take_back(segment)
        raise
    return end


def _take_back(segment: _Segment) -> None:
    """Forget what is not safe: half a line must not run into the next one, nor a refused one be counted after all."""
    os.ftruncate(segment.handle, segment.safe)
    segment.room = segment.safe


def _reserve(segment: _Segment, end: int) -> None:
    """Write zeros up to ``end``.

    What overwrites zeros changes no size, so its sync is one write and no entry in the file system's journal.
    """
    _put(segment.handle, memoryview(bytes(end - segment.safe)), segment.safe)
    os.fdatasync(segment.handle)
    segment.room = end


def _put(handle: int, data: memoryview, place: int) -> None:
    while data:
        written = os.pwrite(handle, data, place)
        data, place = data[written:], place + written


def _refusal(error: OSError, folder: Path) -> FeilunError:
    if error.errno in _FULL:
        return OutOfSpace(f"No room left on the disk for {folder}.", "Free some space and try again.")
    return FeilunError(f"Cannot write {folder}: {error.strerror}.", "Check the folder's permissions and the disk.")


def _drain(db: Database, segment: _Segment, end: int, most: int = 0) -> int:
    count = 0
    while segment.drained < end:
        data = _whole_lines(segment, end, most or _PIECE)
        if not data:
            break  # half a line: its writer died, and nobody was told that the call was complete
        count += _keep(db, segment.path, data.split(b"\n")[:-1])
        segment.drained += len(data)
        if most:
            break
    return count


def _whole_lines(segment: _Segment, end: int, size: int) -> bytes:
    while True:
        data = os.pread(segment.handle, min(size, end - segment.drained), segment.drained)
        whole = data[: data.rfind(b"\n") + 1]
        if whole or len(data) < size:
            return whole
        size *= 2


def _keep(db: Database, path: Path, lines: Sequence[bytes]) -> int:
    found: list[tuple[bytes, traces.Kept]] = []
    for each in lines:
        trace = traces.read(each)
        if trace is None:
            _set_aside(path, each, "it is damaged")
        else:
            found.append((each, trace))
    return sum(_add(db, path, found[at : at + LARGEST_BATCH]) for at in range(0, len(found), LARGEST_BATCH))


def _add(db: Database, path: Path, found: Sequence[tuple[bytes, traces.Kept]]) -> int:
    try:
        return traces.keep(db, [trace for _, trace in found])
    except (Busy, OutOfSpace):
        raise
    except FeilunError as error:
        with db.writing() as conn:  # raises if it is not a call but the database
            conn.execute(sa.update(CHANGES).values(number=CHANGES.c.number))
        if len(found) > 1:  # one of them, such as one of a workspace that is not there, must not hold up the others
            half = len(found) // 2
            return _add(db, path, found[:half]) + _add(db, path, found[half:])
        _set_aside(path, found[0][0], error.message)
        return 0


def _set_aside(path: Path, each: bytes, reason: str) -> None:
    aside = path.with_suffix(".rejected")
    _log.error("a call in %s cannot be kept: %s It is in %s.", path, reason, aside)
    try:
        with aside.open("ab") as file:
            file.write(each + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _refusal(error, aside) from error
