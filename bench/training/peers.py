"""TRL and LLaMA-Factory, each in an environment of its own, and what a training process did, step by step.

Knows their packages, the settings that are best for them on a processor, processes and clocks. Does not know ours.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from feilun.records import JSON

OUT = Path(__file__).resolve().parent.parent / "out"
HERE = Path(__file__).resolve().parent
# One torch for all sides; another would bring gigabytes for processors that are not here.
PACKAGES = {
    "trl": ("trl==1.16.*", "peft", "torch==2.13.0"),
    "llamafactory": ("llamafactory==0.9.5", "torch==2.13.0"),
}
# LLaMA-Factory imports a library that reads sound, of which no build may be there for this torch; texts need none.
SOUND = '"""Stands in for a library that reads sound."""\n'
SECONDS = 900
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "DISABLE_VERSION_CHECK": "1",
    # What our trainer sets for itself helps the others as well.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
}


class PeerError(Exception):
    """A peer cannot be had or failed; the text says why."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A training: when each step was over (s), the peak of its memory (bytes) by then."""

    ends: list[float]
    peak: int

    def speed(self, tokens: Sequence[int], first: int) -> float:
        """Return useful tokens a second from the end of step ``first`` (counted from 1) on."""
        return sum(tokens[first : len(self.ends)]) / (self.ends[-1] - self.ends[first - 1])


def python_of(peer: str) -> Path:
    """Return the Python that has a peer, installed at first use; raise PeerError where it cannot be."""
    folder = OUT / f".{peer}"
    python, marker = folder / "bin" / "python", folder / "whole"
    if not marker.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q"]
        _run([*pip, "install", *PACKAGES[peer]])
        if peer == "llamafactory":
            _run([*pip, "uninstall", "-y", "torchaudio", "torchvision"])
            libraries = next((folder / "lib").glob("python3*")) / "site-packages"
            (libraries / "torchaudio.py").write_text(SOUND, encoding="utf-8")
        marker.touch()
    return python


def follow(name: str, command: Sequence[str], steps: int, threads: int) -> Timed:
    """Run a training that prints a line of JSON with ``step`` after each; raise PeerError if it ends before ``steps``.

    Memory is read at the last step: what a program does afterwards is not training.
    """
    ends: list[float] = []
    peak, last, log = 0, "", OUT / f"training-{name}.log"
    environment = {**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}
    with (
        log.open("w") as complaints,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True, env=environment) as child,
    ):
        deadline = time.monotonic() + SECONDS
        for last in child.stdout or ():
            if time.monotonic() > deadline:
                child.kill()
                break
            if _step(last) == len(ends) + 1:
                ends.append(time.monotonic())
                peak = _peak(child.pid)
        code = child.wait()
    if code or len(ends) < steps:
        raise PeerError(f"{name} ended with {code} after {len(ends)} of {steps} steps: {last.strip()[:500]} See {log}")
    return Timed(ends, peak)


def trl(task: JSON, folder: Path, settings: JSON, steps: int) -> Timed:
    """Train with TRL's SFTTrainer; ``settings`` are what is tried."""
    file = folder / "trl.json"
    file.write_text(json.dumps({**task, **settings}), encoding="utf-8")
    return follow("trl", [str(python_of("trl")), str(HERE / "peer_trl.py"), str(file)], steps, task["threads"])


def llamafactory(task: JSON, folder: Path, rows: Sequence[JSON], steps: int) -> Timed:
    """Train with LLaMA-Factory on the same exchanges (``question``, ``answer``), with the model's own template."""
    data = [{"instruction": row["question"], "input": "", "output": row["answer"]} for row in rows]
    (folder / "rows.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    (folder / "dataset_info.json").write_text(json.dumps({"bench": {"file_name": "rows.json"}}), encoding="utf-8")
    given = {
        "model_name_or_path": task["base"],
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_target": "all",
        "lora_rank": task["rank"],
        "lora_alpha": task["alpha"],
        "lora_dropout": 0.0,
        "dataset": "bench",
        "dataset_dir": str(folder),
        "template": "smollm2",
        "cutoff_len": task["longest"],
        "per_device_train_batch_size": task["batch"],
        "gradient_accumulation_steps": 1,
        "disable_shuffling": True,
        "max_steps": steps,
        "learning_rate": task["rate"],
        "lr_scheduler_type": "linear",
        "warmup_steps": 1,
        "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused",
        "bf16": True,
        "use_cpu": True,
        "flash_attn": "sdpa",
        "disable_gradient_checkpointing": True,
        "output_dir": task["out"],
        "overwrite_cache": True,
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 1,
        "dataloader_num_workers": 0,
    }
    shutil.rmtree(task["out"], ignore_errors=True)  # it refuses to write over an earlier run
    file = folder / "llamafactory.json"
    file.write_text(json.dumps(given), encoding="utf-8")
    script = str(HERE / "peer_llamafactory.py")
    return follow("llamafactory", [str(python_of("llamafactory")), script, str(file)], steps, task["threads"])


def _step(line: str) -> int:
    """Return the number of the step that a line says is over; 0 for another line."""
    try:
        said = json.loads(line)
    except ValueError:
        return 0
    over = isinstance(said, dict) and "step" in said and ("loss" in said or len(said) == 1)
    return int(said["step"]) if over else 0


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode:
        raise PeerError(" ".join(done.stderr.splitlines()[-2:])[-300:] or f"{command[0]} ended with {done.returncode}")
