"""Learning from thumbs (Ethayarajh et al. 2024, KTO): single answers, each liked or not, without a partner.

It knows rated answers, and what is chosen where nobody chooses. It does not know who rated, datasets, jobs or exams.
"""

from __future__ import annotations

from feilun.training.plan import Plan
from feilun.training.preference.begin import new_policy
from feilun.training.preference.prefer import prefer
from feilun.training.preference.reading import both_kinds, enough, read_rated
from feilun.training.recipes import numbers

BATCH = 16


def train(plan: Plan) -> None:
    """Run the whole recipe; raise TooFewSamples, BadRequest, BadModel or OutOfSpace."""
    options = {**numbers("kto", plan.options), "label_smoothing": 0.0, "sft": 0.0}
    prompter, policy = new_policy(plan)
    rated = read_rated(plan, prompter, plan.samples)
    enough(rated, plan.samples)
    both_kinds(rated)
    prefer(plan, prompter, policy, (rated, read_rated(plan, prompter, plan.held_out)), options, BATCH)
