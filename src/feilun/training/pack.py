"""Samples to packed batches: answers marked, shared beginnings spent once, no padding in any product.

It knows token ids and lengths. It does not know models, losses or files.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from feilun.engines.prompts import Prompter
from feilun.records import JSON

ROUND = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """One exchange: ``ids`` of prompt and answer; the answer (with its end token) begins at ``start``.

    ``replay`` marks what the base model said itself: it is not learnt word by word, its odds are kept. Tokens of an
    ``even`` sample weigh the same however many there are (documents); else a long answer weighs more than a short one,
    but not in proportion.
    """

    ids: tuple[int, ...]
    start: int
    replay: bool = False
    even: bool = False

    @property
    def weight(self) -> float:
        """What all its learnt tokens weigh together."""
        count = len(self.ids) - self.start
        return float(count) if self.even else float(count**0.5)


@dataclass(frozen=True, slots=True)
class Pack:
    """Some samples, flat. A beginning that all share (``prefix`` tokens) lies first, once; then the rest of each.

    ids, positions: [N]; lengths: [S] tokens of each sample after the prefix; want: flat indices whose next token is
    learnt; targets, weights, replay: [len(want)]. N and len(want) are rounded up with rows that weigh nothing: a
    product of a new size costs the processor's library more to prepare than to compute.
    """

    ids: Tensor
    positions: Tensor
    prefix: int
    lengths: tuple[int, ...]
    want: Tensor
    targets: Tensor
    weights: Tensor
    replay: Tensor


def encode(prompter: Prompter, messages: Sequence[JSON], longest: int) -> Sample | None:
    """Encode an exchange that ends with the assistant's answer; None if it is longer than ``longest`` tokens."""
    prompt = prompter.render(messages[:-1])
    whole = prompter.render(messages, answer=False)
    if not whole.startswith(prompt):
        whole = prompt + str(messages[-1]["content"])
    head, tail = prompter.encode(prompt), prompter.encode(whole[len(prompt) :])
    ends = [index for index, token in enumerate(tail) if token in prompter.end_ids]
    tail = tail[: ends[0] + 1] if ends else [*tail, min(prompter.end_ids)]
    ids = (*head, *tail)
    return Sample(ids, len(head)) if len(ids) <= longest else None


def shared_prefix(samples: Sequence[Sample]) -> int:
    """Return how many leading prompt tokens all samples share (0 for a single sample)."""
    if len(samples) < 2:
        return 0
    limit = min(sample.start for sample in samples) - 1
    first, length = samples[0].ids, 0
    while length < limit and all(sample.ids[length] == first[length] for sample in samples):
        length += 1
    return length


def pack(samples: Sequence[Sample], size: int = 0) -> Pack:
    """Lay samples flat behind their shared beginning, filled up to ``size`` tokens."""
    prefix = shared_prefix(samples)
    ids = list(samples[0].ids[:prefix])
    positions = list(range(prefix))
    want: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    replay: list[bool] = []
    for sample in samples:
        offset = len(ids) - prefix  # flat index of this sample's token t (t >= prefix) is offset + t
        ids.extend(sample.ids[prefix:])
        positions.extend(range(prefix, len(sample.ids)))
        answer = range(sample.start, len(sample.ids))
        want.extend(offset + token - 1 for token in answer)
        targets.extend(sample.ids[token] for token in answer)
        weights.extend([sample.weight / len(answer)] * len(answer))
        replay.extend([sample.replay] * len(answer))
    lengths = tuple(len(sample.ids) - prefix for sample in samples)
    spare = max(size - len(ids), -len(ids) % ROUND)
    ids.extend([0] * spare)
    positions.extend([0] * spare)
    spare = -len(want) % ROUND
    want.extend([0] * spare)
    targets.extend([0] * spare)
    weights.extend([0.0] * spare)
    replay.extend([False] * spare)
    return Pack(
        torch.tensor(ids),
        torch.tensor(positions),
        prefix,
        lengths,
        torch.tensor(want),
        torch.tensor(targets),
        torch.tensor(weights),
        torch.tensor(replay),
    )


def epoch(samples: Sequence[Sample], tokens: int, seed: int) -> list[list[Sample]]:
    """Return one shuffled pass as groups that take at most ``tokens`` rows, alike in length, in random order."""
    shared = shared_prefix(samples)
    order = random.Random(seed)
    shuffled = list(samples)
    order.shuffle(shuffled)
    groups: list[list[Sample]] = []
    group: list[Sample] = []
    size = shared
    window = 64  # sorting by length only within windows keeps every group a random draw
    for begin in range(0, len(shuffled), window):
        # Every other window runs from long to short, so that lengths are alike across the seams, too.
        backwards = begin // window % 2 == 1
        for sample in sorted(shuffled[begin : begin + window], key=lambda s: len(s.ids), reverse=backwards):
            rows = len(sample.ids) - shared
            if group and size + rows > tokens:
                groups.append(group)
                group, size = [], shared
            group.append(sample)
            size += rows
    if group:
        groups.append(group)
    order.shuffle(groups)
    return groups


def passes(samples: Sequence[Sample], rows: int, most: int = 0) -> list[list[Sample]]:
    """Cut the samples of a step, in order, into backward passes of at most ``rows`` rows and ``most`` samples."""
    shared = shared_prefix(samples)
    found: list[list[Sample]] = []
    size = 0
    for sample in samples:
        more = len(sample.ids) - shared
        if not found or shared + size + more > rows or len(found[-1]) == most:
            found.append([])
            size = 0
        found[-1].append(sample)
        size += more
    return found
