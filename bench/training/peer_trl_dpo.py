"""TRL's DPOTrainer on pairs that somebody else made: ``python peer_trl_dpo.py TASK.json``, in its own environment.

The task names base, adapter (fresh factors, so that both begin alike), rows (``prompt``, ``chosen``, ``rejected``
texts), out, rate, warmup, batch, steps, beta, threads. Reference log-probabilities are computed before the first step.
A line with the clock is printed after each step, then one with the losses. It does not know who else trains.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer


class Clock(TrainerCallback):
    """Say when a step is over."""

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Print the clock."""
        print(json.dumps({"clock": time.perf_counter()}), flush=True)


def main() -> None:
    """Train as the task says."""
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(task["threads"])
    torch.manual_seed(0)
    rows = [json.loads(line) for line in Path(task["rows"]).read_text(encoding="utf-8").splitlines()]
    plain: Any = AutoModelForCausalLM.from_pretrained(task["base"], dtype=torch.bfloat16)
    model = PeftModel.from_pretrained(plain, task["adapter"], is_trainable=True)
    steps, warm = task["steps"], max(1.0, task["warmup"] * task["steps"])

    def share(step: int) -> float:
        return float(min((step + 1) / warm, 1.0) * max(0.05, 1.0 - max(0.0, step - warm) / max(1.0, steps - warm)))

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=task["rate"], weight_decay=0.0, fused=True)
    settings = DPOConfig(
        output_dir=task["out"],
        beta=task["beta"],
        precompute_ref_log_probs=True,
        per_device_train_batch_size=task["batch"],
        max_steps=steps,
        learning_rate=task["rate"],
        max_grad_norm=1.0,
        bf16=False,
        gradient_checkpointing=False,
        max_length=None,
        train_sampling_strategy="sequential",
        use_cpu=True,
        dataloader_pin_memory=False,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = DPOTrainer(
        model=model,
        args=settings,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(task["base"]),
        optimizers=(optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, share)),
        callbacks=[Clock()],
    )
    trainer.train()
    losses = [float(each["loss"]) for each in trainer.state.log_history if "loss" in each]
    print(json.dumps({"losses": losses}), flush=True)


if __name__ == "__main__":
    main()
