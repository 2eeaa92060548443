"""The loop that every training method shares: rate, clipping, optimiser, checkpoints, held-out loss, progress.

A method gives its parameters and a ``step`` that makes their gradients; :func:`fit` does the rest, and a run that was
killed at any moment goes on from its last checkpoint to the same losses and the same parameters. It does not know
samples, models or what a loss means.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from feilun.compute import say
from feilun.engines.adapters import Factors, write_adapter
from feilun.engines.prompts import Prompter
from feilun.errors import BadRequest
from feilun.records import JSON
from feilun.training.golden import record_golden
from feilun.training.plan import Plan, read_lines
from feilun.training.replay.prompts import EVERYDAY, prompts_of

CLIP = 1.0
PATIENCE = 3  # so many looks at the held-out loss without a gain end the run
GAIN = 1e-3  # what counts as one, in nats
SAVING_SHARE = 20  # a checkpoint that takes long to write is written less often
Step = Callable[[int], tuple[float, int]]


@dataclass(slots=True)
class State:
    """Where a run is: the next step, the losses so far, tokens learnt from, seconds spent, held-out losses by step.

    ``best`` is the step whose parameters had the lowest held-out loss; ``early`` says that the run ended by it.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0
    held: list[tuple[int, float]] = field(default_factory=list)
    best: int = 0
    early: bool = False

    def facts(self) -> JSON:
        """Return what is told of the run when it is over."""
        told: JSON = {"losses": self.losses, "tokens": self.tokens, "seconds": self.seconds}
        if self.held:
            told |= {"held_out": [list(pair) for pair in self.held], "best": self.best, "early": self.early}
        return told


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A loss over samples that are not trained on, looked at every so many steps."""

    loss: Callable[[], float]
    every: int


def fit(
    plan: Plan,
    parameters: Sequence[Tensor],
    steps: int,
    step: Step,
    held_out: HeldOut | None = None,
    about: Mapping[str, object] | None = None,
) -> State:
    """Train ``parameters`` (float32 leaves) for ``steps`` steps; return the state of the finished run.

    ``step(number)`` returns the loss of step ``number`` (counted from 0, made by that number and the parameters alone)
    and its tokens, and has done its backward passes: gradients lie in ``parameters``, those of several passes summed.
    With ``held_out`` the parameters end as they were at its lowest loss, and the run ends early once that is
    ``PATIENCE`` looks ago. ``about`` is told with the first message. Raises BadRequest for a loss that is no number,
    OSError for a disk without room.
    """
    optimiser = torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=0.0, fused=True)
    state, best = restore(plan, parameters, optimiser)
    say(total=steps, step=state.step, **(about or {}))
    began = saved = time.monotonic() - state.seconds
    pause = plan.checkpoint_seconds
    marks = {round(steps * place / (plan.checkpoints + 1)) for place in range(1, plan.checkpoints + 1)} - {0, steps}
    if held_out and not state.held:
        best = _look(state, held_out, parameters, best)
    while state.step < steps and not state.early:
        for settings in optimiser.param_groups:
            settings["lr"] = rate(plan, state.step, steps)
        loss, tokens = step(state.step)
        norm = torch.nn.utils.clip_grad_norm_(parameters, CLIP, foreach=True)
        if not (math.isfinite(loss) and math.isfinite(norm.item())):
            raise BadRequest(f"The training left all bounds at step {state.step + 1}.", "Use a smaller learning_rate.")
        optimiser.step()
        optimiser.zero_grad()
        state.step, state.seconds = state.step + 1, time.monotonic() - began
        state.losses.append(round(loss, 5))
        state.tokens += tokens
        left = state.seconds / state.step * (steps - state.step)
        speed = state.tokens / state.seconds
        say(step=state.step, total=steps, loss=state.losses[-1], seconds_left=left, tokens_per_second=speed)
        if state.step in marks:
            _write(_mark(plan, state.step), {"parameters": [parameter.detach() for parameter in parameters]})
        if held_out and (state.step % held_out.every == 0 or state.step == steps):
            best = _look(state, held_out, parameters, best)
        if time.monotonic() - saved >= pause and state.step < steps:
            begun = time.monotonic()
            save(plan, parameters, optimiser, state, best)
            saved = time.monotonic()
            pause = max(plan.checkpoint_seconds, SAVING_SHARE * (saved - begun))
    save(plan, parameters, optimiser, state, best)
    _put(parameters, best)
    return state


def rate(plan: Plan, step: int, steps: int) -> float:
    """Return the learning rate of a step: linear warm-up, then linear decay to a twentieth."""
    warm = max(1.0, plan.warmup * steps)
    fall = 1.0 - max(0.0, step - warm) / max(1.0, steps - warm)
    return plan.learning_rate * min((step + 1) / warm, 1.0) * max(0.05, fall)


def _look(state: State, held_out: HeldOut, parameters: Sequence[Tensor], best: list[Tensor]) -> list[Tensor]:
    """Note the held-out loss; return the best parameters so far."""
    with torch.no_grad():
        loss = round(held_out.loss(), 5)
    lowest = min((value for _, value in state.held), default=math.inf)
    state.held.append((state.step, loss))
    say(step=state.step, held_out=loss)
    if loss < lowest - GAIN:
        state.best = state.step
        return [parameter.detach().clone() for parameter in parameters]
    since = sum(step > state.best for step, _ in state.held)
    if since >= PATIENCE:
        state.early = True
        say(note=f"The held-out loss was lowest at step {state.best}; the training ends here, as it was there.")
    return best


def _put(parameters: Sequence[Tensor], kept: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, kept, strict=False):
            parameter.copy_(value)


def _checkpoint(plan: Plan) -> Path:
    return Path(plan.scratch) / "checkpoint.pt"


def _mark(plan: Plan, step: int) -> Path:
    return Path(plan.scratch) / f"step-{step:06d}.pt"


class _Stream:
    """A file that remembers why it could not be written: torch's own writer hides it."""

    def __init__(self, file: Path) -> None:
        self.stream = file.open("wb")
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write on."""
        try:
            return self.stream.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Write what is left, as far as the disk."""
        try:
            self.stream.flush()
            os.fsync(self.stream.fileno())
        except OSError as error:
            self.error = error
            raise


def save(
    plan: Plan,
    parameters: Sequence[Tensor],
    optimiser: torch.optim.Optimizer,
    state: State,
    best: Sequence[Tensor] = (),
) -> None:
    """Write the checkpoint in one piece; raise OSError if there is no room for it."""
    content: dict[str, Any] = {
        "plan": plan.digest(),
        "parameters": [parameter.detach() for parameter in parameters],
        "best_parameters": list(best),
        "optimiser": optimiser.state_dict(),
        **{name: getattr(state, name) for name in State.__slots__},
    }
    _write(_checkpoint(plan), content)


def _write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".part")
    stream = _Stream(fresh)
    try:
        torch.save(content, cast("IO[bytes]", stream))
        stream.flush()
    except (RuntimeError, OSError) as error:
        fresh.unlink(missing_ok=True)
        raise (stream.error or error) from error
    finally:
        stream.stream.close()
    fresh.replace(file)


def restore(plan: Plan, parameters: Sequence[Tensor], optimiser: torch.optim.Optimizer) -> tuple[State, list[Tensor]]:
    """Put the run back where its checkpoint left it; one of another plan, or a damaged one, is left alone."""
    file = _checkpoint(plan)
    if not file.is_file():
        return State(), []
    try:
        content = torch.load(file, weights_only=True)
        known = content["plan"] == plan.digest()
    except (RuntimeError, EOFError, OSError, LookupError, TypeError, ValueError, pickle.UnpicklingError):
        say(note="The checkpoint is damaged; the training begins again.")
        return State(), []
    if not known:
        return State(), []
    _put(parameters, content["parameters"])
    optimiser.load_state_dict(content["optimiser"])
    return State(**{name: content[name] for name in State.__slots__}), content["best_parameters"]


def finish(
    plan: Plan, prompter: Prompter, factors: Factors, state: State, more: Mapping[str, object] | None = None
) -> None:
    """Leave an adapter in ``plan.out``: factors, template, golden outputs, the facts of the run and ``more``."""
    out = Path(plan.out)
    _write_adapter(out, plan, prompter, factors)
    if plan.checkpoints:
        _leave_checkpoints(plan, prompter, factors)
    say(note="Recording golden outputs.")
    record_golden(Path(plan.base), out, questions(plan))
    conclude(plan, state, more)


def _write_adapter(folder: Path, plan: Plan, prompter: Prompter, factors: Factors) -> None:
    write_adapter(folder, factors, plan.rank, plan.alpha)
    (folder / "chat_template.jinja").write_text(prompter.template, encoding="utf-8")


def _leave_checkpoints(plan: Plan, prompter: Prompter, factors: Factors) -> None:
    """Leave the adapters that were marked on the way, each in a folder ``checkpoints/step-N``."""
    parameters = [factor for pair in factors.values() for factor in pair]
    last = [parameter.detach().clone() for parameter in parameters]
    for mark in sorted(Path(plan.scratch).glob("step-*.pt")):
        _put(parameters, torch.load(mark, weights_only=True)["parameters"])
        _write_adapter(Path(plan.out) / "checkpoints" / mark.stem, plan, prompter, factors)
    _put(parameters, last)


def conclude(plan: Plan, state: State, more: Mapping[str, object] | None = None) -> None:
    """Write the facts of the run beside what it made, and say that it is done."""
    facts = {"method": plan.method, **state.facts(), **(more or {})}
    (Path(plan.out) / "training.json").write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
    say(done=True, **facts)


def questions(plan: Plan) -> list[str]:
    """Return the prompts of the golden outputs: some questions of the samples, evenly spread, then everyday ones."""
    found = [text for text in map(_question, read_lines(plan.samples)) if text]
    everyday = prompts_of(EVERYDAY)
    spread = found[:: max(1, len(found) // 22)]
    return list(dict.fromkeys(["What is the capital of France?", "你好，请问你是谁？", *spread, *everyday]))


def _question(line: JSON) -> str:
    """Return the last thing that a person says in a line of samples, whatever the method; empty if nobody does."""
    said = line.get("messages") or line.get("prompt") or []
    if isinstance(said, str):
        return said
    asked = [message["content"] for message in said if message.get("role") == "user"]
    return asked[-1] if asked and isinstance(asked[-1], str) else ""
