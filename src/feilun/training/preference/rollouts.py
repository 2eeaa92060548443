"""Answers of the model as it is at this step, sampled by the serving engine's own batcher, the same for the same seed.

It knows the batcher, adapters in files and requests. It does not know graders, losses or steps.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from feilun.engines.adapters import Factors, write_adapter
from feilun.engines.batch import Batcher
from feilun.engines.seam import Delta, Request
from feilun.errors import FeilunError
from feilun.records import JSON

SLOTS = 32
JUDGED_TOKENS = 256


@dataclass(slots=True)
class Answer:
    """The tokens of an answer (with its end token, if it ended) and its text."""

    tokens: list[int] = field(default_factory=list)
    text: str = ""
    ended: bool = False


class Rollouts:
    """The base model in the serving engine, with the adapter of the present step."""

    def __init__(self, base: Path, scratch: Path, template: str, context: int) -> None:
        """Load the base; adapters go through ``scratch``."""
        self.base, self.folder, self.template = base, scratch / "present", template
        self.batcher = Batcher(base, SLOTS, context)
        self.batcher.load("base", base, None)
        self.lock = threading.Lock()
        self.turn = 0

    def use(self, factors: Factors, rank: int, alpha: int) -> None:
        """Answer with these factors from now on."""
        write_adapter(self.folder, factors, rank, alpha)
        (self.folder / "chat_template.jinja").write_text(self.template, encoding="utf-8")
        self.batcher.load("present", self.base, self.folder)

    def sample(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer requests of the model ``present``, in groups: rounding is the same each time."""
        found: list[Answer] = []
        for begin in range(0, len(requests), SLOTS):
            part = requests[begin : begin + SLOTS]
            self.turn += 1
            group = f"rollouts-{self.turn}"
            found += self._ask([replace(one, group=group, group_size=len(part), logprobs=True) for one in part])
        return found

    def _ask(self, requests: Sequence[Request]) -> list[Answer]:
        answers = [Answer() for _ in requests]
        over = threading.Semaphore(0)
        failures: list[FeilunError] = []

        def listen(index: int, delta: Delta | FeilunError) -> None:
            if isinstance(delta, FeilunError):
                failures.append(delta)
                over.release()
                return
            answer = answers[index]
            answer.text += delta.text
            if delta.token is not None:
                answer.tokens.append(delta.token)
            if delta.finish:
                answer.ended = delta.finish == "stop"
                over.release()

        with self.lock:
            for index, request in enumerate(requests):
                self.batcher.submit(request, partial(listen, index))
            for _ in requests:
                over.acquire()
        if failures:
            raise failures[0]
        return answers

    async def judge(self, messages: tuple[JSON, ...]) -> str:
        """Have the base model judge, for graders that ask a model: greedy, one at a time."""
        request = Request("base", messages, JUDGED_TOKENS)
        (answer,) = await asyncio.to_thread(self._ask, [request])
        return answer.text

    def close(self) -> None:
        """Stop the batcher."""
        self.batcher.stop()
