"""A training process: ``python -m feilun.training.run PLAN.json``.

It runs one plan by its method's recipe, tells its progress on stdout as JSON lines, and can be killed at any moment:
run again, it goes on from its last checkpoint and ends with the same result and loss curve. It does not know datasets,
jobs or exams; its plan names files.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from feilun.compute import die_with_parent, disk_errors, say_failure, threads
from feilun.errors import FeilunError
from feilun.training.plan import Plan
from feilun.training.recipes import METHODS, numbers


def train(plan: Plan) -> None:
    """Train as the plan says; raise TooFewSamples, BadRequest, BadModel, OutOfSpace."""
    torch.set_num_threads(threads(plan.threads))
    recipe = METHODS.load(plan.method)
    numbers(plan.method, plan.options)
    with disk_errors():
        recipe(plan)


def main() -> int:
    """Train; the last line on stdout is ``done`` or ``failure``."""
    die_with_parent()
    try:
        train(Plan.read(Path(sys.argv[1])))
    except FeilunError as error:
        say_failure(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
