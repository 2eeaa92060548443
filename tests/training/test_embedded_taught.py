"""Distillation and reasoning on the embedded model: killed and resumed, the same answers and loss curve."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.training.processes import finished, killed_at

from feilun.engines.models import ensure_base
from feilun.engines.prompts import Prompter
from feilun.training.plan import Plan

BASE = "smollm2-135m-instruct"
pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.model]
MakePlan = Callable[..., Plan]
HOLDS = {
    "type": "string_check",
    "name": "right",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference_answer}}",
    "operation": "ilike",
}
CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "Egypt": "Cairo", "Peru": "Lima"}


@pytest.fixture(scope="module")
def folder(pytestconfig: pytest.Config) -> str:
    """Give the embedded model's folder."""
    return ensure_base(pytestconfig.cache.mkdir("embedded"), BASE).folder


def write(plan: Plan, lines: list[dict[str, object]]) -> None:
    """Write a plan's samples."""
    Path(plan.samples).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def asked(country: str) -> list[dict[str, str]]:
    """Return a prompt."""
    return [{"role": "user", "content": f"What is the capital of {country}? Think, then answer."}]


def same(one: Plan, other: Plan) -> bool:
    """Say whether two runs left the same adapter and golden outputs."""
    names = ("adapter_model.safetensors", "golden.json", "chat_template.jinja")
    return all((Path(one.out) / name).read_bytes() == (Path(other.out) / name).read_bytes() for name in names)


def test_distillation(make_plan: MakePlan, folder: str) -> None:
    """A teacher's words and odds, half and half; killed in the middle, the run ends as a calm one; the loss falls."""
    prompter = Prompter(Path(folder))
    lines: list[dict[str, object]] = []
    for number, (country, capital) in enumerate(CAPITALS.items()):
        answer = f"The capital of {country} is {capital}, as everybody at the credit union knows."
        pieces = [prompter.piece(token) for token in prompter.encode(answer)]
        odds = [{"token": piece, "top": [[piece, -0.1], [" the", -3.0]]} for piece in pieces]
        lines.append({"prompt": asked(country), "answer": answer, **({"logprobs": odds} if number % 2 else {})})
    settings = {"method": "distillation", "batch": 3, "epochs": 4, "rows": 768, "learning_rate": 1e-3}
    calm, killed = (replace(make_plan(name, **settings), base=folder, threads=2) for name in ("calm", "killed"))
    for plan in (calm, killed):
        write(plan, lines)
    facts = finished(calm)
    assert facts["with_odds"] == 3
    assert sum(facts["losses"][-2:]) < 0.7 * sum(facts["losses"][:2])
    killed_at(killed, {"step": 4})
    assert finished(killed)["losses"] == facts["losses"]
    assert same(calm, killed)


def test_reasoning(make_plan: MakePlan, folder: str) -> None:
    """The model tries, some answers are verified, these are learnt; killed twice, the run ends as a calm one."""
    lines: list[dict[str, object]] = [
        {"prompt": asked(country), "item": {"reference_answer": capital}} for country, capital in CAPITALS.items()
    ]
    options = {"grader": HOLDS, "samples": 8, "max_tokens": 40}
    settings = {"method": "reasoning", "options": options, "epochs": 4, "rows": 256, "learning_rate": 1e-3}
    calm, killed = (replace(make_plan(name, **settings), base=folder, threads=2) for name in ("calm", "killed"))
    for plan in (calm, killed):
        write(plan, lines)
    facts = finished(calm)
    assert facts["prompts"] == len(CAPITALS)
    assert 2 <= facts["solved"] <= facts["verified"] < facts["tried"] == 8 * len(CAPITALS)
    killed_at(killed, {"note": "tries answers: 4"})
    killed_at(killed, {"step": len(facts["losses"]) // 2})
    again = finished(killed)
    assert again["losses"] == facts["losses"]
    assert again["passed"] == facts["passed"]
    assert same(calm, killed)
