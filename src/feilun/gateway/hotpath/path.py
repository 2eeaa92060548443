"""The way of a call: plan, send, relay, settle. Read top to bottom.

Settlement never depends on the client: a call goes on when its client leaves, until the engine said what it counted.
This module knows the order of things; what each step does is its own module's matter. It does not know keys, the
headers of clients, or any model.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from feilun.errors import EngineDown, EngineError, FeilunError, RateLimited, UpstreamError
from feilun.gateway.hotpath.breaker import Breakers
from feilun.gateway.hotpath.calls import Call, read
from feilun.gateway.hotpath.ledger import Ledger
from feilun.gateway.hotpath.metrics import Metrics
from feilun.gateway.hotpath.planning import Latest, Plan, Planner, Resolve
from feilun.gateway.hotpath.reading import Reading
from feilun.gateway.hotpath.routes import Choice
from feilun.gateway.hotpath.settling import cost, lines_of
from feilun.gateway.hotpath.sinks import Chunks, Sink
from feilun.gateway.hotpath.upstream import Sent, Unwilling, Upstreams
from feilun.gateway.snapshot import Snapshot
from feilun.gateway.writer import Writer
from feilun.records import JSON, Key, Usage, new_id
from feilun.store import Database
from feilun.store.calls import usage

BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF = 2.0
CLOSE_SECONDS = 5.0
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_log = logging.getLogger(__name__)
# Told of every call that is over: what was sent, what was read, how it ended, its use, its times as metrics have them.
Watch = Callable[[Call, Sent | None, Reading | None, str, Usage, tuple[float, float]], None]


@dataclass(slots=True)
class Done:
    """What became of a call so far."""

    sent: Sent | None = None
    reading: Reading | None = None
    status: str = "error"


class Hotpath:
    """The way of every call to a model."""

    def __init__(
        self,
        snapshot: Snapshot,
        upstreams: Upstreams,
        writer: Writer,
        resolve: Resolve,
        latest: Latest,
        context: int,
    ) -> None:
        """Keep what calls need; ``context`` is the window of models that are served here, in tokens."""
        self.ledger, self.metrics, self.breakers = Ledger(), Metrics(), Breakers()
        self.upstreams = upstreams
        self._writer = writer
        self._planner = Planner(snapshot, self.ledger, self.breakers, resolve, latest, context)
        self._running: set[asyncio.Task[Any]] = set()
        self.watch: Watch | None = None
        self.fallen: dict[tuple[str, str, str], int] = {}  # (workspace, endpoint, model) -> calls that it failed

    def allow(self, private_hosts: frozenset[str]) -> None:
        """Permit pictures at these hosts of private networks."""
        self._planner.private_hosts = private_hosts

    async def open(self, db: Database) -> None:
        """Take over what was used today and this month before we started."""
        self.ledger.open(await asyncio.to_thread(usage.spent, db))

    async def close(self) -> None:
        """Return once every call is settled that goes on without its client, or after a while."""
        if self._running:
            await asyncio.wait(self._running, timeout=CLOSE_SECONDS)
        for task in list(self._running):
            task.cancel()

    async def chat(
        self, key: Key, body: JSON, *, kind: str = "chat", headers: Mapping[bytes, bytes] | None = None
    ) -> JSON:
        """Return the whole ``chat.completion`` that answers a chat; its ``id`` is the trace's."""
        return await self.post(key, "/v1/chat/completions", {**body, "stream": False}, kind=kind, headers=headers)

    async def post(
        self, key: Key, path: str, body: JSON, *, kind: str, headers: Mapping[bytes, bytes] | None = None
    ) -> JSON:
        """Return the whole answer to a call; when the caller is cancelled the call is settled all the same."""
        call = read(key, kind, path, body, headers or {})
        task = self._spawn(self.answer(call))
        try:
            raw, _ = await asyncio.shield(task)
        except asyncio.CancelledError:
            self.leave(call)
            raise
        return _decode(raw)

    async def events(
        self, key: Key, body: JSON, *, kind: str = "chat", headers: Mapping[bytes, bytes] | None = None
    ) -> AsyncGenerator[JSON, None]:
        """Yield the chunks of a streamed chat, the last one with its usage; then everything is safe and settled."""
        wanted = {**body, "stream": True, "stream_options": {"include_usage": True}}
        chunks = Chunks()
        self._spawn(self._into(read(key, kind, "/v1/chat/completions", wanted, headers or {}), chunks))
        try:
            async for chunk in chunks.read():
                yield chunk
        finally:
            chunks.leave()

    async def _into(self, call: Call, chunks: Chunks) -> None:
        try:
            error = await self.stream(call, chunks)
        except FeilunError as failure:
            error = failure
        chunks.end(error)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run work that goes on when its caller leaves."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def answer(self, call: Call) -> tuple[bytes, bytes]:
        """Return the whole answer to a call, once its trace is safe, and the lines of its headers."""
        try:
            plan = await self._planner.plan(call)
        except FeilunError as error:
            self._refused(call, error)
            raise
        done = Done()
        self.metrics.running += 1
        try:

            async def whole(sent: Sent, reading: Reading) -> bytes:
                raw = await sent.reply.read()
                plan.first = time.perf_counter() - call.began
                return reading.whole(raw)

            raw = await self._attempts(plan, done, whole)
            done.status = "cancelled" if call.left else "ok"
        finally:
            await self._settle(plan, done)
        return raw, self._headers(plan, done)

    async def stream(self, call: Call, sink: Sink) -> FeilunError | None:
        """Relay a call's answer as it comes; return what it failed with after it had begun, raise what before."""
        try:
            plan = await self._planner.plan(call)
        except FeilunError as error:
            self._refused(call, error)
            raise
        done = Done()
        failure: FeilunError | None = None
        self.metrics.running += 1
        sink.when_gone(lambda: self.leave(call))
        try:
            out = await self._attempts(plan, done, _first)
            sink.start(200, self._headers(plan, done))
            try:
                await self._relay(out, done, sink)
                done.status = "cancelled" if sink.gone else "ok"
            except EngineError as error:
                failure = error
                self._fell(done, error)
        finally:
            try:
                await self._settle(plan, done)
            except FeilunError as error:
                failure = failure or error
        if failure is None and done.reading is not None and not sink.gone:
            sink.write(done.reading.end())
        return failure

    def _refused(self, call: Call, error: FeilunError) -> None:
        """Tell of a call that nothing was sent for; its name may be any text, so that no figure bears it."""
        self.metrics.refused(call.key.workspace, error.code)
        if self.watch is not None:
            self.watch(call, None, None, "refused", Usage(0, 0), (0.0, time.perf_counter() - call.began))

    async def _attempts(self, plan: Plan, done: Done, use: Callable[[Sent, Reading], Awaitable[bytes]]) -> bytes:
        """Send a call until a target's answer can be used; raise the last error, or a refusal at once."""
        call, waiting, turn = plan.call, list(plan.order), len(plan.order)
        for attempt in range(plan.attempts):
            choice = waiting.pop(0)
            if attempt:
                self.metrics.retries += 1
                await self._pause(attempt // turn)
            self.breakers.begin(choice.name)
            try:
                sent = await self.upstreams.send(choice, call, plan.most, plan.timeouts)
                plan.first = time.perf_counter() - call.began
                done.sent, done.reading = sent, Reading(call, sent.api)
                out = await use(sent, done.reading)
            except FeilunError as error:
                if isinstance(error, EngineError) and not isinstance(error, Unwilling):
                    self._fell(done, error, choice)
                    waiting.append(choice)
                else:
                    self.breakers.spared(choice.name)
                    if not isinstance(error, Unwilling | RateLimited):
                        raise
                if call.left or attempt + 1 == plan.attempts or not waiting:
                    raise
                _log.info("%s: %s; trying again", call.id, error.code)  # what upstreams say may quote the call
                await self._give_up(plan, done)
            else:
                self.breakers.succeeded(choice.name)
                return out
        raise EngineDown("Nothing answered.", "Try again in a moment.")

    async def _relay(self, out: bytes, done: Done, sink: Sink) -> None:
        sent, reading = done.sent, done.reading
        if sent is None or reading is None:
            return

        def take(data: bytes, pieces: Sequence[bytes]) -> bool:
            block = reading.feed(data, pieces)
            if block and not sink.gone:
                sink.write(block)
            return not sink.choked

        if out and not sink.gone:
            sink.write(out)
            await sink.drain()
        await sent.reply.forward(take, sink.drain)
        if not reading.complete:
            raise UpstreamError("The engine stopped in the middle of the answer.", "Try again in a moment.")

    def leave(self, call: Call) -> None:
        """Say that nobody reads a call's answer any more: its engine is told to stop."""
        call.left = True
        self.upstreams.stop(call)

    def _fell(self, done: Done, error: EngineError, choice: Choice | None = None) -> None:
        """Note that a target failed."""
        if choice is None and done.sent is not None:
            choice = done.sent.choice
        if choice is not None:
            place = choice.endpoint.workspace, choice.endpoint.name, choice.target.model
            self.fallen[place] = self.fallen.get(place, 0) + 1
            self.breakers.failed(choice.name)
            self.upstreams.conceal(choice, error)
        if done.sent is not None:
            self.upstreams.fell(done.sent)

    async def _give_up(self, plan: Plan, done: Done) -> None:
        """Let go of a target that failed. What it counted is a call of its own: billed, and the next must fit too."""
        if done.reading is not None and done.reading.counted:
            await self._settle(replace(plan, call=replace(plan.call, id=new_id("trace"))), done)
            self.metrics.running += 1
            done.sent, done.reading = None, None
            plan.held = self.ledger.reserve(plan.accounts, plan.held.tokens, plan.held.money)
        elif done.sent is not None:
            done.sent.reply.abandon()
            self.upstreams.release(done.sent)
            done.sent, done.reading = None, None

    async def _pause(self, turns: int) -> None:
        if turns:
            await asyncio.sleep(min(LONGEST_BACKOFF, BACKOFF_SECONDS * 2.0 ** (turns - 1)) * random.uniform(0.5, 1.5))

    async def _settle(self, plan: Plan, done: Done) -> None:
        """Bill what was used, let go of what was reserved, and return once the trace is safe."""
        call, sent, reading = plan.call, done.sent, done.reading
        try:
            usage = reading.count() if reading is not None else Usage(0, 0)
            price = cost(sent.choice, usage) if sent is not None else 0
            self.ledger.settle(plan.held, usage.prompt_tokens + usage.completion_tokens, price)
            times = plan.first, time.perf_counter() - call.began
            self.metrics.finished(call.key.workspace, call.name, done.status, usage, price, times)
            if self.watch is not None:
                self.watch(call, sent, reading, done.status, usage, times)
            if sent is None or reading is None:
                return
            sent.reply.abandon()
            self.upstreams.release(sent)
            if reading.counted:
                finish = "cancelled" if call.left else "stop" if done.status == "ok" else done.status
                await self._writer.write(lines_of(call, sent.choice, sent.model, reading, finish, plan.first))
        finally:
            self.metrics.running -= 1  # not before its trace is safe: who sees that all calls are over finds them all

    def _headers(self, plan: Plan, done: Done) -> bytes:
        """Return the lines of the headers that go with an answer."""
        trace = plan.call.id.encode()
        lines = b"x-feilun-trace: %b\r\nx-request-id: %b\r\n" % (trace, trace)
        if plan.kept_inside:
            lines += _line(b"x-feilun-kept-inside", plan.kept_inside)
        if done.sent is not None and (name := done.sent.choice.endpoint.name) != plan.call.name:
            lines += _line(b"x-feilun-fallback", name)
        return lines + self.ledger.headers(plan.accounts)


def _line(name: bytes, text: str) -> bytes:
    """Return the line of a header whose text may be anything."""
    return b"%b: %b\r\n" % (name, " ".join(text.split()).encode("ascii", "replace")[:200])


async def _first(sent: Sent, reading: Reading) -> bytes:
    """Read until the first whole event: before it, another target may still answer."""
    out = reading.feed(sent.first, sent.reply.parts)
    while not reading.heard:
        data = await sent.reply.receive()
        if not data:
            raise UpstreamError(f"{sent.model} sent what is no stream of events.", "Try again.")
        out = reading.feed(data, sent.reply.parts)
    return out
