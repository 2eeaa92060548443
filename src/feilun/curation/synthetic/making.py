"""Passages -> made-up rows grounded in them, at most a share of the whole, each passage sent only where it may go.

This module knows the order of work, permissions and the store. It does not know prompts, nor what is checked of a row.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from feilun.curation.sealing import seal_training
from feilun.curation.synthetic import asking
from feilun.curation.synthetic.asking import KINDS, Ask, Kind
from feilun.curation.synthetic.checking import REASONS, Ground, Refused, checked
from feilun.curation.synthetic.grounding import pairs, sentences, stems
from feilun.errors import BadRequest, EngineError, FeilunError
from feilun.records import JSON, DatasetVersion, Purpose, Record, normalise_text
from feilun.store import datasets, lineage
from feilun.store.database import Database
from feilun.store.sources import Rights

_MOST_SENTENCES = 40
_MOST_PER_PASSAGE = 20
_TOKENS = {"qa": 200, "paraphrase": 150, "distractors": 300, "dialogue": 700, "negative": 100}
Allowed = Callable[[Sequence[Record]], Awaitable[list[tuple[Record, str]]]]


@dataclass(frozen=True, slots=True)
class Writer:
    """A model that writes or checks: how it is asked, what it is called, and whether asking it sends data outside."""

    ask: Ask
    name: str
    outside: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What is wanted: kinds of rows, how many of each a passage, and at most which share of all rows may be made up.

    ``real`` is the number of rows that are not made up (None: the passages are all there is). ``together``: passages
    that are worked on at once; it changes nothing about the rows.
    """

    kinds: tuple[Kind, ...] = ("qa",)
    each: int = 3
    share: float = 0.3
    real: int | None = None
    together: int = 8

    def most(self, passages: int) -> int:
        """Return how many rows may be made up: as many as keep the share of the whole; raise BadRequest."""
        real = passages if self.real is None else self.real
        if not self.kinds or set(self.kinds) - set(KINDS):
            raise BadRequest("kinds: something that cannot be made.", f"Choices: {', '.join(KINDS)}.", "kinds")
        if not 0 <= self.share < 1:
            raise BadRequest("share: from 0 to less than 1.", "0.3 is three made-up rows in ten.", "share")
        if not 1 <= self.each <= _MOST_PER_PASSAGE or real < 0 or self.together < 1:
            raise BadRequest(f"each: 1 to {_MOST_PER_PASSAGE}; real and together are counts.", param="each")
        share = Fraction(str(self.share))
        return int(share * real / (1 - share))


@dataclass(frozen=True, slots=True)
class Failure:
    """What did not become a row: of which passage and kind, a key of ``REASONS``, and what was found."""

    passage: str
    kind: str
    reason: str
    detail: str = ""


@dataclass(slots=True)
class Made:
    """The rows that were made, what failed, and how often the models were asked."""

    records: list[Record] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    asked: int = 0

    def counts(self, language: str = "en") -> dict[str, int]:
        """Return how often each reason occurred, most often first, in plain words (``en``, ``zh``)."""
        found = Counter(failure.reason for failure in self.failures)
        return {REASONS[reason][language == "zh"]: count for reason, count in found.most_common()}


@dataclass(slots=True)
class _Task:
    passage: Record
    kind: Kind
    rows: list[Record] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    asked: int = 0

    def fail(self, reason: str, detail: str = "") -> None:
        self.failures.append(Failure(self.passage.id, self.kind, reason, detail[:200]))


async def synthesise(
    db: Database,
    ws: str,
    passages: Sequence[Record],
    writer: Writer,
    plan: Plan,
    checker: Writer | None = None,
    known: Sequence[Record] = (),
) -> Made:
    """Return rows made of passages that may be trained on and, where a model is outside, may leave.

    Permissions are looked up anew before each round of asking: what is revoked meanwhile is asked about no more.
    ``known`` are rows that must not be made again. The same answers give the same rows, in the same order. Raises
    BadRequest for a plan that cannot be.
    """
    purposes: list[Purpose] = ["train"]
    if writer.outside or (checker is not None and checker.outside):
        purposes.append("send_outside")

    async def refused(batch: Sequence[Record]) -> list[tuple[Record, str]]:
        return await asyncio.to_thread(_refused, db, ws, batch, purposes)

    return await _make(passages, writer, plan, checker, known, refused)


def _refused(db: Database, ws: str, batch: Sequence[Record], purposes: Sequence[Purpose]) -> list[tuple[Record, str]]:
    """Return the passages that must not be used, each with the first purpose that is refused."""
    left: dict[str, tuple[Record, str]] = {}
    with db.reading() as conn:
        rights = Rights(conn, ws)
        for purpose in purposes:
            for record, _ in rights.filter(batch, purpose)[1]:
                left.setdefault(record.id, (record, "must_not_leave" if purpose == "send_outside" else "not_permitted"))
    return list(left.values())


async def _make(
    passages: Sequence[Record],
    writer: Writer,
    plan: Plan,
    checker: Writer | None,
    known: Sequence[Record],
    refused: Allowed,
) -> Made:
    made, most = Made(), plan.most(len({passage.id for passage in passages}))
    seen = {key for record in known for key in _keys(record)}
    tasks = list(_tasks(passages, plan))
    for batch in (tasks[at : at + plan.together] for at in range(0, len(tasks), plan.together)):
        if len(made.records) >= most:
            made.failures += [Failure(task.passage.id, task.kind, "over_share") for task in batch]
            continue
        reasons = {record.id: reason for record, reason in await refused([task.passage for task in batch])}
        for task in batch:
            if task.passage.id in reasons:
                task.fail(reasons[task.passage.id])
        await asyncio.gather(*(_work(task, writer, plan, checker) for task in batch if not task.failures))
        for task in batch:
            made.asked += task.asked
            made.failures += task.failures
            for row in task.rows:
                keys = _keys(row)
                reason = "duplicate" if keys & seen else "over_share" if len(made.records) >= most else ""
                if reason:
                    made.failures.append(Failure(row.meta["parent"], row.meta["made"], reason, _said(row)[:200]))
                else:
                    seen |= keys
                    made.records.append(row)
    return made


def _tasks(passages: Sequence[Record], plan: Plan) -> Iterator[_Task]:
    """Yield what to ask: all passages for one kind, then for the next, in an order that has nothing to do with theirs.

    So what the share leaves out is not always the end of the same documents.
    """
    unique = {passage.id: passage for passage in passages}
    order = sorted(unique, key=lambda one: hashlib.sha256(one.encode("utf-8", "replace")).digest())
    for kind in dict.fromkeys(plan.kinds):
        yield from (_Task(unique[one], kind) for one in order)


async def _work(task: _Task, writer: Writer, plan: Plan, checker: Writer | None) -> None:
    """Ask for what a task is about, and check what comes back."""
    text = task.passage.text
    spans = sentences(text)[:_MOST_SENTENCES]
    if not spans:
        task.fail("too_short")
        return
    numbered = tuple(text[start:end] for start, end in spans)

    async def ask(whom: Writer, messages: list[JSON], tokens: int) -> str:
        task.asked += 1
        return await _answer(whom, messages, tokens)

    async def check(messages: list[JSON]) -> str:
        return await ask(checker or writer, messages, 8)

    ground = Ground(task.passage, numbered, writer.name, check if checker else None)
    try:
        wanted = asking.generation(task.kind, numbered, plan.each)
        answer = await ask(writer, wanted, _TOKENS[task.kind] * plan.each)
    except FeilunError as error:
        task.fail("no_answer", error.message)
        return
    found = asking.objects(answer)
    if not found:
        task.fail("not_json", answer)
    for each in found[: plan.each]:
        try:
            task.rows.append(await checked(ground, task.kind, each))
        except Refused as refusal:
            task.fail(refusal.reason, refusal.detail)
        except FeilunError as error:
            task.fail("no_answer", error.message)


async def _answer(whom: Writer, messages: list[JSON], tokens: int) -> str:
    """Return what a model answers; whatever else comes of asking it is our error, and costs this row only."""
    try:
        answer = await whom.ask(messages, tokens)
    except FeilunError:
        raise
    except Exception as error:  # anybody's function: what it raises cannot be listed
        raise EngineError(f"{whom.name}: {type(error).__name__}: {error}"[:300]) from error
    if not isinstance(answer, str):
        raise EngineError(f"{whom.name} answered no text.")
    return answer


def _keys(record: Record) -> set[str]:
    """Return by what a row is known again: its questions, without any its text, in any order of their words.

    The same question may be there once with an answer, and once more with wrong answers to choose from.
    """
    asked = [str(message.get("content") or "") for message in record.messages if message.get("role") == "user"]
    text = "\n".join(asked) or record.text
    plain, words = normalise_text(text), sorted(stems(text) | pairs(text))
    found = {plain} if plain else set()
    if len(words) > 2:
        found.add(" ".join([*words, *sorted(filter(str.isdigit, plain.split()))]))
    return {f"{'choice' if 'distractors' in record.meta else 'row'} {key}" for key in found}


def _said(record: Record) -> str:
    return record.text or str(record.messages[0]["content"])


def keep(db: Database, ws: str, name: str, made: Made, parents: Sequence[str] = ()) -> DatasetVersion:
    """Write what was made as a dataset version for training, linked to ``parents`` (dataset versions, models) too.

    What its sources do not permit any more is not in it, nor what gives an exam away. Raises BadRequest, OutOfSpace.
    """
    reasons = Counter(failure.reason for failure in made.failures)
    sealed = seal_training(db, ws, made.records)
    told = sealed.as_json() if sealed.removed else {}
    meta = {"synthetic": True, "failures": dict(sorted(reasons.items())), "asked": made.asked, "sealed": told}
    version, _ = datasets.write(db, ws, name, sealed.kept, "train", meta)
    lineage.link(db, ws, [(parent, version.id, "synthesised from") for parent in parents])
    return version
