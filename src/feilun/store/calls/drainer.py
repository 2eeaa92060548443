"""Calls become rows in a process of their own, so that those who answer calls never wait for it: a thread would.

It reads what is asked on its standard input, a JSON line each: ``[path, begin, end]`` of a segment, and answers with
how many calls were new and how far it came, or with the error. It ends with whoever started it, and gives way to them.
It knows segments and the store. It does not know calls.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from feilun.errors import FeilunError
from feilun.records import JSON
from feilun.store.calls.calllog import drain_segment
from feilun.store.database import Database, open_database

NICE = 5
DATABASE_VARIABLE = "FEILUN_DRAIN_DATABASE"


class Drainer:
    """The process, seen from outside; started when it is first needed, and again when it has died. For one thread."""

    def __init__(self, root: Path, database: str) -> None:
        """Keep where the store is; nothing is started."""
        self._root, self._database = root, database
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, path: Path, begin: int, end: int) -> tuple[int, int]:
        """Return how many calls between two places of a segment were new, and how far it came; raise FeilunError."""
        process = self._running()
        try:
            if process.stdin is None or process.stdout is None:
                raise OSError("no pipes")
            process.stdin.write(json.dumps([str(path), begin, end]) + "\n")
            process.stdin.flush()
            said = json.loads(process.stdout.readline())
        except (OSError, ValueError) as error:
            self.close()
            raise FeilunError("The process that makes rows of calls has ended.", "It is started again.") from error
        if "error" in said:
            raise FeilunError(said["error"])
        return int(said["count"]), int(said["drained"])

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            process.wait()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None:
            argv = [sys.executable, "-m", "feilun.store.calls.drainer", str(self._root)]
            environment = {**os.environ, DATABASE_VARIABLE: self._database}
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, env=environment)
        return self._process


def main() -> int:
    """Answer what is asked until nobody asks any more."""
    os.nice(NICE)
    root, url = Path(sys.argv[1]), os.environ.pop(DATABASE_VARIABLE, "")
    db: Database | None = None
    for line in sys.stdin:
        path, begin, end = json.loads(line)
        try:
            db = db or open_database(root, url)
            count, drained = drain_segment(db, Path(path), begin, end)
            said: JSON = {"count": count, "drained": drained}
        except FeilunError as error:
            said = {"error": f"{error.message} {error.hint}".strip()}
        print(json.dumps(said), flush=True)
    if db is not None:
        db.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
