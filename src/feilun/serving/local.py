"""A batcher as an engine of the seam, for the process that it lives in.

It knows the batcher's thread and the event loop. It does not know HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from feilun.engines.batch import Batcher, Call
from feilun.engines.identity import adapter_identity, base_identity
from feilun.engines.seam import Delta, Request
from feilun.errors import BadRequest, FeilunError, NotFound
from feilun.records import JSON, ModelVersion

_Heard = Delta | FeilunError


class BatchEngine:
    """One base model and its adapters."""

    def __init__(self, base: Path, batcher: Batcher) -> None:
        """Serve ``batcher``, which holds the model of the folder ``base``."""
        self.base = base
        self.batcher = batcher
        # Summing a whole model takes as long as all else before the first token, so it is done beside that.
        pool = ThreadPoolExecutor(1, "identity")
        self._sums = pool.submit(base_identity, base)
        pool.shutdown(wait=False)
        self._calls: dict[int, Call | None] = {}  # by the identity of the request; None while it is being prepared
        self._given_up: set[int] = set()

    async def load(self, version: ModelVersion) -> dict[str, Any]:
        """Load a version in a thread; return its identity, computed from the files that were loaded."""
        return await asyncio.to_thread(self._load, version)

    def _load(self, version: ModelVersion) -> dict[str, Any]:
        adapter = Path(version.folder) if version.kind == "adapter" else None
        if adapter is None:
            self.batcher.load(version.id, self.base, None)
            return dict(self._sums.result())
        sums = adapter_identity(self._sums.result(), adapter)
        self.batcher.load(version.id, self.base, adapter)
        return dict(sums)

    async def unload(self, model: str) -> None:
        """Forget a version."""
        self.batcher.unload(model)

    def stop(self, request: Request) -> None:
        """End the call of this very request: its last delta says ``cancelled``."""
        key = id(request)
        call = self._calls.get(key)
        if call is not None:
            call.gone.set()
        elif key in self._calls:
            self._given_up.add(key)

    def text(self, model: str, tokens: list[int]) -> str:
        """Return the text of token numbers."""
        tokenizer = self._loaded(model).tokenizer
        unknown = next((token for token in tokens if tokenizer.id_to_token(token) is None), None)
        if unknown is not None:
            raise BadRequest(f"This model has no token {unknown}.", param="prompt")
        return str(tokenizer.decode(tokens, skip_special_tokens=False))

    async def count(self, request: Request) -> int:
        """Return how many tokens the prompt of a request has."""
        return len(self._loaded(request.model).prompt(request)[1])

    def _loaded(self, model: str) -> Any:
        found = self.batcher.versions.get(model)
        if found is None:
            raise NotFound(f"The engine has not loaded {model}.", param="model")
        return found.prompter

    def state(self) -> JSON:
        """Return what it does just now."""
        batcher = self.batcher
        return {
            "alive": batcher.thread.is_alive(),
            "running": len(batcher.running),
            "waiting": batcher.pending(),
            "models": sorted(batcher.versions),
        }

    async def generate(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Answer one call; a grammar is compiled in a thread, so that others are not held up."""
        loop, key = asyncio.get_running_loop(), id(request)
        heard: asyncio.Queue[_Heard] = asyncio.Queue()
        over = False

        def hear(said: _Heard) -> None:
            loop.call_soon_threadsafe(heard.put_nowait, said)

        self._calls[key] = None
        try:
            submit = self.batcher.submit
            call = await asyncio.to_thread(submit, request, hear) if request.grammar else submit(request, hear)
            self._calls[key] = call
            if key in self._given_up:
                call.gone.set()
            while not over:
                said = await heard.get()
                over = isinstance(said, FeilunError) or said.finish is not None
                if isinstance(said, FeilunError):
                    raise said
                yield said
        finally:
            left = self._calls.pop(key, None)
            self._given_up.discard(key)
            if left is not None and not over:
                left.gone.set()

    async def close(self) -> None:
        """End the batcher."""
        await asyncio.to_thread(self.batcher.stop)
