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

import msgspec
import sqlalchemy as sa

from feilun.errors import Busy, FeilunError, OutOfSpace
from feilun.records import Trace
from feilun.store import traces
from feilun.store.blobs import sync_folder
from feilun.store.database import Database
from feilun.store.schema import CHANGES, clean

LARGEST_SEGMENT = 16 << 20
LARGEST_BATCH = 1000
STEP = 1 << 20  # zeros that are written ahead
_PIECE = 2 << 20
_LARGEST_NUMBER = 2**53
_LATEST = 253402300800.0  # the year 10000: no day of it can be written down
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_log = logging.getLogger(__name__)
_decoder = msgspec.json.Decoder(Trace)


@dataclass
class _Segment:
    """A file of lines: ``safe`` bytes are on the disk, of which ``drained`` have become rows; zeros up to ``room``."""

    path: Path
    handle: int
    safe: int = 0
    room: int = 0
    drained: int = 0


class CallLog:
    """The log of one process, in a folder that it may share with others. For any number of threads."""

    def __init__(self, folder: Path, name: str, largest: int = LARGEST_SEGMENT) -> None:
        """Keep where to write, and how large (bytes) a segment may become; nothing is written yet."""
        self._folder, self._name, self._largest = folder, name, largest
        self._writing, self._draining = threading.Lock(), threading.Lock()
        self._current: _Segment | None = None
        self._full: list[_Segment] = []

    def write(self, lines: Sequence[bytes]) -> None:
        """Return once the lines (see :func:`line`) are on the disk, all with one sync.

        Raises OutOfSpace or FeilunError when they are not; then none of them counts, and earlier ones are as they were.
        """
        if not lines:
            return
        data = b"\n".join(lines) + b"\n"
        with self._writing:
            try:
                segment = self._current = self._current or self._open()
                _append(segment, data)
            except OSError as error:
                self._retire()
                raise _refusal(error, self._folder) from error
            if segment.safe >= self._largest:
                self._retire()

    def drain(self, db: Database) -> int:
        """Make rows of what is safe on the disk here, and of what dead processes left; return how many calls were new.

        What the database does not take now (it raises what it raises) stays for the next time. Lines that can never be
        a row are set aside, into ``NAME.rejected`` beside the log.
        """
        with self._draining:
            count = 0
            with self._writing:
                mine = [*self._full, *filter(None, [self._current])]
            for segment in mine:
                count += _drain(db, segment, segment.safe)
                with self._writing:
                    self._drop_if_done(segment)
            for segment in self._left_behind():
                try:
                    count += _drain(db, segment, os.fstat(segment.handle).st_size)
                    segment.path.unlink(missing_ok=True)
                finally:
                    os.close(segment.handle)
            return count

    @property
    def waiting(self) -> int:
        """How many bytes of this process have not become rows yet."""
        with self._writing:
            return sum(each.safe - each.drained for each in [*self._full, *filter(None, [self._current])])

    def close(self) -> None:
        """Let go of the segments: what has not become rows is drained by whoever drains next."""
        with self._draining, self._writing:
            self._retire()
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


def line(trace: Trace | msgspec.Struct) -> bytes:
    """Return the line of a trace, or of what has its fields, whatever characters its texts hold."""
    try:
        return msgspec.json.encode(trace)
    except UnicodeEncodeError:
        return msgspec.json.encode(clean(msgspec.to_builtins(trace)))


def _append(segment: _Segment, data: bytes) -> None:
    rest, end = memoryview(data), segment.safe + len(data)
    try:
        if end > segment.room:
            # What overwrites zeros changes no size, so its sync is one write and no entry in the file system's journal.
            segment.room += max(STEP, len(data))
            _put(segment.handle, memoryview(bytes(segment.room - segment.safe)), segment.safe)
        _put(segment.handle, rest, segment.safe)
        os.fdatasync(segment.handle)
    except OSError:
        # Half a line must not run into the next one, nor a line that was refused be counted after all.
        os.ftruncate(segment.handle, segment.safe)
        segment.room = segment.safe
        raise
    segment.safe = end


def _put(handle: int, data: memoryview, place: int) -> None:
    while data:
        written = os.pwrite(handle, data, place)
        data, place = data[written:], place + written


def _refusal(error: OSError, folder: Path) -> FeilunError:
    if error.errno in _FULL:
        return OutOfSpace(f"No room left on the disk for {folder}.", "Free some space and try again.")
    return FeilunError(f"Cannot write {folder}: {error.strerror}.", "Check the folder's permissions and the disk.")


def _drain(db: Database, segment: _Segment, end: int) -> int:
    count = 0
    while segment.drained < end:
        data = _whole_lines(segment, end)
        if not data:
            break  # half a line: its writer died, and nobody was told that the call was complete
        count += _keep(db, segment.path, data.split(b"\n")[:-1])
        segment.drained += len(data)
    return count


def _whole_lines(segment: _Segment, end: int) -> bytes:
    size = _PIECE
    while True:
        data = os.pread(segment.handle, min(size, end - segment.drained), segment.drained)
        whole = data[: data.rfind(b"\n") + 1]
        if whole or len(data) < size:
            return whole
        size *= 2


def _keep(db: Database, path: Path, lines: Sequence[bytes]) -> int:
    found: list[tuple[bytes, Trace]] = []
    for each in lines:
        trace = _read(each)
        if trace is None:
            _set_aside(path, each, "it is damaged")
        else:
            found.append((each, trace))
    return sum(_add(db, path, found[at : at + LARGEST_BATCH]) for at in range(0, len(found), LARGEST_BATCH))


def _read(each: bytes) -> Trace | None:
    try:
        trace = _decoder.decode(each)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    numbers = (trace.usage.prompt_tokens, trace.usage.completion_tokens, trace.usage.cached_tokens, trace.cost)
    fits = all(0 <= number < _LARGEST_NUMBER for number in numbers) and 0 <= trace.created < _LATEST
    return trace if fits and trace.id else None


def _add(db: Database, path: Path, found: Sequence[tuple[bytes, Trace]]) -> int:
    try:
        return traces.add(db, [trace for _, trace in found])
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
