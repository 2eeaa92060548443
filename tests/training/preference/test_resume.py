"""Each method in a process of its own: killed at any moment and run again, it ends as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.training.preference.conftest import pairs, rated, tasks
from tests.training.processes import running, said

from feilun.engines.models import ensure_base
from feilun.training.plan import Plan

MakePlan = Callable[..., Plan]
SHORT = {"type": "regex", "pattern": "(?s)^.{0,40}$"}
RESULTS = ("adapter_model.safetensors", "adapter_config.json", "chat_template.jinja", "golden.json")
LINES = {"dpo": [*pairs(8), *rated(4)], "kto": rated(), "reward": pairs(), "grpo": tasks()}
OPTIONS: dict[str, dict[str, Any]] = {"grpo": {"grader": SHORT, "samples": 4, "max_tokens": 12, "temperature": 0.9}}


def whole(plan: Plan) -> dict[str, Any]:
    """Run to the end; return the last message, and where it began."""
    with running(plan) as child:
        told = list(said(child))
        assert child.wait() == 0, told[-1]
    begun = next(message["step"] for message in told if "samples" in message)
    return {**told[-1], "begun": begun}


def killed(plan: Plan, point: int) -> None:
    """Run until step ``point`` is told, then kill -9."""
    with running(plan) as child:
        for message in said(child):
            if message.get("step") == point and "loss" in message:
                child.kill()
                break
        assert child.wait() != 0


def same(one: Plan, other: Plan) -> bool:
    """Say whether two runs left the same bytes."""
    files = [*RESULTS, "reward_head.safetensors"] if one.method == "reward" else RESULTS
    return all((Path(one.out) / name).read_bytes() == (Path(other.out) / name).read_bytes() for name in files)


@pytest.mark.slow
@pytest.mark.parametrize("method", list(LINES))
def test_a_killed_run_ends_as_an_undisturbed_one(make_plan: MakePlan, method: str) -> None:
    """Killed twice: the same loss curve, rewards and bytes; it went on from a checkpoint and read nothing again."""
    settings = {"batch": 3, "epochs": 2, "options": OPTIONS.get(method, {})}
    calm, torn = (make_plan(method, LINES[method], name, **settings) for name in ("calm", "torn"))
    facts = whole(calm)
    killed(torn, 2)
    kept = Path(torn.scratch) / "reference.json"
    made = kept.stat().st_mtime_ns if kept.is_file() else 0
    killed(torn, len(facts["losses"]) - 1)
    found = whole(torn)
    assert found["begun"] > 0
    assert found["losses"] == facts["losses"]
    assert found.get("rewards") == facts.get("rewards")
    assert found.get("grades") == facts.get("grades")
    assert same(calm, torn)
    if method in {"dpo", "kto"}:
        assert kept.stat().st_mtime_ns == made, "references are computed once"


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("method", list(LINES))
def test_on_the_embedded_model(make_plan: MakePlan, method: str, pytestconfig: pytest.Config) -> None:
    """A few steps of the real model, killed and resumed: the same loss curve; the adapter has golden outputs."""
    base = ensure_base(pytestconfig.cache.mkdir("embedded"), "smollm2-135m-instruct").folder
    settings = {"batch": 6, "epochs": 2, "rows": 768, "learning_rate": 2e-4, "options": OPTIONS.get(method, {})}
    made = [make_plan(method, LINES[method], name, **settings) for name in ("calm", "torn")]
    calm, torn = (replace(plan, base=base, threads=2) for plan in made)
    facts = whole(calm)
    killed(torn, len(facts["losses"]) // 2)
    found = whole(torn)
    assert found["begun"] > 0
    assert found["losses"] == facts["losses"]
    assert same(calm, torn)
    rows = json.loads((Path(torn.out) / "golden.json").read_text())["rows"]
    assert len(rows) >= 20
