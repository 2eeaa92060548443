"""An error as data, and back: how a failure travels through a job's record or out of a child process.

This module knows the error tree and its OpenAI body. It does not know who failed, or where the body is kept.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from feilun.errors import FeilunError, OutOfSpace
from feilun.records import JSON

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def describe(error: BaseException) -> JSON:
    """Return the OpenAI body of any exception; one that is not ours becomes an ``internal_error`` that names it."""
    if not isinstance(error, FeilunError):
        error = FeilunError(f"Something unexpected happened: {type(error).__name__}: {error}".rstrip(": "))
    return dict(error.body())


def revive(body: JSON) -> FeilunError:
    """Return the error that ``describe`` or an OpenAI-style server wrote down; the hint is part of the message."""
    detail = body.get("error", body)
    detail = detail if isinstance(detail, dict) else {"message": str(detail)}
    found = _classes().get(str(detail.get("code")), FeilunError)
    param = detail.get("param")
    return found(
        str(detail.get("message") or "It failed without saying why."), param=None if param is None else str(param)
    )


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn the operating system's "disk full", "quota" and "file too large" into OutOfSpace; pass the rest on."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        place = f" while writing {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else ""
        reason = os.strerror(error.errno or errno.ENOSPC)
        raise OutOfSpace(
            f"There is no room left on the disk{place} ({reason}).", "Free some space, then run again."
        ) from error


def _classes() -> dict[str, type[FeilunError]]:
    """Return every error class by its code; the class nearest the root wins where a code is inherited."""
    found: dict[str, type[FeilunError]] = {}
    waiting = [FeilunError]
    while waiting:
        cls = waiting.pop(0)
        found.setdefault(cls.code, cls)
        waiting.extend(cls.__subclasses__())
    return found
