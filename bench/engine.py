"""How fast our engine answers, against transformers' ``generate`` on the same weights: ``python bench/engine.py``.

Prints a table and writes ``bench/out/engine.json``. Both run in this process, on the same threads, in float32, greedily
and for the same number of tokens, and take turns, so what else the machine does hits both alike; a figure is the ratio
of the best rounds. transformers gets its best case: all prompts are of one length (no padding) and arrive together.
Every call begins with something of its own, so that nothing is known from an earlier one, but where that is measured.
"""

from __future__ import annotations

import argparse
import queue
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from feilun.compute import threads
from feilun.engines.adapters import write_adapter
from feilun.engines.batch import Batcher
from feilun.engines.models import DEFAULT, ensure_base
from feilun.engines.seam import Delta, Request
from feilun.errors import FeilunError
from ratios import report, row

OUT = Path(__file__).parent / "out" / "engine.json"
CALLS, RANK = (1, 8, 32), 8
MIXED, ADAPTERS = 16, (8, 32)  # calls at once over several adapters; as many adapters, each on at least one call
LONG = "The mill by the river has a wheel of oak, and the people beside it grind their grain there. " * 20
NUMBERS = count(100)


def questions(number: int) -> list[str]:
    """Return questions that nobody asked before."""
    return [f"{next(NUMBERS)} miles of river, a mill, and people beside it: write a story." for _ in range(number)]


def talk(question: str) -> tuple[dict[str, Any], ...]:
    """Return messages that begin with the question."""
    return ({"role": "system", "content": question}, {"role": "user", "content": question})


def add_adapters(batcher: Batcher, base: Path, folder: Path) -> list[str]:
    """Load adapters of random factors, too small to change an answer much; return their names."""
    names = []
    for number in range(max(ADAPTERS)):
        factors = {
            (layer, name): (torch.randn(RANK, width) * 1e-3, torch.randn(height, RANK) * 1e-3)
            for layer in range(batcher.decoder.shape.layers)
            for name, (height, width) in batcher.decoder.sizes.items()
        }
        adapter = folder / f"adapter-{number}"
        write_adapter(adapter, factors, RANK, RANK)
        template = batcher.versions["base"].prompter.template
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
    for model, question in zip(models, questions(len(models)), strict=True):
        batcher.submit(Request(model, talk(question), tokens), hear)
    made = 0
    for _ in models:
        answer = over.get()
        if isinstance(answer, FeilunError):
            raise answer
        made += answer
    return made / (time.perf_counter() - began)


def first_token(batcher: Batcher, question: str) -> float:
    """Return how many times a second a long prompt could be answered with one token."""
    over: queue.SimpleQueue[None] = queue.SimpleQueue()

    def hear(delta: Delta | FeilunError) -> None:
        if isinstance(delta, FeilunError) or delta.finish:
            over.put(None)

    began = time.perf_counter()
    batcher.submit(Request("base", ({"role": "user", "content": question + LONG},), 1), hear)
    over.get()
    return 1 / (time.perf_counter() - began)


def known_token(batcher: Batcher) -> float:
    """Return the same for a prompt that was just asked."""
    question = questions(1)[0]
    first_token(batcher, question)
    return first_token(batcher, question)


def theirs(model: Any, prompts: list[list[int]], tokens: int) -> float:
    """Return tokens per second of one ``generate`` over prompts of one length."""
    ids = torch.tensor(prompts)

    def work() -> float:
        began = time.perf_counter()
        with torch.inference_mode():
            found = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False
            )
        return int(found[:, ids.shape[1] :].numel()) / (time.perf_counter() - began)

    # In a thread that ends: a team of threads that stays would slow whoever comes next.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def measure(base: Path, folder: Path, rounds: int, tokens: int) -> dict[str, float]:
    """Return the best tokens per second of every way to answer."""
    batcher = Batcher(base, max(CALLS), 2048)
    batcher.load("base", base, None)
    names = add_adapters(batcher, base, folder)
    prompter = batcher.versions["base"].prompter
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    batcher.decoder.settled.wait()
    ways: dict[str, Callable[[], float]] = {}
    for calls in CALLS:
        prompts = [prompter.encode(prompter.render(talk(question))) for question in questions(calls)]
        ways[f"ours {calls}"] = partial(ours, batcher, ["base"] * calls, tokens)
        ways[f"theirs {calls}"] = partial(theirs, model, prompts, tokens)
    for number in (1, *ADAPTERS):
        calls = max(MIXED, number)
        ways[f"ours {calls}, {number} adapters"] = partial(ours, batcher, (names[:number] * calls)[:calls], tokens)
    ways[f"ours {max(ADAPTERS)}, 1 adapters"] = partial(ours, batcher, names[:1] * max(ADAPTERS), tokens)
    ways["long prompts a second, new"] = lambda: first_token(batcher, questions(1)[0])
    ways["long prompts a second, known"] = lambda: known_token(batcher)
    best = dict.fromkeys(ways, 0.0)
    for _ in range(rounds):
        for name, way in ways.items():
            best[name] = max(best[name], way())
    batcher.stop()
    return best


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT, help="base model: a name, a Hugging Face folder or a GGUF file")
    parser.add_argument("--home", type=Path, default=Path("feilun-data"), help="where prepared models are kept")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=32, help="length of every answer")
    parser.add_argument("--threads", type=int, default=0, help="0 is all cores; 1 where others use the machine too")
    given = parser.parse_args()
    torch.set_num_threads(threads(given.threads))
    base = Path(ensure_base(given.home.absolute(), given.model).folder)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        best = measure(base, Path(folder), given.rounds, given.tokens)
    few, many = ADAPTERS
    rows = [
        *(
            row(
                f"{calls} calls: our tokens/s over transformers'",
                best[f"ours {calls}"] / best[f"theirs {calls}"],
                1.0,
                1.5,
            )
            for calls in CALLS
        ),
        row("32 calls over 1 call, tokens/s", best["ours 32"] / best["ours 1"], 4.0, 8.0),
        row(
            f"{MIXED} calls: {few} adapters over 1 adapter, tokens/s",
            best[f"ours {MIXED}, {few} adapters"] / best[f"ours {MIXED}, 1 adapters"],
            0.7,
            0.9,
        ),
        row(
            f"{many} calls: {many} adapters over 1 adapter, tokens/s",
            best[f"ours {many}, {many} adapters"] / best[f"ours {many}, 1 adapters"],
            0.3,
            0.6,
        ),
        row(
            "first token of a long prompt: known beginning over a new one, times as fast",
            best["long prompts a second, known"] / best["long prompts a second, new"],
            2.0,
            5.0,
        ),
        *(row(f"tokens/s: {name}", value) for name, value in best.items()),
    ]
    report(OUT, rows)


if __name__ == "__main__":
    main()
