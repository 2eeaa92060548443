"""The child's side of a supervised process: messages to the parent, and dying with it.

This module knows standard input and output. It does not know what the child does, and works unsupervised too (a
child started by hand in a terminal prints its messages and lives on).
"""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.process
import os
import signal
import sys
import threading
from contextlib import suppress

from feilun.compute.failures import describe

SUPERVISED = "FEILUN_SUPERVISED"
_speaking = threading.Lock()


def die_with_parent() -> None:
    """Kill this process and its own children as soon as the parent is gone, however it went.

    A daemon thread reads standard input, whose other end only the parent holds: the kernel closes it even after
    ``kill -9``. Call it first in the child's ``main``. It watches only in a process that ``Process`` itself started
    (that leads its group), so a child run by hand, or a worker that the child starts, is left alone.
    """
    if SUPERVISED in os.environ and os.getpgrp() == os.getpid():
        threading.Thread(target=_watch, args=(sys.stdin.fileno(),), name="die-with-parent", daemon=True).start()


def die_with_pool() -> None:
    """Kill this process, a worker of a pool, as soon as who began the pool is gone, however it went.

    A worker waits for tasks at a pipe that it holds open itself: it would wait for ever.
    """
    starter = multiprocessing.parent_process()
    if starter is not None:
        threading.Thread(target=_outlive, args=(starter,), name="die-with-pool", daemon=True).start()


def say(**message: object) -> None:
    """Send one JSON object to the parent, as one line on standard output."""
    line = json.dumps(message, ensure_ascii=False)
    with _speaking:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def say_ready(**info: object) -> None:
    """Tell the parent that the child can be used; ``info`` holds what it must know, such as the port."""
    say(ready=info)


def say_failure(error: BaseException) -> None:
    """Tell the parent why the child ends, so that it can raise the same error."""
    say(failure=describe(error))


def _outlive(starter: multiprocessing.process.BaseProcess) -> None:
    starter.join()
    os._exit(1)


def _watch(descriptor: int) -> None:
    with suppress(OSError):
        while os.read(descriptor, 4096):
            pass
    os.killpg(0, signal.SIGKILL)
