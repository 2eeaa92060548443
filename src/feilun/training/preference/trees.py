"""A prompt with several answers, packed: the prompt is computed once, no answer sees another.

It knows token ids, positions and who may see whom. It does not know models, losses or files.

Source: tree attention as in speculative decoding (Miao et al. 2024, SpecInfer), here for pairs that share a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from feilun.engines.prompts import Prompter
from feilun.records import JSON
from feilun.training.lora import PackedAttention
from feilun.training.pack import ROUND, Pack, encode


@dataclass(frozen=True, slots=True)
class Tree:
    """A prompt and answers to it, as token ids; an answer that has ended holds its end token."""

    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> int:
        """Return how many tokens it takes."""
        return len(self.prompt) + sum(map(len, self.answers))


@dataclass(frozen=True, slots=True)
class Forest:
    """Some trees, packed. ``owner`` [answer tokens] says which answer (counted through all trees) a token is of.

    The first ``len(owner)`` rows of ``pack.want`` are real; ``masks`` [trees, T, T] say who sees whom within a tree.
    ``ends`` [answers] is where in the pack each answer's last token lies.
    """

    pack: Pack
    owner: Tensor
    answers: int
    ends: Tensor
    masks: Tensor


class TreeAttention(PackedAttention):
    """Attention inside each tree: an answer sees the shared beginning, its prompt and itself."""

    def __init__(self, forest: Forest, groups: int) -> None:
        """Build indices and masks; ``groups`` is query heads per key head."""
        super().__init__(forest.pack, groups)
        count, longest, _ = forest.masks.shape
        before = torch.ones(count, longest, forest.pack.prefix, dtype=torch.bool)
        self.mask = torch.cat((before, forest.masks), dim=2)[:, None]


def encode_tree(prompter: Prompter, prompt: Sequence[JSON], answers: Sequence[str], longest: int) -> Tree | None:
    """Encode a conversation that waits for an answer with several answers; None if one is longer than ``longest``."""
    found = [encode(prompter, [*prompt, {"role": "assistant", "content": text}], longest) for text in answers]
    whole = [sample for sample in found if sample is not None]
    if len(whole) < len(answers):
        return None
    head = whole[0].ids[: whole[0].start]
    return Tree(head, tuple(sample.ids[sample.start :] for sample in whole))


def shared_beginning(trees: Sequence[Tree]) -> int:
    """Return how many leading tokens all prompts share, short of a whole prompt (0 for a single tree)."""
    if len(trees) < 2:
        return 0
    first, limit = trees[0].prompt, min(len(tree.prompt) for tree in trees) - 1
    length = 0
    while length < limit and all(tree.prompt[length] == first[length] for tree in trees):
        length += 1
    return length


def plant(trees: Sequence[Tree], size: int = 0) -> Forest:
    """Lay trees flat behind their shared beginning, filled up to ``size`` tokens, else to the next round number."""
    prefix = shared_beginning(trees)
    ids = list(trees[0].prompt[:prefix])
    positions = list(range(prefix))
    want: list[int] = []
    targets: list[int] = []
    owner: list[int] = []
    ends: list[int] = []
    for tree in trees:
        stem = len(tree.prompt)
        ids.extend(tree.prompt[prefix:])
        positions.extend(range(prefix, stem))
        last = len(ids) - 1  # the prompt's last token tells the first of every answer
        for answer in tree.answers:
            begin = len(ids)
            want.extend((last, *range(begin, begin + len(answer) - 1)))
            targets.extend(answer)
            owner.extend([len(ends)] * len(answer))
            ids.extend(answer)
            positions.extend(range(stem, stem + len(answer)))
            ends.append(len(ids) - 1)
    lengths = tuple(tree.rows - prefix for tree in trees)
    spare = max(size - len(ids), -len(ids) % ROUND)
    blank = -len(want) % ROUND
    real = len(want)
    pack = Pack(
        torch.tensor(ids + [0] * spare),
        torch.tensor(positions + [0] * spare),
        prefix,
        lengths,
        torch.tensor(want + [0] * blank),
        torch.tensor(targets + [0] * blank),
        torch.tensor([1.0] * real + [0.0] * blank),
        torch.zeros(real + blank, dtype=torch.bool),
    )
    return Forest(pack, torch.tensor(owner), len(ends), torch.tensor(ends), _masks(trees, prefix, max(lengths)))


def _masks(trees: Sequence[Tree], prefix: int, longest: int) -> Tensor:
    """Return [trees, longest, longest]: row sees column."""
    causal = torch.ones(longest, longest, dtype=torch.bool).tril()
    masks = causal.repeat(len(trees), 1, 1)
    for mask, tree in zip(masks, trees, strict=True):
        stem = begin = len(tree.prompt) - prefix
        for answer in tree.answers:
            mask[begin + len(answer) :, begin : begin + len(answer)] = False
            begin += len(answer)
        mask[begin:, stem:begin] = False
    return masks


def split(trees: Sequence[Tree], rows: int, most: int = 0) -> list[list[int]]:
    """Return the places of trees in packs of at most ``rows`` tokens (a tree alone may have more), in order.

    ``most`` is how many trees a pack may have (0: as many as fit).
    """
    groups: list[list[int]] = []
    size = 0
    for place, tree in enumerate(trees):
        if not groups or size + tree.rows > rows or len(groups[-1]) == most:
            groups.append([])
            size = 0
        groups[-1].append(place)
        size += tree.rows
    return groups
