"""Attention over a tree of tokens: each token sees the past, the nodes that its own hangs on, and its own up to itself.

The past is what all have in common; their queries meet its keys in one product. What differs is gathered, padded and
attended in few calls, since many small ones cost more than their arithmetic. Both parts are joined by the logarithm of
their sums. This module knows keys, values and nodes. It does not know weights or what is asked.

Source: the joining of partial softmaxes is that of Dao et al. 2022 (FlashAttention).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from feilun.engines.decoder import Attend, Shape
from feilun.engines.reading.prefixes import Node

_OPERATOR = "_scaled_dot_product_flash_attention_for_cpu"
LONG = 256  # tokens of a node that is attended by itself
MOST_PAIRS = 1 << 20  # of queries and keys in one padded call
# The public function keeps the logarithms of the sums to itself.
_flash = getattr(torch.ops.aten, _OPERATOR)


@dataclass(slots=True)
class Past:
    """Keys and values [Hkv, tokens, D] of every layer, that a group of nodes has in common; none at the beginning."""

    keys: list[Tensor]
    values: list[Tensor]

    @classmethod
    def none(cls, shape: Shape) -> Past:
        """Return one of no tokens."""
        empty = torch.zeros(shape.kv_heads, 0, shape.head_dim)
        return cls([empty] * shape.layers, [empty] * shape.layers)


@dataclass(slots=True)
class Work:
    """A node in the making: rows of its group that stand ``before`` it, and (from its level on) its ``own``."""

    node: Node
    before: tuple[range, ...] = ()
    own: range = field(default_factory=lambda: range(0))


@dataclass(slots=True)
class _Bucket:
    """Nodes attended together: queries [B, n] and keys [B, K] as rows of the level and of the group; a mask [B, n, K].

    ``real`` are the places of queries that are no padding. One node alone has no mask: it is causal.
    """

    queries: Tensor
    keys: Tensor
    mask: Tensor | None
    real: Tensor


class Tree:
    """The keys and values of a group of nodes, level by level, beside the past that they share."""

    def __init__(self, shape: Shape, past: Past) -> None:
        """Begin below ``past``."""
        self._shape, self._past = shape, past
        self._keys: list[list[Tensor]] = [[] for _ in range(shape.layers)]
        self._values: list[list[Tensor]] = [[] for _ in range(shape.layers)]
        self._rows = 0

    def longer(self) -> Past:
        """Return the past with all that was kept behind it."""
        found = []
        for old, new in ((self._past.keys, self._keys), (self._past.values, self._values)):
            more = [torch.cat(parts).transpose(0, 1) for parts in new]
            found.append([torch.cat((a.to(b.dtype), b), 1) for a, b in zip(old, more, strict=True)])
        return Past(*found)

    def level(self, works: list[Work], *, keep: bool) -> Attend:
        """Return the attention of a level whose rows are the tokens of ``works``, one node after the other.

        Keys and values are kept for what hangs below, if ``keep``.
        """
        begin = self._rows
        for work in works:
            work.own = range(begin, begin + work.node.end - work.node.begin)
            begin = work.own.stop
        buckets = [self._bucket(works[0].own.start, bucket) for bucket in _buckets(works)]
        if keep:
            self._rows = begin

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = torch.cat([*self._keys[layer], k]), torch.cat([*self._values[layer], v])
            if keep:
                self._keys[layer].append(k)
                self._values[layer].append(v)
            out, sums = torch.empty_like(q), q.new_empty(q.shape[:2], dtype=torch.float32)
            for bucket in buckets:
                self._own(bucket, (q, keys, values), out, sums)
            past = self._past.keys[layer], self._past.values[layer]
            return self._joined(q, past, out, sums) if past[0].shape[1] else out

        return attend

    def _bucket(self, first: int, works: list[Work]) -> _Bucket:
        if len(works) == 1 and not works[0].before:
            own = torch.tensor(works[0].own)
            return _Bucket(own - first, own, None, torch.empty(0))
        seen = [[row for rows in work.before for row in rows] for work in works]
        count = max(len(work.own) for work in works)
        room = max(len(before) + len(work.own) for before, work in zip(seen, works, strict=True))
        queries, keys = (
            torch.zeros(len(works), count, dtype=torch.long),
            torch.zeros(len(works), room, dtype=torch.long),
        )
        mask = torch.full((len(works), count, room), float("-inf"))
        mask[:, :, 0] = 0  # padding sees something: a sum over nothing would be no number
        real = torch.zeros(len(works), count, dtype=torch.bool)
        for place, (before, work) in enumerate(zip(seen, works, strict=True)):
            size, behind = len(work.own), len(before)
            queries[place, :size] = torch.tensor(work.own) - first
            keys[place, : behind + size] = torch.tensor([*before, *work.own])
            allowed = torch.ones(size, behind + size, dtype=torch.bool).tril(behind)
            mask[place, :size, : behind + size].masked_fill_(allowed, 0.0)
            real[place, :size] = True
        return _Bucket(queries, keys, mask, real)

    def _own(self, bucket: _Bucket, qkv: tuple[Tensor, Tensor, Tensor], out: Tensor, sums: Tensor) -> None:
        """Attend within the group; write what comes out, and the logarithms of its sums."""
        q, keys, values = qkv
        heads, dim = self._shape.kv_heads, self._shape.head_dim
        groups = self._shape.heads // heads
        if bucket.mask is None:
            parts = (
                x[rows].transpose(0, 1)[None]
                for x, rows in ((q, bucket.queries), (keys, bucket.keys), (values, bucket.keys))
            )
            one, k, v = (x if x.shape[1] == heads * groups else x.repeat_interleave(groups, 1) for x in parts)
            mixed, total = _flash(one, k, v, 0.0, True)
            out[bucket.queries], sums[bucket.queries] = mixed[0].transpose(0, 1), total[0].t()
            return
        many, count = bucket.queries.shape
        # Query heads that share a key head stand as more queries of it.
        folded = q[bucket.queries].view(many, count, heads, groups, dim).permute(0, 2, 3, 1, 4)
        k, v = (x[bucket.keys].transpose(1, 2) for x in (keys, values))
        mask = bucket.mask.to(q.dtype)[:, None].repeat(1, 1, groups, 1)
        mixed, total = _flash(folded.reshape(many, heads, groups * count, dim), k, v, 0.0, False, attn_mask=mask)
        mixed = mixed.reshape(many, heads, groups, count, dim).permute(0, 3, 1, 2, 4).reshape(many, count, -1, dim)
        total = total.reshape(many, heads, groups, count).permute(0, 3, 1, 2).reshape(many, count, -1)
        rows = bucket.queries[bucket.real]
        out[rows], sums[rows] = mixed[bucket.real], total[bucket.real]

    def _joined(self, q: Tensor, past: tuple[Tensor, Tensor], out: Tensor, sums: Tensor) -> Tensor:
        """Return the attention over the past and the group together."""
        heads, dim = self._shape.kv_heads, self._shape.head_dim
        count, groups = len(q), self._shape.heads // heads
        folded = q.view(count, heads, groups, dim).permute(1, 2, 0, 3).reshape(1, heads, groups * count, dim)
        mixed, total = _flash(folded, past[0][None], past[1][None], 0.0, False)
        mixed = mixed.reshape(heads, groups, count, dim).permute(2, 0, 1, 3).reshape(count, -1, dim)
        total = total.reshape(heads, groups, count).permute(2, 0, 1).reshape(count, -1)
        share = torch.sigmoid(total - sums)[..., None].to(out.dtype)
        return torch.lerp(out, mixed, share)


def _buckets(works: list[Work]) -> Iterator[list[Work]]:
    """Yield nodes of like sizes together; a long one without anything before it by itself."""
    waiting: list[Work] = []
    longest = 0
    for work in sorted(works, key=lambda one: (len(one.own), sum(map(len, one.before)))):
        size = len(work.own)
        if size > LONG and not work.before:
            yield [work]
            continue
        whole = size + sum(map(len, work.before))
        full = (len(waiting) + 1) * size * max(longest, whole) > MOST_PAIRS
        if waiting and (full or size > 2 * len(waiting[0].own) + 16):
            yield waiting
            waiting, longest = [], 0
        waiting.append(work)
        longest = max(longest, whole)
    if waiting:
        yield waiting
