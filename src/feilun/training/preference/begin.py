"""What every preference run begins with: the model that learns, what is computed once, what is not to be forgotten.

It knows plans, adapters and the scratch folder. It does not know losses or steps.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from feilun.engines.decoder import Decoder
from feilun.engines.prompts import Prompter
from feilun.training.learning import read_replay
from feilun.training.lora import Known, go_on_from, known_of, learn_base, new_factors, pack_loss
from feilun.training.pack import Sample, epoch, pack
from feilun.training.plan import Plan
from feilun.training.preference.odds import Policy

LOW_BYTES = 1 << 30  # states of the frozen layers are kept up to this size


def new_policy(plan: Plan) -> tuple[Prompter, Policy]:
    """Return the model that is to learn, as it begins: the base, or the adapter that the plan starts from."""
    base = Path(plan.base)
    decoder = Decoder(base, torch.bfloat16)
    first = round(plan.frozen * decoder.shape.layers)
    factors = new_factors(decoder, plan.rank, range(first, decoder.shape.layers), plan.seed)
    if plan.start:
        go_on_from(Path(plan.start), factors)
    return Prompter(base), Policy(decoder, factors, plan.alpha / plan.rank, first)


def parameters(policy: Policy) -> list[Tensor]:
    """Return what learns, in a fixed order."""
    return [factor for pair in policy.factors.values() for factor in pair]


def remembered(plan: Plan, name: str, make: Callable[[], Any]) -> Any:
    """Return what ``make`` gives (JSON), kept in the scratch folder: a run that goes on does not compute it again."""
    file, digest = Path(plan.scratch) / f"{name}.json", plan.digest()
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["plan"] == digest:
            return content["value"]
    except (OSError, ValueError, LookupError, TypeError):
        pass  # absent, cut short or of another plan: it is made again
    value = make()
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".part")
    fresh.write_text(json.dumps({"plan": digest, "value": value}), encoding="utf-8")
    fresh.replace(file)
    return value


@dataclass(frozen=True, slots=True)
class Keeping:
    """What the base model says to everyday prompts, of which a few are looked at in every step."""

    plan: Plan
    policy: Policy
    samples: Sequence[Sample]
    known: dict[Sample, Known]

    def learn(self, number: int, items: int) -> tuple[float, int]:
        """Add the gradients of what drifted in step ``number`` of so many items; return that loss and its tokens."""
        count = min(len(self.samples), round(self.plan.replay_share * items))
        if not count:
            return 0.0, 0
        chosen = random.Random(self.plan.seed * 1_000_003 + number).sample(self.samples, count)
        packed = pack(chosen)
        given, policy = known_of(self.known, chosen, packed), self.policy
        loss = pack_loss(policy.decoder, policy.factors, policy.scale, packed, given, self.plan.keep)
        torch.autograd.backward(loss)
        return loss.item(), sum(len(sample.ids) for sample in chosen)


def new_keeping(plan: Plan, prompter: Prompter, policy: Policy) -> Keeping:
    """Have the base model answer everyday prompts, unless it has, and read what it said."""
    if not plan.replay or not plan.replay_share:
        return Keeping(plan, policy, [], {})
    samples = list(dict.fromkeys(read_replay(plan, prompter)))
    known: dict[Sample, Known] = {}
    for group in epoch(samples, plan.rows, 0):
        known.update(learn_base(policy.decoder, group, plan.rows, policy.first, low=policy.first > 0))
    return Keeping(plan, policy, samples, known)
