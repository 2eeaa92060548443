"""Supervised fine-tuning of all weights: what it leaves is a model folder of its own, no adapter.

It knows questions and answers. It does not know datasets, jobs or exams.
"""

from __future__ import annotations

from pathlib import Path

from feilun.engines.prompts import Prompter
from feilun.training.learning import learn, read_replay
from feilun.training.methods.sft import read_chats
from feilun.training.plan import Plan
from feilun.training.whole import Whole, finish_whole


def train(plan: Plan) -> None:
    """Run the whole recipe; raise TooFewSamples, BadRequest, BadModel or OutOfSpace."""
    prompter = Prompter(Path(plan.base))
    facts, held = read_chats(plan, prompter, plan.samples), read_chats(plan, prompter, plan.held_out)
    replayed = read_replay(plan, prompter)
    model = Whole(plan)
    state, told = learn(plan, model, facts, held, replayed)
    finish_whole(plan, model, state, told)
