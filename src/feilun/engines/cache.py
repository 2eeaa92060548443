"""Keys and values of the sequences that are being answered, one slot a sequence, and the attention over them.

It knows slots and positions. It does not know texts, requests or adapters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from feilun.engines.decoder import Attend, Shape


@dataclass(frozen=True, slots=True)
class Span:
    """Rows ``begin`` to ``begin + count`` of a flat batch are the first tokens of the sequence in ``slot``."""

    slot: int
    begin: int
    count: int


class Cache:
    """Float32 keys and values [slots, Hkv, context, D] of every layer; pages are taken only when first written."""

    def __init__(self, shape: Shape, slots: int, context: int) -> None:
        """Reserve room for ``slots`` sequences of ``context`` tokens."""
        size = (slots, shape.kv_heads, context, shape.head_dim)
        self.keys = [torch.from_numpy(np.zeros(size, dtype=np.float32)) for _ in range(shape.layers)]
        self.values = [torch.from_numpy(np.zeros(size, dtype=np.float32)) for _ in range(shape.layers)]
        self.groups = shape.heads // shape.kv_heads

    def prefill(self, spans: Sequence[Span]) -> Attend:
        """Return the attention for new sequences: causal, each among its own tokens; keys and values are kept."""

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
