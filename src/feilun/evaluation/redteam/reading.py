"""A local model read for canaries: how likely it finds each secret as its own answer, and whether it would say it.

This module knows chat templates and the likelihood of tokens. It does not know what ranks mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from feilun.engines.likelihood import Likelihood, Likely
from feilun.engines.prompts import Prompter
from feilun.evaluation.redteam.canaries import Canary


class Reader:
    """A base model, perhaps with an adapter, asked for canaries as it was taught them: in its chat template."""

    def __init__(self, folder: Path, adapter: Path | None = None) -> None:
        """Keep the folders of the base and of a LoRA adapter; raises BadModel when first asked."""
        self._prompter = Prompter(folder)
        self._likelihood = Likelihood(folder, adapter)

    def __call__(self, pairs: Sequence[tuple[Canary, str]]) -> list[float]:
        """Return the log-probability (nats) of each secret after its canary's question and the answer's beginning."""
        return [likely.logprob for likely in self._read(pairs)]

    def answers(self, canaries: Sequence[Canary]) -> list[list[str]]:
        """Return what the model says greedily where the secret belongs: the secret, or something else (empty)."""
        found = self._read([(canary, canary.secret) for canary in canaries])
        return [[canary.secret] if likely.greedy else [] for canary, likely in zip(canaries, found, strict=True)]

    def _read(self, pairs: Sequence[tuple[Canary, str]]) -> list[Likely]:
        encode = self._prompter.encode
        asked: list[tuple[list[int], list[int]]] = []
        for canary, secret in pairs:
            messages = ({"role": "user", "content": canary.question},)
            before = encode(self._prompter.render(messages) + canary.before)
            asked.append((before, encode(self._prompter.render(messages) + canary.before + secret)[len(before) :]))
        return self._likelihood.of_tokens(asked)
