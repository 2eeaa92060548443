"""What supervised training and continued pretraining share: steps that can be cut, what is held out, trials."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.invariants import assert_same_step, gradients, trained
from torch.nn import functional
from transformers import AutoModelForCausalLM

from feilun.engines.prompts import Prompter
from feilun.errors import BadRequest
from feilun.training.adapted import Adapted
from feilun.training.learning import Model, learn, mean_loss, read_replay, schedule, set_apart, step_of
from feilun.training.loop import PATIENCE, HeldOut, fit
from feilun.training.methods.cpt import windows
from feilun.training.methods.sft import read_chats
from feilun.training.pack import Sample, passes
from feilun.training.plan import Plan
from feilun.training.probe import STEPS, probe
from feilun.training.whole import Whole

MakePlan = Callable[..., Plan]
TEXT = "The lending rate of the credit union is four per cent. 信用社的贷款利率是百分之四。 " * 12


@pytest.fixture
def exact(make_plan: MakePlan) -> Plan:
    """Return a plan whose products are exact enough to compare."""
    return make_plan(dtype="float32", rank=4)


def stirred(model: Model) -> Model:
    """Return the model with parameters that are nowhere zero: fresh factors would hide half of the gradients."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters:
            parameter.add_(torch.randn(parameter.shape, generator=random) * 0.05)
    return model


def samples_of(kind: str, plan: Plan, prompter: Prompter) -> list[Sample]:
    """Return eight samples: six chats and two that are replayed, or windows of a text."""
    if kind == "cpt":
        return list(windows(prompter, TEXT, 20))[:8]
    return [*read_chats(plan, prompter, plan.samples)[:6], *read_replay(plan, prompter)[:2]]


@pytest.mark.parametrize("kind", ["supervised", "cpt"])
@pytest.mark.parametrize("make", [Adapted, Whole])
def test_a_step_is_the_same_however_it_is_cut(make: type[Model], kind: str, exact: Plan, prompter: Prompter) -> None:
    """A batch of 8 is 8 of 1 accumulated, and packed samples are samples alone: the same loss, the same gradients."""
    samples = samples_of(kind, exact, prompter)
    found = []
    for plan in (replace(exact, rows=2000), replace(exact, micro=3), replace(exact, micro=1)):
        model = stirred(make(plan))  # type: Model
        model.read(samples)
        found.append(gradients(model.parameters, step_of(plan, model, [samples])))
        cut = passes(samples, plan.rows, plan.micro)
        assert len(cut) == {0: 1, 3: 3, 1: 8}[plan.micro]
    assert_same_step(found[0], found[1])
    assert_same_step(found[0], found[2])


def test_all_weights_learn_as_transformers_says(exact: Plan, prompter: Prompter) -> None:
    """The loss and the gradient of every weight, the shared embedding too, are those of transformers."""
    samples = samples_of("cpt", exact, prompter)
    model = Whole(exact)
    loss, found = gradients(model.parameters, step_of(exact, model, [samples]))
    reference: Any = AutoModelForCausalLM.from_pretrained(exact.base, dtype=torch.float32)
    total, count = torch.zeros(()), 0
    for sample in samples:
        ids = torch.tensor([sample.ids])
        total = total + functional.cross_entropy(reference(ids).logits[0, :-1], ids[0, 1:], reduction="sum")
        count += len(sample.ids) - 1
    mean = total / count
    mean.backward()
    assert loss == pytest.approx(mean.item(), abs=1e-4)
    theirs = dict(reference.named_parameters())
    assert set(model.weights) == set(theirs)
    for name, gradient in zip(model.weights, found, strict=True):
        torch.testing.assert_close(gradient, theirs[name].grad, atol=1e-4, rtol=1e-3)


def test_a_start_is_merged_into_all_weights(make_plan: MakePlan, prompter: Prompter) -> None:
    """All weights begin where an adapter ended: the same loss as base and adapter together."""
    first = make_plan("first", epochs=6, dtype="float32")
    trained(first)
    plan = make_plan("second", start=first.out, dtype="float32")
    samples = samples_of("supervised", plan, prompter)[:6]
    adapted, whole = Adapted(plan), Whole(plan)
    assert mean_loss(plan, whole, samples) == pytest.approx(mean_loss(plan, adapted, samples), abs=1e-4)
    assert mean_loss(plan, Whole(replace(plan, start="")), samples) > mean_loss(plan, whole, samples) + 0.01


def test_batches_hold_so_many_samples(make_plan: MakePlan, prompter: Prompter) -> None:
    """With a batch size every step but a pass's last has so many samples; a pass has each once."""
    plan = make_plan(facts=20, epochs=2, batch=6, replay_share=0.0)
    facts = read_chats(plan, prompter, plan.samples)
    steps = schedule(plan, facts, [])
    assert [len(step) for step in steps] == [6, 6, 6, 2] * 2
    assert Counter(sample for step in steps[:4] for sample in step) == Counter(facts)


def test_what_is_set_apart_is_not_learnt(make_plan: MakePlan, make_sample: Callable[..., Sample]) -> None:
    """Of many samples a twentieth is held out, equal ones together; of few, none; what is given is enough."""
    plan = make_plan()
    many = [make_sample(f"Question number {number}?", "Yes.") for number in range(1000)]
    replayed = [make_sample(f"Say {number}.", str(number), True) for number in range(120)]
    data = set_apart(plan, [*many, *many[:60]], [], replayed)
    assert 40 <= len(data.held) <= 80
    assert not set(data.held) & set(data.facts)
    assert set(data.held) | set(data.facts) == set(many)
    assert data.kept
    assert not set(data.kept) & set(data.replayed)
    assert set_apart(plan, many[:900], [], replayed).held == []
    given = set_apart(plan, many, replayed[:3], [])
    assert (given.facts, given.held) == (many, replayed[:3])


def test_samples_that_are_all_the_same_are_refused(make_plan: MakePlan, prompter: Prompter) -> None:
    """There is nothing to tell apart."""
    plan = make_plan()
    same = read_chats(plan, prompter, plan.samples)[:1] * 12
    with pytest.raises(BadRequest, match="All 12 samples are the same"):
        learn(plan, Adapted(plan), same, [], [])


class Hill:
    """A parameter whose held-out loss falls to a low point and rises again as it grows."""

    def __init__(self, low: float) -> None:
        """Begin at zero."""
        self.value = torch.zeros(1, requires_grad=True)
        self.low = low

    def step(self, number: int) -> tuple[float, int]:
        """Push the parameter upwards, whatever the number."""
        del number
        (-self.value.sum()).backward()
        return float(-self.value.detach()), 1

    def held_out(self) -> float:
        """Return the distance from the low point."""
        return abs(float(self.value.detach()) - self.low)


def test_a_run_ends_at_its_lowest_held_out_loss(make_plan: MakePlan, capsys: pytest.CaptureFixture[str]) -> None:
    """It stops so many looks behind the lowest, and leaves the parameters as they were there."""
    plan, hill = make_plan(learning_rate=0.1, warmup=0.0), Hill(1.0)
    state = fit(plan, [hill.value], 100, hill.step, HeldOut(hill.held_out, 5))
    assert state.early
    assert state.step < 100
    assert hill.held_out() == pytest.approx(min(loss for _, loss in state.held), abs=1e-4)
    assert sum(step > state.best for step, _ in state.held) == PATIENCE
    assert "lowest at step" in capsys.readouterr().out
    again = Hill(1.0)
    resumed = fit(plan, [again.value], 100, again.step, HeldOut(again.held_out, 5))
    assert (resumed.losses, resumed.held, resumed.best) == (state.losses, state.held, state.best)
    assert torch.equal(again.value, hill.value)


def test_without_overfitting_the_last_step_is_the_best(make_plan: MakePlan) -> None:
    """A held-out loss that falls to the end ends nothing."""
    plan, hill = make_plan(learning_rate=0.01), Hill(50.0)
    state = fit(plan, [hill.value], 20, hill.step, HeldOut(hill.held_out, 5))
    assert (state.early, state.best, state.step) == (False, 20, 20)


def tried(plan: Plan, low: float, steps: int) -> tuple[Plan, dict[str, Any]]:
    """Probe a hill for a run of so many steps."""
    hill, sample = Hill(low), Sample((1, 2), 1)
    found = probe(plan, [hill.value], lambda _: [[sample]] * steps, lambda _: hill.step, hill.held_out)
    assert hill.value.item() == 0.0, "trials leave nothing behind"
    return found


def test_trials_choose_the_rate_that_the_data_wants(make_plan: MakePlan) -> None:
    """A low point far away wants a larger rate, one close by a smaller one; all trials are told."""
    plan = make_plan(learning_rate=0.1, replay_share=0.0)
    far, told = tried(plan, 100.0, 2000)
    assert far.learning_rate == pytest.approx(0.3)
    assert [trial["learning_rate"] for trial in told["tried"]] == pytest.approx([0.1, 0.1 / 3, 0.3])
    close, _ = tried(plan, 0.05, 2000)
    assert close.learning_rate == pytest.approx(0.1 / 3)
    assert len(told["tried"]) * STEPS <= 0.05 * 2000


def test_trials_that_do_not_pay_are_not_made(make_plan: MakePlan) -> None:
    """A short run, and a rate that somebody chose, keep theirs; it is said why."""
    plan = make_plan(learning_rate=0.1, replay_share=0.0)
    short, told = tried(plan, 100.0, 120)
    assert short == plan
    assert "trials pay from" in told["skipped"]
    chosen, told = tried(replace(plan, named=("learning_rate",)), 100.0, 2000)
    assert chosen.learning_rate == 0.1
    assert "given" in told["skipped"]


def test_a_run_tells_what_it_chose(make_plan: MakePlan) -> None:
    """Facts of the run: method, rate, why there were no trials, held-out losses, how much is forgotten."""
    plan = make_plan(facts=12, epochs=2, seed=1)
    held = Path(plan.samples).with_name("held.jsonl")
    held.write_text("".join(line + "\n" for line in Path(plan.samples).read_text().splitlines()[:3]))
    facts = trained(replace(plan, held_out=str(held)))
    assert facts["method"] == "supervised"
    assert facts["learning_rate"] == plan.learning_rate
    assert "trials pay" in facts["probe"]["skipped"]
    assert facts["held_out"][0][0] == 0
    assert facts["held_out"][-1][1] < facts["held_out"][0][1]
    assert json.loads(json.dumps(facts)) == facts
