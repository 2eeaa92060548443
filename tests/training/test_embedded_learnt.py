"""Supervised training, all weights, and continued pretraining on the embedded model: killed and resumed, one curve."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.training.invariants import assert_restart_leaves_no_trace

from feilun.engines.models import ensure_base
from feilun.training.plan import Plan

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.model]
MakePlan = Callable[..., Plan]
TEXT = "The reading room of the credit union opens at nine on weekdays and at ten on Saturdays. "


@pytest.fixture(scope="module")
def folder(pytestconfig: pytest.Config) -> str:
    """Give the embedded model's folder."""
    return ensure_base(pytestconfig.cache.mkdir("embedded"), "smollm2-135m-instruct").folder


@pytest.mark.parametrize("method", ["supervised", "full", "cpt"])
def test_a_killed_run_ends_as_a_calm_one(make_plan: MakePlan, folder: str, method: str) -> None:
    """Three steps, killed after the second: the same losses, the same bytes; the loss falls."""
    plans = []
    for name in ("calm", "killed"):
        plan = make_plan(
            name, facts=3, method=method, epochs=3, rows=128, learning_rate=5e-5 if method == "full" else 2e-3
        )
        if method == "cpt":
            lines = [{"text": TEXT * 2}, {"text": TEXT[::-1]}]
            Path(plan.samples).write_text("".join(json.dumps(line) + "\n" for line in lines))
        plans.append(replace(plan, base=folder, replay=""))
    assert_restart_leaves_no_trace(plans[0], plans[1], [2])
    losses = json.loads((Path(plans[0].out) / "training.json").read_text())["losses"]
    assert losses[-1] < losses[0]
