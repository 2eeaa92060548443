"""The advice as a durable job: a sample of the questions, means by means, the promising ones to the end.

Every means first answers a third of the sample. Then the one that gained most for what it costs goes on, and after it
the next, until all are through, or nothing more can be gained. What clearly does not help is given up after its third;
that can make no means look better than it is. Answers are kept in chunks, so that a killed advice goes on where it was.
This module knows that order. It does not know what the means are made of, nor what the figures prove.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from feilun.compute import Context, run
from feilun.errors import BadRequest, Conflict
from feilun.evaluation import load_exam
from feilun.evaluation.compare import cluster_of
from feilun.evaluation.outlook import find_exam
from feilun.evaluation.statistics import difference
from feilun.flywheel.advise.advice import Measured, measured, plain, recommendation
from feilun.flywheel.advise.asking import Inside, Outside, Way, over
from feilun.flywheel.advise.means import AS_IS, Means, as_is
from feilun.flywheel.advise.ready import Local, Ready, ready
from feilun.records import JSON, Eval, EvalItem, Job, ModelVersion, new_id
from feilun.serving import start_engine
from feilun.settings import Settings
from feilun.store import Journal, models, workspaces
from feilun.store.database import Database

KIND = "advise"
_CHUNK = 16
_FEWEST = 12  # questions of the first look at a means
Say = Callable[[JSON], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How much is spent: ``sample`` questions, answers of ``most`` tokens, and whether a short training is tried.

    ``least`` is the smallest gain (share) worth having. ``outside`` asks a model behind an address; ``prices`` are
    money for a million tokens in and out.
    """

    sample: int = 60
    most: int = 48
    train: bool = False
    least: float = 0.02
    seed: int = 0
    outside: Outside | None = None
    prices: tuple[float, float] | None = None


def questions(db: Database, ws: str, wanted: str) -> Eval:
    """Return the exam in a file, or the one that is kept under this id or name; raise BadRequest, NotFound."""
    path = Path(wanted)
    if path.suffix == ".jsonl" or path.is_file():
        return load_exam(path, ws, path.stem)
    exam = find_exam(db, ws, wanted)
    if not exam.items:
        raise BadRequest(f"The exam {exam.name} keeps no questions of its own.", "Give a file of questions.", "exam")
    return exam


async def advise(
    db: Database, settings: Settings, ws: str, exam: Eval, options: Options, say: Say = lambda _: None
) -> JSON:
    """Measure the cheap means of doing better at ``exam``, and recommend; return what ``reports/advice-….json`` holds.

    An advice about the same questions and options that was killed or failed goes on. ``say`` gets progress. Raises
    BadRequest for options that cannot be, and what the engine or the address raises.
    """
    if options.sample < _FEWEST or options.most < 1 or not 0 < options.least < 1:
        raise BadRequest(f"An advice needs a sample of {_FEWEST} questions or more.", "Leave --sample away.", "sample")
    await asyncio.to_thread(workspaces.ensure, db, ws)
    journal = Journal(db)
    how = {**asdict(options), "outside": options.outside and [options.outside.url, options.outside.model]}
    spec: JSON = json.loads(json.dumps({"exam": exam.id, "name": exam.name, "options": how}))
    earlier = await asyncio.to_thread(journal.find, ws, KIND)
    jobs = [job for job in earlier if job.spec == spec and job.status not in {"succeeded", "cancelled"}]
    job = jobs[0] if jobs else journal.create(Job(new_id("advice"), ws, KIND, spec))
    work = _Advice(db, settings, ws, exam, options, say)
    return await run(journal, job.id, work.work, locks=settings.root / "locks")


class _Advice:
    """One advice: what is known of each means so far."""

    def __init__(self, db: Database, settings: Settings, ws: str, exam: Eval, options: Options, say: Say) -> None:
        self.db, self.settings, self.ws, self.options, self.say = db, settings, ws, options, say
        self.exam = exam
        self.items = _sample(exam, options.sample, options.seed)
        self.answers: dict[str, list[JSON]] = {}

    async def work(self, context: Context) -> JSON:
        """Measure, then say what to do."""
        self.say({"step": "means"})
        where = self.options.outside
        leaves = where is not None and not _here(where.url)
        local = Local(self.options.train) if where is None else None
        made = await ready(context, self.db, self.settings, self.exam, local, leaves=leaves)
        usual = Means(AS_IS, ("as it is", "现状"), as_is)
        async with self._way(made) as way:
            await self._ask(context, way, usual, len(self.items))
            if self._hopeful():
                await self._try(context, way, made)
        about = {each.name: (each.about, each.setup) for each in (usual, *made.means)}
        clusters = {item.id: cluster_of(item) for item in self.items}
        found = measured(self.answers, about, clusters, len(self.items), self.options.prices)
        self._check_models(found, made)
        told = recommendation(found, made.left, self.options.least)
        result: JSON = {
            "advice": context.job.id,
            "exam": self.exam.id,
            "name": self.exam.name,
            "sample": len(self.items),
            "means": [plain(each, found[0]) for each in found],
            "left": list(made.left),
            "recommendation": told,
        }
        await asyncio.to_thread(self._leave, context.job.id, result)
        return result

    def _check_models(self, found: list[Measured], made: Ready) -> None:
        """Raise Conflict if another version is in truth the usual one: it would be compared with itself."""
        other = {means.name for means in made.means if means.model}
        same = [each.name for each in found[1:] if each.name in other and each.identity == found[0].identity]
        if same:
            raise Conflict(f"{same[0]} is the same model as it is without.", "Look at what the endpoint serves.")

    async def _try(self, context: Context, way: Way, made: Ready) -> None:
        """Give every means its first third, then the rest to those that promise most for what they cost."""
        first = min(len(self.items), max(_FEWEST, len(self.items) // 3))
        for means in made.means:
            await self._ask(context, way, means, first)
        waiting = [means for means in made.means if self._promising(means.name)]
        while waiting and self._room() > self.options.least:
            waiting.sort(key=lambda means: -self._worth(means))
            await self._ask(context, way, waiting.pop(0), len(self.items))

    async def _ask(self, context: Context, way: Way, means: Means, upto: int) -> None:
        """Have a means answer the questions up to so many, in chunks that are kept."""
        rows = self.answers.setdefault(means.name, [])
        while len(rows) < upto:
            start = len(rows)
            chunk = self.items[start : min(upto, start + _CHUNK)]
            self.say({"exam": means.name, "at": start, "of": len(self.items)})

            async def answer(chunk: tuple[EvalItem, ...] = chunk) -> JSON:
                given = await way.ask(chunk, [means.messages(item) for item in chunk], means.model)
                return {"rows": [reply.plain() for reply in given]}

            rows += (await context.step(f"{means.name} {start} {len(chunk)}", answer))["rows"]
        self.say({"exam": means.name, "at": len(rows), "of": len(self.items)})

    def _gains(self, name: str) -> list[float]:
        usual = {row["item"]: float(row["score"]) for row in self.answers[AS_IS]}
        return [float(row["score"]) - usual[row["item"]] for row in self.answers[name]]

    def _hopeful(self) -> bool:
        """Return whether enough is answered wrong that something could be gained."""
        rows = self.answers[AS_IS]
        return 1 - sum(float(row["score"]) for row in rows) / len(rows) > self.options.least

    def _promising(self, name: str) -> bool:
        """Return whether a gain worth having is still possible after the first look."""
        clusters = [cluster_of(item) for item in self.items[: len(self.answers[name])]]
        return difference(self._gains(name), clusters, 0.8).interval[1] > self.options.least

    def _worth(self, means: Means) -> float:
        """Return what was gained so far, for the tokens that a question takes."""
        rows = self.answers[means.name]
        gains = self._gains(means.name)
        taken = 1 + sum(int(row["prompt_tokens"]) for row in rows) / len(rows)
        return sum(gains) / len(gains) / math.sqrt(taken)

    def _room(self) -> float:
        """Return what is still answered wrong by the best means that has answered everything."""
        done = [rows for rows in self.answers.values() if len(rows) == len(self.items)]
        return 1 - max(sum(float(row["score"]) for row in rows) / len(rows) for rows in done)

    @asynccontextmanager
    async def _way(self, made: Ready) -> AsyncIterator[Way]:
        if self.options.outside is not None:
            async with over(self.options.outside, self.options.most) as way:
                yield way
            return
        engine = await start_engine(self.settings, self.settings.root)
        try:
            versions: dict[str, ModelVersion] = {"": made.usual} if made.usual else {}
            for means in made.means:
                if means.model:
                    versions[means.model] = await asyncio.to_thread(models.get, self.db, self.ws, means.model)
            yield Inside(engine, versions, self.options.most)
        finally:
            await engine.close()

    def _leave(self, job: str, result: JSON) -> None:
        folder = self.settings.root / "reports"
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f"{job}.json.new"
        fresh.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        fresh.replace(folder / f"{job}.json")


def _here(url: str) -> bool:
    return any(mark in url for mark in ("//127.0.0.1", "//localhost", "//[::1]"))


def _sample(exam: Eval, most: int, seed: int) -> tuple[EvalItem, ...]:
    """Return so many questions in an order drawn from ``seed``; whole clusters where that fits."""
    items = list(exam.items)
    random.Random(seed).shuffle(items)
    return tuple(items[:most])
