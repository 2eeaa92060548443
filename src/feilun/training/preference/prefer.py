"""Learning from pairs and from answers that were judged alone, in the same steps: what DPO and KTO share.

It knows the model that learns, how likely it found everything before, and two losses. It does not know files, nor how
somebody came to prefer something.

Sources: Rafailov et al. 2023 (pairs), Ethayarajh et al. 2024 (single answers).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor

from feilun.compute import say
from feilun.engines.prompts import Prompter
from feilun.records import JSON
from feilun.training.loop import HeldOut, finish, fit
from feilun.training.plan import Plan
from feilun.training.preference.begin import LOW_BYTES, new_keeping, parameters, remembered
from feilun.training.preference.losses import dpo_loss, kto_loss, kto_weights
from feilun.training.preference.odds import Policy, learn_lower, lengths, reference
from feilun.training.preference.reading import Rated, batches, hold_out
from feilun.training.preference.trees import Forest, Tree, plant, split

LOOKED_AT = 256
Item = Tree | Rated


def prefer(
    plan: Plan,
    prompter: Prompter,
    policy: Policy,
    items: tuple[Sequence[Item], Sequence[Item]],
    options: dict[str, float],
    size: int,
) -> None:
    """Train on pairs (trees of two answers, the chosen one first) and rated answers, about ``size`` of them a step.

    ``items`` are those to learn from and those held out; without these, some of many are held out. ``options``:
    ``beta``, ``label_smoothing``, ``sft`` for pairs, ``liked`` and ``disliked`` (weights, 0: balanced) for the others.
    """
    learnt, held = items if items[1] else hold_out(items[0], _prompt, plan.seed)
    keeping = new_keeping(plan, prompter, policy)
    say(note="The model as it is reads all preferences once.")
    learner = Learner(plan, policy, [*learnt, *held], options)
    steps = batches(plan, len(learnt), plan.batch or size)

    def step(number: int) -> tuple[float, int]:
        chosen = [learnt[place] for place in steps[number]]
        loss = learner.loss(chosen, learn=True)
        drift, tokens = keeping.learn(number, len(chosen))
        return loss + drift, tokens + sum(_tree(item).rows for item in chosen)

    look = HeldOut(lambda: learner.loss(held), max(1, round(len(learnt) / (plan.batch or size)))) if held else None
    rated = [item for item in learnt if isinstance(item, Rated)]
    told = {"pairs": len(learnt) - len(rated), "rated": len(rated), "held_out_items": len(held)}
    state = fit(plan, parameters(policy), len(steps), step, look, {"samples": len(learnt), **told})
    finish(plan, prompter, policy.factors, state, {**told, **learner.facts(learnt)})


def _tree(item: Item) -> Tree:
    return item.tree if isinstance(item, Rated) else item


def _prompt(item: Item) -> Hashable:
    return _tree(item).prompt


class Learner:
    """The model that learns, and all that is known of its items before the first step."""

    def __init__(self, plan: Plan, policy: Policy, items: Sequence[Item], options: dict[str, float]) -> None:
        """Have the model as it is say how likely it finds everything; once, also if the run is killed."""
        self.plan, self.policy, self.options = plan, policy, options
        rated = [item for item in items if isinstance(item, Rated)]
        self.others = {one.tree: other for one, other in zip(rated, mismatched(rated), strict=True)}
        trees = list(dict.fromkeys([*map(_tree, items), *self.others.values()]))
        self.lower = learn_lower(policy, trees, plan.rows, LOW_BYTES)
        first = remembered(plan, "reference", lambda: reference(policy, trees, self.lower, plan.rows))
        self.before = {tree: torch.tensor(odds) for tree, odds in zip(trees, first, strict=True)}
        liked = sum(one.liked for one in rated)
        auto = kto_weights(liked, len(rated) - liked)
        self.weights = (options["liked"] or auto[0], options["disliked"] or auto[1])

    def loss(self, items: Sequence[Item], *, learn: bool = False) -> float:
        """Return the mean loss of items; ``learn`` adds its gradients, pack by pack."""
        total, pairs = 0.0, [item for item in items if isinstance(item, Tree)]
        rated = [item for item in items if isinstance(item, Rated)]
        for losses in chain(self._of_pairs(pairs, learn), self._of_rated(rated, learn)):
            mean = losses.sum() / len(items)
            if learn:
                torch.autograd.backward(mean)
            total += mean.item()
        return total

    def facts(self, items: Sequence[Item]) -> JSON:
        """Return the share of pairs (of the first few) whose chosen answer has gained on the other."""
        pairs = [item for item in items if isinstance(item, Tree)][:LOOKED_AT]
        gains = [gain.view(-1, 2) for gain, _, _ in self._gains(pairs, learn=False)]
        if not gains:
            return {}
        both = torch.cat(gains)
        return {"preferred": round((both[:, 0] > both[:, 1]).float().mean().item(), 4)}

    def _of_pairs(self, pairs: Sequence[Tree], learn: bool) -> Iterator[Tensor]:
        """Yield the losses of pairs, pack by pack."""
        options = self.options
        for gain, odds, forest in self._gains(pairs, learn=learn):
            both = gain.view(-1, 2)
            losses = dpo_loss(both[:, 0], both[:, 1], options["beta"], options["label_smoothing"])
            yield losses - options["sft"] * (odds / lengths(forest)).view(-1, 2)[:, 0]

    def _of_rated(self, rated: Sequence[Rated], learn: bool) -> Iterator[Tensor]:
        """Yield the losses of rated answers, pack by pack; how far all have drifted is told by those of others."""
        if not rated:
            return
        others = self._gains([self.others[one.tree] for one in rated], learn=False)
        drift = torch.cat([gain for gain, _, _ in others]).mean().clamp(min=0.0)
        sides = iter([one.liked for one in rated])
        for gain, _, _ in self._gains([one.tree for one in rated], learn=learn):
            liked = torch.tensor([next(sides) for _ in range(len(gain))])
            yield kto_loss(gain, liked, drift, self.options["beta"], self.weights)

    def _gains(self, trees: Sequence[Tree], *, learn: bool) -> Iterator[tuple[Tensor, Tensor, Forest]]:
        """Yield, pack by pack, how much likelier every answer has become and how likely it is [answers], in nats."""
        for places in split(trees, self.plan.rows, self.plan.micro):
            part = [trees[place] for place in places]
            forest = plant(part)
            with torch.set_grad_enabled(learn):
                odds = self.policy.answers(forest, self.lower.known(part, forest))
            yield odds - torch.cat([self.before[tree] for tree in part]), odds, forest


def mismatched(rated: Sequence[Rated]) -> list[Tree]:
    """Return every prompt with the answer to the next one: what the drift is told by (Ethayarajh et al., section 4.1).

    An answer to the same prompt would drift as what is learnt does, so the next other prompt's is taken.
    """
    found = []
    for place, one in enumerate(rated):
        after = [*rated[place + 1 :], *rated[:place], one]
        other = next((each for each in after if each.tree.prompt != one.tree.prompt), one)
        found.append(Tree(one.tree.prompt, other.tree.answers))
    return found
