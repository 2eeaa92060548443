"""Supervised fine-tuning of a LoRA adapter: ``python -m feilun.training.sft PLAN.json``.

Read ``train`` from top to bottom. It runs in a process of its own, tells its progress on stdout as JSON lines, and can
be killed at any moment: run again, it goes on from its last checkpoint and ends with the same adapter and loss curve.
It does not know datasets, jobs or exams; its plan names files.
"""

from __future__ import annotations

import io
import json
import math
import os
import pickle
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from feilun.compute import die_with_parent, disk_errors, say, say_failure, threads
from feilun.engines.adapters import Factors, read_adapter, write_adapter
from feilun.engines.decoder import Decoder
from feilun.engines.prompts import Prompter
from feilun.errors import BadModel, BadRequest, FeilunError, TooFewSamples
from feilun.training.golden import record_golden
from feilun.training.lora import Known, known_of, learn_base, new_factors, pack_loss
from feilun.training.pack import Sample, encode, epoch, pack
from feilun.training.plan import Plan
from feilun.training.replay import PROMPTS, ensure_replay

CLIP = 1.0
LOW_BYTES = 1 << 30  # states of the frozen layers are kept up to this size
EPOCHS, MOST_EPOCHS, LEAST_STEPS = 4, 30, 60  # a handful of samples needs more passes than a few hundred


@dataclass(slots=True)
class State:
    """Where a run is: the next step, the losses so far, tokens learnt from, seconds spent."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0


def train(plan: Plan) -> None:
    """Run the whole recipe; raise TooFewSamples, BadModel or OutOfSpace."""
    torch.set_num_threads(threads(plan.threads))
    base, out = Path(plan.base), Path(plan.out)
    prompter = Prompter(base)
    if plan.replay:
        ensure_replay(base, Path(plan.replay), say)
    facts, replayed = read_samples(plan, prompter)
    decoder = Decoder(base, torch.bfloat16)
    first = round(plan.frozen * decoder.shape.layers)
    factors = new_factors(decoder, plan.rank, range(first, decoder.shape.layers), plan.seed)
    if plan.start:
        go_on_from(Path(plan.start), factors)
    groups = schedule(plan, facts, replayed)
    used = list(dict.fromkeys(sample for group in groups for sample in group))
    low = sum(len(sample.ids) for sample in used) * decoder.shape.hidden * decoder.dtype.itemsize <= LOW_BYTES
    kept = epoch([sample for sample in used if low or sample.replay], plan.rows, 0)
    known: dict[Sample, Known] = {}
    for number, group in enumerate(kept):
        if number % 50 == 0:
            say(note=f"The base model reads all samples once: {number} of {len(kept)} packs.")
        known.update(learn_base(decoder, group, plan.rows, first, low))
    parameters = [factor for pair in factors.values() for factor in pair]
    optimiser = torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=0.0, fused=True)
    state = restore(plan, factors, optimiser)
    say(total=len(groups), step=state.step, samples=len(facts), replay=len(replayed))

    began = saved = time.monotonic() - state.seconds
    for step in range(state.step, len(groups)):
        for settings in optimiser.param_groups:
            settings["lr"] = rate(plan, step, len(groups))
        packed = pack(groups[step], plan.rows)
        given = known_of(known, groups[step], packed)
        loss = pack_loss(decoder, factors, plan.alpha / plan.rank, packed, given, plan.keep)
        if not math.isfinite(loss.item()):
            raise BadRequest(f"The training left all bounds at step {step + 1}.", "Use a smaller learning_rate.")
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, CLIP, foreach=True)
        optimiser.step()
        optimiser.zero_grad()
        state.step, state.seconds = step + 1, time.monotonic() - began
        state.losses.append(round(loss.item(), 5))
        state.tokens += sum(len(sample.ids) for sample in groups[step])
        left = state.seconds / state.step * (len(groups) - state.step)
        speed = state.tokens / state.seconds
        say(step=state.step, total=len(groups), loss=state.losses[-1], seconds_left=left, tokens_per_second=speed)
        if time.monotonic() - saved >= plan.checkpoint_seconds:
            save(plan, factors, optimiser, state)
            saved = time.monotonic()
    save(plan, factors, optimiser, state)

    write_adapter(out, factors, plan.rank, plan.alpha)
    (out / "chat_template.jinja").write_text(prompter.template, encoding="utf-8")
    say(note="Recording golden outputs.")
    record_golden(base, out, questions(plan))
    facts_of_run = {"losses": state.losses, "tokens": state.tokens, "seconds": state.seconds}
    (out / "training.json").write_text(json.dumps(facts_of_run), encoding="utf-8")
    say(done=True, **facts_of_run)


def go_on_from(adapter: Path, factors: Factors) -> None:
    """Set the factors to those of an adapter; raise BadModel if it has another shape."""
    kept = read_adapter(adapter, torch.float32).factors
    if {key: (a.shape, b.shape) for key, (a, b) in kept.items()} != {
        key: (a.shape, b.shape) for key, (a, b) in factors.items()
    }:
        raise BadModel(f"The adapter {adapter} has another shape than this run's.", "Start from the base model.")
    with torch.no_grad():
        for key, pair in factors.items():
            for target, value in zip(pair, kept[key], strict=True):
                target.copy_(value)


def read_samples(plan: Plan, prompter: Prompter) -> tuple[list[Sample], list[Sample]]:
    """Return the organisation's samples and those of the replay, encoded."""
    facts = []
    for line in _lines(plan.samples):
        sample = encode(prompter, line["messages"], plan.longest)
        if sample is not None:
            facts.append(sample)
    if not facts:
        raise TooFewSamples(
            f"None of the samples fits into {plan.longest} tokens.", "Use shorter questions and answers."
        )
    replayed = []
    for line in _lines(plan.replay):
        messages = [{"role": "user", "content": line["prompt"]}, {"role": "assistant", "content": line["answer"]}]
        sample = encode(prompter, messages, plan.longest)
        if sample is None:
            continue
        ids = sample.ids[:-1] if line["finish"] == "length" else sample.ids  # cut short: its end is not one to keep
        if sample.start < len(ids):
            replayed.append(Sample(ids, sample.start, replay=True))
    return facts, replayed


def schedule(plan: Plan, facts: list[Sample], replayed: list[Sample]) -> list[list[Sample]]:
    """Return the packs of all passes in order; each pass has all samples and another draw of the replay."""
    draw = random.Random(plan.seed)
    groups: list[list[Sample]] = []
    once = len(epoch(facts, plan.rows, 0))
    for number in range(plan.epochs or max(EPOCHS, min(MOST_EPOCHS, math.ceil(LEAST_STEPS / once)))):
        count = min(len(replayed), round(plan.replay_share * len(facts)))
        chosen = draw.sample(replayed, count)
        groups.extend(epoch([*facts, *chosen], plan.rows, plan.seed * 1000 + number))
    return groups


def rate(plan: Plan, step: int, steps: int) -> float:
    """Return the learning rate of a step: linear warm-up, then linear decay to a twentieth."""
    warm = max(1.0, plan.warmup * steps)
    fall = 1.0 - max(0.0, step - warm) / max(1.0, steps - warm)
    return plan.learning_rate * min((step + 1) / warm, 1.0) * max(0.05, fall)


def questions(plan: Plan) -> list[str]:
    """Return the prompts of the golden outputs: some questions of the samples, evenly spread, then everyday ones."""
    found = [str(line["messages"][-2]["content"]) for line in _lines(plan.samples)]
    everyday = [str(line["prompt"]) for line in _lines(str(PROMPTS))]
    return ["What is the capital of France?", "你好，请问你是谁？", *found[:: max(1, len(found) // 22)], *everyday]


def _checkpoint(plan: Plan) -> Path:
    return Path(plan.scratch) / "checkpoint.pt"


def save(plan: Plan, factors: Factors, optimiser: torch.optim.Optimizer, state: State) -> None:
    """Write the checkpoint in one piece; raise OSError if there is no room for it."""
    file = _checkpoint(plan)
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".part")
    content: dict[str, Any] = {
        "plan": plan.digest(),
        "factors": [factor.detach() for pair in factors.values() for factor in pair],
        "optimiser": optimiser.state_dict(),
        "step": state.step,
        "losses": state.losses,
        "tokens": state.tokens,
        "seconds": state.seconds,
    }
    packed = io.BytesIO()  # torch's own writer hides why a disk refuses
    torch.save(content, packed)
    with fresh.open("wb") as stream:
        stream.write(packed.getbuffer())
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)


def restore(plan: Plan, factors: Factors, optimiser: torch.optim.Optimizer) -> State:
    """Put the run back where its checkpoint left it; one of another plan, or a damaged one, is left alone."""
    file = _checkpoint(plan)
    if not file.is_file():
        return State()
    try:
        content = torch.load(file, weights_only=True)
        known = content["plan"] == plan.digest()
    except (RuntimeError, EOFError, OSError, LookupError, TypeError, ValueError, pickle.UnpicklingError):
        say(note="The checkpoint is damaged; the training begins again.")
        return State()
    if not known:
        return State()
    targets: list[Tensor] = [factor for pair in factors.values() for factor in pair]
    with torch.no_grad():
        for target, kept in zip(targets, content["factors"], strict=True):
            target.copy_(kept)
    optimiser.load_state_dict(content["optimiser"])
    return State(content["step"], content["losses"], content["tokens"], content["seconds"])


def _lines(file: str) -> list[dict[str, Any]]:
    if not file:
        return []
    # Not splitlines(): JSON texts may hold U+2028 unescaped.
    return [json.loads(line) for line in Path(file).read_text(encoding="utf-8").split("\n") if line]


def main() -> int:
    """Train as the plan says; the last line on stdout is ``done`` or ``failure``."""
    die_with_parent()
    try:
        with disk_errors():
            train(Plan.read(Path(sys.argv[1])))
    except FeilunError as error:
        say_failure(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
