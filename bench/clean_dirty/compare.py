"""Clean against dirty, proven: ``make bench-clean_dirty``.

    python bench/clean_dirty [--seed 1] [--file pairs.jsonl --exam exam.jsonl]

The same base is trained twice, once on a file of pairs as it is, once on what the recipe ``chat`` makes of that file.
Both sets have as many tokens (of the larger one whole rows are left out, drawn by the seed), the same settings and
number of steps; both models sit the same exam, whose wordings are in neither set. Prints the verdict: an interval and
McNemar's p. No improvement is a result as well, and is printed as such; the exit code is 1 only if the comparison could
not be made.

Without ``--file`` the pairs are those of the sample organisation, with dirt put in as ``dirt`` tells; with it, a file
of your own (``question`` and ``answer`` a line) and an exam of your own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from clean_dirty.dirt import Pair, dirtied
from feilun.compute import Context
from feilun.compute.jobs import run
from feilun.curation import curate, ingest
from feilun.curation.recipes import Options, curate_workspace, find, mended
from feilun.engines.models import ensure_base
from feilun.engines.prompts import Prompter
from feilun.evaluation import Sitting, compare, load_exam, sit
from feilun.flywheel import sample_paths
from feilun.records import JSON, Eval, EvalAnswer, Job, ModelVersion, Record, derived_id, new_id
from feilun.serving import start_engine
from feilun.settings import Settings
from feilun.store import Database, Journal, datasets, evals, models, open_database, workspaces
from feilun.training.job import run_training

OUT = Path(__file__).parents[1] / "out" / "clean_dirty.json"
WS = "clean-dirty"


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


def sample_pairs(db: Database) -> list[Pair]:
    """Return the clean pairs of the sample organisation."""
    workspaces.ensure(db, "clean")
    ingest(db, "clean", sample_paths()[:1])
    return [
        (str(each.messages[0]["content"]), str(each.messages[-1]["content"]))
        for each in curate(mended(db, "clean", "train"), [], [], []).chat
    ]


def record(pair: Pair, number: int, source: str) -> Record:
    """Return a pair as it is, as a record."""
    messages = ({"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]})
    return Record(derived_id("record", "raw", number, *pair), "chat", (source,), messages, "", {"group": f"g{number}"})


def cut(records: Sequence[Record], tokens: Sequence[int], most: int, seed: int) -> tuple[list[Record], int]:
    """Return records of ``most`` tokens at most, whole rows left out at random, and how many tokens they have."""
    order = list(range(len(records)))
    random.Random(seed).shuffle(order)
    chosen: set[int] = set()
    total = 0
    for at in order:
        if total + tokens[at] <= most:
            chosen.add(at)
            total += tokens[at]
    return [each for at, each in enumerate(records) if at in chosen], total


async def trained(db: Database, settings: Settings, dataset: str, base: str) -> str:
    """Train an adapter with the defaults; return its id."""
    journal = Journal(db)
    job = journal.create(Job(new_id("ftjob"), WS, "training", {}))

    async def work(context: Context) -> JSON:
        return await run_training(context, db, settings, {"dataset": dataset, "base": base, "name": dataset})

    result = await run(journal, job.id, work, locks=settings.root / "locks")
    return str(result["model"])


async def answers(settings: Settings, version: ModelVersion, exam: Eval) -> list[EvalAnswer]:
    """Have a model sit the exam."""
    found: list[EvalAnswer] = []

    async def save(rows: list[EvalAnswer]) -> None:
        found.extend(rows)

    engine = await start_engine(settings, settings.root)
    try:
        how = Sitting(batch=settings.batch, max_tokens=48)
        await sit(engine, version, exam, f"run-{version.id}", save, how=how)
    finally:
        await engine.close()
    return found


async def show(home: Path, given: argparse.Namespace) -> JSON:
    """Go through the whole of it; return what was found."""
    settings = Settings(home=str(home))
    db = open_database(settings.root)
    try:
        workspaces.ensure(db, WS)
        exam = load_exam(given.exam or sample_paths()[1], WS, "own exam")
        evals.add(db, exam)
        file = given.file or home.parent / "pairs.jsonl"
        if not given.file:
            lines = ({"question": q, "answer": a} for q, a in dirtied(sample_pairs(db), given.seed))
            file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        told = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
        source = ingest(db, WS, [file]).added[0]
        raw = [record((row["question"], row["answer"]), at, source) for at, row in enumerate(told)]
        # What is flagged waits for a person, and is not trained on until one has looked.
        outcome = curate_workspace(db, WS, replace(find("chat"), flagged="set_aside"), Options())
        if outcome.version is None:
            raise SystemExit("Nothing came out of the recipe.")
        clean = datasets.read(db, WS, outcome.version.id, "train")
        base = ensure_base(settings.root, settings.model, say)
        models.add(db, base)
        prompter = Prompter(Path(base.folder))
        sizes = [[len(prompter.encode(prompter.render(r.messages, answer=False))) for r in s] for s in (raw, clean)]
        most = min(map(sum, sizes))
        seen: JSON = {"rows_in": len(raw), "rows_kept": len(clean), "report": outcome.report["rows"]}
        arms: dict[str, list[EvalAnswer]] = {}
        for name, rows, tokens in zip(("dirty", "clean"), (raw, clean), sizes, strict=True):
            chosen, total = cut(rows, tokens, most, given.seed)
            version, _ = datasets.write(db, WS, name, chosen, "train", {})
            say(f"{name}: training on {len(chosen)} rows, {total} tokens")
            model = models.get(db, WS, await trained(db, settings, version.id, base.id))
            arms[name] = await answers(settings, model, exam)
            seen[name] = {"rows": len(chosen), "tokens": total, "model": model.id}
        seen["comparison"] = asdict(compare(exam, arms["dirty"], arms["clean"]))
        return seen
    finally:
        db.close()


def main() -> int:
    """Run it, print and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="another draw of the dirt")
    parser.add_argument("--file", type=Path, help="pairs of your own, as they are")
    parser.add_argument("--exam", type=Path, help="the exam for them")
    given = parser.parse_args()
    if bool(given.file) != bool(given.exam):
        parser.error("--file and --exam belong together")
    with tempfile.TemporaryDirectory() as folder:
        seen = asyncio.run(show(Path(folder) / "home", given))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(seen, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    found = seen["comparison"]
    low, high = found["interval"]
    print(json.dumps(seen, ensure_ascii=False, indent=1))
    print(
        f"trained on dirty data: {found['incumbent']:.1%} of {found['questions']} right; on curated data of as many"
        f" tokens: {found['candidate']:.1%}; difference {100 * found['difference']:+.1f} points"
        f" ({100 * low:+.1f} to {100 * high:+.1f}), McNemar's p = {found['p_value']:.4f}"
    )
    better = low > 0 and found["p_value"] < 0.05
    print("Curated data made a better model." if better else "No improvement was proven.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
