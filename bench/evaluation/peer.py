"""lm-evaluation-harness, in its own environment: sits the tasks, writes every question's likelihoods and answer.

``python peer.py MODEL TASKS OUT BATCH LIMIT``. Knows the harness. Does not know ours.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import lm_eval
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager


def _prompt(arguments: Any) -> str:
    """Return the prompt among what a question was asked with, in whichever shape it is logged."""
    first = next(iter(arguments.values())) if isinstance(arguments, dict) else arguments[0]
    return str(next(iter(first.values())) if isinstance(first, dict) else first[0])


def main() -> None:
    """Sit the tasks one by one."""
    model, folder, out, batch, limit = sys.argv[1:6]
    lm = HFLM(pretrained=model, dtype="float32", device="cpu", batch_size=int(batch))
    manager = TaskManager(include_path=folder, include_defaults=False)
    found = {"batch": int(batch), "threads": torch.get_num_threads(), "lm_eval": lm_eval.__version__, "tasks": {}}
    for file in sorted(Path(folder).glob("*.yaml")):
        began, worked = time.monotonic(), time.process_time()
        done = lm_eval.simple_evaluate(
            model=lm, tasks=[file.stem], task_manager=manager, limit=int(limit) or None, bootstrap_iters=0,
            log_samples=True,
        )  # fmt: skip
        seconds, worked = time.monotonic() - began, time.process_time() - worked
        samples = sorted(done["samples"][file.stem], key=lambda each: each["doc_id"])
        rows = [
            {
                "prompt": _prompt(each["arguments"]),
                "answers": each["filtered_resps"],
                "scores": {name: each[name] for name in ("acc", "acc_norm", "exact_match") if name in each},
            }
            for each in samples
        ]
        found["tasks"][file.stem] = {"seconds": seconds, "worked": worked, "rows": rows}
    Path(out).write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
