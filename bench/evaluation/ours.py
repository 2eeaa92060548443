"""Feilun sits the same tasks, in a process of its own.

``python ours.py MODEL TASKS OUT BATCH LIMIT``. Knows our reader and our engine. Does not know the harness.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from feilun.engines.batch import Batcher
from feilun.engines.identity import base_identity
from feilun.engines.likelihood import Likelihood
from feilun.evaluation.formats import read_exam
from feilun.evaluation.run import Sitting, read_all, sit
from feilun.records import Eval, EvalAnswer, ModelVersion
from feilun.serving.local import BatchEngine


async def _sat(
    exam: Eval, model: Path, likelihood: Likelihood, engine: BatchEngine | None, batch: int
) -> list[EvalAnswer]:
    answers: list[EvalAnswer] = []

    async def save(rows: list[EvalAnswer]) -> None:
        answers.extend(rows)

    if engine is None:
        await read_all(likelihood, base_identity(model), exam, "run", save)
    else:
        version = ModelVersion("base", "", "base", "base", "base", str(model), {})
        await sit(engine, version, exam, "run", save, how=Sitting(batch=batch, max_tokens=1))
    order = {item.id: place for place, item in enumerate(exam.items)}
    return sorted(answers, key=lambda answer: order[answer.item])


def _row(exam: Eval, answer: EvalAnswer) -> dict[str, Any]:
    harness = answer.meta.get("scores") or {"exact_match": float(answer.score)}
    wanted = [name for name in exam.meta["metrics"] if name in harness]
    return {
        "prompt": answer.prompt,
        "answers": answer.meta.get("logprobs") or [answer.answer],
        "scores": {name: harness[name] for name in wanted},
    }


def main() -> None:
    """Sit the tasks one by one."""
    model, folder, out, batch, limit = Path(sys.argv[1]), *sys.argv[2:5], int(sys.argv[5])
    likelihood = Likelihood(model)
    # Loaded in a thread that ends, as where an exam is sat: one that stays would keep a team of threads of its own.
    with ThreadPoolExecutor(1) as loader:
        loader.submit(lambda: likelihood.model).result()
    found: dict[str, Any] = {"batch": int(batch), "threads": torch.get_num_threads(), "tasks": {}}
    for file in sorted(Path(folder).glob("*.yaml")):
        read = "likely" in read_exam([file], "bench", file.stem).exam.items[0].meta
        engine = None if read else BatchEngine(model, Batcher(model, int(batch), 4096))
        began, worked = time.monotonic(), time.process_time()
        exam = read_exam([file], "bench", file.stem).exam  # the harness reads its tasks within its time, too
        exam = replace(exam, items=exam.items[: limit or None])
        answers = asyncio.run(_sat(exam, model, likelihood, engine, int(batch)))
        seconds, worked = time.monotonic() - began, time.process_time() - worked
        if engine:
            asyncio.run(engine.close())
        found["tasks"][file.stem] = {
            "seconds": seconds,
            "worked": worked,
            "rows": [_row(exam, answer) for answer in answers],
        }
    Path(out).write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
