"""Token sequences that begin alike, as a tree: every stretch of tokens once, however many sequences hold it.

This module knows ids and where something is asked of a model. It does not know models or texts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

Asked = list[tuple[int, int]]  # for whom (the sequence's number), and the token that is looked for


@dataclass(slots=True)
class Node:
    """Tokens ``begin`` to ``end`` of the sequences of rank ``first`` to ``last``; ``weight`` with those below."""

    first: int
    last: int
    begin: int
    end: int
    children: list[Node] = field(default_factory=list)
    weight: int = 0

    def pieces(self, most: int) -> Iterator[Node]:
        """Yield it in pieces of at most ``most`` tokens, without its children."""
        for begin in range(self.begin, self.end, most):
            yield Node(self.first, self.last, begin, min(self.end, begin + most))


@dataclass(slots=True)
class Sequences:
    """Sequences in the order of their tokens. ``shared[r]`` tokens are alike between ranks r - 1 and r."""

    rows: list[np.ndarray]
    numbers: list[int]
    starts: list[int]
    targets: list[Sequence[int]]
    shared: list[int]
    asked: int

    @classmethod
    def of(cls, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], window: int) -> Sequences:
        """Take (context, continuation) as token ids; the last token is never fed, what exceeds the window is cut."""
        rows, starts, targets = [], [], []
        for context, said in pairs:
            fed = np.array([*context, *said][:-1] if said else [], dtype=">u4")
            target = list(said)
            if len(fed) > window:
                fed = fed[-window:]
                target = target[-window:]
            rows.append(fed)
            starts.append(len(fed) - len(target))
            targets.append(target)
        # Big-endian numbers sort as their bytes do, and bytes are compared at the speed of memory.
        keys = [row.tobytes() for row in rows]
        order = sorted((place for place in range(len(rows)) if targets[place]), key=keys.__getitem__)
        ranked = [rows[place] for place in order]
        shared = [0, *(_alike(a, b) for a, b in pairwise(ranked))]
        asked = sum(len(targets[place]) for place in order)
        return cls(
            ranked, order, [starts[place] for place in order], [targets[place] for place in order], shared, asked
        )

    def ids(self, node: Node) -> Tensor:
        """Return the token ids of a node."""
        return torch.from_numpy(self.rows[node.first][node.begin : node.end].astype(np.int64))

    def asked_of(self, node: Node) -> list[tuple[int, Asked]]:
        """Return the positions of a node after which a token is looked for, with whom and which."""
        found: dict[int, Asked] = defaultdict(list)
        for rank in range(node.first, node.last):
            start, targets = self.starts[rank], self.targets[rank]
            for position in range(max(start, node.begin), min(node.end, start + len(targets))):
                found[position].append((self.numbers[rank], targets[position - start]))
        return sorted(found.items())


def _alike(a: np.ndarray, b: np.ndarray) -> int:
    size = min(len(a), len(b))
    differ = np.nonzero(a[:size] != b[:size])[0]
    return int(differ[0]) if len(differ) else size


def nodes_of(sequences: Sequences) -> list[Node]:
    """Return the roots of the tree: every node as long as all below it stay alike."""
    top = Node(0, len(sequences.rows), 0, 0)
    waiting, finished = [top], [top]
    while waiting:
        parent = waiting.pop()
        ranks = range(parent.first, parent.last)
        rank = parent.first
        while rank < ranks.stop:
            if len(sequences.rows[rank]) == parent.end:  # it ends here
                rank += 1
                continue
            last, least = rank + 1, len(sequences.rows[rank])
            while last < ranks.stop and sequences.shared[last] > parent.end:
                least = min(least, sequences.shared[last])
                last += 1
            child = Node(rank, last, parent.end, least)
            parent.children.append(child)
            waiting.append(child)
            finished.append(child)
            rank = last
    for node in reversed(finished):
        node.weight = node.end - node.begin + sum(child.weight for child in node.children)
    return top.children
