"""Defaults found on the data: a few short trials of the learning rate, then of the replay's share, before the run.

Every trial starts from the same parameters and is judged by the same held-out loss: what is learnt plus what is
forgotten. All together take at most a twentieth of the run; where that pays for none, the known default stays, and it
is said why. It does not know samples or models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from feilun.compute import say
from feilun.records import JSON
from feilun.training.loop import CLIP, GAIN, Step, rate
from feilun.training.pack import Sample
from feilun.training.plan import Plan

BUDGET = 0.05  # of the run's tokens
STEPS = 6  # of a trial
RATES = (1 / 3, 3.0)  # times the default
SHARES = (0.5, 2.0)
LOOK = 1 / 3  # what a look costs beside learning the same tokens
Steps = list[list[Sample]]


def probe(
    plan: Plan,
    parameters: Sequence[Tensor],
    steps_of: Callable[[Plan], Steps],
    step_of: Callable[[Steps], Step],
    held_out: Callable[[], float] | None,
) -> tuple[Plan, JSON]:
    """Return the plan with the settings that the trials favoured, and what was tried or why nothing was.

    Settings in ``plan.named`` are not looked for.
    """
    wanted = [name for name in ("learning_rate", "replay_share") if name not in plan.named and getattr(plan, name)]
    if "learning_rate" in plan.named or not wanted:
        return plan, _skipped(plan, "The learning rate was given.")
    if held_out is None:
        return plan, _skipped(plan, "There are too few samples to hold some out.")
    steps = steps_of(plan)
    affordable = int(BUDGET * len(steps) / (STEPS * (1 + LOOK)))
    trials = 1 + len(RATES)
    if affordable < trials:
        need = math.ceil(trials * STEPS * (1 + LOOK) / BUDGET)
        return plan, _skipped(plan, f"The run has {len(steps)} steps; trials pay from {need} steps on.")
    tried: list[JSON] = []

    def attempt(**changes: Any) -> float:
        changed = replace(plan, **changes)
        say(note=f"Trying {', '.join(f'{name} {value:.3g}' for name, value in changes.items())} for {STEPS} steps.")
        loss = _try(changed, parameters, step_of(steps_of(changed)[:STEPS]), held_out)
        tried.append({**changes, "held_out": loss if math.isfinite(loss) else None})
        return loss

    plan = _best(plan, "learning_rate", RATES, attempt)
    if "replay_share" in wanted and affordable >= trials + len(SHARES):
        plan = _best(plan, "replay_share", SHARES, attempt)
    say(note=f"The trials chose a learning rate of {plan.learning_rate:.3g} and a replay of {plan.replay_share:.3g}.")
    return plan, {"tried": tried, "steps": STEPS}


def _best(plan: Plan, name: str, factors: Sequence[float], attempt: Callable[..., float]) -> Plan:
    """Return the plan with the best of the default and its multiples; the default wins a draw."""
    default = float(getattr(plan, name))
    best, lowest = default, attempt(**{name: default})
    for value in (default * factor for factor in factors):
        loss = attempt(**{name: value})
        if loss < lowest - GAIN:
            best, lowest = value, loss
    chosen: dict[str, Any] = {name: best}
    return replace(plan, **chosen)


def _try(plan: Plan, parameters: Sequence[Tensor], step: Step, held_out: Callable[[], float]) -> float:
    """Return the held-out loss after a short run of its own, and put the parameters back."""
    before = [parameter.detach().clone() for parameter in parameters]
    optimiser = torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=0.0, fused=True)
    for number in range(STEPS):
        for settings in optimiser.param_groups:
            settings["lr"] = rate(plan, number, STEPS)
        step(number)
        torch.nn.utils.clip_grad_norm_(parameters, CLIP, foreach=True)
        optimiser.step()
        optimiser.zero_grad()
    with torch.no_grad():
        loss = held_out()
        for parameter, value in zip(parameters, before, strict=True):
            parameter.copy_(value)
    return round(loss, 5) if math.isfinite(loss) else math.inf


def _skipped(plan: Plan, why: str) -> JSON:
    say(note=f"No trials of the learning rate: {why} It is {plan.learning_rate:.3g}.")
    return {"skipped": why}
