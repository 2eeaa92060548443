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

import torch
from torch import Tensor

from feilun.engines.adapters import Adapter, RowAdapters, check_fit, read_adapter
from feilun.engines.cache import Cache, Span
from feilun.engines.decoder import Decoder
from feilun.engines.prompts import Prompter, read_template
from feilun.engines.seam import Delta, Request
from feilun.engines.text import TextStream
from feilun.errors import BadRequest, ContextTooLong, EngineDown, EngineError, FeilunError, NotFound
from feilun.records import Usage

Send = Callable[[Delta | FeilunError], None]
_FAILURES = (RuntimeError, MemoryError, LookupError, TypeError, ValueError, ArithmeticError)  # torch raises all these
GROUP_SECONDS = 30.0  # how long a group may take to arrive
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


@dataclass(slots=True)
class Group:
    """Calls that are to be answered together; ``arrived`` counts those, too, that were refused."""

    began: float = field(default_factory=time.monotonic)
    arrived: int = 0
    calls: list[Call] = field(default_factory=list)


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
        self.versions[model] = (Prompter(folder, template), factors)

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
        if request.model not in self.versions:
            raise NotFound(f"The engine has not loaded {request.model}.", param="model")
        if request.max_tokens < 1:
            raise BadRequest("max_tokens must be at least 1.", param="max_tokens")
        if request.group_size > self.slots:
            raise BadRequest(f"A group may have at most {self.slots} calls.", param="group_size")
        prompter = self.versions[request.model][0]
        text = prompter.render(request.messages)
        prompt = prompter.encode(text)
        if not prompt:
            raise BadRequest("The messages make an empty prompt.", param="messages")
        if len(prompt) >= self.context:
            raise ContextTooLong(
                f"The messages are {len(prompt)} tokens long; this model takes {self.context} with its answer.",
                "Shorten them.",
                param="messages",
            )
        random = None
        if request.temperature > 0:
            random = torch.Generator()
            random.manual_seed(request.seed % 2**63) if request.seed is not None else random.seed()
        return text, Call(request, send, prompt, TextStream(prompter, request.stop), random)

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
        fresh: list[Call] = []
        room = PREFILL_TOKENS
        while self.turns and self.free and room > 0 and not self.alone:
            wanted = sorted((call for call in self.turns[0] if not call.gone.is_set()), key=_order)
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
        spans: list[Span] = []
        last: dict[int, int] = {}
        for model in dict.fromkeys(call.request.model for call in calls):
            same = [call for call in calls if call.request.model == model]
            head, shared = len(ids), _shared(same)
            tasks = [(-1, same[0].prompt[:shared], 0)] if shared else []
            for slot, tokens, before in [*tasks, *((call.slot, call.prompt[shared:], shared) for call in same)]:
                spans.append(Span(slot, len(ids), len(tokens), head, before))
                ids.extend(tokens)
                positions.extend(range(before, before + len(tokens)))
                owners.extend([model] * len(tokens))
                last[slot] = len(ids) - 1
        attend, rows = self.cache.prefill(spans), self._linear(owners)
        hidden = self.decoder.hidden(torch.tensor(ids), torch.tensor(positions), attend, rows.linear)
        self.running.extend(calls)
        self._emit(calls, self.decoder.logits(hidden[torch.tensor([last[call.slot] for call in calls])]))

    def _decode(self) -> None:
        calls = list(self.running)
        positions = torch.tensor([len(call.prompt) + len(call.made) - 1 for call in calls])
        attend = self.cache.decode(torch.tensor([call.slot for call in calls]), positions)
        rows = self._linear([call.request.model for call in calls])
        hidden = self.decoder.hidden(torch.tensor([call.made[-1] for call in calls]), positions, attend, rows.linear)
        self._emit(calls, self.decoder.logits(hidden))

    def _emit(self, calls: list[Call], logits: Tensor) -> None:
        best = logits.argmax(-1).tolist()
        for row, call in enumerate(calls):
            token = best[row] if call.random is None else sample(logits[row], call.request, call.random)
            logprob = float(logits[row, token] - logits[row].logsumexp(-1)) if call.request.logprobs else None
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


def sample(logits: Tensor, request: Request, random: torch.Generator) -> int:
    """Draw one token id: temperature, then the smallest set that holds ``top_p`` (Holtzman et al. 2020)."""
    chances = (logits / max(request.temperature, 1e-6)).softmax(-1)  # colder is zero in float32
    if request.top_p < 1:
        ordered, order = chances.sort(descending=True)
        beyond = ordered.cumsum(-1) - ordered >= request.top_p
        ordered[1:][beyond[1:]] = 0
        return int(order[torch.multinomial(ordered, 1, generator=random)])
    return int(torch.multinomial(chances, 1, generator=random))
