"""Keys and values: of the sequences that are being answered, one slot a sequence, and of beginnings seen before.

It knows slots, positions and tokens. It does not know texts, requests or what an adapter is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from feilun.engines.decoder import Attend, Shape

FIRST_SLOTS, FIRST_ROOM = 8, 128
BLOCK = 16  # tokens; beginnings are kept in multiples of it


@dataclass(frozen=True, slots=True)
class Span:
    """``count`` rows of a flat batch from ``begin`` on: the tokens of a sequence from position ``start`` on."""

    slot: int
    begin: int
    count: int
    start: int = 0


def _zeros(size: tuple[int, int, int]) -> Tensor:
    """Return zeros that take memory only where something is written."""
    return torch.from_numpy(np.zeros(size, np.float32))


class Cache:
    """Float32 keys and values [held * Hkv, room, D] of every layer.

    ``held`` grows with the highest slot that was used, ``room`` with the longest sequence, each by doubling.
    """

    def __init__(self, shape: Shape, slots: int, context: int) -> None:
        """Hold ``slots`` sequences of at most ``context`` tokens."""
        self.slots, self.context = slots, context
        self.heads, self.groups = shape.kv_heads, shape.heads // shape.kv_heads
        self.held, self.room = min(slots, FIRST_SLOTS), min(context, FIRST_ROOM)
        size = (self.held * self.heads, self.room, shape.head_dim)
        self.keys = [_zeros(size) for _ in range(shape.layers)]
        self.values = [_zeros(size) for _ in range(shape.layers)]

    def fit(self, slot: int, tokens: int) -> None:
        """Make room for a sequence of ``tokens`` tokens in ``slot``."""
        held, room = self.held, self.room
        while held <= slot:
            held = min(self.slots, held * 2)
        while room < tokens:
            room = min(self.context, room * 2)
        if (held, room) != (self.held, self.room):
            for kept in (self.keys, self.values):
                for layer, old in enumerate(kept):
                    kept[layer] = _zeros((held * self.heads, room, old.shape[2]))
                    kept[layer][: old.shape[0], : old.shape[1]] = old
            self.held, self.room = held, room

    def own(self, slot: int) -> slice:
        """Return where the heads of a slot lie."""
        return slice(slot * self.heads, (slot + 1) * self.heads)

    def read(self, slot: int, begin: int, end: int) -> Tensor:
        """Return a copy [2 * layers, Hkv, end - begin, D] of some positions of a slot."""
        own = self.own(slot)
        return torch.stack([kept[own, begin:end] for kept in (*self.keys, *self.values)])

    def write(self, slot: int, content: Tensor) -> None:
        """Put what ``read`` gave at the beginning of a slot."""
        self.fit(slot, content.shape[2])
        own = self.own(slot)
        for kept, part in zip((*self.keys, *self.values), content, strict=True):
            kept[own, : part.shape[1]] = part

    def attend(self, slots: Sequence[int], positions: Sequence[int], spans: Sequence[Span] = ()) -> Attend:
        """Return the attention of a flat batch: first one new token in each of ``slots``, then ``spans``.

        ``slots`` are in order. Keys and values are kept.
        """
        for slot, position in zip(slots, positions, strict=True):
            self.fit(slot, position + 1)
        for span in spans:
            self.fit(span.slot, span.start + span.count)
        single = self._singles(slots, positions) if slots else None
        masks = [torch.ones(s.count, s.start + s.count, dtype=torch.bool).tril(s.start) for s in spans]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            parts = []
            if single:
                rows = slice(len(slots))
                parts.append(single(layer, q[rows], k[rows], v[rows]))
            for span, mask in zip(spans, masks, strict=True):
                rows, own = slice(span.begin, span.begin + span.count), self.own(span.slot)
                keys, values = (kept[layer][own, : mask.shape[1]] for kept in (self.keys, self.values))
                keys[:, span.start :] = k[rows].transpose(0, 1)
                values[:, span.start :] = v[rows].transpose(0, 1)
                out = functional.scaled_dot_product_attention(
                    q[rows].transpose(0, 1)[None], keys[None], values[None], attn_mask=mask, enable_gqa=True
                )
                parts.append(out[0].transpose(0, 1))
            return parts[0] if len(parts) == 1 else torch.cat(parts)

        return attend

    def _singles(self, slots: Sequence[int], positions: Sequence[int]) -> Attend:
        """Return the attention for one new token in each of ``slots`` at ``positions``.

        It goes over all slots up to the highest, in one product, without copying keys; one that is not asked for sees
        its first key and is dropped. Where few slots are asked for, copying their keys costs less.
        """
        high, longest, heads = slots[-1] + 1, max(positions) + 1, self.heads
        dense, few = len(slots) == high, 2 * len(slots) < high
        rows, last = torch.tensor(slots), torch.tensor(positions)
        where = (rows[:, None] * heads + torch.arange(heads)).view(-1)
        at = last.repeat_interleave(heads)
        if not (dense or few):
            last = torch.zeros(high, dtype=torch.long).index_put((rows,), last)
        beyond = torch.zeros(len(last), longest).masked_fill_(torch.arange(longest) > last[:, None], float("-inf"))
        beyond = beyond.repeat_interleave(heads, 0)[:, None]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self.keys[layer], self.values[layer]
            shape = q.shape[1:]
            keys[where, at] = k.reshape(-1, shape[1])
            values[where, at] = v.reshape(-1, shape[1])
            seen = where if few else slice(high * heads)
            if not (dense or few):
                q = q.new_zeros(high, *shape).index_put((rows,), q)
            # Query heads that share a key head stand as several queries of it.
            query = q.reshape(-1, self.groups, shape[1])
            scores = torch.baddbmm(beyond, query, keys[seen, :longest].transpose(1, 2), alpha=shape[1] ** -0.5)
            mixed = torch.bmm(scores.softmax(-1), values[seen, :longest]).view(-1, *shape)
            return mixed if dense or few else mixed[rows]

        return attend


@dataclass(slots=True)
class Block:
    """Keys and values of ``BLOCK`` tokens that follow a known beginning."""

    number: int
    content: Tensor  # [2 * layers, Hkv, BLOCK, D]


Key = tuple[int, tuple[int, ...]]  # the block before, and the tokens


class Prefixes:
    """Beginnings of token sequences whose keys and values are known, as chains of blocks; the oldest are forgotten.

    A chain hangs on the ``owner`` that made it (an adapter changes keys and values), known by its place in memory.
    """

    def __init__(self, limit: int) -> None:
        """Keep at most ``limit`` bytes."""
        self.limit, self.bytes = limit, 0
        self.blocks: OrderedDict[Key, Block] = OrderedDict()  # least recently used first
        self.roots: dict[int, tuple[object, int]] = {}  # the owner is held: another must not get its place in memory
        self.numbers = count()

    def _root(self, owner: object) -> int:
        if id(owner) not in self.roots:
            self.roots[id(owner)] = (owner, next(self.numbers))
        return self.roots[id(owner)][1]

    def _chain(self, owner: object, tokens: Sequence[int]) -> Iterator[tuple[Key, Block | None]]:
        before = self._root(owner)
        for end in range(BLOCK, len(tokens) + 1, BLOCK):
            key = before, tuple(tokens[end - BLOCK : end])
            found = self.blocks.get(key)
            yield key, found
            found = found or self.blocks.get(key)  # the caller may have added it
            if found is None:
                return
            before = found.number

    def find(self, owner: object, tokens: Sequence[int]) -> tuple[list[Block], Key | None]:
        """Return the longest known beginning of ``tokens``, and the key of the block that would come next."""
        known: list[Block] = []
        used: list[Key] = []
        following = None
        for key, block in self._chain(owner, tokens):
            if block is None:
                following = key
                break
            known.append(block)
            used.append(key)
        for key in reversed(used):  # a beginning must not be forgotten before what hangs on it
            self.blocks.move_to_end(key)
        return known, following

    def keep(self, owner: object, tokens: Sequence[int], cache: Cache, slot: int) -> None:
        """Copy what is new of a sequence in ``slot``, of which ``tokens`` are known to be computed."""
        fresh: Tensor | None = None
        for place, (key, block) in enumerate(self._chain(owner, tokens)):
            if block is None:
                begin = place * BLOCK
                if fresh is None:
                    first, fresh = begin, cache.read(slot, begin, len(tokens) // BLOCK * BLOCK)
                content = fresh[:, :, begin - first : begin - first + BLOCK].clone()
                self.blocks[key] = Block(next(self.numbers), content)
                self.bytes += content.nbytes
        while self.bytes > self.limit:
            self.bytes -= self.blocks.popitem(last=False)[1].content.nbytes

    def forget(self, owner: object) -> None:
        """Let go of everything that an owner made."""
        root = self.roots.pop(id(owner), None)
        doomed = {root[1]} if root else set()
        while found := [key for key in self.blocks if key[0] in doomed]:
            for key in found:
                block = self.blocks.pop(key)
                doomed.add(block.number)
                self.bytes -= block.content.nbytes
