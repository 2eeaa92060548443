"""The seam between those who ask for tokens and those who make them: four methods.

It knows requests and deltas. It knows nothing about HTTP, tensors or processes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from feilun.records import ModelVersion, Usage


@dataclass(frozen=True, slots=True)
class Request:
    """One call. ``model`` is a version id that was loaded before. A ``prompt`` is taken as it is, without a template.

    Where ``tokens`` are given they are the prompt, and ``prompt`` is their text.

    ``tools`` go to chat templates that take them. ``grammar`` (JSON of llguidance) is what the answer must conform to.
    ``stop`` texts end text: nothing inside the calls that a grammar lets ends an answer.
    ``top_logprobs`` asks for that many likely alternatives of every token. ``logit_bias`` is (token id, addend).

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
    prompt: str = ""
    tools: tuple[dict[str, Any], ...] = ()
    grammar: str = ""
    top_logprobs: int = 0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer.

    The first may carry the ``prompt`` as the model saw it. Every one carries the ``usage`` up to it; the last carries
    ``finish`` (``stop``, ``length``, or ``cancelled`` for a call that was given up) and the whole ``usage``. ``piece``
    is the bytes of ``token`` alone, which may be less than a character, ``top`` its likely alternatives with their
    log-probabilities (nats), best first. The last may say which stop text the answer was ``stopped_by``.
    """

    text: str = ""
    token: int | None = None
    logprob: float | None = None
    finish: str | None = None
    usage: Usage | None = None
    prompt: str | None = None
    piece: bytes = b""
    top: tuple[tuple[bytes, float], ...] = ()
    stopped_by: str = ""


class Engine(Protocol):
    """Who produces tokens. Errors: BadModel, BadRequest, ContextTooLong, EngineDown."""

    async def load(self, version: ModelVersion) -> dict[str, Any]:
        """Make a version servable (once is enough) and return its identity as the engine itself computes it."""
        ...

    def generate(self, request: Request) -> AsyncIterator[Delta]:
        """Answer one call piece by piece; leaving the iteration tells the engine to stop."""
        ...

    async def unload(self, model: str) -> None:
        """Forget a version; calls to it that run go on to their end. An unknown one is no error."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors (unit length) of texts, in order, and how many tokens the texts were."""

    vectors: list[list[float]]
    tokens: int


class Embedder(Protocol):
    """Who turns texts into vectors. Errors: BadRequest, EngineDown."""

    dimensions: int

    async def embed(self, texts: tuple[str, ...], *, query: bool = False) -> Embedded:
        """Return a vector for each text; ``query`` says that the texts are questions rather than passages."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...
