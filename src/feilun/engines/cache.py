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

FIRST_SLOTS, FIRST_ROOM = 8, 128


@dataclass(frozen=True, slots=True)
class Span:
    """Rows ``begin`` to ``begin + count`` of a flat batch are the first tokens of the sequence in ``slot``.

    Before them it has the ``shared`` rows from ``head`` on: a beginning that several sequences have in common, which is
    computed once and is in no slot of its own (``slot`` -1).
    """

    slot: int
    begin: int
    count: int
    head: int = 0
    shared: int = 0


class Cache:
    """Float32 keys and values [held, Hkv, room, D] of every layer.

    ``held`` grows with the highest slot that was used, ``room`` with the longest sequence, each by doubling.
    """

    def __init__(self, shape: Shape, slots: int, context: int) -> None:
        """Hold ``slots`` sequences of at most ``context`` tokens."""
        self.slots, self.context = slots, context
        self.held, self.room = min(slots, FIRST_SLOTS), min(context, FIRST_ROOM)
        size = (self.held, shape.kv_heads, self.room, shape.head_dim)
        self.keys = [torch.zeros(size) for _ in range(shape.layers)]
        self.values = [torch.zeros(size) for _ in range(shape.layers)]
        self.groups = shape.heads // shape.kv_heads

    def _fit(self, slot: int, tokens: int) -> None:
        """Make room for a sequence of ``tokens`` tokens in ``slot``."""
        held, room = self.held, self.room
        while held <= slot:
            held = min(self.slots, held * 2)
        while room < tokens:
            room = min(self.context, room * 2)
        if (held, room) != (self.held, self.room):
            for kept in (self.keys, self.values):
                for layer, old in enumerate(kept):
                    kept[layer] = functional.pad(old, (0, 0, 0, room - self.room, 0, 0, 0, held - self.held))
            self.held, self.room = held, room

    def prefill(self, spans: Sequence[Span]) -> Attend:
        """Return the attention for new sequences: causal, each among its own tokens; keys and values are kept."""
        self._fit(max(span.slot for span in spans), max(span.shared + span.count for span in spans))
        masks = [torch.ones(s.count, s.shared + s.count, dtype=torch.bool).tril(s.shared) for s in spans]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            parts = []
            for span, mask in zip(spans, masks, strict=True):
                head, rows = slice(span.head, span.head + span.shared), slice(span.begin, span.begin + span.count)
                own_k, own_v = (torch.cat((t[head], t[rows])).transpose(0, 1) for t in (k, v))
                if span.slot >= 0:
                    self.keys[layer][span.slot, :, : own_k.shape[1]] = own_k
                    self.values[layer][span.slot, :, : own_v.shape[1]] = own_v
                out = functional.scaled_dot_product_attention(
                    q[rows].transpose(0, 1)[None], own_k[None], own_v[None], attn_mask=mask, enable_gqa=True
                )
                parts.append(out[0].transpose(0, 1))
            return torch.cat(parts)

        return attend

    def decode(self, slots: Tensor, positions: Tensor) -> Attend:
        """Return the attention for one new token in each of ``slots`` [R] at ``positions`` [R]."""
        high, longest = int(slots.max()) + 1, int(positions.max()) + 1
        self._fit(high - 1, longest)
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
