"""A job in a process of its own, that kills itself on request: ``python job_child.py HOME JOB [WHEN]``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from feilun.compute import Context, run
from feilun.store import Journal, open_database


def main(folder: str, job_id: str, die_at: str = "") -> None:
    """Run a job of five steps and die by SIGKILL at ``before N``, ``inside N`` or ``after N`` of step N."""
    root = Path(folder)
    when, _, number = die_at.partition(" ")
    database = open_database(root)

    def die(moment: str, step: int) -> None:
        if (moment, str(step)) == (when, number):
            os.kill(os.getpid(), signal.SIGKILL)

    async def work(context: Context) -> dict[str, object]:
        total = 0
        for step in range(5):
            die("before", step)

            async def piece(step: int = step, total: int = total) -> dict[str, object]:
                with (root / "runs").open("a") as file:
                    file.write(f"{step}\n")
                die("inside", step)
                return {"total": total + step}

            total = (await context.step(f"step {step}", piece))["total"]
            die("after", step)
        return {"total": total}

    result = asyncio.run(run(Journal(database), job_id, work, locks=root / "locks"))
    database.close()
    print(result["total"])


if __name__ == "__main__":
    main(*sys.argv[1:])
