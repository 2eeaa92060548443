"""The child's side: shut in, then one task after another until the parent is gone.

This module knows the life of a child. It does not know what tasks do, nor what becomes of their results.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
import sysconfig
from pathlib import Path
from types import TracebackType
from typing import Any

import feilun
from feilun.compute.child import die_with_parent
from feilun.grading.sandbox.confine import limit, limit_time, shut_in
from feilun.grading.sandbox.frames import receive, send
from feilun.registry import Registry

TASKS = Registry("task")
TASKS.add("regex", "feilun.grading.sandbox.forms:regex")
TASKS.add("match", "feilun.grading.sandbox.forms:matched")
TASKS.add("schema", "feilun.grading.sandbox.forms:schema")
TASKS.add("maths", "feilun.grading.sandbox.maths:same")
TASKS.add("python", "feilun.grading.sandbox.programs:grader")
TASKS.add("code", "feilun.grading.sandbox.programs:tested")


class _Caught:
    """What ended a block, whatever a foreign program raised."""

    def __init__(self) -> None:
        """Nothing so far."""
        self.failure = ""

    def __enter__(self) -> _Caught:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        """Note it, and go on."""
        if kind is not None:
            self.failure = f"{kind.__name__}: {error}"[:500]
        return True


def readable() -> list[Path]:
    """Return the folders that a Python program needs to read: its libraries, and no data of anybody."""
    names = {sys.prefix, sys.base_prefix, sys.exec_prefix, sysconfig.get_path("stdlib"), "/usr/lib", "/lib", "/lib64"}
    libraries = {path for path in sys.path if path.endswith(("-packages", "lib-dynload")) or path == _SOURCE}
    return sorted({Path(name).resolve() for name in names | libraries if name and Path(name).exists()})


_SOURCE = str(Path(feilun.__file__).resolve().parent.parent)


def serve(connection: socket.socket, settings: dict[str, Any]) -> None:
    """Answer tasks until the parent closes the connection."""
    task = TASKS.load(settings["task"])  # first: what it imports may lie where nothing can be read later
    limit(settings["memory"], settings["file_bytes"])
    gc.freeze()
    confined = shut_in(_permitted(), Path.cwd())
    send(connection, {"ready": True, "confined": confined})
    while (given := receive(connection)) is not None:
        limit_time(given["seconds"])
        found: dict[str, Any] = {}
        with _Caught() as caught:
            found = task(given["payload"])
        send(connection, {"failure": caught.failure} if caught.failure else {"result": found})


def _permitted() -> list[Path]:
    """Return what may be read: of a folder that holds our own environment, only the parts with libraries."""
    own = Path(_SOURCE)
    return [path for path in readable() if path != own] + [own / "feilun"]


def main() -> None:
    """Serve the socket that the parent left open."""
    sys.stdin = os.fdopen(os.dup(0))  # the lifeline; programs are given another standard input
    die_with_parent()
    settings = json.loads(sys.argv[2])
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        serve(connection, settings)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
