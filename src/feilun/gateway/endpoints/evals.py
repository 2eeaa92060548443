"""``/v1/evals``: benchmarks with criteria that anybody may define. Knows their shapes; does not know how one is sat."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from feilun.errors import BadRequest
from feilun.gateway.door import Builder, StrictRoute
from feilun.gateway.shapes import Deleted, Given, Page, cut, page
from feilun.gateway.state import Here
from feilun.grading import check
from feilun.grading.similarity import Metric
from feilun.records import Eval, new_id
from feilun.store import evals

router = APIRouter(prefix="/v1/evals", tags=["evals"], route_class=StrictRoute)
Order = Literal["asc", "desc"]
Limit = Annotated[int, Query(ge=1, le=100)]


_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


class StringCheck(BaseModel):
    """OpenAI's ``string_check``: ``eq`` and ``ne`` compare, ``like`` and ``ilike`` ask whether the input holds it."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["string_check"]
    name: str = Field(min_length=1, max_length=200)
    input: str
    reference: str
    operation: Literal["eq", "ne", "like", "ilike"]


class TextSimilarity(BaseModel):
    """OpenAI's ``text_similarity``: a measure of likeness from 0 to 1, passed from ``pass_threshold`` on."""

    model_config = _STRICT

    type: Literal["text_similarity"]
    name: str = Field(min_length=1, max_length=200)
    input: str
    reference: str
    evaluation_metric: Metric
    pass_threshold: float


class PythonCheck(BaseModel):
    """OpenAI's ``python``: ``source`` defines ``grade(sample, item)``, which returns a score; it runs shut in."""

    model_config = _STRICT

    type: Literal["python"]
    name: str = Field(min_length=1, max_length=200)
    source: str
    image_tag: str | None = None
    pass_threshold: float | None = None


class JudgeMessage(BaseModel):
    """A message to the model that judges, with templates in it."""

    role: str
    content: str | dict[str, Any] | list[str | dict[str, Any]]
    type: Literal["message"] | None = None


class ScoreModel(BaseModel):
    """OpenAI's ``score_model``: a model of this house or an endpoint gives a number within ``range``."""

    model_config = _STRICT

    type: Literal["score_model"]
    name: str = Field(min_length=1, max_length=200)
    model: str
    input: list[JudgeMessage] = Field(min_length=1)
    range: list[float] | None = None
    pass_threshold: float | None = None
    sampling_params: dict[str, Any] | None = None


class LabelModel(BaseModel):
    """OpenAI's ``label_model``: a model of this house or an endpoint chooses one of ``labels``."""

    model_config = _STRICT

    type: Literal["label_model"]
    name: str = Field(min_length=1, max_length=200)
    model: str
    input: list[JudgeMessage] = Field(min_length=1)
    labels: list[str] = Field(min_length=1)
    passing_labels: list[str]
    sampling_params: dict[str, Any] | None = None


class OwnGrader(BaseModel):
    """A grader that OpenAI has only for training (``multi``), or that is ours; what else it takes is its own."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    type: Literal[
        "multi",
        "contains",
        "exact",
        "exact_match",
        "choice",
        "numeric",
        "math",
        "f1",
        "regex",
        "json_schema",
        "code",
        "tool_call",
        "citation",
        "rubric",
    ]
    name: str = Field(min_length=1, max_length=200)


Criterion = Annotated[
    StringCheck | TextSimilarity | PythonCheck | ScoreModel | LabelModel | OwnGrader, Field(discriminator="type")
]


class CustomSource(BaseModel):
    """Rows of the form that ``item_schema`` (JSON Schema) describes; its ``required`` names are checked."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["custom"]
    item_schema: dict[str, Any]
    include_sample_schema: bool = False


class EvalRequest(Given):
    """A new eval."""

    name: str = Field(default="", max_length=200)
    data_source_config: CustomSource
    testing_criteria: list[Criterion] = Field(min_length=1, max_length=32)
    metadata: dict[str, Any] | None = None


class EvalUpdate(Given):
    """What may be changed."""

    name: str | None = Field(default=None, max_length=200)
    metadata: dict[str, Any] | None = None


class EvalObject(BaseModel):
    """An eval. One that a turn of the wheel sits has its own criterion, ``contains``, and ``items`` questions."""

    id: str
    object: Literal["eval"] = "eval"
    name: str
    created_at: int
    metadata: dict[str, Any] | None
    data_source_config: dict[str, Any]
    testing_criteria: list[dict[str, Any]]
    items: int


class EvalDeleted(Deleted):
    """Which eval was deleted; OpenAI's description calls its id ``eval_id``."""

    eval_id: str


@router.post("", status_code=201)
async def create_eval(given: EvalRequest, here: Here, key: Builder) -> EvalObject:
    """Define what a good answer is."""
    names = [criterion.name for criterion in given.testing_criteria]
    if len(set(names)) != len(names):
        raise BadRequest("Two criteria have one name.", "Give each its own.", "testing_criteria")
    criteria = [criterion.model_dump(exclude_none=True) for criterion in given.testing_criteria]
    for criterion in criteria:
        try:
            check(criterion)
        except BadRequest as error:
            raise BadRequest(f"{criterion['name']}: {error.message}", error.hint, "testing_criteria") from error
    meta = {
        "schema": given.data_source_config.item_schema,
        "include_sample_schema": given.data_source_config.include_sample_schema,
        "testing_criteria": criteria,
        "metadata": given.metadata,
    }
    exam = Eval(new_id("eval"), key.workspace, given.name or "eval", meta=meta)
    return _shape(await asyncio.to_thread(evals.add, here.db, exam))


@router.get("")
async def list_evals(
    here: Here,
    key: Builder,
    after: str | None = None,
    limit: Limit = 20,
    order: Order = "asc",
    order_by: Literal["created_at", "updated_at"] = "created_at",
) -> Page[EvalObject]:
    """List the evals of the workspace, those of its turns too."""
    del order_by  # an eval is updated in place; both orders are the one of creation
    found = await asyncio.to_thread(evals.find, here.db, key.workspace)
    shown, more = cut(found if order == "asc" else found[::-1], after, limit)
    return Page[EvalObject](**page([_shape(exam) for exam in shown], more))


@router.get("/{eval_id}")
async def retrieve_eval(eval_id: str, here: Here, key: Builder) -> EvalObject:
    """Return an eval."""
    return _shape(await asyncio.to_thread(evals.get, here.db, key.workspace, eval_id))


@router.post("/{eval_id}")
async def update_eval(eval_id: str, given: EvalUpdate, here: Here, key: Builder) -> EvalObject:
    """Change an eval's name or metadata."""
    exam = await asyncio.to_thread(evals.get, here.db, key.workspace, eval_id)
    meta = {"metadata": given.metadata} if "metadata" in given.model_fields_set else {}
    name = given.name or exam.name
    return _shape(await asyncio.to_thread(evals.update, here.db, key.workspace, eval_id, name, meta))


@router.delete("/{eval_id}")
async def delete_eval(eval_id: str, here: Here, key: Builder) -> EvalDeleted:
    """Delete an eval with its runs."""
    runs = await asyncio.to_thread(evals.find_runs, here.db, key.workspace, eval_id)
    await asyncio.to_thread(evals.delete, here.db, key.workspace, eval_id)
    for run in runs:
        if run.status in {"queued", "running"} and "data_source" in run.meta:
            await asyncio.to_thread(here.journal.request_cancel, run.id)
    return EvalDeleted(id=eval_id, object="eval.deleted", eval_id=eval_id)


def _shape(exam: Eval) -> EvalObject:
    properties: dict[str, Any] = {"item": exam.meta.get("schema", {"type": "object"})}
    if exam.meta.get("include_sample_schema"):
        properties["sample"] = {"type": "object", "properties": {"output_text": {"type": "string"}}}
    schema = {"type": "object", "properties": properties, "required": sorted(properties)}
    own = [{"type": "contains", "name": exam.name}] if exam.items else []
    return EvalObject(
        id=exam.id,
        name=exam.name,
        created_at=int(exam.created),
        metadata=exam.meta.get("metadata"),
        data_source_config={"type": "custom", "schema": schema},
        testing_criteria=exam.meta.get("testing_criteria", own),
        items=len(exam.items),
    )
