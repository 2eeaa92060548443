"""Keys and values of the sequences that are being answered, one slot a sequence, and the attention over them.

It knows slots and positions. It does not know texts, requests or adapters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from feilun.engines.decoder import Attend, Shape

FIRST_ROOM = 256


@dataclass(frozen=True, slots=True)
class Span:
    """Rows ``begin`` to ``begin + count`` of a flat batch are the first tokens of the sequence in ``slot``."""

    slot: int
    begin: int
    count: int


class Cache:
    """Float32 keys and values [slots, Hkv, room, D] of every layer; ``room`` grows with the longest sequence so far."""

    def __init__(self, shape: Shape, slots: int, context: int) -> None:
        """Hold ``slots`` sequences of at most ``context`` tokens."""
        self.context, self.room = context, min(context, FIRST_ROOM)
        size = (slots, shape.kv_heads, self.room, shape.head_dim)
        self.keys = [torch.zeros(size) for _ in range(shape.layers)]
        self.values = [torch.zeros(size) for _ in range(shape.layers)]
        self.groups = shape.heads // shape.kv_heads

    def _fit(self, tokens: int) -> None:
        """Make room for a sequence of ``tokens`` tokens, doubling."""
        while self.room < tokens:
            room = min(self.context, self.room * 2)
            for kept in (self.keys, self.values):
                for layer, old in enumerate(kept):
                    kept[layer] = functional.pad(old, (0, 0, 0, room - self.room))
            self.room = room

    def prefill(self, spans: Sequence[Span]) -> Attend:
        """Return the attention for new sequences: causal, each among its own tokens; keys and values are kept."""
        self._fit(max(span.count for span in spans))

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            parts = []
            for span in spans:
                rows = slice(span.begin, span.begin + span.count)
                own_k, own_v = k[rows].transpose(0, 1), v[rows].transpose(0, 1)
                self.keys[layer][span.slot, :, : span.count] = own_k
                self.values[layer][span.slot, :, : span.count] = own_v
                out = functional.scaled_dot_product_attention(
                    q[rows].transpose(0, 1)[None], own_k[None], own_v[None], is_causal=True, enable_gqa=True
                )
                parts.append(out[0].transpose(0, 1))
            return torch.cat(parts)

        return attend

    def decode(self, slots: Tensor, positions: Tensor) -> Attend:
        """Return the attention for one new token in each of ``slots`` [R] at ``positions`` [R]."""
        high, longest = int(slots.max()) + 1, int(positions.max()) + 1
        self._fit(longest)
        last = torch.zeros(high, dtype=torch.long)
        last[slots] = positions
        hidden = torch.arange(longest)[None, :] > last[:, None]  # [high, longest]; a free slot sees its first key

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self.keys[layer], self.values[layer]
            keys[slots, :, positions] = k
            values[slots, :, positions] = v
            count, heads, dim = q.shape
            query = q.new_zeros(high, heads, dim)
            query[slots] = q
            # Query heads that share a key head stand as several queries of it, so keys are never copied.
            query = query.view(high, heads // self.groups, self.groups, dim)
            scores = (query @ keys[:high, :, :longest].transpose(-1, -2)) * dim**-0.5
            weights = scores.masked_fill(hidden[:, None, None, :], float("-inf")).softmax(-1)
            mixed: Tensor = weights @ values[:high, :, :longest]
            return mixed.reshape(high, heads, dim)[slots].view(count, heads, dim)

        return attend
