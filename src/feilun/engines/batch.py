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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from feilun.engines.adapters import Adapter, Mixture, check_fit, fill, read_adapter
from feilun.engines.cache import Cache, Key, Prefixes, Span
from feilun.engines.decoder import Packed, Project
from feilun.engines.prompts import Prompter, TextStream, read_template
from feilun.engines.sampling import Choice, Grammars, MakeGrammars, Sampler
from feilun.engines.seam import Delta, Request
from feilun.errors import BadRequest, ContextTooLong, EngineDown, EngineError, FeilunError, NotFound
from feilun.records import Usage

Send = Callable[[Delta | FeilunError], None]
_FAILURES = (RuntimeError, MemoryError, LookupError, TypeError, ValueError, ArithmeticError)  # torch raises all these
GROUP_SECONDS = 30.0  # how long a group may take to arrive
PREFILL_TOKENS = 256  # of prompts in one step; more make a step longer, and no faster a token
BESIDE_TOKENS = 64  # of prompts in one step while answers are streaming, which wait for it
SHARE_TOKENS = 16  # the least that a prompt gets of a step
PREFIX_BYTES = 256 << 20


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
    fed: int = 0  # tokens of the prompt whose keys and values are in the slot
    cached: int = 0  # of these, how many were known already
    prefixes: Prefixes | None = None
    made: list[int] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)

    def usage(self) -> Usage:
        """Return what was computed so far."""
        return Usage(self.fed, len(self.made), self.cached)


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
        # A thread that stays would keep a team of threads for products, and slow those of the loop.
        with ThreadPoolExecutor(1) as loader:
            self.decoder = loader.submit(Packed, folder).result()
        self.context = min(context, self.decoder.shape.window)
        self.cache = Cache(self.decoder.shape, slots, self.context)
        self.slots = slots
        self.free = list(range(slots))
        self.versions: dict[str, Loaded] = {}
        self.prompters: dict[Path, Prompter] = {}
        self.make_grammars = grammars
        self.grammars: Grammars | None = None
        self.lock = threading.Lock()
        self.mixture = Mixture(self.decoder, [])
        self.prefixes = Prefixes(PREFIX_BYTES)
        self.counts = {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "cached_tokens": 0}
        self.waiting: queue.SimpleQueue[Call | Request | Loaded | None] = queue.SimpleQueue()
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
        with self.lock:
            if folder not in self.prompters:
                self.prompters[folder] = Prompter(folder)
            self.decoder.settle()
        before = self.versions.get(model)
        self.versions[model] = Loaded(self.prompters[folder].dressed(template), factors)
        if before:
            self.waiting.put(before)

    def unload(self, model: str) -> None:
        """Forget a version; calls to it that wait or run go on to their end."""
        if loaded := self.versions.pop(model, None):
            self.waiting.put(loaded)

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
        text, prompt = loaded.prompter.prompt(request)
        what = "messages" if request.messages else "prompt"
        if not prompt:
            raise BadRequest(f"The {what} make an empty prompt.", param=what)
        if max(prompt) >= self.decoder.shape.vocabulary:
            raise BadRequest(f"This model has no token {max(prompt)}.", param=what)
        if len(prompt) >= self.context:
            raise ContextTooLong(
                f"The {what} are {len(prompt)} tokens long; this model takes {self.context} with its answer.",
                "Shorten them.",
                param=what,
            )
        answer = TextStream(loaded.prompter, request.stop, request.grammar)
        return text, Call(request, send, prompt, answer, loaded, self._sampler(request, loaded))

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
        self.decoder.close()

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
            if isinstance(item, Loaded):
                self._forget(item)
                return True
            call, request = (item, item.request) if isinstance(item, Call) else (None, item)
            group = self.groups.setdefault(request.group, Group()) if request.group else Group()
            group.arrived += 1
            if call:
                group.calls.append(call)
            if not request.group or group.arrived == request.group_size:
                self.groups.pop(request.group, None)
                self.turns.append(group.calls)

    def _forget(self, loaded: Loaded) -> None:
        """Free what was kept for a version that is no more; calls to it that still run build it anew."""
        self.prefixes.forget(loaded.adapter)
        self.mixture = Mixture(self.decoder, [])

    def _give_up(self) -> None:
        """Refuse groups of which calls never came: whoever was to send them is gone."""
        for name, group in list(self.groups.items()):
            if time.monotonic() - group.began >= GROUP_SECONDS:
                del self.groups[name]
                for call in group.calls:
                    call.send(EngineDown("Not all calls of the group have come.", "Send the whole group again."))

    def _admit(self) -> None:
        """Give slots to calls, first come first served; a group waits to be alone.

        Slots of a group follow its prompts, and it knows no beginnings but its own: neither who arrived first nor what
        others asked must show in the last bits of a sum.
        """
        self.alone = self.alone and bool(self.running)
        while self.turns and self.free and not self.alone:
            wanted = sorted(self.turns[0], key=_order)
            alone = bool(wanted and wanted[0].request.group)
            if alone and self.running:
                break
            self.turns.popleft()
            self.alone = alone
            if alone:
                self.decoder.settled.wait()
            prefixes = Prefixes(PREFIX_BYTES) if alone else self.prefixes
            for call in wanted:
                call.slot, call.prefixes = self.free.pop(0), prefixes
                self.running.append(call)

    def _sweep(self) -> None:
        """End calls that were given up before their answer began."""
        for call in [call for call in self.running if call.gone.is_set() and not call.made]:
            self._release(call)
            self._end(call, Delta(finish="cancelled", usage=call.usage()))
        for turn in self.turns:
            for call in [call for call in turn if call.gone.is_set()]:
                turn.remove(call)
                self._end(call, Delta(finish="cancelled", usage=call.usage()))

    def _end(self, call: Call, last: Delta | FeilunError) -> None:
        """Count a call and send its last delta."""
        used = {"calls": 1, **asdict(call.usage())}
        self.counts = {name: value + used[name] for name, value in self.counts.items()}
        call.send(last)

    def _loop(self) -> None:
        with torch.inference_mode():
            while self._receive():
                self._sweep()
                self._admit()
                try:
                    if self.running:
                        self._step()
                except _FAILURES as error:  # the loop must outlive them, or every later call would wait for ever
                    for call in list(self.running):
                        self._release(call, keep=False)
                        self._end(call, EngineError(f"The engine failed: {error}", "Try again."))

    def _step(self) -> None:
        """Make the next token of every answer that has begun, and read on in the prompts of the others."""
        answering = sorted((call for call in self.running if call.fed == len(call.prompt)), key=lambda call: call.slot)
        reading = self._reading(BESIDE_TOKENS if answering and not self.alone else PREFILL_TOKENS)
        ids = [call.made[-1] for call in answering]
        slots = [call.slot for call in answering]
        places = [len(call.prompt) + len(call.made) - 1 for call in answering]
        owners, positions, spans = [call.loaded.adapter for call in answering], list(places), []
        asked, wanted = list(answering), list(range(len(answering)))
        for call, size in reading:
            spans.append(Span(call.slot, len(ids), size, call.fed))
            ids.extend(call.prompt[call.fed : call.fed + size])
            positions.extend(range(call.fed, call.fed + size))
            owners.extend([call.loaded.adapter] * size)
            call.fed += size
            if call.fed == len(call.prompt):
                asked.append(call)
                wanted.append(len(ids) - 1)
        attend = self.cache.attend(slots, places, spans)
        hidden = self.decoder.hidden(torch.tensor(ids), torch.tensor(positions), attend, self._mixed(owners))
        for call, _ in reading:
            self._keep(call, call.prompt[: call.fed])
        if asked:
            self._emit(asked, self.decoder.logits(hidden[torch.tensor(wanted)] if spans else hidden))

    def _reading(self, room: int) -> list[tuple[Call, int]]:
        """Return how many tokens to read of which prompts: ``room`` tokens in all, in fair shares (not in a group).

        A beginning that is known is not read; one that another call is about to read is waited for.
        """
        coming: set[Key] = set()
        begun = [call for call in self.running if call.fed < len(call.prompt)]
        begun = [call for call in begun if call.fed or not self._look_up(call, coming)]
        share = room if self.alone else max(SHARE_TOKENS, room // max(1, len(begun)))
        found: list[tuple[Call, int]] = []
        for call in begun:
            size = min(len(call.prompt) - call.fed, share, room)
            room -= size
            if size > 0:
                found.append((call, size))
        return found

    def _look_up(self, call: Call, coming: set[Key]) -> bool:
        """Take the beginning of a prompt from what is known; True if more of it is being read by another call.

        Calls with a seed read everything, since a known beginning may differ in the last bits.
        """
        if call.prefixes is None or (call.request.seed is not None and call.sampler.random is not None):
            return False
        known, following = call.prefixes.find(call.loaded.adapter, call.prompt[:-1])
        if following in coming:
            return True
        if following:
            coming.add(following)
        if known:
            self.cache.write(call.slot, torch.cat([block.content for block in known], 2))
            call.fed = call.cached = sum(block.content.shape[2] for block in known)
        return False

    def _mixed(self, owners: list[Adapter | None]) -> Project:
        """Return the products that give every row its own adapter."""
        present = list({id(one): one for one in owners if one is not None}.values())
        if not present:
            return self.decoder.project
        if not self.mixture.serves(present):
            more = [one for one in self.mixture.adapters if one not in present]
            self.mixture = Mixture(self.decoder, fill(present, more))
        return self.mixture.project(owners)

    def _emit(self, calls: list[Call], logits: Tensor) -> None:
        best = logits.argmax(-1).tolist()
        for row, call in enumerate(calls):
            try:
                left = min(call.request.max_tokens, self.context - len(call.prompt)) - len(call.made)
                plain = call.sampler.plain
                choice = Choice(best[row]) if plain else call.sampler.choose(logits[row], left)
                self._advance(call, choice, left - 1)
            except _FAILURES as error:  # of one call's grammar or text: the others have no part in it
                self._release(call)
                self._end(call, EngineError(f"The engine failed: {error}", "Try again."))

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
                text, finish = text + call.text.close(), "stop" if call.text.stops.met or not more else "length"
            elif call.gone.is_set():
                text, finish = text + call.text.close(), "cancelled"
        token, raw, met = choice.token, prompter.raw(choice.token), call.text.stops.met
        delta = Delta(text, token, choice.logprob, finish, call.usage(), None, raw, choice.top, met)
        if finish:
            self._release(call)
            self._end(call, delta)
        elif text or choice.logprob is not None:
            call.send(delta)

    def _release(self, call: Call, *, keep: bool = True) -> None:
        """Free a call's slot; ``keep`` what it holds for prompts that begin so."""
        if keep and call.made:
            self._keep(call, call.prompt + call.made[:-1])
        if not self._is_loaded(call.loaded):
            self._forget(call.loaded)
        self.running.remove(call)
        self.free.append(call.slot)
        self.free.sort()

    def _keep(self, call: Call, tokens: list[int]) -> None:
        """Keep a call's beginning for prompts that begin so."""
        if call.prefixes and self._is_loaded(call.loaded):
            call.prefixes.keep(call.loaded.adapter, tokens, self.cache, call.slot)

    def _is_loaded(self, loaded: Loaded) -> bool:
        return any(one.adapter is loaded.adapter for one in list(self.versions.values()))


def _order(call: Call) -> tuple[list[int], str, int]:
    return call.prompt, call.request.model, call.request.max_tokens
