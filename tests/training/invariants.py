"""What every training method must satisfy, for its tests: a killed run ends as a calm one, and steps can be cut.

It knows plans, the training process and a method's step. It does not know any method.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tests.training.processes import running, said
from torch import Tensor

from feilun.training.plan import Plan
from feilun.training.run import train

TOLD = "training.json"  # it has times in it


@contextmanager
def quiet() -> Iterator[None]:
    """Pass over what PEFT uses and transformers is about to take away."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def trained(plan: Plan) -> dict[str, Any]:
    """Train in this process; return the facts of the run."""
    with quiet():
        train(plan)
    found: dict[str, Any] = json.loads((Path(plan.out) / TOLD).read_text())
    return found


def results(plan: Plan) -> dict[str, bytes]:
    """Return the bytes of all that a run leaves, but for its times."""
    return {file.name: file.read_bytes() for file in sorted(Path(plan.out).iterdir()) if file.name != TOLD}


def killed_at(plan: Plan, points: Sequence[int]) -> tuple[list[int], dict[str, Any]]:
    """Run the process, ``kill -9`` it at each step of ``points``, and let it end; return where it began, and its facts.

    The plan should have ``checkpoint_seconds=0.0``, so that there is a checkpoint of every step.
    """
    begun: list[int] = []
    for point in [*points, -1]:
        with running(plan) as child:
            last: dict[str, Any] = {}
            for last in said(child):
                if "total" in last and "loss" not in last:
                    begun.append(last["step"])
                if last.get("step") == point and "loss" in last:
                    child.kill()
                    break
            code = child.wait()
        assert (code == 0) == (point == -1), last
    assert last["done"]
    return begun, last


def assert_restart_leaves_no_trace(calm: Plan, killed: Plan, points: Sequence[int]) -> None:
    """Hold a run that was killed at ``points`` against one that was not: same losses, same bytes, no step twice."""
    facts = trained(calm)
    begun, told = killed_at(killed, points)
    assert told["losses"] == facts["losses"]
    assert told["tokens"] == facts["tokens"]
    assert begun[0] == 0
    assert all(begin > 0 for begin in begun[1:]), "it went on from a checkpoint"
    assert results(killed) == results(calm)
    assert not list(Path(killed.scratch).glob("*.part"))


def gradients(parameters: Sequence[Tensor], step: Callable[[int], tuple[float, int]]) -> tuple[float, list[Tensor]]:
    """Return the loss of the first step and a copy of its gradients; the parameters have none afterwards."""
    loss, _ = step(0)
    found = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    return loss, found


def assert_same_step(one: tuple[float, list[Tensor]], other: tuple[float, list[Tensor]]) -> None:
    """Hold two ways of cutting a step against each other: same loss, same gradients but for the order of sums."""
    torch.testing.assert_close(torch.tensor(one[0]), torch.tensor(other[0]), atol=1e-5, rtol=1e-5)
    assert any(float(gradient.abs().max()) > 1e-4 for gradient in one[1])
    torch.testing.assert_close(one[1], other[1], atol=1e-5, rtol=1e-3)
