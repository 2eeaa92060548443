"""Calls to a batcher without a process: submitted, listened to, awaited."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from feilun.engines.batch import Batcher, Call
from feilun.engines.seam import Delta, Request
from feilun.errors import FeilunError


class Heard:
    """One submitted call and everything that was said about it."""

    def __init__(self, batcher: Batcher, request: Request, on_delta: Callable[[Delta], None] | None = None) -> None:
        """Submit ``request``; ``on_delta`` is called in the batcher's thread."""
        self.deltas: list[Delta] = []
        self.error: FeilunError | None = None
        self.over = threading.Event()
        self._on_delta = on_delta
        self.call: Call = batcher.submit(request, self._hear)

    def _hear(self, delta: Delta | FeilunError) -> None:
        if isinstance(delta, FeilunError):
            self.error = delta
            self.over.set()
            return
        self.deltas.append(delta)
        if self._on_delta:
            self._on_delta(delta)
        if delta.finish:
            self.over.set()

    def wait(self) -> Heard:
        """Wait for the end; raise the error if there was one."""
        assert self.over.wait(60), "the call was never answered"
        if self.error:
            raise self.error
        return self

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(delta.text for delta in self.deltas)

    @property
    def last(self) -> Delta:
        """The last delta."""
        return self.deltas[-1]

    @property
    def tokens(self) -> list[int]:
        """The tokens, if log-probabilities were asked for."""
        return [delta.token for delta in self.deltas if delta.token is not None]

    @property
    def logprobs(self) -> list[float]:
        """The log-probabilities."""
        return [delta.logprob for delta in self.deltas if delta.logprob is not None]


def ask(content: str, model: str = "base", **more: Any) -> Request:
    """Return a request with one user message that asks for log-probabilities, so that every token is heard."""
    return Request(model, ({"role": "user", "content": content},), **{"logprobs": True, "max_tokens": 12, **more})


def until(condition: Callable[[], bool]) -> None:
    """Return once ``condition`` holds; fail after half a minute."""
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not happen")
