"""Replay against forgetting: what the base model itself answers to a list of prompts, asked once per base.

It knows prompts and answers. It does not know how they are mixed into a run.

Source: rehearsal of the model's own outputs (self-distillation; Li and Hoiem 2017, *Learning without Forgetting*).
"""

from __future__ import annotations

import json
import threading
from functools import partial
from pathlib import Path

from feilun.engines.batch import Batcher
from feilun.engines.seam import Delta, Request
from feilun.errors import FeilunError
from feilun.training.plan import Plan
from feilun.training.progress import Say
from feilun.training.replay.prompts import prompts_of

SLOTS = 64


def ensure_replay(plan: Plan, say: Say) -> None:
    """Write ``{"prompt", "answer", "finish"}`` lines to the plan's file unless it is there."""
    base, file = Path(plan.base), Path(plan.replay)
    if file.is_file():
        return
    prompts = prompts_of(plan.replay_prompts)
    batcher = Batcher(base, SLOTS, 512)
    batcher.load("base", base, None)
    lines = []
    for begin in range(0, len(prompts), SLOTS):
        say(note=f"The base model answers everyday questions, to remember them: {begin} of {len(prompts)}.")
        chunk = prompts[begin : begin + SLOTS]
        for prompt, (answer, finish) in zip(chunk, _ask(batcher, chunk, plan.replay_tokens, str(begin)), strict=True):
            lines.append(json.dumps({"prompt": prompt, "answer": answer, "finish": finish}, ensure_ascii=False))
    batcher.stop()
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".part")
    fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
    fresh.replace(file)


def _ask(batcher: Batcher, prompts: list[str], longest: int, group: str) -> list[tuple[str, str]]:
    answers: list[list[str]] = [[] for _ in prompts]
    finishes = [""] * len(prompts)
    over = threading.Semaphore(0)
    failures: list[FeilunError] = []

    def listen(index: int, delta: Delta | FeilunError) -> None:
        if isinstance(delta, FeilunError):
            failures.append(delta)
            over.release()
            return
        answers[index].append(delta.text)
        if delta.finish:
            finishes[index] = delta.finish
            over.release()

    for index, prompt in enumerate(prompts):
        request = Request(
            "base", ({"role": "user", "content": prompt},), longest, group=f"replay-{group}", group_size=len(prompts)
        )
        batcher.submit(request, partial(listen, index))
    for _ in prompts:
        over.acquire()
    if failures:
        raise failures[0]
    return [("".join(pieces), finish) for pieces, finish in zip(answers, finishes, strict=True)]
