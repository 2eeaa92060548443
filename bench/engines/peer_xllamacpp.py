"""llama.cpp's server as a peer, from the package xllamacpp: one slot a call, adapters loaded at start, off by default.

Knows xllamacpp and the server's own ``/completion``. Does not know what is measured.
"""

from __future__ import annotations

import importlib
import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .peer import Call, serve

SLOTS, CONTEXT = 32, 512  # calls at once; tokens of each
QUIET = -1

xllamacpp: Any = importlib.import_module("xllamacpp")


class Llama:
    """The server, in this process; it is asked over the loopback, since only so does it return token ids."""

    def __init__(self, settings: dict[str, Any]) -> None:
        given = xllamacpp.CommonParams()
        given.model.path = settings["gguf"]
        given.n_parallel, given.n_ctx = SLOTS, SLOTS * CONTEXT
        given.cpuparams.n_threads = given.cpuparams_batch.n_threads = settings["threads"]
        given.verbosity = QUIET
        adapters = []
        for adapter in settings["adapters"].values():
            one = xllamacpp.CommonAdapterLoraInfo()
            one.path, one.scale = adapter["gguf"], 1.0
            adapters.append(one)
        given.lora_adapters, given.lora_init_without_apply = adapters, True
        self.numbers = {name: number for number, name in enumerate(settings["adapters"])}
        self.server = xllamacpp.Server(given)
        self.calls = ThreadPoolExecutor(SLOTS)

    def answer(self, calls: list[Call], tokens: int, ends: bool) -> list[list[int]]:
        """Send all calls at once."""

        def ask(call: Call) -> list[int]:
            body = {
                "prompt": call.ids,
                "n_predict": tokens,
                "temperature": 0,
                "ignore_eos": not ends,
                "return_tokens": True,
                "cache_prompt": False,
                "lora": [{"id": n, "scale": float(name == call.adapter)} for name, n in self.numbers.items()],
            }
            request = urllib.request.Request(
                self.server.listening_address + "/completion",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request) as answer:
                found: list[int] = json.load(answer)["tokens"]
            return found

        return list(self.calls.map(ask, calls))


if __name__ == "__main__":
    serve(Llama)
