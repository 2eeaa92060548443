"""Which model really answered, and at what cost: kept beside every answer, and asserted by every comparison.

A name proves nothing: two names can lead to one model. The engine says what it has loaded (sums of weights, adapter,
tokenizer, template, defaults), and the hash of that goes with each answer. This module knows these fields. It does not
know engines, nor what is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from typing import Any

from feilun.compute import machine, threads
from feilun.compute.energy import Spent
from feilun.errors import Conflict
from feilun.records import JSON, Eval, EvalAnswer, content_hash
from feilun.settings import Settings

IDENTITY = "identity"
_HINT = "Run both models again, and look at which versions their endpoints name."


def answered_by(answers: Sequence[EvalAnswer], identity: Mapping[str, Any], spent: Spent) -> list[EvalAnswer]:
    """Return answers given together, each with the hash of the engine's ``identity`` and its share of the cost."""
    meta: dict[str, Any] = {"seconds": spent.seconds / max(1, len(answers))}
    if identity:
        meta[IDENTITY] = content_hash(dict(identity))
    if spent.joules is not None:
        meta["joules"] = spent.joules / max(1, len(answers))
    return [replace(answer, meta={**answer.meta, **meta}) for answer in answers]


def exam_hash(exam: Eval) -> str:
    """Return the hash of what an exam asks and what counts as right: equal for the same questions in the same order."""
    return content_hash([[item.question, list(item.accept), list(item.reject), item.meta] for item in exam.items])


def inputs(exam: Eval, how: Mapping[str, Any], machine: Mapping[str, Any]) -> JSON:
    """Return what a run depends on besides the model, to be kept in its ``meta["inputs"]``.

    ``how`` is the sitting (``batch``, ``max_tokens``), ``machine`` what may change answers (engine, threads, context).
    """
    return {"exam": exam_hash(exam), **{name: how[name] for name in ("batch", "max_tokens")}, **machine}


def surroundings(settings: Settings) -> JSON:
    """Return what may change answers besides model, exam and sitting: engine, threads, window, processor, libraries."""
    found = {"engine": settings.engine, "threads": threads(settings.threads), "context": settings.context}
    for name in ("torch", "transformers"):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return {**found, "processor": machine()["processor"]}


def who(side: str, answers: Iterable[EvalAnswer]) -> str:
    """Return the one hash that all answers carry, or empty if none does; raise Conflict if they differ."""
    found = {str(answer.meta.get(IDENTITY, "")) for answer in answers}
    if len(found) > 1:
        raise Conflict(f"Not one and the same model gave all answers of the {side} model.", _HINT)
    return found.pop() if found else ""


def assert_apart(models: tuple[str, str] | None, hashes: tuple[str, str]) -> None:
    """Raise Conflict unless two models answered that are what they are called.

    ``models`` are the ids that are to be compared (None: not said). Two ids must have two hashes, and both known; one
    id must have one.
    """
    before, after = hashes
    if models is None:
        if before and before == after:
            raise Conflict("The same model gave both runs' answers: there is nothing to compare.", _HINT)
        return
    if models[0] == models[1]:
        if before != after:
            raise Conflict(f"{models[0]} is not what it was: its two runs came from different models.", _HINT)
        return
    if not before or not after:
        side = "current" if not before else "new"
        raise Conflict(f"Nothing says which model gave the answers of the {side} model.", _HINT)
    if before == after:
        raise Conflict(f"{models[0]} and {models[1]} are one and the same model: it was compared with itself.", _HINT)
