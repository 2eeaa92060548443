"""Feilun's own engine as a peer: its batcher, without the HTTP face before it, as the others are without theirs.

Knows the batcher. Does not know what is measured.
"""

from __future__ import annotations

import queue
from functools import partial
from pathlib import Path
from typing import Any

import torch

from feilun.engines.batch import Batcher
from feilun.engines.seam import Delta, Request
from feilun.errors import FeilunError

from .peer import Call, serve

SLOTS, CONTEXT = 32, 2048
Heard = tuple[int, Delta | FeilunError]


class Feilun:
    """The batcher with the base and all adapters loaded."""

    def __init__(self, settings: dict[str, Any]) -> None:
        torch.set_num_threads(settings["threads"])
        base = Path(settings["folder"])
        self.batcher = Batcher(base, SLOTS, CONTEXT)
        self.batcher.load("base", base, None)
        for name, adapter in settings["adapters"].items():
            self.batcher.load(name, base, Path(adapter["peft"]))

    def answer(self, calls: list[Call], tokens: int, _ends: bool, /) -> list[list[int]]:
        """Answer all calls at once. An end token always ends an answer here; stories come to none."""
        heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()

        def hear(number: int, delta: Delta | FeilunError) -> None:
            heard.put((number, delta))

        for number, call in enumerate(calls):
            request = Request(call.adapter or "base", (), tokens, prompt=call.text)
            self.batcher.submit(request, partial(hear, number))
        answers: list[list[int]] = [[] for _ in calls]
        left = len(calls)
        while left:
            number, delta = heard.get()
            if isinstance(delta, FeilunError):
                raise delta
            if delta.token is not None:
                answers[number].append(delta.token)
            left -= delta.finish is not None
        return answers


if __name__ == "__main__":
    serve(Feilun)
