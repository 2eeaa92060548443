"""Direct preference optimisation (Rafailov et al. 2023): of two answers, the one that people liked better.

It knows pairs, answers that were judged alone, and what is chosen where nobody chooses. It does not know who preferred
what, datasets, jobs or exams.
"""

from __future__ import annotations

from feilun.training.plan import Plan
from feilun.training.preference.begin import new_policy
from feilun.training.preference.prefer import Item, prefer
from feilun.training.preference.reading import enough, read_pairs, read_rated
from feilun.training.recipes import numbers

BATCH = 8


def train(plan: Plan) -> None:
    """Run the whole recipe; raise TooFewSamples, BadRequest, BadModel or OutOfSpace.

    Thumbs on answers that nobody compared with another are learnt from, too, each by the loss of KTO.
    """
    options = numbers("dpo", plan.options)
    prompter, policy = new_policy(plan)
    pairs, rated = read_pairs(plan, prompter, plan.samples), read_rated(plan, prompter, plan.samples)
    enough([*pairs, *rated], plan.samples)
    held: list[Item] = [*read_pairs(plan, prompter, plan.held_out), *read_rated(plan, prompter, plan.held_out)]
    prefer(plan, prompter, policy, ([*pairs, *rated], held), options, BATCH)
