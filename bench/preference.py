"""Whether DPO from a hundred thumbs and edits changes the behaviour that was rated, and nothing else.

    python bench/preference.py [--method dpo|kto] [--option beta=0.1 …] [--asked 99] [--guards 24]

The embedded model answers questions of the sample organisation's members, rambling and without a source. A hundred
judgements are given about these calls, in English and Chinese: edits into one short sentence with a line that names its
source, thumbs on two answers to the same question, thumbs on single answers. They go the whole way: traces and feedback
in the store, preferences, a dataset version, a training job with nothing chosen. Then both models are asked questions
about other facts that nobody judged, the general exam and the ready guard exams. A grader of ours rates form alone:
short, and ending with a source line; which facts are right is not what was judged. Prints the comparisons (exact
McNemar) and writes ``bench/out/preference.json``. Does not know how a preference is learnt.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from feilun.compute import run
from feilun.curation import curate, parse
from feilun.engines.models import ensure_base
from feilun.evaluation import Sitting, compare, load_exam, sit
from feilun.evaluation.ready import EXAMS, ready
from feilun.feedback import write_preferences
from feilun.flywheel import sample_paths
from feilun.flywheel.result import GENERAL
from feilun.records import (
    JSON,
    Comparison,
    Eval,
    EvalAnswer,
    EvalItem,
    Feedback,
    Job,
    ModelVersion,
    Record,
    Trace,
    Usage,
    derived_id,
)
from feilun.serving import start_engine
from feilun.settings import Settings
from feilun.store import Database, Journal, feedback, models, open_database, traces, workspaces
from feilun.training import run_training
from ratios import report, row

Item = TypeVar("Item")
OUT = Path(__file__).resolve().parent / "out"
WS = "bench"
EDITS, COMPARED, THUMBS = 50, 15, 20  # judgements: 50 edits, 15 times two thumbs, 20 single ones
HELD_GROUPS = 24
TOKENS = 64
MARGIN = 0.05
SOURCE = {"en": "Source: members' handbook", "zh": "来源：会员手册"}
FORM = {"type": "regex", "pattern": r"(?s)^\s*\S.{0,200}\n\s*(Source|来源)\s*[:：].{2,60}$"}


def facts() -> tuple[list[Record], list[Record]]:
    """Return pairs of questions and answers to judge calls about, and of other facts to ask about afterwards."""
    root = sample_paths()[0]
    files = [root / "faq" / "faq.xlsx", *sorted((root / "zh").rglob("*.md"))]
    chat = curate([parse(file.name, file.read_bytes(), file.name) for file in files]).chat
    groups = sorted({str(record.meta["group"]) for record in chat})
    apart = set(groups[:: max(1, len(groups) // HELD_GROUPS)])
    learnt = sorted((r for r in chat if r.meta["group"] not in apart), key=lambda r: (r.meta["group"], r.id))
    return learnt, [record for record in chat if record.meta["group"] in apart]


def spread(records: Sequence[Item], count: int) -> list[Item]:
    """Return so many at most, evenly spread over the list."""
    count = min(count, len(records))
    return [records[index * len(records) // count] for index in range(count)]


def exam_of(name: str, records: Sequence[Record]) -> Eval:
    """Return an exam on the form of answers to the records' questions."""
    texts = {str(record.messages[0]["content"]): str(record.meta["group"]) for record in records}
    items = [EvalItem(derived_id("item", name, text), text, (), (), {"grader": FORM}) for text in texts]
    return Eval(derived_id("eval", WS, name, list(texts)), WS, name, tuple(items))


def guards(most: int) -> Eval:
    """Return at most so many questions of each ready guard exam, but for knowledge: the general exam asks that."""
    items = [item for name in EXAMS if name != "knowledge" for item in spread(ready(name, WS).items, most)]
    return Eval(derived_id("eval", WS, "guards", most), WS, "guards", tuple(items))


def judge(db: Database, base: str, records: Sequence[Record], said: dict[str, str]) -> int:
    """Keep calls that the base model answered and a hundred judgements about them; return how many."""
    given = 0
    edited = EDITS + COMPARED
    for number, record in enumerate(records):
        question, fact = (str(message["content"]) for message in record.messages[:2])
        short = f"{fact}\n{SOURCE['zh' if record.meta['lang'] == 'zh' else 'en']}"
        good = number % 2 == 0 if number >= edited else False
        answers = [said[question]] if number < edited else [short if good else said[question]]
        if EDITS <= number < edited:
            answers.append(short)
        for place, answer in enumerate(answers):
            thumb = 1 if answer == short else -1
            key = f"{number}-{place}"
            messages = ({"role": "user", "content": question},)
            trace = Trace(f"trace-{key}", WS, "key", "own", base, messages, answer, "stop", Usage(1, 1))
            traces.add(db, [trace])
            words = short if number < EDITS else ""
            feedback.add(db, Feedback(f"feedback-{key}", WS, trace.id, None if words else thumb, None, words))
            given += 1
    return given


async def answers_of(settings: Settings, version: ModelVersion, exams: Sequence[Eval]) -> dict[str, list[EvalAnswer]]:
    """Return what a version answers to all exams, graded."""
    engine = await start_engine(settings, settings.root)
    found: dict[str, list[EvalAnswer]] = {}
    try:
        for exam in exams:
            rows: list[EvalAnswer] = []

            async def save(part: list[EvalAnswer], rows: list[EvalAnswer] = rows) -> None:
                rows.extend(part)

            await sit(engine, version, exam, "run", save, how=Sitting(settings.batch, TOKENS))
            found[exam.name] = rows
    finally:
        await engine.close()
    return found


async def learnt_version(db: Database, settings: Settings, base: str, dataset: str, spec: JSON) -> JSON:
    """Run a training job to its end; return its result."""
    whole: JSON = {"dataset": dataset, "base": base, **spec}
    job = Job(derived_id("ftjob", json.dumps(whole, sort_keys=True)), WS, "training", whole)
    journal = Journal(db)
    journal.create(job)

    def told(message: JSON) -> None:
        if "note" in message or message.get("step", 1) % 10 == 0:
            print("  ", {name: value for name, value in message.items() if name != "losses"}, flush=True)

    return await run(
        journal, job.id, lambda context: run_training(context, db, settings, whole, told), locks=settings.root / "locks"
    )


async def measure(home: Path, spec: JSON, most: int, each: int) -> JSON:
    """Go the whole way once; return both comparisons and what was learnt from."""
    settings = Settings(home=str(home), batch=32)
    db = open_database(settings.root)
    workspaces.ensure(db, WS)
    base = ensure_base(settings.root, settings.model)
    models.add(db, base)
    known, apart = facts()
    count = EDITS + COMPARED + THUMBS
    judged, held = exam_of("judged", spread(known, count)), exam_of("held out", spread(apart, most))
    proof = [held, load_exam(GENERAL, WS, "general"), guards(each)]
    before = await answers_of(settings, base, [judged, *proof])
    asked = {item.id: item.question for item in judged.items}
    said = {asked[row.item]: row.answer for row in before["judged"]}
    given = judge(db, base.id, [r for r in spread(known, count) if r.messages[0]["content"] in said], said)
    version, found = write_preferences(db, WS)
    print(f"{given} judgements: {len(found.pairs)} pairs, {len(found.rated)} rated answers", flush=True)
    made = await learnt_version(db, settings, base.id, version.id, spec)
    candidate = models.get(db, WS, made["model"])
    after = await answers_of(settings, candidate, proof)
    for place in range(0, len(held.items), max(1, len(held.items) // 6)):
        answer = after["held out"][place].answer.replace("\n", " | ")
        print(f"  Q {held.items[place].question}\n  A {answer}", flush=True)
    db.close()
    facts_of = {"judgements": given, "pairs": len(found.pairs), "rated": len(found.rated), "seconds": made["seconds"]}
    return {**facts_of, **{exam.name: compare(exam, before[exam.name], after[exam.name]) for exam in proof}}


def rows_of(found: JSON) -> list[JSON]:
    """Return the figures, judged."""
    held = found["held out"]
    return [
        row("share of held-out answers as judged, before", held.incumbent),
        row("the same, after", held.candidate),
        row("gain in points, lower end of the 95 % interval", 100 * held.interval[0], 5, 20),
        row("exact McNemar, p", held.p_value, 0.05, 0.001, less=True),
        *(one for name in ("general", "guards") for one in kept_of(name, found[name])),
    ]


def kept_of(name: str, found: Comparison) -> list[JSON]:
    """Return the figures of an exam that must not suffer."""
    return [
        row(f"{name}: share right before", found.incumbent),
        row(f"{name}: the same, after", found.candidate),
        row(f"{name}: points lost at most (95 % interval)", -100 * found.interval[0], 100 * MARGIN, 2, less=True),
    ]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=["dpo", "kto"], default="dpo", help="what learns")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=NUMBER", help="an option of the method")
    parser.add_argument("--asked", type=int, default=99, help="held-out questions at most")
    parser.add_argument("--guards", type=int, default=999, help="questions of each guard exam at most")
    given = parser.parse_args()
    options = {name: float(value) for name, _, value in (each.partition("=") for each in given.option)}
    home = OUT / "preference"
    for path in home.glob("*"):
        if path.name != "models":  # the converted base is kept
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = asyncio.run(measure(home, {"method": given.method, "options": options}, given.asked, given.guards))
    report(OUT / "preference.json", rows_of(found))


if __name__ == "__main__":
    main()
