"""A base model with a LoRA adapter that learns, as the training methods use it.

It knows a plan, factors, and what the base makes of samples once. It does not know steps, optimisers or files of
samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from feilun.compute import say
from feilun.engines.decoder import Decoder
from feilun.training.lora import Known, go_on_from, known_of, learn_base, new_factors, pack_loss
from feilun.training.pack import Sample, epoch, pack
from feilun.training.plan import Plan, room

LOW_BYTES = 1 << 30  # states of the frozen layers are kept up to this size


class Adapted:
    """The base of a plan, fixed, and factors of its upper layers: new ones, or those of the plan's ``start``."""

    def __init__(self, plan: Plan) -> None:
        """Load the base; raise BadModel where it, or the adapter to go on from, does not fit."""
        self.plan = plan
        self.decoder = Decoder(Path(plan.base), getattr(torch, plan.dtype))
        layers = self.decoder.shape.layers
        self.first = round(plan.frozen * layers)
        self.factors = new_factors(self.decoder, plan.rank, range(self.first, layers), plan.seed)
        if plan.start:
            go_on_from(Path(plan.start), self.factors)
        self.known: dict[Sample, Known] = {}

    @property
    def parameters(self) -> list[Tensor]:
        """What learns, in a fixed order."""
        return [factor for pair in self.factors.values() for factor in pair]

    def read(self, samples: Sequence[Sample]) -> None:
        """Compute once what the base makes of samples: states below the first layer that learns, odds of replay."""
        width = self.decoder.shape.hidden * self.decoder.dtype.itemsize
        low = self.first > 0 and sum(len(sample.ids) for sample in samples) * width <= LOW_BYTES
        groups = epoch([sample for sample in samples if low or sample.replay], self.plan.rows, 0)
        for number, group in enumerate(groups):
            if number % 50 == 0:
                say(note=f"The base model reads all samples once: {number} of {len(groups)} packs.")
            self.known.update(learn_base(self.decoder, group, self.plan.rows, self.first, low))

    def loss(self, group: Sequence[Sample], whole: float) -> Tensor:
        """Return the loss of one backward pass; ``whole`` is the weight of all samples of its step."""
        packed = pack(group, room(self.plan))
        known = known_of(self.known, group, packed)
        scale = self.plan.alpha / self.plan.rank
        return pack_loss(self.decoder, self.factors, scale, packed, known, self.plan.keep, whole)
