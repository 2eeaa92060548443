"""One turn of the wheel, readable top to bottom: see ``_Turn.work``.

A turn is a durable job: each step's output is recorded, and a turn that was killed goes on where it stopped when the
same command is run again. This module knows the order of the steps and what passes between them. It does not know how
any of them is done.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from feilun import apps
from feilun.compute import Context, PeakMemory, lock, run
from feilun.curation import Correction, Curated, curate, exam_items, holdout, ingest
from feilun.curation.documents import Skip
from feilun.curation.exams import Keys
from feilun.curation.readers.confined import shared_pool
from feilun.curation.recipes import allowed, mended
from feilun.engines import Engine
from feilun.engines.models import ensure_base
from feilun.errors import BadSetting, Cancelled, Conflict, EngineDown, FeilunError, TooFewSamples
from feilun.evaluation import Sitting, check_unseen, compare, decide, load_exam, sit
from feilun.evaluation.golden import check_identity
from feilun.feedback import Lesson, collect, exam_wordings, training_wordings
from feilun.flywheel.result import GENERAL, leave_result
from feilun.flywheel.without import decide_without, gone_records, still_asked
from feilun.records import (
    JSON,
    Deployment,
    Eval,
    EvalAnswer,
    EvalItem,
    EvalRun,
    Job,
    ModelVersion,
    Record,
    Verdict,
    derived_id,
    new_id,
    normalise_text,
)
from feilun.serving import start_engine
from feilun.settings import Settings
from feilun.store import Journal, audit, datasets, evals, lineage, models, verdicts, workspaces
from feilun.store.database import Database
from feilun.training import run_training

SAMPLE = Path(apps.__file__).parent / "credit_union"
DRILLS = ("shuffled-answers", "changed-template")
ANSWER_TOKENS = 32
PROOF = ("general", "tolerance", "margin", "pass_mark")
KEPT = ("model", "engine", "batch", "context", "minimum_samples", "epochs", *PROOF)
AGAIN_RATE, AGAIN_EPOCHS = 5e-4, 3  # a version that goes on from another has less to learn
Say = Callable[[JSON], None]


def sample_paths() -> list[Path]:
    """Return the files and the exam of the sample organisation."""
    return [SAMPLE / "files", SAMPLE / "exams" / "exam_own.jsonl"]


async def turn(
    db: Database,
    settings: Settings,
    workspace: str,
    paths: Sequence[Path],
    drill: str = "",
    say: Say = lambda _: None,
    without: Sequence[str] | None = None,
) -> JSON:
    """Turn the wheel once for ``workspace`` over the files below ``paths``; return what ``last-turn.json`` holds.

    A turn of this workspace that was killed is finished first, and is what is returned if it had the same inputs.
    ``drill`` names a deliberate fault (``shuffled-answers``, ``changed-template``) that the proof must catch. ``say``
    gets progress. ``without`` names sources that were revoked: the turn then reads no folder, trains from the base, and
    its candidate need not be better than the incumbent (``flywheel.without``). Raises Busy while another process turns
    this workspace's wheel, NothingUsable, TooFewSamples, BadModel.
    """
    if drill and drill not in DRILLS:
        raise BadSetting(f"There is no drill named {drill}.", f"Choices: {', '.join(DRILLS)}.")
    root, journal = settings.root, Journal(db)
    kept = {name: getattr(settings, name) for name in KEPT}
    spec: JSON = {"paths": [str(path.absolute()) for path in paths], "drill": drill, "settings": kept}
    if without is not None:
        spec["without"] = list(without)
    await asyncio.to_thread(workspaces.ensure, db, workspace)
    with lock(root / "locks" / f"turn-{workspace}.lock", f"a turn of the workspace {workspace}"):
        result: JSON | None = None
        for old in journal.unfinished("turn"):
            if old.workspace == workspace:
                say({"note": f"Going on with {old.id}, which did not finish."})
                try:
                    done = await _Turn(db, settings, old, say).run(journal)
                except FeilunError as error:
                    if old.spec == spec and not isinstance(error, Cancelled):
                        raise
                    say({"note": f"{old.id} has ended: {error.message}"})
                else:
                    result = done if old.spec == spec else None
        if result is None:
            job = journal.create(Job(new_id("turn"), workspace, "turn", spec))
            result = await _Turn(db, settings, job, say).run(journal)
        return result


@dataclass(frozen=True, slots=True)
class _Sat:
    """One exam and both models' answers."""

    exam: Eval
    incumbent: str
    candidate: str = ""


class _Turn:
    """The steps of one turn, each with the ids of what came before it."""

    def __init__(self, db: Database, settings: Settings, job: Job, say: Say) -> None:
        # A turn that goes on keeps the settings that it began with: its earlier steps were made under them.
        self.db, self.settings, self.job, self.say = db, replace(settings, **job.spec["settings"]), job, say
        self.ws, self.root, self.drill = job.workspace, settings.root, str(job.spec["drill"])
        self.without = "without" in job.spec
        self.folder = settings.root / "turns" / job.id
        self.engine: Engine | None = None
        self.peak = PeakMemory()

    async def run(self, journal: Journal) -> JSON:
        """Run or resume the job; the engine never outlives it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.peak:
            try:
                with audit.acting(self.job.id):
                    return await run(journal, self.job.id, self.work, locks=self.root / "locks")
            finally:
                await self._stop_engine()

    async def work(self, context: Context) -> JSON:
        """Turn the wheel once."""
        read = await self._step(context, "ingest", self._ingest)
        data = await self._step(context, "curate", lambda: self._curate(read))
        base = await self._step(context, "base", self._base)
        incumbent = await self._step(context, "incumbent", lambda: self._incumbent(data, base))
        await self._stop_engine()
        trained = await self._train(context, data, base, incumbent["incumbent"])
        identity = await self._step(context, "identity", lambda: self._identity(trained))
        candidate: JSON = {"runs": {}}
        if not identity["differs"]:
            candidate = await self._step(context, "candidate", lambda: self._exams(data, trained["model"]))
        found = {**data, **incumbent, **trained, "identity": identity, "candidate": candidate["runs"]}
        verdict = await self._step(context, "verdict", lambda: self._verdict(found))
        return await self._step(context, "report", lambda: self._report({**found, **verdict}))

    async def _step(self, context: Context, name: str, work: Callable[[], Any]) -> JSON:
        self.say({"step": name})
        return await context.step(name, work)

    async def _ingest(self) -> JSON:
        if self.without:
            return {"added": 0, "unchanged": 0, "skipped": []}
        report = await asyncio.to_thread(ingest, self.db, self.ws, [Path(path) for path in self.job.spec["paths"]])
        skipped = [asdict(item) for item in report.skipped]
        return {"added": len(report.added), "unchanged": len(report.unchanged), "skipped": skipped}

    async def _curate(self, read: JSON) -> JSON:
        data = await asyncio.to_thread(self._make_data, [Skip(**item) for item in read["skipped"]])
        shared_pool().rest()  # training wants the memory of the processes that read files
        return data

    def _make_data(self, skipped: list[Skip]) -> JSON:
        """Make what is learnt, what is asked, and what is found: two exams, two dataset versions."""
        lessons = collect(self.db, self.ws)
        corrections = [Correction(x.question, x.answer, x.source, x.created) for x in lessons.lessons]
        corrected = {normalise_text(lesson.question) for lesson in lessons.lessons}
        own = [item for item in exam_items(self.db, self.ws) if normalise_text(item.question) not in corrected]
        lesson_items = [item for lesson in lessons.lessons for item in _lesson_items(lesson)]
        lesson_items = [item for item in lesson_items if normalise_text(item.question) not in corrected]
        asked = [item.question for item in (*own, *lesson_items)]
        curated = curate(mended(self.db, self.ws, "train"), corrections, asked, skipped)
        chat = allowed(self.db, self.ws, curated.chat, "train")
        if self.without:
            gone = gone_records(self.db, self.ws)
            own, lesson_items = (still_asked(items, gone, chat) for items in (own, lesson_items))
        if not own:
            chat, own = holdout(chat)
        taken = {normalise_text(str(r.messages[0]["content"])) for r in chat}
        taken |= {normalise_text(item.question) for item in (*own, *lesson_items)}
        extra = [x.record(w) for x in lessons.lessons for w in training_wordings(x.question)]
        chat += [record for record in extra if normalise_text(str(record.messages[0]["content"])) not in taken]
        if self.drill == "shuffled-answers":
            chat = _shuffled(chat)
        version, refused = datasets.write(self.db, self.ws, "chat", chat, "train", {"turn": self.job.id})
        if version.rows < self.settings.minimum_samples:
            raise TooFewSamples(
                f"The files hold {version.rows} question/answer pairs; {self.settings.minimum_samples} are needed.",
                "Add a sheet with the columns question and answer, or transcripts.",
            )
        barred = {source for record, _ in refused for source in record.sources}
        lesson_items = [item for item in lesson_items if item.meta["sources"][0] not in barred]
        exams = [self._own_exam([*own, *lesson_items]), self._general_exam()]
        seen = check_unseen(exams[0].items, [str(r.messages[0]["content"]) for r in chat])
        if seen:
            raise Conflict(f"The exam asks what the training has: {seen[0].question}", "Reword that exam question.")
        for exam in exams:
            evals.add(self.db, exam)
        found = allowed(self.db, self.ws, curate(mended(self.db, self.ws, "retrieve")).passages, "retrieve")
        passages, _ = datasets.write(self.db, self.ws, "passages", found, "retrieve", {"turn": self.job.id})
        self._keep_report(curated, refused)
        return {
            "dataset": version.id,
            "passages": passages.id,
            "own": exams[0].id,
            "general": exams[1].id,
            "lessons": len([lesson for lesson in lessons.lessons if lesson.source not in barred]),
        }

    def _keep_report(self, curated: Curated, refused: Sequence[tuple[Record, str]]) -> None:
        report = {**curated.report.as_json(), "refused": [[record.id, reason] for record, reason in refused]}
        text = json.dumps(report, ensure_ascii=False, indent=1)
        (self.folder / "curation.json").write_text(text, encoding="utf-8")

    def _own_exam(self, items: Sequence[EvalItem]) -> Eval:
        unique = {normalise_text(item.question): item for item in items}
        key = derived_id("eval", self.ws, "own", [[item.id, list(item.accept)] for item in unique.values()])
        own = tuple(replace(item, id=derived_id("item", key, item.id)) for item in unique.values())
        return Eval(key, self.ws, "own exam", own)

    def _general_exam(self) -> Eval:
        """Return so many everyday questions as the settings want, evenly spread over the list."""
        every = load_exam(GENERAL, self.ws, "general exam")
        count = min(self.settings.general, len(every.items))
        items = tuple(every.items[index * len(every.items) // count] for index in range(count))
        return replace(every, id=derived_id("eval", every.id, count), items=items)

    async def _base(self) -> JSON:
        base = await asyncio.to_thread(
            ensure_base, self.root, self.settings.model, lambda text: self.say({"note": text})
        )
        await asyncio.to_thread(models.add, self.db, base)
        return {"base": base.id}

    async def _incumbent(self, data: JSON, base: JSON) -> JSON:
        current = await asyncio.to_thread(verdicts.current, self.db, self.ws)
        incumbent = current.model if current else base["base"]
        return {"incumbent": incumbent, "incumbent_runs": (await self._exams(data, incumbent))["runs"]}

    async def _exams(self, data: JSON, model: str) -> JSON:
        """Have a model sit both exams; answers that are there already (same model, same exam) are kept."""
        version = await asyncio.to_thread(models.get, self.db, self.ws, model)
        runs = {}
        for name in ("own", "general"):
            exam = await asyncio.to_thread(evals.get, self.db, self.ws, data[name])
            new = EvalRun(derived_id("evalrun", self.ws, exam.id, model), self.ws, exam.id, model)
            await asyncio.to_thread(evals.add_run, self.db, new)
            done = {answer.item for answer in await asyncio.to_thread(evals.answers, self.db, self.ws, new.id)}
            if len(done) < len(exam.items):
                await self._sit(version, exam, new.id, done)
            await asyncio.to_thread(evals.set_run, self.db, self.ws, new.id, "succeeded", {"turn": self.job.id})
            edges = [(exam.id, new.id, "asked"), (model, new.id, "answered by")]
            await asyncio.to_thread(lineage.link, self.db, self.ws, edges)
            runs[name] = new.id
        return {"runs": runs}

    async def _sit(self, version: ModelVersion, exam: Eval, run_id: str, done: set[str]) -> None:
        async def save(rows: list[EvalAnswer]) -> None:
            await asyncio.to_thread(evals.add_answers, self.db, rows)

        def progress(at: int, of: int) -> None:
            self.say({"exam": exam.name, "at": at, "of": of})

        how = Sitting(batch=self.settings.batch, max_tokens=ANSWER_TOKENS)
        await sit(await self._engine(), version, exam, run_id, save, done, progress, how)

    async def _train(self, context: Context, data: JSON, base: JSON, incumbent: str) -> JSON:
        self.say({"step": "train"})
        spec: JSON = {"dataset": data["dataset"], "base": base["base"], "name": f"{self.ws} {self.job.id}"}
        start = await asyncio.to_thread(self._start, incumbent, base["base"])
        if start and not self.without:
            spec.update(start=start, learning_rate=AGAIN_RATE, epochs=self.settings.epochs or AGAIN_EPOCHS)
        return await run_training(context, self.db, self.settings, spec, self.say)

    def _start(self, incumbent: str, base: str) -> str:
        """Return the version to go on from: the incumbent, if all that it ever learnt from may still be trained on."""
        model = incumbent
        while model and model != base:
            version = models.get(self.db, self.ws, model)
            learnt = str(version.meta["dataset"])
            permitted = len(datasets.read(self.db, self.ws, learnt, "train"))
            if version.base != base or permitted < datasets.get(self.db, self.ws, learnt).rows:
                return ""
            model = str(version.meta.get("start", ""))
        return incumbent if incumbent != base else ""

    async def _identity(self, trained: JSON) -> JSON:
        version = await asyncio.to_thread(models.get, self.db, self.ws, trained["model"])
        if self.drill == "changed-template":
            version = _with_changed_template(version, self.folder / "drill")
        try:
            found = await check_identity(await self._engine(), version, self.settings.tolerance)
        except EngineDown:  # its process is started again
            found = await check_identity(await self._engine(), version, self.settings.tolerance)
        return {**asdict(found), "differs": list(found.differs)}

    async def _verdict(self, found: JSON) -> JSON:
        return await asyncio.to_thread(self._judge, found)

    def _judge(self, found: JSON) -> JSON:
        """Decide, keep the verdict, promote if it says so."""
        own = general = None
        if found["identity"]["differs"]:
            promoted, reason = False, _identity_reason(found["identity"]["differs"][0])
        else:
            own, general = (self._compare(found, name) for name in ("own", "general"))
            if self.without:
                promoted, reason = decide_without(own, general, self.settings.margin)
            else:
                promoted, reason = decide(own, general, self.settings.margin, self.settings.pass_mark)
        verdict = Verdict(
            id=derived_id("verdict", self.job.id),
            workspace=self.ws,
            candidate=found["model"],
            incumbent=found["incumbent"],
            promoted=promoted,
            reason=reason,
            own=own,
            general=general,
            meta={"turn": self.job.id, "drill": self.drill},
        )
        verdicts.add(self.db, verdict)
        runs = [*found["incumbent_runs"].values(), *found["candidate"].values()]
        lineage.link(self.db, self.ws, [(run_id, verdict.id, "compared in") for run_id in runs])
        if promoted:
            key = derived_id("deployment", self.job.id)
            verdicts.promote(self.db, Deployment(key, self.ws, "own", found["model"], verdict.id))
        return {"verdict": verdict.id, "promoted": promoted, "reason": reason}

    async def _report(self, found: JSON) -> JSON:
        steps = await asyncio.to_thread(Journal(self.db).steps, self.job.id)
        return await asyncio.to_thread(leave_result, self.db, self.settings, self.job, found, steps, self.peak.mib)

    def _compare(self, found: JSON, name: str) -> Any:
        exam = evals.get(self.db, self.ws, found[name])
        before = evals.answers(self.db, self.ws, found["incumbent_runs"][name])
        after = evals.answers(self.db, self.ws, found["candidate"][name])
        return compare(exam, before, after)

    async def _engine(self) -> Engine:
        if self.engine is None:
            self.engine = await start_engine(self.settings, self.root)
        return self.engine

    async def _stop_engine(self) -> None:
        engine, self.engine = self.engine, None
        if engine is not None:
            await engine.close()


def _lesson_items(lesson: Lesson) -> list[EvalItem]:
    """Return the exam questions of a lesson, in wordings that are never trained."""
    accept = Keys([lesson.record(lesson.question)]).of(lesson.record(lesson.question))
    meta = {"sources": [lesson.source], "topic": "feedback", "group": f"lesson-{lesson.source}"}
    return [
        EvalItem(derived_id("item", wording, list(accept), lesson.source), wording, accept, (), meta)
        for wording in exam_wordings(lesson.question)
    ]


def _shuffled(records: Sequence[Record]) -> list[Record]:
    """Return the records with every answer under another fact's question: a drill for the verdict."""
    groups = sorted({str(record.meta["group"]) for record in records})
    order = list(groups)
    random.Random(0).shuffle(order)
    taken = dict(zip(order, [*order[1:], order[0]], strict=True))
    answers = {str(record.meta["group"]): record.messages[1] for record in records}
    return [replace(r, messages=(r.messages[0], answers[taken[str(r.meta["group"])]])) for r in records]


def _with_changed_template(version: ModelVersion, folder: Path) -> ModelVersion:
    """Return the version as an engine would serve it if one character of its chat template had changed: a drill."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in Path(version.folder).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    file = folder / "chat_template.jinja"
    text = file.read_text(encoding="utf-8")
    place = text.index("assistant")
    file.write_text(f"{text[:place]}A{text[place + 1 :]}", encoding="utf-8")
    return replace(version, folder=str(folder))


def _identity_reason(difference: str) -> JSON:
    return {
        "en": f"The serving engine is not what was trained: {difference} The present model stays.",
        "zh": f"服务引擎与训练结果不一致：{difference}保留现有模型。",
    }
