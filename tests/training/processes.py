"""Training processes that tests start, listen to and kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from feilun.training.plan import Plan


@contextmanager
def running(plan: Plan, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a plan in a process of its own; it is gone after the block. ``options`` are those of ``Popen``."""
    file = Path(plan.scratch).parent / "plan.json"
    plan.write(file)
    environment = {**os.environ, "OMP_NUM_THREADS": str(plan.threads or 1), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "feilun.training.run", str(file)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, **options}
    with subprocess.Popen(command, text=True, env=environment, **pipes) as it:
        try:
            yield it
        finally:
            it.kill()


def said(child: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Yield what a process says."""
    assert child.stdout is not None
    for line in child.stdout:
        yield json.loads(line)


def finished(plan: Plan) -> dict[str, Any]:
    """Run a plan to its end; return what it said when it was done."""
    with running(plan) as child:
        last = list(said(child))[-1]
        child.wait()
    assert last.get("done"), last
    return last


def killed_at(plan: Plan, when: dict[str, Any]) -> None:
    """Run a plan and kill it (SIGKILL) as soon as it says a message that holds ``when``; a text is part of a text."""
    with running(plan) as child:
        for message in said(child):
            if all(_holds(message.get(name), value) for name, value in when.items()):
                break
        else:
            raise AssertionError(f"it ended before it said {when}")
        child.kill()
        child.wait()


def _holds(found: Any, wanted: Any) -> bool:
    return wanted in found if isinstance(wanted, str) and isinstance(found, str) else bool(found == wanted)
