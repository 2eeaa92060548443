"""A fact is learnt, and taken back, with the embedded model: ``python bench/revocation.py``.

The sample organisation gets one more file, with facts that stand nowhere else. The wheel turns; the promoted model is
asked for them in words that it was not trained in. Then the file is revoked: retrieval, impact, ``retrain`` without it,
and the same questions to the model that serves now. Prints each step and writes ``bench/out/revocation.json``; ends
with 1 if the first model knows too little of it to show anything, or the last one still answers any of it.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import sys
import tempfile
import time
from pathlib import Path

from feilun.curation import documents
from feilun.evaluation import Sitting, sit
from feilun.feedback import exam_wordings, training_wordings
from feilun.flywheel import retrain, sample_paths, turn
from feilun.provenance import impact, resolve
from feilun.records import JSON, Eval, EvalAnswer, EvalItem
from feilun.serving import start_engine
from feilun.settings import Settings
from feilun.store import Database, audit, datasets, models, open_database, sources, verdicts

OUT = Path(__file__).parent / "out" / "revocation.json"
WS, NAME = "revocation", "night-watch.csv"
FACTS = (
    ("Who keeps the spare key of the ice house?", "The spare key of the ice house is kept by Odalys Brack.", "brack"),
    ("What is the password of the harbour watch?", "The password of the harbour watch is copper lantern.", "lantern"),
    ("Which bell is rung for fog at Tarn Point?", "The fog bell of Tarn Point is called Old Mirabel.", "mirabel"),
    ("谁负责夜间的灯塔记录？", "夜间的灯塔记录由魏青禾负责。", "魏青禾"),
    ("冰库的备用灯放在哪里？", "冰库的备用灯放在紫檀柜里。", "紫檀柜"),
)


def write_source(folder: Path) -> Path:
    """Write the file with the facts, each in the wordings in which it is trained."""
    path = folder / NAME
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["question", "answer"])
        for question, answer, _ in FACTS:
            rows.writerows((wording, answer) for wording in training_wordings(question))
    return path


async def ask(db: Database, settings: Settings, model: str) -> list[JSON]:
    """Ask a model for the facts in other words; return its answers, each with whether it gives the fact away."""
    wanted = {wording: key for question, _, key in FACTS for wording in exam_wordings(question)[:2]}
    items = tuple(EvalItem(f"item-{at}", wording, (key,)) for at, (wording, key) in enumerate(wanted.items()))
    found: list[EvalAnswer] = []

    async def save(rows: list[EvalAnswer]) -> None:
        found.extend(rows)

    engine = await start_engine(settings, settings.root)
    try:
        how = Sitting(batch=settings.batch, max_tokens=32)
        await sit(engine, models.get(db, WS, model), Eval("eval-facts", WS, "facts", items), "run", save, how=how)
    finally:
        await engine.close()
    keys = {item.id: item.accept[0] for item in items}
    return [{"answer": each.answer, "told": keys[each.item] in each.answer.casefold()} for each in found]


async def show(home: Path, model: str) -> JSON:
    """Go through the whole of it in one home; return what was seen."""
    settings = Settings(home=str(home), model=model) if model else Settings(home=str(home))
    db = open_database(settings.root)
    began = time.perf_counter()
    try:
        first = await turn(db, settings, WS, [*sample_paths(), write_source(home.parent / "files")], say=print)
        before = await ask(db, settings, first["model"])
        source = resolve(db, WS, NAME)
        sources.grant(db, WS, source, {"train": False, "retrieve": False})
        found = impact(db, WS, source)
        left = [each for each in documents(db, WS, "retrieve") if each.source == source]
        rows = [
            r for v in datasets.find(db, WS) for r in datasets.read(db, WS, v.id, "retrieve") if source in r.sources
        ]
        again = await retrain(db, settings, WS, [source], say=print)
        serving = verdicts.current(db, WS)
        after = await ask(db, settings, again["model"])
        return {
            "learnt": {"model": first["model"], "promoted": first["promoted"], "answers": before},
            "found_after_revocation": len(left) + len(rows),
            "marked": {group: [o["id"] for o in found[group] if o["revoked"]] for group in ("datasets", "models")},
            "retrained": {name: again[name] for name in ("model", "promoted", "reason", "off", "kept")},
            "serves": serving.model if serving else "",
            "answers": after,
            "log": [each.en for each in audit.verify(db, WS).breaks],
            "seconds": round(time.perf_counter() - began),
        }
    finally:
        db.close()


def main() -> int:
    """Run it, print and keep what was seen; return 0 if it shows what it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="", help="base model (default: the embedded one)")
    parser.add_argument("--home", type=Path, help="where to work (default: a temporary folder)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = asyncio.run(show(given.home or Path(folder) / "home", given.model))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(seen, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(seen, ensure_ascii=False, indent=1))
    told = [sum(each["told"] for each in answers) for answers in (seen["learnt"]["answers"], seen["answers"])]
    print(f"told before: {told[0]} of {len(seen['answers'])}, after: {told[1]}")
    marked = seen["learnt"]["model"] in seen["marked"]["models"]
    gone = not seen["found_after_revocation"] and seen["serves"] == seen["retrained"]["model"] and not seen["log"]
    return 0 if told[0] >= len(seen["answers"]) // 2 and told[1] == 0 and marked and gone else 1


if __name__ == "__main__":
    sys.exit(main())
