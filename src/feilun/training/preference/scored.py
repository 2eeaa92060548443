"""Who says how good an answer is: a programmable grader, or a reward model; and how often it could not say.

It knows graders, reward models and counts. It does not know how answers came to be, nor what is learnt from them.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from feilun.engines.adapters import check_fit, read_adapter
from feilun.engines.decoder import Decoder
from feilun.errors import BadModel, BadRequest
from feilun.grading import Judge, grade
from feilun.records import JSON
from feilun.training.preference.odds import Policy
from feilun.training.preference.trees import Tree, plant, split

HEAD = "reward_head.safetensors"
AT_ONCE = 4  # graders that run beside each other
ENOUGH = 16  # grades after which a grader that mostly fails ends the run


@dataclass(frozen=True, slots=True)
class RewardModel:
    """An adapter with a head [hidden] over the last token of an answer: higher is liked better."""

    policy: Policy
    head: Tensor

    def scores(self, trees: Sequence[Tree], rows: int) -> list[list[float]]:
        """Return the score of every answer of every tree."""
        found: list[list[float]] = []
        for places in split(trees, rows):
            chosen = [trees[place] for place in places]
            with torch.no_grad():
                values = iter(score(self.policy.ends(plant(chosen)), self.head).tolist())
            found.extend([next(values) for _ in tree.answers] for tree in chosen)
        return found


def score(ends: Tensor, head: Tensor) -> Tensor:
    """Return the score [answers] of the states [answers, hidden] at the ends of answers."""
    return ends.float() @ head


def write_head(folder: Path, head: Tensor) -> None:
    """Write the head beside its adapter."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"head": head.detach().clone()}, folder / HEAD, metadata={"format": "pt"})


def read_reward_model(folder: Path, decoder: Decoder) -> RewardModel:
    """Read what the method ``reward`` left in ``folder``; raise BadModel if it is none, or of another base."""
    try:
        head = load_file(folder / HEAD)["head"].float()
    except (OSError, KeyError, SafetensorError) as error:
        raise BadModel(f"{folder.name} is not a reward model.", "Train one with the method reward.") from error
    adapter = read_adapter(folder, decoder.dtype)
    check_fit(adapter, decoder)
    if head.shape != (decoder.shape.hidden,):
        raise BadModel(f"The reward model {folder.name} is of another base model.", "Train one on this base.")
    first = min(layer for layer, _ in adapter.factors)
    return RewardModel(Policy(decoder, adapter.factors, adapter.scale, first), head)


@dataclass(slots=True)
class Marks:
    """The grades of one step: scores of answers in order, None where the grader failed; why it did."""

    scores: list[float | None]
    errors: Counter[str] = field(default_factory=Counter)


def graded(spec: JSON, items: Sequence[JSON], answers: Sequence[str], judge: Judge | None) -> Marks:
    """Return what a grader says of answers, each to its item; a grader that fails gives no score."""
    found = asyncio.run(_grades(spec, items, answers, judge))
    marks = Marks([None if each.error else each.score for each in found])
    marks.errors.update(each.error for each in found if each.error)
    return marks


async def _grades(spec: JSON, items: Sequence[JSON], answers: Sequence[str], judge: Judge | None) -> list[Any]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(item: JSON, answer: str) -> Any:
        async with room:
            return await grade(spec, item, {"output_text": answer}, judge)

    return await asyncio.gather(*(one(item, answer) for item, answer in zip(items, answers, strict=True)))


class Ledger:
    """The grades of every step so far, in a file: a run that goes on knows them, a step that is done again replaces."""

    def __init__(self, file: Path) -> None:
        """Keep them in ``file``; what is cut short or damaged in it is passed over."""
        self.file = file
        self.steps: dict[int, JSON] = {}
        if file.is_file():
            for line in file.read_text(encoding="utf-8").split("\n"):
                try:
                    row = json.loads(line)
                    self.steps[int(row["step"])] = row
                except (ValueError, LookupError, TypeError):
                    continue

    def note(self, step: int, marks: Marks, count: int) -> JSON:
        """Note the grades of a step, so many of each prompt, and return what is told of them.

        Raises BadRequest if most so far are errors.
        """
        known = [value for value in marks.scores if value is not None]
        groups = [marks.scores[begin : begin + count] for begin in range(0, len(marks.scores), count)]
        row: JSON = {
            "step": step,
            "grades": len(marks.scores),
            "errors": len(marks.scores) - len(known),
            "reward": round(sum(known) / len(known), 5) if known else None,
            "apart": sum(len({value for value in group if value is not None}) > 1 for group in groups),
        }
        self.steps[step] = row
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        so_far = [each for number, each in self.steps.items() if number <= step]
        grades, errors = (sum(each[name] for each in so_far) for name in ("grades", "errors"))
        if grades >= ENOUGH and errors * 2 > grades:
            why = marks.errors.most_common(1)[0][0] if marks.errors else "it gave no grade"
            raise BadRequest(
                f"{errors} of {grades} grades failed, so there is nothing to learn from. The grader said: {why}",
                "Try the grader on an answer, mend it, and start again.",
                param="grader",
            )
        return row

    def facts(self) -> JSON:
        """Return what is told of the whole run: rewards by step, grades and how many failed."""
        rows = [self.steps[step] for step in sorted(self.steps)]
        found: JSON = {
            "rewards": [row["reward"] for row in rows],
            "grades": sum(row["grades"] for row in rows),
            "grade_errors": sum(row["errors"] for row in rows),
        }
        if any(row.get("apart", 1) for row in rows):
            return found
        alike = (
            f"No answer was graded better than another to the same prompt ({found['grades']} grades), so nothing could "
            "be learnt. Use a grader that tells answers apart, more samples, or prompts that are neither too easy nor "
            "too hard."
        )
        return {**found, "warning": alike}
