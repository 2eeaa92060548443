"""Continuous batching: calls join and leave the running batch between tokens, whatever adapters they ask for.

It knows versions that are loaded, calls that wait and calls that run. It does not know HTTP; whoever submits a call
gets its deltas through a callback, from the batcher's own thread.

Source: iteration-level scheduling (Yu et al. 2022, Orca).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from feilun.engines.adapters import Adapter, RowAdapters, read_adapter
from feilun.engines.cache import Cache, Span
from feilun.engines.decoder import Decoder
from feilun.engines.prompts import Prompter
from feilun.engines.seam import Delta, Request
from feilun.engines.text import TextStream
from feilun.errors import BadRequest, ContextTooLong, EngineError, FeilunError, NotFound
from feilun.records import Usage

Send = Callable[[Delta | FeilunError], None]
PREFILL_TOKENS = 2048  # prompts that enter together: more would keep running answers waiting


@dataclass(slots=True)
class Call:
    """One call in the batcher. ``gone`` is set when nobody wants the answer any more."""

    request: Request
    send: Send
    prompt: list[int]
    text: TextStream
    random: torch.Generator | None
    slot: int = -1
    made: list[int] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)


class Batcher:
    """One base model, its adapters, and the loop that answers calls."""

    def __init__(self, folder: Path, slots: int, context: int) -> None:
        """Load the base model of ``folder`` in float32 and start the loop's thread."""
        self.decoder = Decoder(folder, torch.float32)
        self.context = min(context, self.decoder.shape.window)
        self.cache = Cache(self.decoder.shape, slots, self.context)
        self.slots = slots
        self.free = list(range(slots))
        self.versions: dict[str, tuple[Prompter, Adapter | None]] = {}
        self.waiting: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self.running: list[Call] = []
        self.groups: dict[str, list[Call]] = {}
        self.thread = threading.Thread(target=self._loop, name="batcher", daemon=True)
        self.thread.start()

    def load(self, model: str, folder: Path, adapter: Path | None) -> None:
        """Make a version servable: ``folder`` holds tokenizer and template, ``adapter`` the factors."""
        self.versions[model] = (Prompter(folder), read_adapter(adapter, torch.float32) if adapter else None)

    def submit(self, request: Request, send: Send) -> Call:
        """Queue a call; raise NotFound, BadRequest or ContextTooLong at once."""
        if request.model not in self.versions:
            raise NotFound(f"The engine has not loaded {request.model}.", param="model")
        if request.max_tokens < 1:
            raise BadRequest("max_tokens must be at least 1.", param="max_tokens")
        if request.group_size > self.slots:
            raise BadRequest(f"A group may have at most {self.slots} calls.", param="group_size")
        prompter = self.versions[request.model][0]
        text = prompter.render(request.messages)
        prompt = prompter.encode(text)
        if len(prompt) >= self.context:
            raise ContextTooLong(
                f"The messages are {len(prompt)} tokens long; this model takes {self.context} with its answer.",
                "Shorten them.",
                param="messages",
            )
        random = None
        if request.temperature > 0:
            random = torch.Generator()
            random.manual_seed(request.seed) if request.seed is not None else random.seed()
        call = Call(request, send, prompt, TextStream(prompter, request.stop), random)
        send(Delta(prompt=text))
        self.waiting.put(call)
        return call

    def stop(self) -> None:
        """End the loop after the present step."""
        self.waiting.put(None)
        self.thread.join(timeout=30)

    def _admit(self) -> list[Call] | None:
        """Take waiting calls while slots and the prefill allowance last; None asks the loop to end."""
        fresh: list[Call] = []
        room = PREFILL_TOKENS
        while self.free and room > 0:
            try:
                call = self.waiting.get(block=not self.running and not fresh and not self._ready())
            except queue.Empty:
                break
            if call is None:
                return None
            if call.gone.is_set():
                continue
            if call.request.group:
                self._gather(call)
                continue
            call.slot = self.free.pop(0)
            fresh.append(call)
            room -= len(call.prompt)
            if self.waiting.empty():
                break
        return fresh or self._whole_group()

    def _ready(self) -> bool:
        return any(len(calls) == calls[0].request.group_size for calls in self.groups.values())

    def _gather(self, call: Call) -> None:
        """Keep a call until its whole group is there."""
        self.groups.setdefault(call.request.group, []).append(call)

    def _whole_group(self) -> list[Call]:
        """Take a group that is complete, once nobody else is being answered."""
        if self.running:
            return []
        self.groups = {n: calls for n, calls in self.groups.items() if not any(call.gone.is_set() for call in calls)}
        for name, calls in self.groups.items():
            if len(calls) == calls[0].request.group_size:
                for call in calls:
                    call.slot = self.free.pop(0)
                del self.groups[name]
                return sorted(calls, key=lambda call: call.prompt)
        return []

    def _loop(self) -> None:
        with torch.inference_mode():
            while True:
                fresh = self._admit()
                if fresh is None:
                    return
                try:
                    if fresh:
                        self._prefill(fresh)
                    if self.running:
                        self._decode()
                except RuntimeError as error:  # torch's own: out of memory, bad shapes; the loop must outlive it
                    self._fail(EngineError(f"The engine failed: {error}", "Try again."), fresh)

    def _fail(self, error: FeilunError, fresh: list[Call]) -> None:
        for call in {id(call): call for call in (*self.running, *fresh)}.values():
            call.send(error)
            if call.slot not in self.free:
                self.free.append(call.slot)
        self.running = []
        self.free.sort()

    def _linear(self, owners: list[str]) -> RowAdapters:
        adapters = {name: found[1] for name, found in self.versions.items() if found[1] is not None}
        return RowAdapters(self.decoder, adapters, [name if name in adapters else None for name in owners])

    def _prefill(self, calls: list[Call]) -> None:
        ids: list[int] = []
        positions: list[int] = []
        owners: list[str] = []
        spans, last = [], []
        for call in calls:
            spans.append(Span(call.slot, len(ids), len(call.prompt)))
            ids.extend(call.prompt)
            positions.extend(range(len(call.prompt)))
            owners.extend([call.request.model] * len(call.prompt))
            last.append(len(ids) - 1)
        attend, rows = self.cache.prefill(spans), self._linear(owners)
        hidden = self.decoder.hidden(torch.tensor(ids), torch.tensor(positions), attend, rows.linear)
        self.running.extend(calls)
        self._emit(calls, self.decoder.logits(hidden[torch.tensor(last)]))

    def _decode(self) -> None:
        calls = list(self.running)
        positions = torch.tensor([len(call.prompt) + len(call.made) - 1 for call in calls])
        attend = self.cache.decode(torch.tensor([call.slot for call in calls]), positions)
        rows = self._linear([call.request.model for call in calls])
        hidden = self.decoder.hidden(torch.tensor([call.made[-1] for call in calls]), positions, attend, rows.linear)
        self._emit(calls, self.decoder.logits(hidden))

    def _emit(self, calls: list[Call], logits: Tensor) -> None:
        best = logits.argmax(-1).tolist()
        norms = logits.logsumexp(-1)
        for row, call in enumerate(calls):
            token = best[row] if call.random is None else _sample(logits[row], call.request, call.random)
            logprob = float(logits[row, token] - norms[row]) if call.request.logprobs else None
            self._advance(call, token, logprob)

    def _advance(self, call: Call, token: int, logprob: float | None) -> None:
        call.made.append(token)
        prompter = self.versions[call.request.model][0]
        finish = None
        if token in prompter.end_ids:
            text, finish = call.text.close(), "stop"
        else:
            text, stopped = call.text.push(token)
            full = len(call.made) >= call.request.max_tokens or len(call.prompt) + len(call.made) >= self.context
            if stopped:
                finish = "stop"
            elif full:
                text, finish = text + call.text.close(), "length"
        usage = Usage(len(call.prompt), len(call.made)) if finish else None
        if text or finish or logprob is not None:
            call.send(Delta(text, token, logprob, finish, usage))
        if finish or call.gone.is_set():
            self.running.remove(call)
            self.free.append(call.slot)
            self.free.sort()


def _sample(logits: Tensor, request: Request, random: torch.Generator) -> int:
    """Draw one token id: temperature, then the smallest set that holds ``top_p`` (Holtzman et al. 2020)."""
    chances = (logits / request.temperature).softmax(-1)
    if request.top_p < 1:
        ordered, order = chances.sort(descending=True)
        ordered[ordered.cumsum(-1) - ordered >= request.top_p] = 0
        return int(order[torch.multinomial(ordered, 1, generator=random)])
    return int(torch.multinomial(chances, 1, generator=random))
