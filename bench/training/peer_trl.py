"""TRL's SFTTrainer on tokens that somebody else made: ``python peer_trl.py TASK.json``, in its own environment.

The task names base, rows (``input_ids``, ``labels``), out, rank, alpha, rate, warmup, batch, threads and the settings
to try. A line is printed after each step. It does not know who else trains.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

PRODUCTS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Clock(TrainerCallback):
    """Say when a step is over; whoever listens looks at the clock."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Print it."""
        del args, control
        print(json.dumps({"step": state.global_step}), flush=True)


def main() -> None:
    """Train as the task says."""
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(task["threads"])
    torch.manual_seed(0)
    rows = [json.loads(line) for line in Path(task["rows"]).read_text(encoding="utf-8").splitlines()]
    model: Any = AutoModelForCausalLM.from_pretrained(task["base"], dtype=torch.bfloat16)
    lora = LoraConfig(r=task["rank"], lora_alpha=task["alpha"], target_modules=PRODUCTS, task_type="CAUSAL_LM")
    model = get_peft_model(model, lora, autocast_adapter_dtype=task["wide_adapter"])
    steps = len(rows) // task["batch"]
    warm = max(1.0, task["warmup"] * steps)

    def share(step: int) -> float:
        return float(min((step + 1) / warm, 1.0) * max(0.05, 1.0 - max(0.0, step - warm) / max(1.0, steps - warm)))

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=task["rate"], weight_decay=0.0, fused=True)
    settings = SFTConfig(
        output_dir=task["out"],
        per_device_train_batch_size=task["batch"],
        max_steps=steps,
        learning_rate=task["rate"],
        max_grad_norm=1.0,
        bf16=task["autocast"],
        gradient_checkpointing=False,
        padding_free=task["padding_free"],
        max_length=None,
        train_sampling_strategy="sequential",
        use_cpu=True,
        dataloader_pin_memory=False,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=model,
        args=settings,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(task["base"]),
        optimizers=(optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, share)),
        callbacks=[Clock()],
    )
    trainer.train()
    trainer.model.save_pretrained(task["out"])


if __name__ == "__main__":
    main()
