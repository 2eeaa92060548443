"""A reward model (Ouyang et al. 2022, section 3.5): a number for every answer, higher for what people liked better.

Read ``train`` from top to bottom. It knows pairs, states at the ends of answers and one head. It does not know who
preferred what, nor what the number is used for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from feilun.compute import say
from feilun.training.loop import HeldOut, finish, fit
from feilun.training.plan import Plan
from feilun.training.preference.begin import LOW_BYTES, new_policy, parameters
from feilun.training.preference.losses import ranking_loss
from feilun.training.preference.odds import Lower, Policy, learn_lower
from feilun.training.preference.reading import batches, enough, hold_out, read_pairs
from feilun.training.preference.scored import score, write_head
from feilun.training.preference.trees import Tree, plant, split
from feilun.training.recipes import numbers

BATCH = 8


def train(plan: Plan) -> None:
    """Run the whole recipe; raise TooFewSamples, BadRequest, BadModel or OutOfSpace."""
    options = numbers("reward", plan.options)
    prompter, policy = new_policy(plan)
    pairs, held = read_pairs(plan, prompter, plan.samples), read_pairs(plan, prompter, plan.held_out)
    enough(pairs, plan.samples)
    if not held:
        pairs, held = hold_out(pairs, lambda tree: tree.prompt, plan.seed)
    say(note="The model as it is reads all pairs once.")
    lower = learn_lower(policy, [*pairs, *held], plan.rows, LOW_BYTES)
    head = torch.zeros(policy.decoder.shape.hidden, requires_grad=True)
    size = plan.batch or BATCH
    steps = batches(plan, len(pairs), size)

    def step(number: int) -> tuple[float, int]:
        chosen = [pairs[place] for place in steps[number]]
        total = 0.0
        for part in parts(chosen, plan):
            found = scores(policy, head, lower, part)
            losses = ranking_loss(found[:, 0], found[:, 1]) + options["centre"] * found.sum(-1).square()
            loss = losses.sum() / len(chosen)
            torch.autograd.backward(loss)
            total += loss.item()
        return total, sum(tree.rows for tree in chosen)

    def ranked(trees: Sequence[Tree]) -> Tensor:
        with torch.no_grad():
            return torch.cat([scores(policy, head, lower, part) for part in parts(trees, plan)])

    def held_loss() -> float:
        found = ranked(held)
        return float(ranking_loss(found[:, 0], found[:, 1]).mean().item())

    look = HeldOut(held_loss, max(1, round(len(pairs) / size))) if held else None
    state = fit(plan, [*parameters(policy), head], len(steps), step, look, {"samples": len(pairs)})
    write_head(Path(plan.out), head)
    finish(plan, prompter, policy.factors, state, {"preferred": _share(ranked(pairs)), **_held(held, ranked)})


def scores(policy: Policy, head: Tensor, lower: Lower, trees: Sequence[Tree]) -> Tensor:
    """Return the scores [pairs, 2] of pairs in one pack."""
    forest = plant(trees)
    return score(policy.ends(forest, lower.known(trees, forest)), head).view(-1, 2)


def parts(trees: Sequence[Tree], plan: Plan) -> list[list[Tree]]:
    """Return the pairs of each pack."""
    return [[trees[place] for place in places] for places in split(trees, plan.rows, plan.micro)]


def _share(found: Tensor) -> float:
    return round((found[:, 0] > found[:, 1]).float().mean().item(), 4)


def _held(held: Sequence[Tree], ranked: Callable[[Sequence[Tree]], Tensor]) -> dict[str, float]:
    return {"held_out_preferred": _share(ranked(held))} if held else {}
