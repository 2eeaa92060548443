"""The ``method`` field of a training: OpenAI's three methods with their hyperparameters, and ours beside them.

This module knows what may be asked for, and what it is called where models are trained. It does not know files, jobs or
how a method learns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from feilun import grading
from feilun.errors import BadRequest
from feilun.gateway.examples import Form
from feilun.gateway.shapes import Worded
from feilun.records import JSON

Auto = Literal["auto"]
Name = Literal["supervised", "dpo", "reinforcement", "kto", "reward", "cpt", "full", "distillation", "reasoning"]
# What trains it, and the forms of lines that it learns from.
RECIPES: Mapping[str, tuple[str, tuple[Form, ...]]] = {
    "supervised": ("supervised", ("chat",)),
    "full": ("full", ("chat",)),
    "cpt": ("cpt", ("text",)),
    "dpo": ("dpo", ("preference",)),
    "reward": ("reward", ("preference",)),
    "kto": ("kto", ("judged", "preference")),
    "reinforcement": ("grpo", ("prompt", "chat")),
    "reasoning": ("reasoning", ("prompt", "chat")),
    "distillation": ("distillation", ("prompt", "chat")),
}
_Epochs = Annotated[Auto | Annotated[int, Field(ge=1, le=50)], Worded()]
_Multiplier = Annotated[Auto | Annotated[float, Field(gt=0, le=100)], Worded()]
_Batch = Annotated[Auto | Annotated[int, Field(ge=1, le=256)], Worded()]
_Beta = Annotated[Auto | Annotated[float, Field(gt=0, le=2)], Worded()]
ANSWERS = 8  # tried for each prompt where nobody says
_Samples = Annotated[Auto | Annotated[int, Field(ge=2, le=64)], Worded()]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Hyperparameters(_Shape):
    """How to train; ``auto`` lets the recipe choose."""

    n_epochs: _Epochs = "auto"
    learning_rate_multiplier: _Multiplier = "auto"
    batch_size: _Batch = "auto"


class PreferenceHyperparameters(Hyperparameters):
    """Of methods that learn from preferences: ``beta`` holds the model near to where it began."""

    beta: _Beta = "auto"


class TryingHyperparameters(Hyperparameters):
    """Of methods that try answers and have them graded; ``samples`` are the answers tried for each prompt."""

    reasoning_effort: Literal["default", "low", "medium", "high"] = "default"
    compute_multiplier: Annotated[Auto | Annotated[float, Field(gt=0.00001, le=10)], Worded()] = "auto"
    eval_interval: Annotated[Auto | Annotated[int, Field(ge=1)], Worded()] = "auto"
    eval_samples: Annotated[Auto | Annotated[int, Field(ge=1)], Worded()] = "auto"
    samples: _Samples = "auto"


class ReinforcementHyperparameters(TryingHyperparameters):
    """Of reinforcement: ``beta`` holds the model near to where it began."""

    beta: _Beta = "auto"


class DistillationHyperparameters(Hyperparameters):
    """``temperature`` of the teacher's answers; ``logprobs`` false learns its words alone, whatever it would tell."""

    temperature: Annotated[Auto | Annotated[float, Field(ge=0, le=2)], Worded()] = "auto"
    max_tokens: Annotated[Auto | Annotated[int, Field(ge=1, le=32768)], Worded()] = "auto"
    logprobs: bool = True


class Plain(_Shape):
    """Supervised, full and reward training, and continued pretraining (``cpt``)."""

    hyperparameters: Hyperparameters = Field(default_factory=Hyperparameters)


class Preferring(_Shape):
    """DPO and KTO."""

    hyperparameters: PreferenceHyperparameters = Field(default_factory=PreferenceHyperparameters)


class Verified(_Shape):
    """Answers that the model tries, of which it learns those that a grader passes."""

    grader: dict[str, Any]
    hyperparameters: TryingHyperparameters = Field(default_factory=TryingHyperparameters)


class Reinforced(_Shape):
    """Answers that the model tries, graded, or judged by ``reward_model``: a version that ``reward`` training made."""

    grader: dict[str, Any] | None = None
    reward_model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    hyperparameters: ReinforcementHyperparameters = Field(default_factory=ReinforcementHyperparameters)


class Taught(_Shape):
    """Distillation: ``teacher`` is a model, version or endpoint that this workspace may call."""

    teacher: Annotated[str, Field(min_length=1, max_length=200)]
    hyperparameters: DistillationHyperparameters = Field(default_factory=DistillationHyperparameters)


class Method(_Shape):
    """The method, and what it is told, under its own name."""

    type: Name = "supervised"
    supervised: Plain | None = None
    dpo: Preferring | None = None
    reinforcement: Reinforced | None = None
    kto: Preferring | None = None
    reward: Plain | None = None
    cpt: Plain | None = None
    full: Plain | None = None
    distillation: Taught | None = None
    reasoning: Verified | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """A method that was asked for: what trains it, the forms it takes, what it is told (as shown to people)."""

    name: str
    recipe: str
    forms: tuple[Form, ...]
    said: JSON
    teacher: str = ""
    grader: JSON = field(default_factory=dict)
    rewarder: str = ""

    @property
    def hyperparameters(self) -> JSON:
        """What was said about how to train."""
        found: JSON = self.said["hyperparameters"]
        return found

    def plan(self, rate: float) -> JSON:
        """Return what the plan is told; ``rate`` is the method's own learning rate. ``auto`` leaves things open."""
        given = {name: value for name, value in self.hyperparameters.items() if value != "auto"}
        found: JSON = {"method": self.recipe, "options": {}}
        for ours, theirs in (("epochs", "n_epochs"), ("batch", "batch_size")):
            if theirs in given:
                found[ours] = given[theirs]
        if "learning_rate_multiplier" in given:
            found["learning_rate"] = rate * given["learning_rate_multiplier"]
        options: JSON = {
            name: given[name] for name in ("beta", "temperature", "max_tokens", "logprobs") if name in given
        }
        if given.get("logprobs") is False:
            options["odds"] = 0.0
        if {"samples", "compute_multiplier"} & given.keys():
            tried = given.get("samples", ANSWERS) * given.get("compute_multiplier", 1.0)
            options["samples"] = max(2, round(tried))
        if self.grader:
            options["grader"] = self.grader
        return found | {"options": options}


def chosen(method: Method | None, hyperparameters: Hyperparameters | None) -> Chosen:
    """Return the method that was asked for; the deprecated ``hyperparameters`` stand for a supervised one.

    Raises BadRequest for what belongs to another method, and for a grader that cannot be used.
    """
    asked = method or Method(supervised=Plain(hyperparameters=hyperparameters or Hyperparameters()))
    if method is not None and hyperparameters is not None:
        raise BadRequest(
            "hyperparameters are said twice.", "Say them inside method, or leave method out.", "hyperparameters"
        )
    others = sorted(name for name in asked.model_fields_set - {"type", asked.type} if getattr(asked, name) is not None)
    if others:
        raise BadRequest(
            f"method.{others[0]} is not for the method {asked.type}.", f"Say it as method.{asked.type}.", "method"
        )
    told = getattr(asked, asked.type)
    if told is None:
        if asked.type in {"reinforcement", "reasoning"}:
            raise BadRequest(f"{asked.type} needs a grader.", f"Say method.{asked.type}.grader.", "method")
        if asked.type == "distillation":
            raise BadRequest("distillation needs a teacher.", "Say method.distillation.teacher.", "method")
        told = Preferring() if asked.type in {"dpo", "kto"} else Plain()
    recipe, forms = RECIPES[asked.type]
    grader: JSON = getattr(told, "grader", None) or {}
    rewarder: str = getattr(told, "reward_model", None) or ""
    if asked.type == "reinforcement" and bool(grader) == bool(rewarder):
        raise BadRequest(
            "reinforcement needs a grader or a reward_model, and not both.", "Say one.", "method.reinforcement"
        )
    if grader:
        grading.check(grader)
    return Chosen(asked.type, recipe, forms, told.model_dump(), getattr(told, "teacher", ""), grader, rewarder)
