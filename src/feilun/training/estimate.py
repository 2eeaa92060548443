"""What a training will take, told before it starts: tokens, steps, time, memory, room on the disk.

Tokens are counted exactly, with the model's own tokenizer; time is their work over what this machine managed in its
last training, or, before the first, over what its cores should manage. It does not know prices, and loads no weights.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from feilun.compute import has_amx, has_bf16, threads
from feilun.engines.prompts import Prompter
from feilun.errors import BadModel
from feilun.records import JSON
from feilun.training.plan import Plan, read_lines

# Floating-point operations a second and core, until a training has been measured: a guess on the low side.
GUESS = {"amx": 60e9, "bf16": 25e9, "plain": 12e9}
SPEED = "speed.json"
BEGINNING = 25.0  # seconds: imports, weights, golden outputs
EPOCHS, MOST_EPOCHS, LEAST_STEPS = 4, 30, 60
PASSES = {"dpo": 2.0, "reward": 2.0, "kto": 1.0}  # a pair is two answers


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens to learn from (all passes), steps, seconds, peak bytes of memory and disk; whether speed was measured."""

    samples: int
    tokens: int
    steps: int
    seconds: float
    memory: int
    disk: int
    measured: bool

    def cost(self, price_per_hour: float) -> float:
        """Return what it costs on a machine of that price."""
        return self.seconds / 3600 * price_per_hour


def estimate(plan: Plan, home: Path) -> Estimate:
    """Return what a plan will take; ``home`` is where speeds are noted. Raises BadModel for an absent base."""
    prompter = Prompter(Path(plan.base))
    lengths = [count for line in read_lines(plan.samples) if (count := _tokens(prompter, line))]
    lengths = [min(length, plan.longest) if plan.method == "cpt" else length for length in lengths]
    fitting = [length for length in lengths if length <= plan.longest]
    replayed = plan.replay_share if plan.replay else 0.0
    once = sum(fitting) * PASSES.get(plan.method, 1.0) + replayed * len(fitting) * (36 + plan.replay_tokens)
    by_rows = math.ceil(once / plan.rows)
    steps = math.ceil(len(fitting) / plan.batch) if plan.batch else by_rows
    epochs = plan.epochs or max(EPOCHS, min(MOST_EPOCHS, math.ceil(LEAST_STEPS / max(1, steps))))
    weights = parameters_of(Path(plan.base))
    whole = is_whole(plan)
    speed = measured_speed(home)
    rate = speed or _guess() * threads(plan.threads)
    seconds = BEGINNING + epochs * once * work(weights, plan) / rate
    memory = 700 << 20
    memory += weights * (18 if whole else 2) + plan.rows * int(weights**0.5) * 16
    disk = weights * 22 if whole else 100 << 20
    return Estimate(len(fitting), int(epochs * once), epochs * steps, seconds, memory, disk, bool(speed))


def note_speed(home: Path, plan: Plan, facts: JSON) -> None:
    """Note what a training managed, for the next estimate."""
    if facts.get("seconds", 0) > 0 and facts.get("tokens", 0) > 0:
        done = facts["tokens"] * work(parameters_of(Path(plan.base)), plan) / facts["seconds"]
        fresh = home / f"{SPEED}.part"
        fresh.write_text(json.dumps({"operations": done}), encoding="utf-8")
        fresh.replace(home / SPEED)


def measured_speed(home: Path) -> float:
    """Return the operations a second of the last training; 0 before the first."""
    try:
        return float(json.loads((home / SPEED).read_text(encoding="utf-8"))["operations"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def work(weights: int, plan: Plan) -> float:
    """Return the operations of one token: two a weight forwards, two backwards, two more where weights learn.

    Layers that never learn are passed once, not each time.
    """
    return weights * 6.0 if is_whole(plan) else weights * 4.0 * (1.0 - 0.8 * plan.frozen)


def is_whole(plan: Plan) -> bool:
    """Say whether all weights learn."""
    return plan.method == "full" or bool(plan.options.get("full"))


def parameters_of(base: Path) -> int:
    """Return how many weights a model folder's configuration describes; raise BadModel if it has none."""
    try:
        config = json.loads((base / "config.json").read_text(encoding="utf-8"))
        hidden, layers, inner = (int(config[n]) for n in ("hidden_size", "num_hidden_layers", "intermediate_size"))
        heads, vocabulary = int(config["num_attention_heads"]), int(config["vocab_size"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadModel(f"{base} has no readable config.json.", "Fetch the model again.") from error
    narrow = hidden * int(config.get("num_key_value_heads") or heads) // heads
    tied = bool(config.get("tie_word_embeddings"))
    return layers * (2 * hidden * hidden + 2 * hidden * narrow + 3 * hidden * inner) + vocabulary * hidden * (2 - tied)


def _tokens(prompter: Prompter, line: JSON) -> int:
    """Return how many tokens a line of samples has, whatever its method; 0 for one that is no sample."""
    said = line.get("messages") or line.get("prompt")
    if isinstance(line.get("text"), str):
        return len(prompter.encode(line["text"]))
    if not isinstance(said, list) or not said:
        return 0
    answers = [line[name] for name in ("chosen", "rejected", "answer") if isinstance(line.get(name), str)]
    asked = len(prompter.encode(prompter.render(said, answer=False)))
    return asked + sum(len(prompter.encode(text)) for text in answers)


def _guess() -> float:
    return GUESS["amx" if has_amx() else "bf16" if has_bf16() else "plain"]
