"""Preferences as a plan's files hold them: read, encoded, and what teaches nothing left out, with the reason.

It knows lines, texts and lengths. It does not know losses, nor how somebody came to prefer something.
"""

from __future__ import annotations

import json
import math
import random
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from feilun.compute import say
from feilun.engines.prompts import Prompter
from feilun.errors import BadRequest, TooFewSamples
from feilun.records import JSON
from feilun.training.plan import Plan, read_lines
from feilun.training.preference.trees import Tree, encode_tree

LEAST = 10  # of pairs or rated answers
EPOCHS, MOST_EPOCHS, LEAST_STEPS = 3, 10, 60  # a handful of preferences needs more passes than a few hundred
HELD_SHARE, HELD_FROM, HELD_MOST = 0.1, 60, 64  # of the prompts, from so many on, at most
EQUAL = "both sides are equal"
EMPTY = "a side is empty"
CONTRADICTED = "another one says the opposite"
AGAIN = "it is there already"
LONG = "it is longer than {longest} tokens"
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Rated:
    """An answer that was liked, or was not."""

    tree: Tree
    liked: bool


def same(text: str) -> str:
    """Return what is equal for texts that differ in Unicode form or spaces alone."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def read_pairs(plan: Plan, prompter: Prompter, file: str) -> list[Tree]:
    """Return the pairs of a file, the chosen answer first; raise BadRequest for a line that is none.

    Left out are pairs whose sides are equal or empty, that are there twice, that contradict each other, or that are too
    long; how many and why is told.
    """
    lines = _checked([line for line in read_lines(file) if "liked" not in line], ("chosen", "rejected"))
    sides = [(_asked(line), same(line["chosen"]), same(line["rejected"])) for line in lines]
    known, seen, left, trees = set(sides), set[Hashable](), Counter[str](), []
    for line, (asked, chosen, rejected) in zip(lines, sides, strict=True):
        why = _fault(chosen, rejected)
        if not why and (asked, rejected, chosen) in known:
            why = CONTRADICTED
        if not why and (asked, chosen, rejected) in seen:
            why = AGAIN
        seen.add((asked, chosen, rejected))
        tree = None if why else encode_tree(prompter, line["prompt"], (line["chosen"], line["rejected"]), plan.longest)
        if tree is None or tree.answers[0] == tree.answers[1]:
            left[why or (LONG.format(longest=plan.longest) if tree is None else EQUAL)] += 1
        else:
            trees.append(tree)
    _tell(left, len(lines), "pairs")
    return trees


def read_rated(plan: Plan, prompter: Prompter, file: str) -> list[Rated]:
    """Return the rated answers of a file, without its pairs; raise BadRequest for one that says nothing."""
    lines = _checked([line for line in read_lines(file) if "chosen" not in line], ("answer",))
    if any(not isinstance(line.get("liked"), bool) for line in lines):
        raise BadRequest("A rated answer says whether it was liked: true or false.", param="liked")
    said = [(_asked(line), same(line["answer"])) for line in lines]
    verdicts = defaultdict[Hashable, set[bool]](set)
    for key, line in zip(said, lines, strict=True):
        verdicts[key].add(line["liked"])
    seen, left, rated = set[Hashable](), Counter[str](), []
    for line, key in zip(lines, said, strict=True):
        why = EMPTY if not key[1] else CONTRADICTED if len(verdicts[key]) > 1 else AGAIN if key in seen else ""
        seen.add(key)
        tree = None if why else encode_tree(prompter, line["prompt"], (line["answer"],), plan.longest)
        if tree is None:
            left[why or LONG.format(longest=plan.longest)] += 1
        else:
            rated.append(Rated(tree, line["liked"]))
    _tell(left, len(lines), "rated answers")
    return rated


def enough(found: Sequence[object], file: str) -> None:
    """Raise TooFewSamples unless what was found in a file is enough to learn from."""
    if len(found) < LEAST:
        raise TooFewSamples(
            f"{len(found)} of {len(read_lines(file))} preferences can be learnt from; at least {LEAST} are needed.",
            "Both sides of a pair must differ, and nobody may say the opposite. Add thumbs and corrections.",
        )


def both_kinds(rated: Sequence[Rated]) -> None:
    """Raise TooFewSamples if all answers were liked, or none."""
    if len({each.liked for each in rated}) < 2:
        which = "liked" if rated[0].liked else "not liked"
        raise TooFewSamples(
            f"All {len(rated)} answers were {which}; there is nothing to prefer.", "Add answers of the other kind."
        )


def hold_out(items: Sequence[Item], prompt: Callable[[Item], Hashable], seed: int) -> tuple[list[Item], list[Item]]:
    """Return what is trained on and what is held out: a tenth of the prompts, none if there are few.

    Answers to one prompt are all on one side.
    """
    prompts = list(dict.fromkeys(map(prompt, items)))
    count = min(HELD_MOST, round(HELD_SHARE * len(prompts))) if len(prompts) >= HELD_FROM else 0
    chosen = set(random.Random(seed).sample(prompts, count))
    kept = [item for item in items if prompt(item) not in chosen]
    return kept, [item for item in items if prompt(item) in chosen]


def batches(plan: Plan, count: int, size: int) -> list[list[int]]:
    """Return the places of every step's items: shuffled passes over ``count`` of them, about ``size`` a step.

    All steps of a pass are alike in size. Without ``plan.epochs`` few items get more passes, within bounds.
    """
    found: list[list[int]] = []
    steps = max(1, round(count / size))
    for number in range(plan.epochs or max(EPOCHS, min(MOST_EPOCHS, math.ceil(LEAST_STEPS / steps)))):
        places = list(range(count))
        random.Random(plan.seed * 1000 + number).shuffle(places)
        ends = [round(count * (step + 1) / steps) for step in range(steps)]
        found.extend(places[begin:end] for begin, end in zip([0, *ends], ends, strict=False))
    return found


def _checked(lines: Sequence[JSON], texts: Iterable[str]) -> list[JSON]:
    """Return the lines; raise BadRequest, naming the first that is not of the shape."""
    for number, line in enumerate(lines, 1):
        prompt = line.get("prompt")
        whole = isinstance(prompt, list) and prompt and all(isinstance(each, dict) for each in prompt)
        missing = [name for name in texts if not isinstance(line.get(name), str)]
        if not whole or missing:
            what = missing[0] if whole else "prompt"
            raise BadRequest(
                f"Line {number} of the preferences has no {what}.",
                f"A line has a prompt (messages) and {' and '.join(texts)} (texts).",
                param=what,
            )
    return list(lines)


def _asked(line: JSON) -> str:
    return json.dumps(line["prompt"], sort_keys=True, ensure_ascii=False)


def _fault(chosen: str, rejected: str) -> str:
    if not chosen or not rejected:
        return EMPTY
    return EQUAL if chosen == rejected else ""


def _reasons(left: Counter[str]) -> str:
    return "; ".join(f"{count} because {why}" for why, count in left.most_common())


def _tell(left: Counter[str], count: int, what: str) -> None:
    if left:
        say(note=f"{left.total()} of {count} {what} are left out: {_reasons(left)}.")
