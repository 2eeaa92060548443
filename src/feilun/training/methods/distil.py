"""Distillation: a teacher's answers, and where it told them, the odds of its words.

Read ``train`` from top to bottom. A line is ``{"prompt", "answer"}``, perhaps with ``logprobs``: for every token of the
answer ``{"token", "top": [[token, nats], …]}``. It knows answers and odds. It does not know who the teacher is, nor how
it was asked.

Sources: sequence-level distillation (Kim and Rush 2016); matching the teacher's odds (Hinton et al. 2015), here those
of the likely words it named, with all the others as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from feilun.compute import say
from feilun.engines.prompts import Prompter
from feilun.errors import BadRequest, TooFewSamples
from feilun.records import JSON
from feilun.training.loop import HeldOut, finish, fit
from feilun.training.plan import Plan, read_lines
from feilun.training.preference.begin import LOW_BYTES, new_keeping, new_policy, parameters
from feilun.training.preference.odds import Lower, Policy, learn_lower
from feilun.training.preference.reading import batches, hold_out
from feilun.training.preference.trees import Forest, Tree, encode_tree, plant, split
from feilun.training.recipes import numbers

BATCH, LEAST = 16, 2
CHUNK = 192
SMALLEST = 1e-6  # odds that count as none


@dataclass(frozen=True, slots=True)
class Told:
    """A teacher's odds over an answer's tokens: ids and probabilities [n, K] (0 beyond what it named), and where."""

    ids: Tensor
    odds: Tensor
    known: Tensor  # [n] bool; elsewhere the token itself is learnt


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """A prompt, the teacher's answer, and its odds."""

    tree: Tree
    told: Told

    @property
    def weight(self) -> float:
        """How much it counts: long answers more than short ones, but not in proportion."""
        return float(len(self.tree.answers[0]) ** 0.5)


def train(plan: Plan) -> None:
    """Run the whole recipe; raise TooFewSamples, BadRequest, BadModel or OutOfSpace."""
    options = numbers("distillation", plan.options)
    prompter, policy = new_policy(plan)
    lessons = read_lessons(plan, prompter, plan.samples, odds=options["odds"] > 0)
    if plan.held_out:
        held = read_lessons(plan, prompter, plan.held_out, odds=options["odds"] > 0)
    else:
        lessons, held = hold_out(lessons, lambda lesson: lesson.tree.prompt, plan.seed)
    keeping = new_keeping(plan, prompter, policy)
    say(note="The model as it is reads all answers once.")
    lower = learn_lower(policy, [lesson.tree for lesson in [*lessons, *held]], plan.rows, LOW_BYTES)
    size = plan.batch or BATCH
    steps = batches(plan, len(lessons), size)

    def step(number: int) -> tuple[float, int]:
        chosen = [lessons[place] for place in steps[number]]
        whole, total = sum(lesson.weight for lesson in chosen), 0.0
        for forest, part in packs(chosen, plan):
            loss = loss_of(policy, lower, forest, part) / whole
            torch.autograd.backward(loss)
            total += loss.item()
        drift, tokens = keeping.learn(number, len(chosen))
        return total + drift, tokens + sum(lesson.tree.rows for lesson in chosen)

    def held_loss() -> float:
        whole = sum(lesson.weight for lesson in held)
        return sum(loss_of(policy, lower, forest, part).item() for forest, part in packs(held, plan)) / whole

    look = HeldOut(held_loss, max(1, round(len(lessons) / size))) if held else None
    odds = sum(bool(lesson.told.known.any()) for lesson in [*lessons, *held])
    about = {"samples": len(lessons), "replay": len(keeping.samples), "with_odds": odds}
    state = fit(plan, parameters(policy), len(steps), step, look, about)
    finish(plan, prompter, policy.factors, state, {"with_odds": odds, "answers": len(lessons) + len(held)})


def read_lessons(plan: Plan, prompter: Prompter, file: str, *, odds: bool) -> list[Lesson]:
    """Return the answers of a file, encoded; raise TooFewSamples, BadRequest that names a line."""
    lines, found, ids = read_lines(file), list[Lesson](), Vocabulary(prompter)
    foreign = 0
    for number, line in enumerate(lines, 1):
        prompt, answer = line.get("prompt"), line.get("answer")
        if not isinstance(prompt, list) or not prompt or not isinstance(answer, str) or not answer.strip():
            raise BadRequest(
                f"Line {number} has no prompt and answer.", "A line has a prompt (messages) and an answer."
            )
        tree = encode_tree(prompter, prompt, [answer], plan.longest)
        if tree is None:
            continue
        said = line.get("logprobs") if odds else None
        told = ids.told(tree.answers[0], said or [])
        foreign += bool(said) and not bool(told.known.any())
        found.append(Lesson(tree, told))
    if foreign:
        say(note=f"The teacher cuts {foreign} of {len(lines)} answers into other tokens: their words alone are learnt.")
    if len(found) < len(lines):
        say(note=f"{len(lines) - len(found)} of {len(lines)} answers are longer than {plan.longest} tokens: left out.")
    if len(found) < LEAST:
        raise TooFewSamples(
            f"{len(found)} of {len(lines)} answers fit into {plan.longest} tokens; at least {LEAST} are needed.",
            "Ask the teacher for shorter answers.",
        )
    return found


class Vocabulary:
    """Which token a text is, for those of the student's tokens that have a text of their own."""

    def __init__(self, prompter: Prompter) -> None:
        """Read nothing yet: most runs have no odds."""
        self._prompter = prompter
        self._ids: Mapping[str, int] | None = None

    def ids(self) -> Mapping[str, int]:
        """Return text → id; texts that several tokens have (broken characters) are not there."""
        if self._ids is None:
            found: dict[str, int] = {}
            twice: set[str] = set()
            for token in range(self._prompter.tokenizer.get_vocab_size(with_added_tokens=True)):
                text = self._prompter.piece(token)
                twice.update({text} & found.keys())
                found[text] = token
            self._ids = {text: token for text, token in found.items() if text not in twice}
        return self._ids

    def told(self, answer: Sequence[int], said: Sequence[JSON]) -> Told:
        """Return the teacher's odds over the tokens of ``answer``; none if it cuts the answer into other tokens."""
        width = max([len(row["top"]) for row in said], default=1) or 1
        ids = torch.zeros(len(answer), width, dtype=torch.long)
        odds, known = torch.zeros(len(answer), width), torch.zeros(len(answer), dtype=torch.bool)
        pieces = [self._prompter.piece(token) for token in answer]
        agree = bool(said) and len(answer) - len(said) in {0, 1} and pieces[: len(said)] == [r["token"] for r in said]
        if not agree:
            return Told(ids, odds, known)
        names = self.ids()
        for place, row in enumerate(said):
            # Its own token is known also where its text is not one token's alone.
            own = {row["token"]: answer[place]}
            likely = {own.get(text, names.get(text, -1)): nats for text, nats in row["top"]}
            likely.pop(-1, None)
            for column, (token, nats) in enumerate(likely.items()):
                ids[place, column] = token
                odds[place, column] = torch.tensor(nats).exp()
            known[place] = bool(likely)
        odds /= odds.sum(1, keepdim=True).clamp_min(1.0)  # rounded logarithms may sum to more than 1
        return Told(ids, odds, known)


class _Lesson(torch.autograd.Function):
    """What each token of the answers costs: −log q of it, or how far q is from the teacher's odds (nats).

    The slope of each row is made at once, so that odds over the whole vocabulary never outlive their few rows. With the
    teacher's p over the words that it named, r and s what it and the student leave for all others, the divergence is
    Σ p log(p/q) + r log(r/s), and its slope q − p at a named word, q (1 − r/s) elsewhere.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, head: Tensor, targets: Tensor, ids: Tensor, odds: Tensor, known: Tensor
    ) -> Tensor:
        found, slope = torch.zeros(len(targets)), torch.zeros_like(states)
        for begin in range(0, len(targets), CHUNK):
            rows = slice(begin, min(begin + CHUNK, len(targets)))
            logs = functional.linear(states[rows], head).float().log_softmax(-1)
            at, aim, where = torch.arange(len(logs)), targets[rows], known[rows]
            p, token = odds[rows], ids[rows]
            q = logs.gather(1, token)
            named = p > SMALLEST
            rest = (1.0 - p.sum(1)).clamp_min(0.0)
            rest = torch.where(rest > SMALLEST, rest, torch.zeros_like(rest))
            left = (1.0 - (q.exp() * named).sum(1)).clamp_min(SMALLEST)
            far = (p * (p.clamp_min(SMALLEST).log() - q)).masked_fill(~named, 0.0).sum(1)
            far += rest * (rest.clamp_min(SMALLEST).log() - left.log())
            found[rows] = torch.where(where, far, -logs[at, aim])
            push = logs.exp_()
            share = torch.where(where, rest / left, torch.zeros_like(rest))
            change = torch.where(named & where[:, None], q.exp() * share[:, None] - p, torch.zeros_like(p))
            push.mul_(1.0 - share[:, None]).scatter_add_(1, token, change)
            push[at[~where], aim[~where]] -= 1.0
            slope[rows] = push.to(states.dtype) @ head
        ctx.save_for_backward(slope)
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        whole = grad.new_zeros(len(slope))
        whole[: len(grad)] = grad
        return slope * whole[:, None].to(slope.dtype), None, None, None, None, None


lesson_costs: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor] = _Lesson.apply


def loss_of(policy: Policy, lower: Lower, forest: Forest, lessons: Sequence[Lesson]) -> Tensor:
    """Return the weighted sum of what the tokens of a pack's lessons cost."""
    trees = [lesson.tree for lesson in lessons]
    states = policy.states(forest, lower.known(trees, forest))
    width = max(lesson.told.ids.shape[1] for lesson in lessons)
    room = [width - lesson.told.ids.shape[1] for lesson in lessons]
    pairs = list(zip(lessons, room, strict=True))
    ids = torch.cat([functional.pad(lesson.told.ids, (0, more)) for lesson, more in pairs])
    odds = torch.cat([functional.pad(lesson.told.odds, (0, more)) for lesson, more in pairs])
    known = torch.cat([lesson.told.known for lesson in lessons])
    costs = lesson_costs(states, policy.decoder.head, forest.pack.targets[: len(known)], ids, odds, known)
    weights = torch.tensor([1.0 / lesson.weight for lesson in lessons])
    return (costs * weights[forest.owner]).sum()


def packs(lessons: Sequence[Lesson], plan: Plan) -> list[tuple[Forest, list[Lesson]]]:
    """Return the packs of one step."""
    groups = split([lesson.tree for lesson in lessons], plan.rows, plan.micro)
    parts = [[lessons[place] for place in places] for places in groups]
    return [(plant([lesson.tree for lesson in part]), part) for part in parts]
