"""Supervised fine-tuning of a LoRA adapter: read ``train`` from top to bottom.

It knows questions and answers, and what the base model made of them. It does not know datasets, jobs or exams.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from feilun.compute import say
from feilun.engines.prompts import Prompter
from feilun.errors import BadRequest, TooFewSamples
from feilun.records import JSON
from feilun.training.adapted import Adapted
from feilun.training.learning import learn, read_replay
from feilun.training.loop import finish
from feilun.training.pack import Sample, encode
from feilun.training.plan import Plan, read_lines
from feilun.training.recipes import word

ROLES = {"system", "developer", "user", "assistant", "tool"}


def train(plan: Plan, more: Mapping[str, object] | None = None) -> None:
    """Run the whole recipe and tell ``more`` at its end; raise TooFewSamples, BadRequest, BadModel or OutOfSpace."""
    prompter = Prompter(Path(plan.base))
    facts, held = read_chats(plan, prompter, plan.samples), read_chats(plan, prompter, plan.held_out)
    replayed = read_replay(plan, prompter)
    model = Adapted(plan)
    state, told = learn(plan, model, facts, held, replayed)
    finish(plan, prompter, model.factors, state, {**told, **(more or {})})


def read_chats(plan: Plan, prompter: Prompter, file: str) -> list[Sample]:
    """Return the exchanges of a file, encoded; raise BadRequest that names a line, TooFewSamples if none fits."""
    lines = read_lines(file)
    samples = [encode(prompter, _checked(line, number), plan.longest) for number, line in enumerate(lines, 1)]
    even = word("supervised", "weighting", plan.options) == "tokens"
    found = [replace(sample, even=even) for sample in samples if sample is not None]
    if file and not found:
        raise TooFewSamples(
            f"None of the samples fits into {plan.longest} tokens.", "Use shorter questions and answers."
        )
    if len(found) < len(lines):
        say(note=f"{len(lines) - len(found)} of {len(lines)} samples are longer than {plan.longest} tokens: left out.")
    return found


def _checked(line: JSON, number: int) -> list[JSON]:
    """Return the messages of a line; raise BadRequest unless they end with what the assistant should say."""
    messages = line.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise BadRequest(f"Sample {number} has no messages.", "A sample is an object with a list of messages.")
    roles = [message.get("role") for message in messages]
    wrong = [role for role in roles if role not in ROLES]
    if wrong:
        raise BadRequest(
            f"Sample {number} has a message of the role {wrong[0]!r}.", f"Roles: {', '.join(sorted(ROLES))}."
        )
    answer = messages[-1].get("content") if messages else None
    if len(messages) < 2 or roles[-1] != "assistant" or not isinstance(answer, str) or not answer.strip():
        raise BadRequest(
            f"Sample {number} does not end with an answer of the assistant.",
            "Put the question first, with the role user, and the answer last, with the role assistant.",
        )
    return messages
