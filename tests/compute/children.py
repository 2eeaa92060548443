"""Small programs that the tests run as real child processes: ``python children.py NAME ARGUMENT…``."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from feilun.compute import Command, Process, die_with_parent, lock, say, say_failure, say_ready
from feilun.errors import BadModel

ME = str(Path(__file__).absolute())


def server(marker: str = "") -> None:
    """Say that it is ready, then wait for ever, deaf to nothing but signals; ``crash`` ends it at once."""
    die_with_parent()
    if marker == "crash":
        print("going down", file=sys.stderr)
        sys.exit(3)
    if marker == "silent":
        time.sleep(600)
    if marker == "failure":
        say_failure(BadModel("The model is cut off.", "Fetch it again."))
        sys.exit(1)
    if marker == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("an ordinary line")
    print("a line of the error output", file=sys.stderr)
    say_ready(pid=os.getpid())
    while True:
        time.sleep(600)


def once(marker: str) -> None:
    """Be ready at the first start; crash at every later one."""
    die_with_parent()
    path = Path(marker)
    if path.exists():
        sys.exit(4)
    path.touch()
    say_ready()
    time.sleep(600)


def family(marker: str) -> None:
    """Start a child of its own that inherits the pipes, and tell its process id."""
    die_with_parent()
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    say_ready(grandchild=grandchild.pid)
    if marker == "leave":
        return
    time.sleep(600)


def trainer(steps: str) -> None:
    """Report progress, then end."""
    die_with_parent()
    for step in range(int(steps)):
        say(step=step, 说明="进度")
    sys.stdout.write('{"unfinished": ')


def parent(log: str) -> None:
    """Supervise a server and tell its process id; the test kills this process."""

    async def main() -> None:
        async with Process(Command("server", (sys.executable, ME, "family", "stay"), Path(log))) as child:
            print(child.pid, child.info["grandchild"], flush=True)
            await asyncio.sleep(600)

    asyncio.run(main())


def holder(path: str) -> None:
    """Hold a lock until killed."""
    with lock(Path(path), "turn of workspace demo"):
        print("held", flush=True)
        time.sleep(600)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
