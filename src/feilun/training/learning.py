"""What supervised training, of adapters and of all weights, and continued pretraining share: from samples to a state.

It knows samples, passes over them, what is held out, and a model that gives losses. It does not know what samples are
made of, nor what becomes of the model.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from feilun.compute import say
from feilun.engines.prompts import Prompter
from feilun.errors import BadRequest
from feilun.records import JSON
from feilun.training.loop import HeldOut, State, Step, fit
from feilun.training.pack import Sample, encode, epoch, passes
from feilun.training.plan import Plan, read_lines
from feilun.training.probe import probe
from feilun.training.replay.answers import ensure_replay

EPOCHS, MOST_EPOCHS, LEAST_STEPS = 4, 30, 60  # a handful of samples needs more passes than a few hundred
HELD_FROM, HELD_SHARE, HELD_MOST = 1000, 0.05, 64  # of so many samples on, this share is held out, so many at most
KEPT_FROM, KEPT = 100, 24  # of so many replayed answers, so many only say how much is forgotten
LOOKS = 8


class Model(Protocol):
    """What learns: its leaves, what it computes once, and the loss of a backward pass."""

    @property
    def parameters(self) -> list[Tensor]:
        """Float32 leaves, in a fixed order."""

    def read(self, samples: Sequence[Sample]) -> None:
        """Compute what is computed once."""

    def loss(self, group: Sequence[Sample], whole: float) -> Tensor:
        """Return the loss of a pass of a step whose samples weigh ``whole``."""


@dataclass(frozen=True, slots=True)
class Data:
    """Samples that are learnt and replayed answers that are kept; and of both, those that are only looked at."""

    facts: list[Sample]
    replayed: list[Sample]
    held: list[Sample]
    kept: list[Sample]


def learn(
    plan: Plan, model: Model, facts: list[Sample], held: list[Sample], replayed: list[Sample]
) -> tuple[State, JSON]:
    """Train ``model`` on ``facts``; return the state of the run and what is told of it.

    ``held`` is looked at for the held-out loss; if it is empty, and there are enough samples, some are set apart.
    """
    if len(set(facts)) == 1 and len(facts) > 1:
        raise BadRequest(f"All {len(facts)} samples are the same.", "Train on different questions and answers.")
    data = set_apart(plan, facts, held, replayed)
    model.read(list(dict.fromkeys([*data.facts, *data.replayed, *data.held, *data.kept])))

    def loss() -> float:
        return mean_loss(plan, model, data.held) + mean_loss(plan, model, data.kept)

    def steps_of(chosen: Plan) -> list[list[Sample]]:
        return schedule(chosen, data.facts, data.replayed)

    plan, probed = probe(
        plan, model.parameters, steps_of, lambda steps: step_of(plan, model, steps), loss if data.held else None
    )
    steps = steps_of(plan)
    look = HeldOut(loss, max(1, len(steps) // LOOKS)) if data.held else None
    about = {"samples": len(facts), "replay": len(replayed), "held": len(data.held)}
    state = fit(plan, model.parameters, len(steps), step_of(plan, model, steps), look, about)
    told: JSON = {"learning_rate": plan.learning_rate, "replay_share": plan.replay_share, "probe": probed}
    if data.kept and plan.keep:
        with torch.no_grad():
            told["drift"] = round(mean_loss(plan, model, data.kept) / plan.keep, 5)
    return state, told


def step_of(plan: Plan, model: Model, steps: Sequence[Sequence[Sample]]) -> Step:
    """Return the step: several backward passes whose losses sum to the mean over all samples of the step."""

    def step(number: int) -> tuple[float, int]:
        chosen = steps[number]
        whole, total = sum(sample.weight for sample in chosen), 0.0
        for group in passes(chosen, plan.rows, plan.micro):
            loss = model.loss(group, whole)
            torch.autograd.backward(loss)
            total += loss.item()
        return total, sum(len(sample.ids) for sample in chosen)

    return step


def mean_loss(plan: Plan, model: Model, samples: Sequence[Sample]) -> float:
    """Return the loss over samples that are not learnt; 0 of none."""
    whole = sum(sample.weight for sample in samples)
    with torch.no_grad():
        return sum(model.loss(group, whole).item() for group in passes(samples, plan.rows, plan.micro))


def set_apart(plan: Plan, facts: list[Sample], held: list[Sample], replayed: list[Sample]) -> Data:
    """Hold out a twentieth of many samples unless some are given, and some of the replayed answers."""
    draw = random.Random(plan.seed)
    kept: list[Sample] = []
    if not held and len(facts) >= HELD_FROM:
        chosen = set(draw.sample(range(len(facts)), min(HELD_MOST, round(HELD_SHARE * len(facts)))))
        held = [facts[place] for place in sorted(chosen)]
        learnt = set(held)
        facts = [sample for sample in facts if sample not in learnt]
    if held and len(replayed) >= KEPT_FROM:
        chosen = set(draw.sample(range(len(replayed)), KEPT))
        kept = [replayed[place] for place in sorted(chosen)]
        replayed = [sample for place, sample in enumerate(replayed) if place not in chosen]
    return Data(facts, replayed, held, kept)


def schedule(plan: Plan, facts: list[Sample], replayed: list[Sample]) -> list[list[Sample]]:
    """Return the samples of every step in order; each pass has all samples and another draw of the replay.

    A step has ``plan.batch`` samples, or as many as fit into ``plan.rows``.
    """
    draw = random.Random(plan.seed)
    steps: list[list[Sample]] = []
    once = math.ceil(len(facts) / plan.batch) if plan.batch else len(epoch(facts, plan.rows, 0))
    for number in range(plan.epochs or max(EPOCHS, min(MOST_EPOCHS, math.ceil(LEAST_STEPS / once)))):
        count = min(len(replayed), round(plan.replay_share * len(facts)))
        chosen = draw.sample(replayed, count)
        groups = epoch([*facts, *chosen], plan.rows, plan.seed * 1000 + number)
        if plan.batch:
            flat = [sample for group in groups for sample in group]
            groups = [flat[begin : begin + plan.batch] for begin in range(0, len(flat), plan.batch)]
        steps.extend(groups)
    return steps


def read_replay(plan: Plan, prompter: Prompter) -> list[Sample]:
    """Return what the base model itself answers to everyday prompts, encoded; it is asked once per base."""
    if not plan.replay or not plan.replay_share:
        return []
    ensure_replay(plan, say)
    replayed = []
    for line in read_lines(plan.replay):
        messages = [{"role": "user", "content": line["prompt"]}, {"role": "assistant", "content": line["answer"]}]
        sample = encode(prompter, messages, plan.longest)
        if sample is None:
            continue
        ids = sample.ids[:-1] if line["finish"] == "length" else sample.ids  # cut short: its end is not one to keep
        if sample.start < len(ids):
            replayed.append(Sample(ids, sample.start, replay=True))
    return replayed
