"""One call from its first token to its trace, however it ends: complete, cut off, failed, or left by its client.

This module knows the pieces of an answer and what a trace holds. It does not know HTTP or any API's shapes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from feilun.engines.seam import Delta, Request
from feilun.errors import EngineDown
from feilun.gateway.answering import Answering, Route
from feilun.gateway.writer import Writer
from feilun.records import Key, Permissions, Trace, Usage, new_id


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the answer ``index``."""

    index: int
    text: str
    logprob: float | None = None


@dataclass(slots=True)
class Said:
    """What was said so far in one answer."""

    text: str = ""
    finish: str = ""
    tokens: list[tuple[str, float]] = field(default_factory=list)
    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    made: int = 0

    def take(self, delta: Delta) -> None:
        """Add a delta."""
        self.text += delta.text
        self.made += delta.token is not None
        self.finish = delta.finish or self.finish
        # The engine's own count where it gave one; an answer cut short has had at least the tokens that came.
        self.usage = delta.usage or Usage(self.usage.prompt_tokens, max(self.usage.completion_tokens, self.made))
        if delta.logprob is not None:
            self.tokens.append((delta.text, delta.logprob))


class Call:
    """One call with one or more answers (``requests``); ``learn`` says whether training may ever use it."""

    def __init__(
        self, answering: Answering, writer: Writer, key: Key, route: Route, requests: list[Request], *, learn: bool
    ) -> None:
        """Prepare the call; :meth:`pieces` begins it."""
        self.id = new_id("trace")
        self.created = time.time()
        self.key, self.route, self.requests = key, route, requests
        self.said = [Said() for _ in requests]
        self.begun = False
        self._answering, self._writer, self._learn = answering, writer, learn
        self._recorded = False
        self._began = time.perf_counter()

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of all answers as they come; raise what the engine raises."""
        # Unbounded: an answer ends at the model's window at the latest.
        queue: asyncio.Queue[Piece | BaseException | None] = asyncio.Queue()
        tasks = [asyncio.create_task(self._ask(index, queue)) for index in range(len(self.requests))]
        for task in tasks:
            task.add_done_callback(lambda done: queue.put_nowait(None if done.cancelled() else done.exception()))
        open_answers = len(tasks)
        try:
            while open_answers:
                piece = await queue.get()
                if isinstance(piece, BaseException):
                    raise piece
                if piece is None:
                    open_answers -= 1
                    continue
                self.begun = True
                yield piece
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _ask(self, index: int, queue: asyncio.Queue[Piece | BaseException | None]) -> None:
        said = self.said[index]
        deltas = self._answering.generate(self.route.version, self.requests[index])
        try:
            async for delta in deltas:
                said.take(delta)
                queue.put_nowait(Piece(index, delta.text, delta.logprob))
        finally:
            await deltas.aclose()
        if not said.finish:
            raise EngineDown("The engine stopped in the middle of the answer.", "Try again in a moment.")

    def usage(self) -> Usage:
        """Return what the call cost: its prompt once, and every answer."""
        return Usage(
            max(said.usage.prompt_tokens for said in self.said), sum(said.usage.completion_tokens for said in self.said)
        )

    async def record(self, finish: str = "") -> None:
        """Write the traces, one per answer, and return once they are safe; the first time only.

        ``finish`` says how the call ended, where the engine did not. A call that the engine never began leaves none.
        """
        if self._recorded:
            return
        self._recorded = True
        if self.begun:
            await self._writer.write([self._trace(index, finish) for index in range(len(self.said))])

    def _trace(self, index: int, finish: str) -> Trace:
        said = self.said[index]
        prompt = self.usage().prompt_tokens if index == 0 else 0
        return Trace(
            id=self.id if index == 0 else f"{self.id}-{index}",
            workspace=self.key.workspace,
            key=self.key.id,
            endpoint=self.route.endpoint,
            model=self.route.version.id,
            messages=self.requests[index].messages,
            answer=said.text,
            finish=said.finish or finish,
            usage=Usage(prompt, said.usage.completion_tokens),
            deployment=self.route.deployment,
            permissions=Permissions(train=self._learn),
            created=self.created,
            seconds=time.perf_counter() - self._began,
        )
