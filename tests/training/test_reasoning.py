"""Reasoning from verified answers: what is kept, that trying is seeded and resumes, what a bad grader leads to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.training.processes import finished, killed_at

from feilun.errors import BadRequest
from feilun.training.methods.reasoning import Log, Task, train, verified
from feilun.training.plan import Plan

MakePlan = Callable[..., Plan]
RESULTS = ("adapter_model.safetensors", "chat_template.jinja", "golden.json")
HOLDS = {
    "type": "string_check",
    "name": "holds",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference_answer}}",
    "operation": "ilike",
}


@pytest.fixture
def reasoning_plan(make_plan: MakePlan) -> MakePlan:
    """Give a way to make a plan whose answers are right if they hold a letter, which a random model's often do."""

    def make(name: str = "run", grader: Any = HOLDS, tokens: int = 120, **settings: Any) -> Plan:
        options = {"grader": grader, "max_tokens": tokens, "samples": 4}
        given = {"epochs": 2, "longest": 256, **settings}
        plan = make_plan(name, **given, method="reasoning", options=options)
        lines = [
            {
                "prompt": [{"role": "user", "content": f"What is the rate for members {number}?"}],
                "item": {"reference_answer": "a"},
            }
            for number in range(24)
        ]
        Path(plan.samples).write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
        return plan

    return make


def row(text: str, *, passed: bool = True, ended: bool = True) -> dict[str, Any]:
    """Return an answer that was tried."""
    return {"text": text, "passed": passed, "ended": ended, "score": float(passed), "error": ""}


def test_only_right_whole_and_different_answers_are_learnt() -> None:
    """Wrong ones and those that were cut off are not; the same reasoning is learnt once; at most so many ways."""
    tasks = [Task(({"role": "user", "content": str(number)},), {}) for number in range(3)]
    tried = [
        [row("4, since 2+2"), row("4, SINCE 2 + 2."), row("four"), row("five", passed=False), row("4!", ended=False)],
        [row("one"), row("two"), row("three")],
        [row("wrong", passed=False)],
    ]
    lines, facts = verified(tasks, tried, 2)
    said = [[message["content"] for message in line["messages"]] for line in lines]
    assert said == [["0", "4, since 2+2"], ["0", "four"], ["1", "one"], ["1", "two"]]
    counted = {"prompts": 3, "solved": 2, "tried": 9, "passed": 0.7778, "verified": 4, "grade_errors": 0}
    assert facts == counted
    _, alike = verified(tasks[:2], tried[1:2] * 2, 2)
    assert "All 6 answers were graded 1" in alike["warning"]


def test_what_was_tried_is_kept_whole(tmp_path: Path) -> None:
    """A line that was cut short is not there; what another run tried is not taken."""
    file = tmp_path / "tried.jsonl"
    log = Log(file, "one")
    assert log.read() == []
    log.add([[row("a")], [row("b\u2028")]])
    log.add([[row("c")]])
    with file.open("a", encoding="utf-8") as stream:
        stream.write('[[{"te')
    found = Log(file, "one").read()
    assert [rows[0]["text"] for rows in found] == ["a", "b\u2028", "c"]
    Log(file, "one").add([[row("d")]])
    assert len(Log(file, "one").read()) == 4
    assert Log(file, "two").read() == []


@pytest.mark.slow
def test_a_killed_run_ends_as_an_undisturbed_one(reasoning_plan: MakePlan) -> None:
    """Killed while it tries answers, and again while it learns: the same answers, losses and bytes."""
    calm, killed = reasoning_plan("calm"), reasoning_plan("killed")
    facts = finished(calm)
    assert facts["done"]
    assert facts["prompts"] == 24
    assert 2 <= facts["solved"] <= facts["verified"] <= facts["tried"] == 96
    killed_at(killed, {"note": "tries answers: 16"})
    assert (Path(killed.scratch) / "tried.jsonl").read_text().count("\n") >= 2
    killed_at(killed, {"step": len(facts["losses"]) // 2})
    again = finished(killed)
    tried = [(Path(plan.scratch) / "tried.jsonl").read_text().split("\n")[1:] for plan in (calm, killed)]
    assert tried[0] == tried[1]
    assert again["losses"] == facts["losses"]
    for name in RESULTS:
        assert (Path(killed.out) / name).read_bytes() == (Path(calm.out) / name).read_bytes()


def test_a_grader_that_fails_ends_the_run(reasoning_plan: MakePlan) -> None:
    """Its own words say why; one that is missing or unknown is refused before anything is tried."""
    broken = {**HOLDS, "type": "json_schema", "json_schema": {"type": "object"}}
    for wrong in (None, broken, {"type": "magic"}):
        with pytest.raises(BadRequest):
            train(reasoning_plan(grader=wrong))


def test_a_model_that_is_never_right_has_nothing_to_learn(reasoning_plan: MakePlan) -> None:
    """The message says how many prompts were answered rightly."""
    with pytest.raises(Exception, match="0 were ever answered rightly"):
        train(reasoning_plan(grader={**HOLDS, "reference": "never says this"}, tokens=4))
