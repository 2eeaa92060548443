"""Multiple choice by log-probability: the option that a model finds likeliest.

``acc`` takes the sum of an option's log-probabilities, ``acc_norm`` the sum by its characters, as lm-evaluation-harness
does; of equal options the first. This module knows items that have continuations, and their scores. It does not know
how a likelihood is computed, or where answers are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from feilun.records import JSON, Eval, EvalAnswer, EvalItem

Progress = Callable[[int, int], None]


class Read(Protocol):
    """What is known of one continuation: sum of log-probabilities (nats), tokens, whether each was the likeliest."""

    @property
    def logprob(self) -> float:
        """Sum (nats)."""
        ...

    @property
    def tokens(self) -> int:
        """How many."""
        ...

    @property
    def greedy(self) -> bool:
        """Whether a greedy model would have written it."""
        ...


Reader = Callable[[Sequence[tuple[str, str]]], Sequence[Read]]


def by_likelihood(item: EvalItem) -> bool:
    """Say whether an item can be answered by log-probability."""
    return isinstance(item.meta.get("likely"), dict)


def pairs_of(exam: Eval, item: EvalItem) -> list[tuple[str, str]]:
    """Return (context, continuation) of each option, behind the exam's solved examples."""
    likely: JSON = item.meta["likely"]
    heads = exam.meta.get("heads") or {}
    head = heads.get(item.meta.get("topic", ""), heads.get("", ""))
    return [(head + likely["context"], each) for each in likely["continuations"]]


def answer_likely(exam: Eval, items: Sequence[EvalItem], run_id: str, read: Reader) -> list[EvalAnswer]:
    """Return the answers of items, read together: the likelier they begin alike, the less work it is."""
    asked = [pairs_of(exam, item) for item in items]
    found = list(read([pair for pairs in asked for pair in pairs]))
    answers = []
    for item, pairs in zip(items, asked, strict=True):
        mine, found = found[: len(pairs)], found[len(pairs) :]
        answers.append(_answer(exam, item, run_id, pairs, mine))
    return answers


def _answer(exam: Eval, item: EvalItem, run_id: str, pairs: list[tuple[str, str]], found: Sequence[Read]) -> EvalAnswer:
    likely: JSON = item.meta["likely"]
    gold, sums = likely["gold"], [each.logprob for each in found]
    if likely.get("greedy"):
        chosen = norm = 0 if found[0].greedy else -1
    else:
        texts = item.meta.get("choices") or likely["continuations"]
        if len(texts) == len(sums) and not exam.meta.get("harness"):
            texts = likely["continuations"]
        lengths = [max(1, len(text)) for text in texts]
        chosen = max(range(len(sums)), key=sums.__getitem__)
        norm = max(range(len(sums)), key=lambda place: sums[place] / lengths[place])
    scores = {"acc": float(chosen in gold), "acc_norm": float(norm in gold)}
    metric = "acc" if "acc" in (exam.meta.get("metrics") or ["acc"]) else "acc_norm"
    best = sorted(sums, reverse=True)
    meta: JSON = {
        "by": "likelihood",
        "logprobs": [round(each, 6) for each in sums],
        "lead": round(best[0] - best[1], 6) if len(best) > 1 else None,
        "greedy": [each.greedy for each in found],
        "scores": scores,
        "prompt_tokens": 0,
        "completion_tokens": sum(each.tokens for each in found),
        "finish": "stop",
    }
    said = pairs[chosen][1].strip() if chosen >= 0 else ""
    return EvalAnswer(run_id, item.id, pairs[0][0], said, scores[metric], meta)
