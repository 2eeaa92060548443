"""The differentiable part: a LoRA forward and backward pass over packed samples.

It knows one loss. It does not know optimisers, schedules or checkpoints. Base weights take no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from feilun.engines.adapters import Factors, read_adapter
from feilun.engines.decoder import PROJECTIONS, Decoder
from feilun.errors import BadModel
from feilun.training.pack import Pack, Sample, pack

CHUNK = 192


class _LoraLinear(torch.autograd.Function):
    """y = x W' + s (x A') B', with the backward pass written out: three large products fewer than autograd makes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        low = x @ a.t()
        ctx.save_for_backward(x, weight, a, b, low)
        ctx.scale = scale
        return torch.addmm(functional.linear(x, weight, bias), low, b.t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b, low = ctx.saved_tensors
        down = (grad @ b) * ctx.scale
        dx = torch.addmm(grad @ weight, down, a) if ctx.needs_input_grad[0] else None
        return dx, None, None, down.t() @ x, (grad.t() @ low) * ctx.scale, None


class _RmsNorm(torch.autograd.Function):
    """Root mean square norm whose weight is frozen; float32 inside."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(x, weight, scale)
        return (wide * scale).to(x.dtype) * weight

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        wide, inner = x.float(), (grad * weight).float()
        along = (inner * wide).mean(-1, keepdim=True) * scale * scale
        return ((inner - wide * along) * scale).to(x.dtype), None, None


# The library leaves ``apply`` untyped; these two say what ours take and give.
_lora_linear: Callable[[Tensor, Tensor, Tensor | None, Tensor, Tensor, float], Tensor] = _LoraLinear.apply
_rms_norm: Callable[[Tensor, Tensor, float], Tensor] = _RmsNorm.apply


def _norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return _rms_norm(x, weight, epsilon)


def new_factors(decoder: Decoder, rank: int, layers: range, seed: int) -> Factors:
    """Return fresh float32 factors for every projection of ``layers``: A random (Kaiming uniform), B zero."""
    random = torch.Generator().manual_seed(seed)
    factors: Factors = {}
    for layer in layers:
        for name in PROJECTIONS:
            out, width = decoder.products[layer][name].shape
            a = (torch.rand(rank, width, generator=random) * 2 - 1) / width**0.5
            factors[layer, name] = (a.requires_grad_(), torch.zeros(out, rank).requires_grad_())
    return factors


def go_on_from(adapter: Path, factors: Factors) -> None:
    """Set the factors to those of an adapter; raise BadModel if it has another shape."""
    kept = read_adapter(adapter, torch.float32).factors
    if {key: (a.shape, b.shape) for key, (a, b) in kept.items()} != {
        key: (a.shape, b.shape) for key, (a, b) in factors.items()
    }:
        raise BadModel(f"The adapter {adapter} has another shape than this run's.", "Start from the base model.")
    with torch.no_grad():
        for key, pair in factors.items():
            for target, value in zip(pair, kept[key], strict=True):
                target.copy_(value)


class PackedAttention:
    """Causal attention inside each sample of a pack; every sample also sees the shared beginning."""

    def __init__(self, pack: Pack, groups: int) -> None:
        """Build gather indices and mask for ``pack``; ``groups`` is query heads per key head."""
        prefix, lengths = pack.prefix, pack.lengths
        longest, count = max(lengths), len(lengths)
        self.prefix, self.grouped = prefix, groups > 1
        steps = torch.arange(longest)
        sizes = torch.tensor(lengths)
        begins = prefix + torch.cumsum(sizes, 0) - sizes
        real = steps < sizes[:, None]
        self.gather = torch.where(real, begins[:, None] + steps, 0)  # [S, T] flat index of each padded place
        self.scatter = (torch.arange(count)[:, None] * longest + steps)[real]  # padded place of each flat row
        causal = steps[:, None] >= steps[None, :]
        self.mask = torch.cat((torch.ones(longest, prefix, dtype=torch.bool), causal), dim=1)
        self.first = torch.ones(prefix, prefix, dtype=torch.bool).tril()

    def __call__(self, _layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend: q [N, Hq, D], k and v [N, Hkv, D] -> [N, Hq, D]."""
        prefix = self.prefix
        dtype, spare = q.dtype, len(q) - prefix - len(self.scatter)
        q, k, v = q.float(), k.float(), v.float()
        q_own, k_own, v_own = (self._own(t) for t in (q, k, v))
        if prefix:
            spread = (len(self.gather), -1, -1, -1)
            k_all = torch.cat((k[:prefix].transpose(0, 1).expand(spread), k_own), 2)
            v_all = torch.cat((v[:prefix].transpose(0, 1).expand(spread), v_own), 2)
        else:
            k_all, v_all = k_own, v_own
        own = _attention(q_own, k_all, v_all, self.mask, grouped=self.grouped)
        parts = [own.transpose(1, 2).reshape(-1, *q.shape[1:]).index_select(0, self.scatter)]
        if prefix:
            first = [t[:prefix].transpose(0, 1)[None] for t in (q, k, v)]
            head = _attention(first[0], first[1], first[2], self.first, grouped=self.grouped)
            parts.insert(0, head[0].transpose(0, 1))
        return torch.cat((*parts, q.new_zeros(spare, *q.shape[1:]))).to(dtype)

    def _own(self, flat: Tensor) -> Tensor:
        """Return [N, H, D] as [S, H, T, D]; selecting has a far quicker backward pass than indexing."""
        chosen = flat.index_select(0, self.gather.reshape(-1))
        return chosen.view(*self.gather.shape, *flat.shape[1:]).transpose(1, 2)


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, *, grouped: bool) -> Tensor:
    """Attend in float32 by the fused kernel, which keeps no scores; in bfloat16 it measured slower on short samples."""
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)


@dataclass(frozen=True, slots=True)
class Known:
    """What the base model makes of a sample, or of a whole pack, computed once: the layers below ``first`` never learn.

    ``low`` [N, hidden]: states below layer ``first``; None where they are computed again each time. ``answer``
    [answer tokens, hidden]: last states over replayed answers, which are the base's odds, kept small until needed.
    """

    first: int
    low: Tensor | None
    answer: Tensor | None


NOTHING = Known(0, None, None)


def learn_base(decoder: Decoder, group: Sequence[Sample], rows: int, first: int, low: bool) -> dict[Sample, Known]:
    """Return what the base model makes of every sample of a group; ``low`` says whether lower states are kept."""
    found: dict[Sample, Known] = {}
    packed = pack(group, rows)
    attend = PackedAttention(packed, decoder.shape.heads // decoder.shape.kv_heads)
    replayed = packed.want[packed.replay]
    rest = range(first, decoder.shape.layers) if len(replayed) else range(0)
    with torch.no_grad():
        states = decoder.through(range(first), decoder.embedding[packed.ids], packed.positions, attend)
        last = decoder.through(rest, states, packed.positions, attend)[replayed]
    sizes = [len(sample.ids) - sample.start for sample in group if sample.replay]
    begin, answers = packed.prefix, iter(torch.split(last, sizes))
    for sample in group:
        end = begin + len(sample.ids) - packed.prefix
        kept = torch.cat((states[: packed.prefix], states[begin:end])) if low else None
        found[sample] = Known(first, kept, next(answers).clone() if sample.replay else None)
        begin = end
    return found


def known_of(known: Mapping[Sample, Known], group: Sequence[Sample], packed: Pack) -> Known:
    """Return what is known of a pack of ``group``; ``known`` holds its replayed samples at least."""
    each = [known.get(sample, NOTHING) for sample in group]
    answers = [found.answer for found in each if found.answer is not None]
    lows = [found.low for found in each if found.low is not None]
    answer = torch.cat(answers) if answers else None
    if len(lows) < len(each):
        return Known(0, None, answer)
    parts = [lows[0][: packed.prefix], *(low[packed.prefix :] for low in lows)]
    spare = len(packed.ids) - sum(len(part) for part in parts)
    return Known(each[0].first, torch.cat((*parts, lows[0].new_zeros(spare, lows[0].shape[1]))), answer)


def answer_states(
    decoder: Decoder,
    factors: Factors,
    scale: float,
    pack: Pack,
    known: Known = NOTHING,
    attend: PackedAttention | None = None,
) -> Tensor:
    """Return the hidden states [len(want), hidden] from which the next token of every answer is told."""
    cast = {key: (a.to(decoder.dtype), b.to(decoder.dtype)) for key, (a, b) in factors.items()}

    def linear(layer: int, name: str, x: Tensor) -> Tensor:
        pair = cast.get((layer, name))
        if pair is None:
            return decoder.linear(layer, name, x)
        weight, bias = decoder.products[layer][name], decoder.biases[layer].get(name)
        return _lora_linear(x, weight, bias, *pair, scale)

    x = decoder.embedding[pack.ids] if known.low is None else known.low
    layers = range(0 if known.low is None else known.first, decoder.shape.layers)
    attend = attend or PackedAttention(pack, decoder.shape.heads // decoder.shape.kv_heads)
    return decoder.through(layers, x, pack.positions, attend, linear, _norm).index_select(0, pack.want)


@dataclass(frozen=True, slots=True)
class Teacher:
    """What the base model's odds over replayed answers are made of: normed states [answer tokens, hidden], its head."""

    states: Tensor
    head: Tensor


class _Loss(torch.autograd.Function):
    """What is to be learnt and kept, with the gradient made at once, a few rows at a time.

    Odds over a whole vocabulary are by far the largest tensors of a step: whole, they are read and written from memory
    a dozen times, and keeping them for a backward pass would double that. The head gets its gradient only if it learns.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, head: Tensor, teacher: Teacher | None, pack: Pack, keep: float, whole: float
    ) -> Tensor:
        weights, learns = pack.weights / whole, ctx.needs_input_grad[1]
        total, slope = torch.zeros(()), torch.zeros_like(states)
        lean = torch.zeros(head.shape) if learns else None

        def push(rows: Tensor, by: Tensor) -> None:
            narrow = by.to(states.dtype)
            slope[rows] = narrow @ head
            if lean is not None:
                lean.add_(narrow.t() @ states[rows])

        for rows in torch.split((~pack.replay & (weights > 0)).nonzero()[:, 0], CHUNK):
            odds, at = functional.linear(states[rows], head).float().log_softmax(-1), torch.arange(len(rows))
            total -= (odds[at, pack.targets[rows]] * weights[rows]).sum()
            odds.exp_()[at, pack.targets[rows]] -= 1.0
            push(rows, odds.mul_(weights[rows, None]))
        if teacher is not None:
            replayed = pack.replay.nonzero()[:, 0]
            for rows, wanted in zip(torch.split(replayed, CHUNK), torch.split(teacher.states, CHUNK), strict=True):
                base = functional.linear(wanted, teacher.head).float().log_softmax(-1)
                odds, share = functional.linear(states[rows], head).float().log_softmax(-1), base.exp()
                total += keep * ((share * base.sub_(odds)).sum(-1) * weights[rows]).sum()
                push(rows, odds.exp_().sub_(share).mul_(keep * weights[rows, None]))
        ctx.save_for_backward(slope, lean)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        slope, lean = ctx.saved_tensors
        steep = None if lean is None else (lean * grad).to(slope.dtype)
        return slope * grad.to(slope.dtype), steep, None, None, None, None


loss_of: Callable[[Tensor, Tensor, Teacher | None, Pack, float, float], Tensor] = _Loss.apply


def pack_loss(
    decoder: Decoder,
    factors: Factors,
    scale: float,
    pack: Pack,
    known: Known = NOTHING,
    keep: float = 0.0,
    whole: float = 0.0,
) -> Tensor:
    """Return the loss of a pack: what is to be learnt, plus ``keep`` times how far replayed answers have drifted.

    The first is the cross-entropy (nats) of the answers, the second the Kullback-Leibler divergence of the base model's
    odds (``known.answer``, in the pack's order) from the adapted model's (Hinton et al. 2015); both are means over
    answer tokens, weighted by sample. ``whole`` is the weight of all samples of the step (0: this pack is all of it),
    so that the losses of a step's packs sum to the loss of the step.
    """
    norm, epsilon = decoder.final_norm, decoder.shape.epsilon
    states = _norm(answer_states(decoder, factors, scale, pack, known), norm, epsilon)
    teacher = None if known.answer is None else Teacher(_norm(known.answer, norm, epsilon), decoder.head)
    return loss_of(states, decoder.head, teacher, pack, keep, whole or float(pack.weights.sum()))
