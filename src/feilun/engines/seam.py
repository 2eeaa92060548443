"""The seam between those who ask for tokens and those who make them: three methods.

It knows requests and deltas. It knows nothing about HTTP, tensors or processes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from feilun.records import ModelVersion, Usage


@dataclass(frozen=True, slots=True)
class Request:
    """One call. ``model`` is a version id that was loaded before.

    ``temperature`` 0 is greedy. ``logprobs`` asks for the log-probability (nats) of every chosen token. Calls of one
    ``group`` (``group_size`` of them) are answered together and with nobody else, so that float rounding, which depends
    on who shares a batch, is the same each time: exams ask so.
    """

    model: str
    messages: tuple[dict[str, Any], ...]
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    group: str = ""
    group_size: int = 1


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer.

    The first may carry the ``prompt`` as the model saw it, and its tokens as ``usage``; the last carries ``finish``
    (``stop`` or ``length``) and the whole ``usage``.
    """

    text: str = ""
    token: int | None = None
    logprob: float | None = None
    finish: str | None = None
    usage: Usage | None = None
    prompt: str | None = None


class Engine(Protocol):
    """Who produces tokens. Errors: BadModel, BadRequest, ContextTooLong, EngineDown."""

    async def load(self, version: ModelVersion) -> dict[str, Any]:
        """Make a version servable (once is enough) and return its identity as the engine itself computes it."""
        ...

    def generate(self, request: Request) -> AsyncIterator[Delta]:
        """Answer one call piece by piece; leaving the iteration tells the engine to stop."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...
