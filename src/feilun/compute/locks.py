"""One holder at a time: a lock file that names its holder and that the kernel frees when the holder dies.

This module knows files and process ids. It does not know what the locked work is.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feilun.compute.failures import disk_errors
from feilun.errors import BadSetting, Busy
from feilun.records import JSON


@contextmanager
def lock(path: Path, what: str) -> Iterator[None]:
    """Hold ``path`` for the length of the block; ``what`` tells others what runs (``turn of workspace demo``).

    Not re-entrant: a second holder is refused even within one process. The file stays behind, as removing it would let
    two processes hold two files of one name. Raises Busy, which names the holder, and BadSetting if the file cannot be
    opened. The lock is ``flock(2)``: on a network file system it holds only where the server supports it.
    """
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _busy(path, what) from error
        note = json.dumps({"pid": os.getpid(), "what": what, "since": time.time()}, ensure_ascii=False)
        with disk_errors():
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, note.encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> JSON:
    """Return what the last holder wrote: ``pid``, ``what``, ``since``; empty if nobody ever held the lock."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _open(path: Path) -> int:
    try:
        with disk_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadSetting(
            f"The lock {path} cannot be opened: {error.strerror}.", "Choose a home folder that may be written to."
        ) from error


def _busy(path: Path, what: str) -> Busy:
    note = holder(path)
    if "pid" not in note:
        return Busy(f"{what} cannot start: another process holds {path}.", "Wait until it is done, then run again.")
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(note.get("since", 0))))
    return Busy(
        f"{what} cannot start: {note.get('what')} has been running since {since} in process {note['pid']}.",
        f"Wait until it is done, or end it with: kill {note['pid']}",
    )
