"""How likely a model finds answers: log-probabilities of their tokens, with gradients, a few rows at a time.

It knows packed trees, an adapter and one decoder. It does not know losses, graders or steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from feilun.engines.adapters import Factors
from feilun.engines.decoder import Decoder, rms_norm
from feilun.training.lora import NOTHING, Known, answer_states
from feilun.training.preference.trees import Forest, Tree, TreeAttention, plant, split

CHUNK = 192


class _TokenOdds(torch.autograd.Function):
    """log p of the targets. A row's slope is a vector as wide as its state, so it is made at once and kept.

    Odds over a whole vocabulary are by far the largest tensors of a step; so none outlives its few rows, and nothing
    is computed twice, whatever the loss makes of the sums.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        found, slope = torch.zeros(len(states)), torch.zeros_like(states) if wanted else states.new_empty(0)
        for begin in range(0, len(targets), CHUNK):
            rows = slice(begin, min(begin + CHUNK, len(targets)))
            odds = functional.linear(states[rows], head).float().log_softmax(-1)
            at, chosen = torch.arange(len(odds)), targets[rows]
            found[rows] = odds[at, chosen]
            if wanted:
                push = odds.exp_().neg_()
                push[at, chosen] += 1.0
                slope[rows] = push.to(states.dtype) @ head
        ctx.save_for_backward(slope)
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return slope * grad[:, None].to(slope.dtype), None, None


_token_odds: Callable[[Tensor, Tensor, Tensor], Tensor] = _TokenOdds.apply


@dataclass(frozen=True, slots=True)
class Policy:
    """A decoder with an adapter that may learn; ``first`` is the lowest layer that does."""

    decoder: Decoder
    factors: Factors
    scale: float
    first: int

    def states(self, forest: Forest, known: Known = NOTHING) -> Tensor:
        """Return the normed hidden states [want, hidden] that tell each next token."""
        shape = self.decoder.shape
        attend = TreeAttention(forest, shape.heads // shape.kv_heads)
        states = answer_states(self.decoder, self.factors, self.scale, forest.pack, known, attend)
        return rms_norm(states, self.decoder.final_norm, shape.epsilon)

    def ends(self, forest: Forest, known: Known = NOTHING) -> Tensor:
        """Return the normed hidden states [answers, hidden] at the last token of every answer."""
        return self.states(replace(forest, pack=replace(forest.pack, want=forest.ends)), known)

    def tokens(self, forest: Forest, known: Known = NOTHING) -> Tensor:
        """Return log p (nats, float32) of every answer token [len(owner)]."""
        real = len(forest.owner)
        return _token_odds(self.states(forest, known), self.decoder.head, forest.pack.targets[:real])[:real]

    def answers(self, forest: Forest, known: Known = NOTHING) -> Tensor:
        """Return log p of every answer, the sum over its tokens [answers]."""
        return summed(self.tokens(forest, known), forest)


def summed(tokens: Tensor, forest: Forest) -> Tensor:
    """Return the sums of what the tokens of each answer have [answers]."""
    return tokens.new_zeros(forest.answers).index_add(0, forest.owner, tokens)


def lengths(forest: Forest) -> Tensor:
    """Return how many tokens each answer has [answers]."""
    return torch.bincount(forest.owner, minlength=forest.answers)


@dataclass(frozen=True, slots=True)
class Lower:
    """What the layers that never learn make of every tree, computed once: states [tree.rows, hidden] by tree."""

    first: int
    kept: Mapping[Tree, Tensor]

    def known(self, trees: Sequence[Tree], forest: Forest) -> Known:
        """Return what is known of a pack of ``trees``; nothing unless all of it is."""
        found = [self.kept.get(tree) for tree in trees]
        states = [each for each in found if each is not None]
        if len(states) < len(trees):
            return NOTHING
        prefix = forest.pack.prefix
        parts = [states[0][:prefix], *(each[prefix:] for each in states)]
        spare = len(forest.pack.ids) - sum(map(len, parts))
        return Known(self.first, torch.cat((*parts, states[0].new_zeros(spare, states[0].shape[1]))), None)


def learn_lower(policy: Policy, trees: Sequence[Tree], rows: int, limit: int) -> Lower:
    """Run the layers that never learn over all ``trees``; nothing is kept that would take more than ``limit`` bytes."""
    decoder, kept = policy.decoder, dict[Tree, Tensor]()
    once = list(dict.fromkeys(trees))
    size = sum(tree.rows for tree in once) * decoder.shape.hidden * decoder.dtype.itemsize
    if not policy.first or size > limit:
        return Lower(policy.first, kept)
    groups = decoder.shape.heads // decoder.shape.kv_heads
    for places in split(once, rows):
        chosen = [once[place] for place in places]
        forest = plant(chosen)
        with torch.no_grad():
            x = decoder.embedding[forest.pack.ids]
            x = decoder.through(range(policy.first), x, forest.pack.positions, TreeAttention(forest, groups))
        begin, prefix = forest.pack.prefix, x[: forest.pack.prefix]
        for tree, length in zip(chosen, forest.pack.lengths, strict=True):
            kept[tree] = torch.cat((prefix, x[begin : begin + length]))
            begin += length
    return Lower(policy.first, kept)


def reference(policy: Policy, trees: Sequence[Tree], lower: Lower, rows: int) -> list[list[float]]:
    """Return log p of every answer of every tree as the policy is now."""
    found: list[list[float]] = []
    for places in split(trees, rows):
        chosen = [trees[place] for place in places]
        forest = plant(chosen)
        with torch.no_grad():
            odds = iter(policy.answers(forest, lower.known(chosen, forest)).tolist())
        found.extend([next(odds) for _ in tree.answers] for tree in chosen)
    return found
