"""Continued pretraining on documents: every token is learnt, in windows of one document each, many to a pack.

With the option ``full`` all weights learn, else an adapter. It knows texts. It does not know datasets, jobs or exams.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from feilun.engines.prompts import Prompter
from feilun.errors import BadRequest, TooFewSamples
from feilun.training.adapted import Adapted
from feilun.training.learning import learn, read_replay
from feilun.training.loop import finish
from feilun.training.pack import Sample
from feilun.training.plan import Plan, read_lines
from feilun.training.whole import Whole, finish_whole

END = "<|endoftext|>"  # of a document, where the tokenizer has it
SHORTEST = 8  # tokens; a shorter rest of a document is not worth a window


def train(plan: Plan) -> None:
    """Run the whole recipe; raise TooFewSamples, BadRequest, BadModel or OutOfSpace."""
    prompter = Prompter(Path(plan.base))
    facts, held = read_texts(plan, prompter, plan.samples), read_texts(plan, prompter, plan.held_out)
    replayed = read_replay(plan, prompter)
    if plan.options.get("full"):
        whole = Whole(plan)
        state, told = learn(plan, whole, facts, held, replayed)
        finish_whole(plan, whole, state, told)
    else:
        model = Adapted(plan)
        state, told = learn(plan, model, facts, held, replayed)
        finish(plan, prompter, model.factors, state, told)


def read_texts(plan: Plan, prompter: Prompter, file: str) -> list[Sample]:
    """Return the windows of the documents of a file; raise BadRequest that names a line, TooFewSamples for no text."""
    if not file:
        return []
    found: list[Sample] = []
    for number, line in enumerate(read_lines(file), 1):
        text = line.get("text")
        if not isinstance(text, str):
            raise BadRequest(f"Document {number} has no text.", 'A document is an object {"text": "…"}.')
        found += windows(prompter, text, plan.longest)
    if not found:
        raise TooFewSamples(f"No document has {SHORTEST} tokens of text.", "Add longer documents.")
    return found


def windows(prompter: Prompter, text: str, longest: int) -> Iterator[Sample]:
    """Yield a document in windows of at most ``longest`` tokens, of which all but the first are learnt.

    A window begins with the last token of the one before, so that every token of a document is learnt but its first.
    """
    if not text.strip():
        return
    end = prompter.tokenizer.token_to_id(END)
    ids = [*prompter.encode(text), min(prompter.end_ids) if end is None else end]
    for begin in range(0, len(ids) - 1, longest - 1):
        window = ids[begin : begin + longest]
        if len(window) >= SHORTEST:
            yield Sample(tuple(window), 1, even=True)
