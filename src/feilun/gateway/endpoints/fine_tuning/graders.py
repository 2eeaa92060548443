"""``/v1/fine_tuning/alpha/graders``: whether something is a grader, and what it says of an answer.

This module knows OpenAI's shapes of both questions, and which model a grader asks. It does not know how grades are
made.
"""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from feilun import grading
from feilun.gateway.door import Builder, StrictRoute
from feilun.gateway.state import Gateway, Here
from feilun.grading import Grade, Judge
from feilun.records import JSON, Key

router = APIRouter(prefix="/v1/fine_tuning/alpha/graders", tags=["fine-tuning"], route_class=StrictRoute)


class GraderToCheck(BaseModel):
    """A grader."""

    model_config = ConfigDict(extra="forbid")

    grader: dict[str, Any]


class GraderToRun(GraderToCheck):
    """A grader, an answer of a model, and the item that it answers."""

    model_sample: str
    item: dict[str, Any] = {}


class Checked(BaseModel):
    """The grader, which can be used as it is."""

    grader: dict[str, Any]


class GraderErrors(BaseModel):
    """What went wrong inside a grader; its reward is then 0 and says nothing about the answer."""

    formula_parse_error: bool = False
    sample_parse_error: bool = False
    truncated_observation_error: bool = False
    unresponsive_reward_error: bool = False
    invalid_variable_error: bool = False
    other_error: bool = False
    python_grader_server_error: bool = False
    python_grader_server_error_type: str | None = None
    python_grader_runtime_error: bool = False
    python_grader_runtime_error_details: str | None = None
    model_grader_server_error: bool = False
    model_grader_refusal_error: bool = False
    model_grader_parse_error: bool = False
    model_grader_server_error_details: str | None = None


class GraderFacts(BaseModel):
    """What a grader is, how long it took (s), and what went wrong."""

    name: str
    type: str
    errors: GraderErrors
    execution_time: float
    scores: dict[str, Any]
    token_usage: int | None
    sampled_model_name: str | None


class Graded(BaseModel):
    """What a grader says: ``reward``, ``passed`` and ``why``; of a multi grader also what each of its own says."""

    reward: float
    passed: bool
    why: str
    metadata: GraderFacts
    sub_rewards: dict[str, Any]
    model_grader_token_usage_per_model: dict[str, Any]


@router.post("/validate")
async def validate_grader(given: GraderToCheck, _here: Here, _key: Builder) -> Checked:
    """Say whether a grader can be used; what is wrong with it is an error that says so."""
    grading.check(given.grader)
    return Checked(grader=given.grader)


@router.post("/run")
async def run_grader(given: GraderToRun, here: Here, key: Builder) -> Graded:
    """Grade one answer. A grader that raises, hangs or says nonsense gives a reward of 0, with its error."""
    grading.check(given.grader)
    spec, began = given.grader, time.monotonic()
    tokens: dict[str, int] = {}
    sample = {"output_text": given.model_sample}
    grade = await grading.grade(spec, given.item, sample, judge_of(here, key, spec, tokens))
    parts = spec.get("graders")
    named: dict[str, JSON] = parts if spec.get("type") == "multi" and isinstance(parts, dict) else {}
    scores = {}
    for name, part in named.items():
        scores[name] = (await grading.grade(part, given.item, sample, judge_of(here, key, part, tokens))).score
    return Graded(
        reward=grade.score,
        passed=grade.passed,
        why=grade.why,
        metadata=GraderFacts(
            name=str(spec.get("name", "")),
            type=str(spec["type"]),
            errors=_errors(spec, grade),
            execution_time=round(time.monotonic() - began, 4),
            scores=scores or {str(spec.get("name") or spec["type"]): grade.score},
            token_usage=sum(tokens.values()) if tokens else None,
            sampled_model_name=next(iter(tokens), None),
        ),
        sub_rewards=scores,
        model_grader_token_usage_per_model=tokens,
    )


def judge_of(here: Gateway, key: Key, spec: JSON, tokens: dict[str, int]) -> Judge | None:
    """Return who answers for a grader that asks a model, on the way of every call; None if it names none.

    ``tokens`` counts what each model took.
    """
    models = {part["model"] for part in _parts(spec) if isinstance(part.get("model"), str)}
    if len(models) != 1:
        return None
    model = next(iter(models))

    async def judge(messages: tuple[JSON, ...]) -> str:
        body = {"model": model, "messages": list(messages), "temperature": 0.0, "seed": 0, "max_tokens": 512}
        found = await here.hotpath.chat(key, body, kind="eval")
        tokens[model] = tokens.get(model, 0) + int((found.get("usage") or {}).get("total_tokens") or 0)
        return str(found["choices"][0]["message"].get("content") or "")

    return judge


def _parts(spec: JSON) -> list[JSON]:
    """Return a grader, and those that it is made of."""
    inner = spec.get("graders")
    each = inner.values() if isinstance(inner, dict) else inner if isinstance(inner, list) else []
    return [spec, *(part for one in each if isinstance(one, dict) for part in _parts(one))]


def _errors(spec: JSON, grade: Grade) -> GraderErrors:
    if not grade.error:
        return GraderErrors()
    text = grade.error[:1000]
    kind = str(spec.get("type"))
    if kind == "python":
        return GraderErrors(python_grader_runtime_error=True, python_grader_runtime_error_details=text)
    if kind in {"score_model", "label_model", "rubric"}:
        return GraderErrors(model_grader_server_error=True, model_grader_server_error_details=text)
    return GraderErrors(other_error=True)
