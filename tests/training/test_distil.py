"""Distillation: what an answer costs, how a teacher's words become the student's, and that runs resume."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.processes import finished, killed_at

from feilun.engines.decoder import Decoder
from feilun.engines.prompts import Prompter
from feilun.errors import BadRequest, TooFewSamples
from feilun.training.lora import new_factors
from feilun.training.methods.distil import (
    Lesson,
    Told,
    Vocabulary,
    lesson_costs,
    loss_of,
    packs,
    read_lessons,
)
from feilun.training.plan import Plan
from feilun.training.preference.odds import Policy, learn_lower
from feilun.training.preference.trees import encode_tree

MakePlan = Callable[..., Plan]
RESULTS = ("adapter_model.safetensors", "chat_template.jinja", "golden.json")
SAID = (("What is the rate?", "It is four per cent."), ("今天的利率是多少？", "百分之四。"), ("Thank you.", "You are."))


def plain_costs(states: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, told: Told) -> torch.Tensor:
    """Return what each row costs, written down as the definition says, for autograd to differentiate."""
    logs = (states @ head.t()).log_softmax(-1)
    found = []
    for row, target in enumerate(targets.tolist()):
        if not told.known[row]:
            found.append(-logs[row, target])
            continue
        p = told.odds[row][told.odds[row] > 0]
        q = logs[row, told.ids[row][told.odds[row] > 0]].exp()
        rest, left = 1 - p.sum(), 1 - q.sum()
        found.append((p * (p / q).log()).sum() + (rest * (rest / left).log() if rest > 1e-6 else 0.0))
    return torch.stack(found)


def random_told(rows: int, width: int, vocabulary: int) -> Told:
    """Return odds that leave something for other words; the last row knows nothing."""
    ids = torch.stack([torch.randperm(vocabulary)[:width] for _ in range(rows)])
    odds = torch.rand(rows, width).softmax(-1) * 0.8
    odds[0, 1:] = 0.0  # only one word was named
    known = torch.ones(rows, dtype=torch.bool)
    known[-1] = False
    return Told(ids, odds, known)


def test_costs_and_slopes_are_those_of_the_definition() -> None:
    """Against plain autograd: the divergence from the named words' odds, and the log-likelihood elsewhere."""
    torch.manual_seed(1)
    states, head = torch.randn(7, 6, requires_grad=True), torch.randn(11, 6)
    told, targets, weights = random_told(5, 3, 11), torch.randint(11, (5,)), torch.rand(5)
    plain = plain_costs(states, head, targets, told)
    (wanted,) = torch.autograd.grad((plain * weights).sum(), states)
    ours = lesson_costs(states, head, targets, told.ids, told.odds, told.known)
    (slope,) = torch.autograd.grad((ours * weights).sum(), states)
    assert torch.allclose(ours, plain, atol=1e-5)
    assert torch.allclose(slope, wanted, atol=1e-5)
    assert (ours[:-1] > 0).all()


def test_a_student_that_is_the_teacher_has_nothing_to_learn() -> None:
    """The same odds: no cost and no slope, however few words the teacher names."""
    torch.manual_seed(2)
    states, head = torch.randn(4, 6, requires_grad=True), torch.randn(9, 6)
    odds, ids = (states @ head.t()).softmax(-1).detach().topk(3)
    known = torch.ones(4, dtype=torch.bool)
    costs = lesson_costs(states, head, torch.zeros(4, dtype=torch.long), ids, odds, known)
    (slope,) = torch.autograd.grad(costs.sum(), states)
    assert costs.abs().max() < 1e-5
    assert slope.abs().max() < 1e-5


@pytest.fixture
def policy(base: Path) -> Policy:
    """Give the tiny model in float32 with random factors on its upper layer."""
    decoder = Decoder(base, torch.float32)
    factors = new_factors(decoder, 4, range(1, decoder.shape.layers), 3)
    random = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for _, b in factors.values():
            b.copy_(torch.randn(b.shape, generator=random) * 0.2)
    return Policy(decoder, factors, 2.0, 1)


def rows_of(prompter: Prompter, answer: str, more: int = 2) -> list[dict[str, Any]]:
    """Return log-probabilities as a teacher with the same tokens tells them: its word, and some others."""
    pieces = [prompter.piece(token) for token in prompter.encode(answer)]
    others = [prompter.piece(token) for token in prompter.encode("rate member")][:more]
    return [{"token": piece, "top": [[piece, -0.3], *[[o, -3.0] for o in others if o != piece]]} for piece in pieces]


@pytest.fixture
def lessons(prompter: Prompter) -> list[Lesson]:
    """Give three lessons: two with odds, one without."""
    found = []
    for number, (asked, answer) in enumerate(SAID):
        tree = encode_tree(prompter, [{"role": "user", "content": asked}], [answer], 512)
        assert tree is not None
        told = rows_of(prompter, answer, number + 1) if number < 2 else []
        found.append(Lesson(tree, Vocabulary(prompter).told(tree.answers[0], told)))
    return found


def test_packed_together_is_each_alone(policy: Policy, lessons: list[Lesson], make_plan: MakePlan) -> None:
    """One pack, packs of one, kept lower states or none: the same loss and the same gradients."""
    plan, leaves = make_plan(), [factor for pair in policy.factors.values() for factor in pair]
    nothing = learn_lower(policy, [lesson.tree for lesson in lessons], 300, 0)
    kept = learn_lower(policy, [lesson.tree for lesson in lessons], 300, 1 << 30)
    found = []
    for lower, micro in ((nothing, 0), (nothing, 1), (kept, 0), (kept, 1)):
        parts = packs(lessons, replace(plan, rows=1000, micro=micro))
        assert len(parts) == (3 if micro else 1)
        loss = torch.stack([loss_of(policy, lower, forest, part) for forest, part in parts]).sum()
        found.append((loss.detach(), torch.autograd.grad(loss, leaves)))
    for loss, slopes in found[1:]:
        assert torch.allclose(loss, found[0][0], rtol=1e-5)
        assert all(torch.allclose(a, b, atol=2e-5) for a, b in zip(slopes, found[0][1], strict=True))


def test_odds_are_taken_where_the_tokens_agree(prompter: Prompter) -> None:
    """The same pieces: every place is known but the end; other pieces: none is; unknown words count as the others."""
    answer = "It is four per cent."
    tree = encode_tree(prompter, [{"role": "user", "content": "What?"}], [answer], 512)
    assert tree is not None
    rows = rows_of(prompter, answer)
    rows[0]["top"].append(["a word of no vocabulary", -2.0])
    told = Vocabulary(prompter).told(tree.answers[0], rows)
    assert told.known.tolist() == [True] * (len(tree.answers[0]) - 1) + [False]
    assert told.ids[:-1, 0].tolist() == list(tree.answers[0][:-1])
    assert told.odds[0].sum() == pytest.approx(2.718281828**-0.3 + 2 * 2.718281828**-3, abs=1e-4)
    merged = [{"token": rows[0]["token"] + rows[1]["token"], "top": []}, *rows[2:]]
    for foreign in (merged, rows[1:], [*rows, rows[0], rows[0]], []):
        assert not Vocabulary(prompter).told(tree.answers[0], foreign).known.any()


@pytest.fixture
def distil_plan(make_plan: MakePlan, prompter: Prompter) -> MakePlan:
    """Give a way to make a plan that learns a teacher's answers, half of them with odds."""

    def make(name: str = "run", **settings: Any) -> Plan:
        plan = make_plan(name, **{"epochs": 8, "learning_rate": 0.01, **settings, "method": "distillation"})
        lines = []
        for number in range(16):
            answer = f"The rate is {number % 4} per cent."
            line = {"prompt": [{"role": "user", "content": f"What is rate {number}?"}], "answer": answer}
            lines.append({**line, "logprobs": rows_of(prompter, answer)} if number % 2 else line)
        Path(plan.samples).write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
        return plan

    return make


@pytest.mark.slow
def test_a_killed_run_ends_as_an_undisturbed_one(distil_plan: MakePlan) -> None:
    """Killed in the middle and run again: the same losses and the same bytes; and the loss falls."""
    calm, killed = distil_plan("calm"), distil_plan("killed")
    facts = finished(calm)
    assert facts["done"]
    assert facts["with_odds"] == 8
    assert facts["losses"][-1] < 0.8 * facts["losses"][0]
    killed_at(killed, {"step": len(facts["losses"]) // 2})
    again = finished(killed)
    assert again["losses"] == facts["losses"]
    for name in RESULTS:
        assert (Path(killed.out) / name).read_bytes() == (Path(calm.out) / name).read_bytes()


def test_wrong_lines_are_named(distil_plan: MakePlan, prompter: Prompter) -> None:
    """A line without an answer, and answers that are all too long."""
    plan = distil_plan()
    with pytest.raises(TooFewSamples, match="0 of 16 answers fit into 8"):
        read_lessons(replace(plan, longest=8), prompter, plan.samples, odds=True)
    with Path(plan.samples).open("a", encoding="utf-8") as file:
        file.write('{"prompt": [{"role": "user", "content": "a"}], "answer": " "}\n')
    with pytest.raises(BadRequest, match="Line 17"):
        read_lessons(plan, prompter, plan.samples, odds=True)
