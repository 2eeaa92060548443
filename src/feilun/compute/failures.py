"""An error as data, and back: how a failure travels through a job's record or out of a child process.

This module knows the error tree and its OpenAI body. It does not know who failed, or where the body is kept.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from feilun.errors import FeilunError, OutOfSpace
from feilun.records import JSON

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# What libraries make of it: Rust's (safetensors) and numpy's words.
_RUST, _SHORT = re.compile(r"\(os error (\d+)\)"), re.compile(r"^\d+ requested and \d+ written$")


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
    """Turn "disk full", "quota" and "file too large" into OutOfSpace, whoever words them; pass the rest on."""
    try:
        yield
    except FeilunError:
        raise
    except Exception as error:
        number = _number(error)
        if number not in _FULL:
            raise
        name = getattr(error, "filename", None)
        place = f" while writing {os.fsdecode(name)}" if isinstance(name, str | bytes) else ""
        raise OutOfSpace(
            f"There is no room left on the disk{place} ({os.strerror(number)}).", "Free some space, then run again."
        ) from error


def _number(error: BaseException | None) -> int:
    """Return the operating system's number of what went wrong, 0 if it was something else."""
    if error is None:
        return 0
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if _SHORT.match(str(error)):
        return errno.ENOSPC
    found = _RUST.search(str(error))
    return int(found[1]) if found else _number(error.__cause__ or error.__context__)


def _classes() -> dict[str, type[FeilunError]]:
    """Return every error class by its code; the class nearest the root wins where a code is inherited."""
    found: dict[str, type[FeilunError]] = {}
    waiting = [FeilunError]
    while waiting:
        cls = waiting.pop(0)
        found.setdefault(cls.code, cls)
        waiting.extend(cls.__subclasses__())
    return found
