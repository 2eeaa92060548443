"""The loop of a peer's process: settings as its argument, calls on standard input, answers on standard output, as JSON.

Knows lines and errors. Does not know any engine, and needs nothing but the standard library: it also runs in
environments that have an engine and not Feilun.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Call:
    """A prompt, as text and as token ids, to the base or to an adapter."""

    text: str
    ids: list[int]
    adapter: str = ""


class Peer(Protocol):
    """An engine, ready to answer."""

    def answer(self, calls: list[Call], tokens: int, ends: bool, /) -> list[list[int]]:
        """Answer all calls at once, greedily; ``ends``: an end token ends an answer. Return token ids."""
        ...


def _run(peer: Peer, asked: dict[str, Any]) -> dict[str, Any]:
    calls = [Call(**one) for one in asked["calls"]]
    began = time.perf_counter()
    answers = peer.answer(calls, asked["tokens"], asked["ends"])
    return {"seconds": time.perf_counter() - began, "answers": answers}


def serve(make: Callable[[dict[str, Any]], Peer]) -> None:
    """Make the engine, say so, and answer until standard input closes; what libraries print goes to standard error."""
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = make(json.loads(sys.argv[1]))
    print(json.dumps({"ready": True}), file=said, flush=True)
    for line in sys.stdin:
        print(json.dumps(_run(peer, json.loads(line))), file=said, flush=True)
    # Engines keep threads that would hold the process.
    said.close()
    os._exit(0)
