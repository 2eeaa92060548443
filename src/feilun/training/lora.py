"""The differentiable part: a LoRA forward and backward pass over packed samples.

It knows one loss. It does not know optimisers, schedules or checkpoints. Base weights take no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from feilun.engines.adapters import Factors
from feilun.engines.decoder import PROJECTIONS, Decoder
from feilun.training.pack import Pack, Sample, pack


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


class PackedAttention:
    """Causal attention inside each sample of a pack; every sample also sees the shared beginning."""

    def __init__(self, pack: Pack, groups: int) -> None:
        """Build gather indices and mask for ``pack``; ``groups`` is query heads per key head."""
        prefix, lengths = pack.prefix, pack.lengths
        longest, count = max(lengths), len(lengths)
        self.prefix, self.groups = prefix, groups
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
        prefix, groups = self.prefix, self.groups
        dtype, spare = q.dtype, len(q) - prefix - len(self.scatter)
        q, k, v = q.float(), k.float().repeat_interleave(groups, 1), v.float().repeat_interleave(groups, 1)
        q_own, k_own, v_own = (self._own(t) for t in (q, k, v))
        if prefix:
            spread = (len(self.gather), -1, -1, -1)
            k_all = torch.cat((k[:prefix].transpose(0, 1).expand(spread), k_own), 2)
            v_all = torch.cat((v[:prefix].transpose(0, 1).expand(spread), v_own), 2)
        else:
            k_all, v_all = k_own, v_own
        own = _attention(q_own, k_all, v_all, self.mask)
        parts = [own.transpose(1, 2).reshape(-1, *q.shape[1:]).index_select(0, self.scatter)]
        if prefix:
            first = [t[:prefix].transpose(0, 1)[None] for t in (q, k, v)]
            head = _attention(first[0], first[1], first[2], self.first)
            parts.insert(0, head[0].transpose(0, 1))
        return torch.cat((*parts, q.new_zeros(spare, *q.shape[1:]))).to(dtype)

    def _own(self, flat: Tensor) -> Tensor:
        """Return [N, H, D] as [S, H, T, D]; selecting has a far quicker backward pass than indexing."""
        chosen = flat.index_select(0, self.gather.reshape(-1))
        return chosen.view(*self.gather.shape, *flat.shape[1:]).transpose(1, 2)


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Written out because samples are short: torch's fused CPU kernel measured slower below 100 tokens."""
    scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
    mixed: Tensor = scores.masked_fill(~mask, float("-inf")).softmax(-1) @ v
    return mixed


def answer_states(decoder: Decoder, factors: Factors, scale: float, pack: Pack) -> Tensor:
    """Return the hidden states [len(want), hidden] from which the next token of every answer is told."""
    cast = {key: (a.to(decoder.dtype), b.to(decoder.dtype)) for key, (a, b) in factors.items()}

    def linear(layer: int, name: str, x: Tensor) -> Tensor:
        pair = cast.get((layer, name))
        if pair is None:
            return decoder.linear(layer, name, x)
        weight, bias = decoder.products[layer][name], decoder.biases[layer].get(name)
        return _lora_linear(x, weight, bias, *pair, scale)

    attend = PackedAttention(pack, decoder.shape.heads // decoder.shape.kv_heads)
    return decoder.hidden(pack.ids, pack.positions, attend, linear, _norm).index_select(0, pack.want)


def teacher_states(decoder: Decoder, groups: Sequence[Sequence[Sample]], rows: int) -> dict[Sample, Tensor]:
    """Return for each sample the base model's states over its answer: its odds, kept small until they are needed."""
    found: dict[Sample, Tensor] = {}
    with torch.no_grad():
        for group in groups:
            states = answer_states(decoder, {}, 1.0, pack(group, rows))
            begin = 0
            for sample in group:
                end = begin + len(sample.ids) - sample.start
                found[sample] = states[begin:end].clone()
                begin = end
    return found


def pack_loss(
    decoder: Decoder, factors: Factors, scale: float, pack: Pack, teacher: Tensor | None, keep: float
) -> Tensor:
    """Return the loss of a pack: what is to be learnt, plus ``keep`` times how far replayed answers have drifted.

    The first is the cross-entropy (nats) of the answers, the second the Kullback-Leibler divergence of the base model's
    odds (``teacher`` states [replayed tokens, hidden], in the pack's order) from the adapted model's (Hinton et al.
    2015); both are means over answer tokens, weighted by sample.
    """
    logits = decoder.logits(answer_states(decoder, factors, scale, pack)).float()
    losses = functional.cross_entropy(logits, pack.targets, reduction="none").masked_fill(pack.replay, 0.0)
    total = (losses * pack.weights).sum()
    if teacher is not None:
        with torch.no_grad():
            base = decoder.logits(teacher).float().log_softmax(-1)
        now = logits[pack.replay].log_softmax(-1)
        drift = (base.exp() * (base - now)).sum(-1)
        total = total + keep * (drift * pack.weights[pack.replay]).sum()
    return total / pack.weights.sum()
