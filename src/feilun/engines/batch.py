"""Continuous batching: calls join and leave the running batch between tokens, whatever adapters they ask for.

It knows versions that are loaded, calls that wait and calls that run. It does not know HTTP; whoever submits a call
gets its deltas through a callback, from the batcher's own thread.

Source: iteration-level scheduling (Yu et al. 2022, Orca).
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from feilun.engines.adapters import Adapter, RowAdapters, check_fit, read_adapter
from feilun.engines.cache import Cache, Span
from feilun.engines.decoder import Decoder
from feilun.engines.prompts import Prompter, read_template
from feilun.engines.sampling import Choice, Grammars, MakeGrammars, Sampler
from feilun.engines.seam import Delta, Request
from feilun.engines.text import TextStream
from feilun.errors import BadRequest, ContextTooLong, EngineDown, EngineError, FeilunError, NotFound
from feilun.records import Usage

Send = Callable[[Delta | FeilunError], None]
_FAILURES = (RuntimeError, MemoryError, LookupError, TypeError, ValueError, ArithmeticError)  # torch raises all these
GROUP_SECONDS = 30.0  # how long a group may take to arrive
PREFILL_TOKENS = 2048  # prompts that enter together: more would keep running answers waiting


class Loaded(NamedTuple):
    """What a version is served with; calls keep it to their end, also when it is unloaded meanwhile."""

    prompter: Prompter
    adapter: Adapter | None


@dataclass(slots=True)
class Call:
    """One call in the batcher. ``gone`` is set when nobody wants the answer any more; it then ends as cancelled."""

    request: Request
    send: Send
    prompt: list[int]
    text: TextStream
    loaded: Loaded
    sampler: Sampler
    slot: int = -1
    made: list[int] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)

    def usage(self) -> Usage:
        """Return what was computed so far."""
        return Usage(len(self.prompt) if self.made else 0, len(self.made))


@dataclass(slots=True)
class Group:
    """Calls that are to be answered together; ``arrived`` counts those, too, that were refused."""

    began: float = field(default_factory=time.monotonic)
    arrived: int = 0
    calls: list[Call] = field(default_factory=list)


class Batcher:
    """One base model, its adapters, and the loop that answers calls."""

    def __init__(self, folder: Path, slots: int, context: int, grammars: MakeGrammars | None = None) -> None:
        """Load the base model of ``folder`` in float32 and start the loop's thread.

        ``grammars`` makes those of a tokenizer at their first use; without it, requests with a grammar are refused.
        """
        self.decoder = Decoder(folder, torch.float32)
        self.context = min(context, self.decoder.shape.window)
        self.cache = Cache(self.decoder.shape, slots, self.context)
        self.slots = slots
        self.free = list(range(slots))
        self.versions: dict[str, Loaded] = {}
        self.make_grammars = grammars
        self.grammars: Grammars | None = None
        self.lock = threading.Lock()
        self.counts = {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "cached_tokens": 0}
        self.waiting: queue.SimpleQueue[Call | Request | None] = queue.SimpleQueue()
        self.turns: deque[list[Call]] = deque()  # single calls and whole groups, in the order they may begin
        self.groups: dict[str, Group] = {}  # groups of which calls are still to come
        self.running: list[Call] = []
        self.alone = False  # a group is being answered: nobody may join
        self.thread = threading.Thread(target=self._loop, name="batcher", daemon=True)
        self.thread.start()

    def load(self, model: str, folder: Path, adapter: Path | None) -> None:
        """Make a version servable: ``folder`` holds the tokenizer, ``adapter`` the factors and the template."""
        template = read_template(adapter) if adapter else None
        factors = read_adapter(adapter, torch.float32) if adapter else None
        if factors:
            check_fit(factors, self.decoder)
        self.versions[model] = Loaded(Prompter(folder, template), factors)

    def unload(self, model: str) -> None:
        """Forget a version; calls to it that wait or run go on to their end."""
        self.versions.pop(model, None)

    def pending(self) -> int:
        """Return how many calls wait for their turn."""
        return self.waiting.qsize() + sum(len(turn) for turn in list(self.turns))

    def submit(self, request: Request, send: Send) -> Call:
        """Queue a call; raise NotFound, BadRequest or ContextTooLong at once.

        A call that is refused, or leaves, counts as one of its group: the others do not wait for it.
        """
        try:
            text, call = self._prepare(request, send)
        except FeilunError:
            if request.group:
                self.waiting.put(request)
            raise
        send(Delta(prompt=text, usage=Usage(len(call.prompt), 0)))
        self.waiting.put(call)
        return call

    def _prepare(self, request: Request, send: Send) -> tuple[str, Call]:
        """Return the prompt's text and the call, ready to be answered."""
        loaded = self.versions.get(request.model)
        if loaded is None:
            raise NotFound(f"The engine has not loaded {request.model}.", param="model")
        if request.max_tokens < 1:
            raise BadRequest("max_tokens must be at least 1.", param="max_tokens")
        if request.group_size > self.slots:
            raise BadRequest(f"A group may have at most {self.slots} calls.", param="group_size")
        prompter, what = loaded.prompter, "prompt" if request.prompt else "messages"
        text = request.prompt or prompter.render(request.messages, tools=request.tools)
        prompt = prompter.encode(text)
        if not prompt:
            raise BadRequest("The messages make an empty prompt.", param="messages")
        if len(prompt) >= self.context:
            raise ContextTooLong(
                f"The {what} are {len(prompt)} tokens long; this model takes {self.context} with its answer.",
                "Shorten them.",
                param=what,
            )
        return text, Call(
            request, send, prompt, TextStream(prompter, request.stop), loaded, self._sampler(request, loaded)
        )

    def _sampler(self, request: Request, loaded: Loaded) -> Sampler:
        vocabulary, matcher = self.decoder.shape.vocabulary, None
        if request.grammar:
            if self.make_grammars is None:
                raise BadRequest("This engine cannot hold an answer to a grammar.", param="response_format")
            with self.lock:
                self.grammars = self.grammars or self.make_grammars(loaded.prompter, vocabulary)
            matcher = self.grammars.begin(request.grammar)
        return Sampler(request, loaded.prompter, vocabulary, matcher)

    def stop(self) -> None:
        """End the loop after the present step."""
        self.waiting.put(None)
        self.thread.join(timeout=30)

    def _receive(self) -> bool:
        """Sort what has arrived into turns and groups, waiting if there is nothing to do; False ends the loop."""
        while True:
            try:
                timeout = GROUP_SECONDS if self.groups else None
                item = self.waiting.get(block=not self.running and not self.turns, timeout=timeout)
            except queue.Empty:
                self._give_up()
                return True
            if item is None:
                return False
            call, request = (item, item.request) if isinstance(item, Call) else (None, item)
            group = self.groups.setdefault(request.group, Group()) if request.group else Group()
            group.arrived += 1
            if call:
                group.calls.append(call)
            if not request.group or group.arrived == request.group_size:
                self.groups.pop(request.group, None)
                self.turns.append(group.calls)

    def _give_up(self) -> None:
        """Refuse groups of which calls never came: whoever was to send them is gone."""
        for name, group in list(self.groups.items()):
            if time.monotonic() - group.began >= GROUP_SECONDS:
                del self.groups[name]
                for call in group.calls:
                    call.send(EngineDown("Not all calls of the group have come.", "Send the whole group again."))

    def _admit(self) -> list[Call]:
        """Take calls, first come first served, while slots and the prefill allowance last; a group waits to be alone.

        Slots of a group follow its prompts: who arrived first must not show in the last bits of a sum.
        """
        self.alone = self.alone and bool(self.running)
        self._sweep()
        fresh: list[Call] = []
        room = PREFILL_TOKENS
        while self.turns and self.free and room > 0 and not self.alone:
            wanted = sorted(self.turns[0], key=_order)
            alone = bool(wanted and wanted[0].request.group)
            if alone and (self.running or fresh):
                break
            self.turns.popleft()
            self.alone = alone
            for call in wanted:
                call.slot = self.free.pop(0)
                fresh.append(call)
                room -= len(call.prompt)
        return fresh

    def _sweep(self) -> None:
        """End calls that were given up while they waited."""
        for turn in self.turns:
            for call in [call for call in turn if call.gone.is_set()]:
                turn.remove(call)
                self._end(call, Delta(finish="cancelled", usage=call.usage()))

    def _end(self, call: Call, last: Delta | FeilunError) -> None:
        """Count a call and send its last delta."""
        used, counts = call.usage(), self.counts
        self.counts = {
            "calls": counts["calls"] + 1,
            "prompt_tokens": counts["prompt_tokens"] + used.prompt_tokens,
            "completion_tokens": counts["completion_tokens"] + used.completion_tokens,
            "cached_tokens": counts["cached_tokens"] + used.cached_tokens,
        }
        call.send(last)

    def _loop(self) -> None:
        with torch.inference_mode():
            while True:
                if not self._receive():
                    return
                fresh = self._admit()
                try:
                    if fresh:
                        self._prefill(fresh)
                    if self.running:
                        self._decode()
                except _FAILURES as error:  # the loop must outlive them, or every later call would wait for ever
                    self._fail(EngineError(f"The engine failed: {error}", "Try again."), fresh)

    def _fail(self, error: FeilunError, fresh: list[Call]) -> None:
        for call in {id(call): call for call in (*self.running, *fresh)}.values():
            self._end(call, error)
            if call.slot not in self.free:
                self.free.append(call.slot)
        self.running = []
        self.free.sort()

    def _linear(self, owners: list[Call]) -> RowAdapters:
        """Return the product that gives every row the adapter of its call."""
        found = {id(call.loaded.adapter): call.loaded.adapter for call in owners if call.loaded.adapter is not None}
        names = [str(id(call.loaded.adapter)) for call in owners]
        adapters = {str(key): adapter for key, adapter in found.items()}
        return RowAdapters(self.decoder, adapters, [name if name in adapters else None for name in names])

    def _prefill(self, calls: list[Call]) -> None:
        ids: list[int] = []
        positions: list[int] = []
        owners: list[Call] = []
        spans: list[Span] = []
        last: dict[int, int] = {}
        for key in dict.fromkeys(id(call.loaded.adapter) for call in calls):
            same = [call for call in calls if id(call.loaded.adapter) == key]
            head, shared = len(ids), _shared(same)
            tasks = [(-1, same[0].prompt[:shared], 0)] if shared else []
            for slot, tokens, before in [*tasks, *((call.slot, call.prompt[shared:], shared) for call in same)]:
                spans.append(Span(slot, len(ids), len(tokens), head, before))
                ids.extend(tokens)
                positions.extend(range(before, before + len(tokens)))
                owners.extend([same[0]] * len(tokens))
                last[slot] = len(ids) - 1
        attend, rows = self.cache.prefill(spans), self._linear(owners)
        hidden = self.decoder.hidden(torch.tensor(ids), torch.tensor(positions), attend, rows.linear)
        self.running.extend(calls)
        self._emit(calls, self.decoder.logits(hidden[torch.tensor([last[call.slot] for call in calls])]))

    def _decode(self) -> None:
        calls = list(self.running)
        positions = torch.tensor([len(call.prompt) + len(call.made) - 1 for call in calls])
        attend = self.cache.decode(torch.tensor([call.slot for call in calls]), positions)
        rows = self._linear(calls)
        hidden = self.decoder.hidden(torch.tensor([call.made[-1] for call in calls]), positions, attend, rows.linear)
        self._emit(calls, self.decoder.logits(hidden))

    def _emit(self, calls: list[Call], logits: Tensor) -> None:
        best = logits.argmax(-1).tolist()
        for row, call in enumerate(calls):
            try:
                left = min(call.request.max_tokens, self.context - len(call.prompt)) - len(call.made)
                plain = call.sampler.plain
                choice = Choice(best[row]) if plain else call.sampler.choose(logits[row], left)
                self._advance(call, choice, left - 1)
            except _FAILURES as error:  # of one call's grammar or text: the others have no part in it
                self._end(call, EngineError(f"The engine failed: {error}", "Try again."))
                self._release(call)

    def _advance(self, call: Call, choice: Choice, left: int) -> None:
        """Add a token to an answer and tell its caller; ``left`` may still come."""
        call.made.append(choice.token)
        prompter, finish = call.loaded.prompter, None
        if choice.token in prompter.end_ids:
            text, finish = call.text.close(), "stop"
        else:
            more = call.sampler.take(choice.token)
            text, stopped = call.text.push(choice.token)
            if stopped:
                finish = "stop"
            elif not more or left <= 0:
                text, finish = text + call.text.close(), "length" if more else "stop"
            elif call.gone.is_set():
                text, finish = text + call.text.close(), "cancelled"
        token = choice.token
        delta = Delta(text, token, choice.logprob, finish, call.usage(), None, prompter.piece(token), choice.top)
        if finish:
            self._end(call, delta)
            self._release(call)
        elif text or choice.logprob is not None:
            call.send(delta)

    def _release(self, call: Call) -> None:
        self.running.remove(call)
        self.free.append(call.slot)
        self.free.sort()


def _order(call: Call) -> tuple[list[int], str, int]:
    return call.prompt, call.request.model, call.request.max_tokens


def _shared(calls: list[Call]) -> int:
    """Return how many leading tokens the prompts have in common: worth computing once, and leaving each a last one."""
    if len(calls) < 2:
        return 0
    prompts = [call.prompt for call in calls]
    first, last = min(prompts), max(prompts)  # in order, all others lie between: what these share, all share
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return min(same, *(len(prompt) - 1 for prompt in prompts))
