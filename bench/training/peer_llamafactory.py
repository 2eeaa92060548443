"""LLaMA-Factory's supervised LoRA training: ``python peer_llamafactory.py TASK.json``, in its own environment.

The task holds its own settings, as in a YAML file of its. A line is printed after each step. It does not know who else
trains.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from llamafactory.train.tuner import run_exp
from transformers import TrainerCallback


class Clock(TrainerCallback):
    """Say when a step is over; whoever listens looks at the clock."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Print it."""
        del args, control
        print(json.dumps({"step": state.global_step}), flush=True)


if __name__ == "__main__":
    run_exp(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), callbacks=[Clock()])
