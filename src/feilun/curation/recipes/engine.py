"""Steps over any number of rows, in any number of processes: the same rows give the same result.

This module knows in which order steps see shards, what can be taken from an earlier run, and how processes share the
work. It does not know what steps do, nor where rows come from.

Steps that look at rows one by one form chains; a chain's answer to a shard is kept under a name made of the rows and
the chain, so a run that was killed, or that finds a few rows changed, makes only what is missing. A step that compares
all rows ends a chain: each shard's sketch is kept with it, one decision is made of all of them in their order, and the
next chain begins with what the decision means for each row.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from feilun.compute.child import die_with_pool
from feilun.compute.memory import keep_freed
from feilun.curation.recipes import shards, steps
from feilun.curation.recipes.around import Around
from feilun.curation.recipes.plan import Step
from feilun.curation.recipes.shards import Shard
from feilun.curation.recipes.steps import Worker
from feilun.curation.seam import Compare, Entry, Row
from feilun.errors import FeilunError
from feilun.records import content_hash

Say = Callable[[str, int, int], None]  # which steps, shards done, shards in all (as far as rows have been read)
Finish = Callable[[list[Row], list[Entry]], Any]
_AHEAD = 2  # shards given to each other process at once: one that it works on, one that waits there
_SMALL = 256 << 20  # bytes of text: of larger tables only the last chain's files are kept
_KEPT = 128 << 20  # bytes that a process of ours does not give back: about what a shard takes on its way


@dataclass(frozen=True, slots=True)
class Chain:
    """Steps that look at rows one by one, after the decision of ``after`` and before the comparison ``before``."""

    steps: tuple[Step, ...]
    after: Step | None = None
    before: Step | None = None

    @property
    def signature(self) -> bytes:
        """Return what tells this chain from every other, but for what goes before."""
        told = [step.signature for step in self.steps]
        return content_hash([told, self.before.signature if self.before else ""]).encode()

    @property
    def title(self) -> str:
        """Return its steps' names."""
        last = [self.before] if self.before else []
        return ", ".join(step.operator for step in (*self.steps, *last))


def chains(given: Sequence[Step]) -> list[Chain]:
    """Return the chains that steps form."""
    found: list[Chain] = []
    waiting: list[Step] = []
    after: Step | None = None
    for step in given:
        if steps.compares(step):
            found.append(Chain(tuple(waiting), after, step))
            waiting, after = [], step
        else:
            waiting.append(step)
    if waiting or after or not found:
        found.append(Chain(tuple(waiting), after))
    return found


@dataclass(slots=True)
class Result:
    """What a run left: its shards, and what was decided, by step.

    ``work`` counts rows once for each chain that they came to, ``computed`` those that were not found from before.
    """

    shards: list[Shard]
    made: list[Path]
    ledgers: list[list[Path]]  # of each shard, in the order of the chains
    computed: int = 0
    work: int = 0
    rows_in: int = 0
    decided: list[tuple[str, Any]] = field(default_factory=list)

    def rows(self) -> Iterator[Row]:
        """Yield the rows, shard after shard."""
        for shard, path in zip(self.shards, self.made, strict=True):
            yield from shards.read_rows(shards.rows_of(path), shard.places)

    def ledger(self) -> Iterator[list[Entry]]:
        """Yield what happened, a list for each shard."""
        for shard, paths in zip(self.shards, self.ledgers, strict=True):
            yield [entry for path in paths for entry in shards.read_entries(path, shard.places)]


@dataclass(frozen=True, slots=True)
class _Task:
    """A shard's rows on their way into a chain; ``before`` are its ledgers so far, if the chain is the last."""

    number: int  # of the chain
    index: int  # of the shard
    given: Path
    raw: bool  # whether ``given`` holds rows only
    places: Path
    before: tuple[Path, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Done:
    made: Path
    told: list[Path]  # ledgers: of the decision, of the chain
    anew: int  # rows that were looked at anew, of how many that came
    came: int
    ended: Any = None


class _Bench:
    """A process's working operators; decisions are read once."""

    def __init__(self, folder: Path, given: Sequence[Chain], around: Around, finish: Finish | None) -> None:
        self._folder, self._chains = folder, given
        self._around, self._finish = around, finish
        self._workers: dict[int, tuple[Worker | None, list[Worker], Worker | None]] = {}
        self._decided: tuple[int, Any] = (-1, None)

    def work(self, task: _Task) -> _Done:
        """Take a shard through a chain, unless that was done before; finish it if the chain is the last."""
        done = self._chained(task)
        if task.before is None or self._finish is None:
            return done
        rows = shards.read_rows(shards.rows_of(done.made), task.places)
        entries = [entry for path in (*task.before, *done.told) for entry in shards.read_entries(path, task.places)]
        return replace(done, ended=self._finish(rows, entries))

    def _chained(self, task: _Task) -> _Done:
        chain = self._chains[task.number]
        after, workers, before = self._ready(task.number)
        plain = task.given.read_bytes() if task.raw else shards.rows_of(task.given)
        told: list[Path] = []
        rows: list[Row] | None = None
        if after is not None:
            entries: list[Entry] = []
            rows = steps.apply(after, shards.read_rows(plain, task.places), self._decision(task.number), entries)
            plain = shards.encode_rows(rows)
            told.append(self._folder / f"by-{task.number}-{task.index}")
            shards.keep(told[0], shards.encode_entries(entries))
        key = shards.sum_of(shards.FORM, plain, chain.signature, self._around.signature)
        made = self._folder / f"made-{key}"
        told.append(self._folder / f"told-{key}")
        if made.is_file() and told[-1].is_file():
            return _Done(made, told, 0, shards.count_rows(plain))
        if rows is None:
            rows = shards.read_rows(plain, task.places)
        count, ledger = len(rows), list[Entry]()
        for worker in workers:
            rows = steps.run(worker, rows, ledger)
        sketch = None
        if before is not None:
            rows, sketch = steps.sketch(before, rows, ledger)
        shards.keep(told[-1], shards.encode_entries(ledger))
        shards.keep(made, shards.made(rows, sketch))
        return _Done(made, told, count, count)

    def _ready(self, number: int) -> tuple[Worker | None, list[Worker], Worker | None]:
        if number not in self._workers:
            chain, around = self._chains[number], self._around.open()
            after = steps.start([chain.after], around)[0] if chain.after else None
            before = steps.start([chain.before], around)[0] if chain.before else None
            self._workers[number] = after, steps.start(chain.steps, around), before
        return self._workers[number]

    def _decision(self, number: int) -> Any:
        if self._decided[0] != number:
            self._decided = number, pickle.loads((self._folder / f"decided-{number}").read_bytes())
        return self._decided[1]


_benches: list[_Bench] = []  # of this process: the one that its pool began with


def _begin(folder: Path, given: Sequence[Chain], around: Around, finish: Finish | None) -> None:
    die_with_pool()
    keep_freed(_KEPT)
    _benches[:] = [_Bench(folder, given, around, finish)]


def _work(task: _Task) -> _Done:
    return _benches[0].work(task)


def run(
    rows: Iterable[Row],
    given: Sequence[Step],
    folder: Path,
    around: Around,
    processes: int = 1,
    say: Say | None = None,
    finish: Finish | None = None,
    take: Callable[[Any], None] = lambda _: None,
) -> Result:
    """Return what steps make of rows, with everything that is needed on the way kept in ``folder``.

    The folder belongs to this run while it lasts. ``finish`` is called for each shard with what is left of it and what
    happened to it, in the process that made it; ``take`` here, in the shards' order, with what that returned. Raises
    OutOfSpace; what was done until then is found again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = chains(given)
    result, used = Result([], [], []), set[Path]()
    with _Crew(folder, found, around, finish, processes) as crew:
        for number, chain in enumerate(found):
            if chain.after is not None:
                _decide(result, chain.after, folder, around, number)
            last, result.made = result.made, []
            ends = number == len(found) - 1
            tasks = _tasks(result, last, number, ends) if number else _first(rows, folder, result, ends)
            for index, done in enumerate(crew.all(tasks)):
                result.made.append(done.made)
                result.ledgers[index] += done.told
                result.computed += done.anew
                result.work += done.came
                if done.ended is not None:
                    take(done.ended)
                if say is not None:
                    say(chain.title, index + 1, len(result.shards))
            used.update(result.made, *result.ledgers)
            if sum(part.size for part in result.shards) > _SMALL:
                for path in set(last) - set(result.made):
                    path.unlink(missing_ok=True)
    _sweep(folder, used.union(*((part.rows, part.places) for part in result.shards)))
    return result


def _first(rows: Iterable[Row], folder: Path, result: Result, ends: bool) -> Iterator[_Task]:
    """Yield the tasks of the first chain, while rows are still being read."""
    for index, part in enumerate(shards.gather(rows, folder)):
        result.shards.append(part)
        result.ledgers.append([])
        result.rows_in += part.count
        yield _Task(0, index, part.rows, True, part.places, () if ends else None)


def _tasks(result: Result, given: Sequence[Path], number: int, ends: bool) -> Iterator[_Task]:
    for index, (part, path) in enumerate(zip(result.shards, given, strict=True)):
        before = tuple(result.ledgers[index]) if ends else None
        yield _Task(number, index, path, False, part.places, before)


def _decide(result: Result, step: Step, folder: Path, around: Around, number: int) -> None:
    worker = steps.start([step], around.open())[0].operator
    if not isinstance(worker, Compare):
        raise TypeError(step.operator)
    decided = worker.decide([shards.sketch_of(path) for path in result.made])
    shards.keep(folder / f"decided-{number}", pickle.dumps(decided, protocol=5))
    result.decided.append((step.operator, decided))


def _sweep(folder: Path, used: set[Path]) -> None:
    """Remove what no step of the last run needed."""
    for path in folder.iterdir():
        if path not in used and path.name.split("-")[0] in {"in", "at", "made", "told", "by", "decided"}:
            path.unlink(missing_ok=True)


class _Crew:
    """Those who take tasks: this process and, where they help, others. For a single shard no other is begun."""

    def __init__(
        self, folder: Path, given: Sequence[Chain], around: Around, finish: Finish | None, processes: int
    ) -> None:
        self._given = folder, given, around, finish
        self._others = processes - 1
        self._pool: ProcessPoolExecutor | None = None
        self._bench = _Bench(*self._given)

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is not None:
            # After the last task the others have nothing left to do but to end, which takes them half a second.
            self._pool.shutdown(wait=kind is not None, cancel_futures=True)

    def all(self, tasks: Iterator[_Task]) -> Iterator[_Done]:
        """Yield the tasks' outcomes in their order; a few are on their way at any time."""
        some = list(itertools.islice(tasks, 2))
        if self._others < 1 or len(some) < 2:
            yield from map(self._bench.work, itertools.chain(some, tasks))
            return
        try:
            yield from self._shared(itertools.chain(some, tasks))
        except BrokenProcessPool as error:
            raise FeilunError(
                "A process that worked on the data died.", "Curate again: what was done is kept. Use fewer processes."
            ) from error

    def _shared(self, tasks: Iterator[_Task]) -> Iterator[_Done]:
        """Keep the others busy, and do the rest here: while they start, that is all of it."""
        if self._pool is None:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._others, spawn, _begin, self._given)
        waiting: deque[Future[_Done]] = deque()
        for task in tasks:
            if sum(not future.done() for future in waiting) < _AHEAD * self._others:
                waiting.append(self._pool.submit(_work, task))
            else:
                here: Future[_Done] = Future()
                here.set_result(self._bench.work(task))
                waiting.append(here)
            while waiting and waiting[0].done():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def cores() -> int:
    """Return how many processes this machine has cores for."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
