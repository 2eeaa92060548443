"""How fast our engine answers, against transformers' ``generate`` on the same weights: ``python bench/engine.py``.

Prints a table and writes ``bench/out/engine.json``. Both run in this process, on the same threads, in float32, greedily
and for the same number of tokens, and take turns, so what else the machine does hits both alike; a figure is the ratio
of the best rounds. transformers gets its best case: all prompts are of one length (no padding) and arrive together.
Every call asks something of its own: the prompts share the system prompt and no more.
"""

from __future__ import annotations

import argparse
import json
import queue
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from feilun.compute import machine, threads
from feilun.engines.adapters import write_adapter
from feilun.engines.batch import Batcher
from feilun.engines.models import DEFAULT, ensure_base
from feilun.engines.seam import Delta, Request
from feilun.errors import FeilunError
from feilun.records import JSON

OUT = Path(__file__).parent / "out" / "engine.json"
CALLS, ADAPTERS, RANK = 16, 4, 8
QUESTIONS = [f"{10 + call} miles of river, a mill, and people beside it: write a long story." for call in range(CALLS)]


def add_adapters(batcher: Batcher, base: Path, folder: Path) -> list[str]:
    """Load adapters of random factors, too small to change an answer much; return their names."""
    names = []
    for number in range(ADAPTERS):
        factors = {
            (layer, name): (torch.randn(RANK, weight.shape[1]) * 1e-3, torch.randn(weight.shape[0], RANK) * 1e-3)
            for layer, products in enumerate(batcher.decoder.products)
            for name, weight in products.items()
        }
        adapter = folder / f"adapter-{number}"
        write_adapter(adapter, factors, RANK, RANK)
        template = batcher.versions["base"][0].template
        (adapter / "chat_template.jinja").write_text(template, encoding="utf-8")
        batcher.load(adapter.name, base, adapter)
        names.append(adapter.name)
    return names


def ours(batcher: Batcher, models: list[str], tokens: int) -> float:
    """Return tokens per second, prompts included, when one call to each of ``models`` comes at once."""
    over: queue.SimpleQueue[int | FeilunError] = queue.SimpleQueue()

    def hear(delta: Delta | FeilunError) -> None:
        if isinstance(delta, FeilunError):
            over.put(delta)
        elif delta.finish and delta.usage:
            over.put(delta.usage.completion_tokens)

    began = time.perf_counter()
    for model, question in zip(models, QUESTIONS, strict=False):
        batcher.submit(Request(model, ({"role": "user", "content": question},), tokens), hear)
    made = 0
    for _ in models:
        answer = over.get()
        if isinstance(answer, FeilunError):
            raise answer
        made += answer
    return made / (time.perf_counter() - began)


def theirs(model: Any, prompts: list[list[int]], tokens: int) -> float:
    """Return tokens per second of one ``generate`` over prompts of one length."""
    ids = torch.tensor(prompts)
    began = time.perf_counter()
    found = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False
    )
    return int(found[:, ids.shape[1] :].numel()) / (time.perf_counter() - began)


def measure(base: Path, folder: Path, rounds: int, tokens: int) -> dict[str, float]:
    """Return the best tokens per second of every way to answer."""
    batcher = Batcher(base, CALLS, 512)
    batcher.load("base", base, None)
    names = add_adapters(batcher, base, folder)
    prompter = batcher.versions["base"][0]
    prompts = [prompter.encode(prompter.render([{"role": "user", "content": question}])) for question in QUESTIONS]
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    ways = {
        "ours 1": partial(ours, batcher, ["base"], tokens),
        "theirs 1": partial(theirs, model, prompts[:1], tokens),
        "ours 16": partial(ours, batcher, ["base"] * CALLS, tokens),
        "theirs 16": partial(theirs, model, prompts, tokens),
        "ours 16 with 4 adapters": partial(ours, batcher, names * (CALLS // ADAPTERS), tokens),
    }
    best = dict.fromkeys(ways, 0.0)
    for _ in range(rounds):
        for name, way in ways.items():
            best[name] = max(best[name], way())
    batcher.stop()
    return best


def row(figure: str, value: float, must: float | None = None, reach: float | None = None) -> JSON:
    """Return one row of the table; ``must`` and ``reach`` are lower bounds."""
    value = round(value, 3)
    return {"figure": figure, "value": value, "must": must, "reach": reach, "met": must is None or value >= must}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT, help="base model: a name, a Hugging Face folder or a GGUF file")
    parser.add_argument("--home", type=Path, default=Path("feilun-data"), help="where prepared models are kept")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=48, help="length of every answer")
    parser.add_argument("--threads", type=int, default=0, help="0 is all cores; 1 where others use the machine too")
    given = parser.parse_args()
    torch.set_num_threads(threads(given.threads))
    base = Path(ensure_base(given.home.absolute(), given.model).folder)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        best = measure(base, Path(folder), given.rounds, given.tokens)
    rows = [
        row("1 call: our tokens/s over transformers'", best["ours 1"] / best["theirs 1"], 1.0, 1.5),
        row("16 calls: our tokens/s over transformers'", best["ours 16"] / best["theirs 16"], 1.0, 1.5),
        row("ours, 16 calls over 1 call, tokens/s", best["ours 16"] / best["ours 1"], 3.0, 6.0),
        row("ours, 16 calls: 4 adapters over base only", best["ours 16 with 4 adapters"] / best["ours 16"], 0.5, 0.8),
        *(row(f"tokens/s: {name}", value) for name, value in best.items()),
    ]
    for one in rows:
        bound = "" if one["must"] is None else f"must >= {one['must']:g}, reach >= {one['reach']:g}"
        print(f"{one['figure']:<52} {one['value']:>9.2f}  {bound}  {'' if one['met'] else 'NOT MET'}".rstrip())
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(
        json.dumps({"machine": machine(), "rows": rows}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
