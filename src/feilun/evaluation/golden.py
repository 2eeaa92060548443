"""Train-serve identity: whether the serving engine reproduces what the trainer recorded.

It knows the rows of ``golden.json`` and the engine's seam. It does not know who recorded them, or what a difference
leads to.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from feilun.engines import Engine, Request
from feilun.engines.identity import describe_difference
from feilun.errors import BadModel, IdentityMismatch
from feilun.evaluation.report import Identity
from feilun.records import ModelVersion

LEAST_PROMPTS = 20


def read_golden(folder: Path) -> list[dict[str, Any]]:
    """Return the golden rows of a version; raise BadModel where there are fewer than 20."""
    try:
        rows = json.loads((folder / "golden.json").read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadModel(f"{folder} has no readable golden.json.", "Train it again.") from error
    if len(rows) < LEAST_PROMPTS:
        raise BadModel(f"{folder}/golden.json has {len(rows)} prompts; {LEAST_PROMPTS} are needed.", "Train it again.")
    return list(rows)


async def check_identity(engine: Engine, version: ModelVersion, tolerance: float) -> Identity:
    """Ask the engine all golden prompts at once; compare prompts, greedy tokens and log-probabilities (nats)."""
    rows = read_golden(Path(version.folder))
    try:
        await engine.load(version)
    except IdentityMismatch as error:
        return Identity(len(rows), 0.0, tolerance, (error.message,))
    asked = (_compare(engine, version, row, tolerance) for row in rows)
    found = await asyncio.gather(*asked, return_exceptions=True)  # all have ended before a failure is raised
    worst, differs = 0.0, []
    for outcome in found:
        if isinstance(outcome, BaseException):
            raise outcome
        worst = max(worst, outcome[0])
        if outcome[1]:
            differs.append(outcome[1])
    return Identity(len(rows), worst, tolerance, tuple(differs[:5]))


async def _compare(engine: Engine, version: ModelVersion, row: dict[str, Any], tolerance: float) -> tuple[float, str]:
    """Return the largest difference in log-probability, and in words what differs beyond the tolerance."""
    request = Request(
        model=version.id,
        messages=({"role": "user", "content": row["question"]},),
        max_tokens=len(row["tokens"]),
        logprobs=True,
    )
    tokens, logprobs, prompt = [], [], ""
    async for delta in engine.generate(request):
        prompt = delta.prompt or prompt
        if delta.token is not None and delta.logprob is not None:
            tokens.append(delta.token)
            logprobs.append(delta.logprob)
    if prompt != row["prompt"]:
        return 0.0, f"prompt of {row['question']!r}: {describe_difference(row['prompt'], prompt)}"
    largest = 0.0
    for place, (token, logprob) in enumerate(zip(row["tokens"], row["logprobs"], strict=True)):
        if place >= len(tokens):
            return largest, f"answer to {row['question']!r}: the engine ends after {place} tokens"
        if tokens[place] != token:
            # A tie within the tolerance may fall either way; what follows it cannot be compared.
            tie = row["leads"][place] <= tolerance
            differs = f"answer to {row['question']!r}: token {place + 1} is {tokens[place]}, not {token}"
            return largest, "" if tie else differs
        largest = max(largest, abs(logprobs[place] - logprob))
        if largest > tolerance:
            return largest, f"answer to {row['question']!r}: token {place + 1} differs by {largest:.3f} nats"
    return largest, ""
