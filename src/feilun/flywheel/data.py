"""What a turn learns from, what it asks, and what it finds answers in: made of what the workspace has.

This module knows how corrections, curated pairs and exam questions become dataset versions and exams that have no
question in common. It does not know how a model is trained, nor how it does in an exam.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from feilun.curation import Correction, Curated, curate, exam_items, holdout
from feilun.curation.documents import Skip
from feilun.curation.exams import Keys
from feilun.curation.recipes import allowed, mended
from feilun.curation.sealing import Sealed, seal, seal_training
from feilun.errors import Conflict, TooFewSamples
from feilun.evaluation import check_unseen, load_exam
from feilun.evaluation.ready import EXAMS, ready
from feilun.feedback import Lesson, collect, exam_wordings, training_wordings
from feilun.feedback.insights import Held, held
from feilun.flywheel.result import GENERAL
from feilun.flywheel.without import gone_records, still_asked
from feilun.records import JSON, Eval, EvalItem, Job, Record, derived_id
from feilun.settings import Settings
from feilun.signs import signed
from feilun.store import datasets, evals
from feilun.store.database import Database

OWN_EXAM = "own exam"


def make_data(db: Database, settings: Settings, job: Job, skipped: Sequence[Skip]) -> JSON:
    """Make what is learnt, what is asked, and what is found: two exams, two dataset versions."""
    ws = job.workspace
    lessons = collect(db, ws)
    corrections = [Correction(x.question, x.answer, x.source, x.created) for x in lessons.lessons]
    corrected = {signed(lesson.question) for lesson in lessons.lessons}
    own = [item for item in exam_items(db, ws) if signed(item.question) not in corrected]
    lesson_items = [item for lesson in lessons.lessons for item in _lesson_items(lesson)]
    lesson_items += [_held_item(one) for one in held(db, ws, {lesson.source for lesson in lessons.lessons})]
    lesson_items = [item for item in lesson_items if signed(item.question) not in corrected]
    asked = [item.question for item in (*own, *lesson_items)]
    curated = curate(mended(db, ws, "train"), corrections, asked, skipped)
    chat = allowed(db, ws, curated.chat, "train")
    if "without" in job.spec:
        gone = gone_records(db, ws)
        own, lesson_items = (still_asked(items, gone, chat) for items in (own, lesson_items))
    if not own:
        chat, own = holdout(chat)
    taken = {signed(str(r.messages[0]["content"])) for r in chat}
    taken |= {signed(item.question) for item in (*own, *lesson_items)}
    extra = [x.record(w) for x in lessons.lessons for w in training_wordings(x.question)]
    chat += [record for record in extra if signed(str(record.messages[0]["content"])) not in taken]
    # A correction is learnt: what it gives away of the own exam is asked no more.
    given_away = {leak.item.id for leak in seal(extra, own).removed}
    own = [item for item in own if item.id not in given_away]
    general = general_exam(ws, settings.general)
    guards = guard_exams(ws, settings.guards)
    secret = [*own, *lesson_items, *general.items, *(item for guard in guards.values() for item in guard.items)]
    sealed = seal_training(db, ws, chat, settings.embedding, secret, (OWN_EXAM, general.name))
    chat = sealed.kept
    if job.spec["drill"] == "shuffled-answers":
        chat = _shuffled(chat)
    version, refused = datasets.write(db, ws, "chat", chat, "train", {"turn": job.id})
    if version.rows < settings.minimum_samples:
        raise TooFewSamples(
            f"The files hold {version.rows} question/answer pairs; {settings.minimum_samples} are needed.",
            "Add a sheet with the columns question and answer, or transcripts.",
        )
    barred = {source for record, _ in refused for source in record.sources}
    lesson_items = [item for item in lesson_items if item.meta["sources"][0] not in barred]
    exams = [_own_exam(ws, [*own, *lesson_items]), general]
    seen = check_unseen(exams[0].items, [str(r.messages[0]["content"]) for r in chat])
    if seen:
        raise Conflict(f"The exam asks what the training has: {seen[0].question}", "Reword that exam question.")
    for exam in (*exams, *guards.values()):
        evals.add(db, exam)
    found = allowed(db, ws, curate(mended(db, ws, "retrieve")).passages, "retrieve")
    passages, _ = datasets.write(db, ws, "passages", found, "retrieve", {"turn": job.id})
    _keep_report(settings.root / "turns" / job.id, curated, refused, sealed)
    return {
        "dataset": version.id,
        "passages": passages.id,
        "own": exams[0].id,
        "general": exams[1].id,
        "guards": {name: guard.id for name, guard in guards.items()},
        "lessons": len([lesson for lesson in lessons.lessons if lesson.source not in barred]),
    }


def _keep_report(folder: Path, curated: Curated, refused: Sequence[tuple[Record, str]], sealed: Sealed) -> None:
    told = [[record.id, reason] for record, reason in refused]
    report = {**curated.report.as_json(), "refused": told, "sealed": sealed.as_json()}
    text = json.dumps(report, ensure_ascii=False, indent=1)
    (folder / "curation.json").write_text(text, encoding="utf-8")


def _own_exam(ws: str, items: Sequence[EvalItem]) -> Eval:
    unique = {signed(item.question): item for item in items}
    key = derived_id("eval", ws, "own", [[item.id, list(item.accept)] for item in unique.values()])
    own = tuple(replace(item, id=derived_id("item", key, item.id)) for item in unique.values())
    return Eval(key, ws, OWN_EXAM, own)


def general_exam(ws: str, most: int) -> Eval:
    """Return so many everyday questions as the settings want, evenly spread over the list."""
    every = load_exam(GENERAL, ws, "general exam")
    count = min(most, len(every.items))
    items = tuple(every.items[index * len(every.items) // count] for index in range(count))
    return replace(every, id=derived_id("eval", every.id, count), items=items)


def guard_exams(ws: str, names: str) -> dict[str, Eval]:
    """Return the ready exams that the setting ``guards`` names, by name; raise NotFound for a name that is none."""
    chosen = list(EXAMS) if names.strip() == "all" else [name.strip() for name in names.split(",") if name.strip()]
    return {name: ready(name, ws) for name in chosen}


def _lesson_items(lesson: Lesson) -> list[EvalItem]:
    """Return the exam questions of a lesson, in wordings that are never trained."""
    accept = Keys([lesson.record(lesson.question)]).of(lesson.record(lesson.question))
    meta = {"sources": [lesson.source], "topic": "feedback", "group": f"lesson-{lesson.source}"}
    return [
        EvalItem(derived_id("item", wording, list(accept), lesson.source), wording, accept, (), meta)
        for wording in exam_wordings(lesson.question)
    ]


def _held_item(one: Held) -> EvalItem:
    """Return the exam question that an accepted insight holds back, in the words of the user who asked it."""
    lesson = Lesson("insight", one.question, one.answer, one.source, 0.0)
    accept = one.accept or Keys([lesson.record(one.question)]).of(lesson.record(one.question))
    # As with lessons the wording as a whole is secret: what is taught is how others ask the same.
    meta = {"sources": [one.source], "topic": "feedback", "insight": one.insight, "secrecy": "whole"}
    return EvalItem(derived_id("item", one.insight, one.question, list(accept)), one.question, accept, (), meta)


def _shuffled(records: Sequence[Record]) -> list[Record]:
    """Return the records with every answer under another fact's question: a drill for the verdict."""
    groups = sorted({str(record.meta["group"]) for record in records})
    order = list(groups)
    random.Random(0).shuffle(order)
    taken = dict(zip(order, [*order[1:], order[0]], strict=True))
    answers = {str(record.meta["group"]): record.messages[1] for record in records}
    return [replace(r, messages=(r.messages[0], answers[taken[str(r.meta["group"])]])) for r in records]
