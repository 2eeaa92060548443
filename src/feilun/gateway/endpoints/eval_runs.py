"""``/v1/evals/{id}/runs``: one model answering a data source, as a durable job, and every answer with its grades.

This module knows the OpenAI shapes of a run. It does not know how a run is sat.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from feilun.errors import BadRequest, NotFound
from feilun.evaluation.scoring import grader_of
from feilun.gateway.door import Builder, StrictRoute
from feilun.gateway.endpoints.evals import Limit, Order
from feilun.gateway.endpoints.files import uploaded
from feilun.gateway.hot import permit
from feilun.gateway.shapes import WHOLE, Deleted, Given, Page, cut, page
from feilun.gateway.sitting import LONGEST, asked_for, called, check_rows, counts, judging, read_rows
from feilun.gateway.state import Gateway, Here
from feilun.records import JSON, Eval, EvalAnswer, EvalRun, Job, JobStatus, new_id
from feilun.store import evals

router = APIRouter(prefix="/v1/evals/{eval_id}/runs", tags=["evals"], route_class=StrictRoute)
KIND, PREFIX = "eval_run", "evalrun"
Status = Literal["queued", "in_progress", "completed", "failed", "canceled"]
_SAMPLING: JSON = {"temperature": 0.0, "top_p": 1.0, "seed": 0, "max_completion_tokens": LONGEST}
_STATUS: dict[JobStatus, Status] = {
    "queued": "queued",
    "running": "in_progress",
    "succeeded": "completed",
    "failed": "failed",
    "cancelled": "canceled",
}


class Row(BaseModel):
    """One row of a data source."""

    item: dict[str, Any]
    sample: dict[str, Any] | None = None


class FileContent(BaseModel):
    """Rows in the request itself."""

    type: Literal["file_content"]
    content: list[Row] = Field(min_length=1)


class FileId(BaseModel):
    """Rows in an uploaded JSON lines file."""

    type: Literal["file_id"]
    id: str


class InputText(BaseModel):
    """A text as the responses API writes it."""

    type: Literal["input_text"]
    text: str


class TemplateMessage(BaseModel):
    """A message with ``{{ item.… }}`` in it."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | InputText


class Template(BaseModel):
    """Messages made for each row."""

    type: Literal["template"]
    template: list[TemplateMessage] = Field(min_length=1)


class ItemReference(BaseModel):
    """Messages that each row brings along: ``item.messages``."""

    type: Literal["item_reference"]
    item_reference: str


class Sampling(BaseModel):
    """How the model answers; greedy where nothing is said."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = WHOLE
    max_completion_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    max_completions_tokens: int | None = Field(default=None, ge=1, le=1_000_000)


class Completions(Given):
    """Ask a model: one of this house, an endpoint, or ``provider/model`` of a provider, if an endpoint has it."""

    type: Literal["completions"]
    source: FileContent | FileId = Field(discriminator="type")
    input_messages: Annotated[Template | ItemReference, Field(discriminator="type")]
    model: str = Field(description="as calls name it; also provider/model, where an endpoint has it as a target")
    sampling_params: Sampling | None = None


class Jsonl(Given):
    """Grade answers that are already there (``sample.output_text``)."""

    type: Literal["jsonl"]
    source: FileContent | FileId = Field(discriminator="type")


class RunRequest(Given):
    """A new run."""

    data_source: Annotated[Completions | Jsonl, Field(discriminator="type")]
    name: str = Field(default="", max_length=200)
    metadata: dict[str, Any] | None = None


class ResultCounts(BaseModel):
    """How many rows passed all criteria, failed one, or got no answer."""

    total: int
    passed: int
    failed: int
    errored: int


class RunError(BaseModel):
    """Why a run failed."""

    code: str
    message: str


class RunObject(BaseModel):
    """A run; ``model_version`` is what answered: a version's id, ``provider/model``, or an endpoint's id."""

    id: str
    object: Literal["eval.run"] = "eval.run"
    eval_id: str
    name: str
    created_at: int
    model: str
    model_version: str
    status: Status
    data_source: dict[str, Any]
    metadata: dict[str, Any] | None
    error: RunError | None
    result_counts: ResultCounts
    per_testing_criteria_results: list[dict[str, Any]]
    per_model_usage: list[dict[str, Any]]
    report_url: str


class RunDeleted(Deleted):
    """Which run was deleted; OpenAI's description calls its id ``run_id``."""

    run_id: str


class OutputItem(BaseModel):
    """One row's answer, with its grades."""

    id: str
    object: Literal["eval.run.output_item"] = "eval.run.output_item"
    created_at: int
    run_id: str
    eval_id: str
    status: Literal["pass", "fail", "error"]
    datasource_item_id: int
    datasource_item: dict[str, Any]
    results: list[dict[str, Any]]
    sample: dict[str, Any]


@router.post("", status_code=201)
async def create_run(eval_id: str, given: RunRequest, request: Request, here: Here, key: Builder) -> RunObject:
    """Queue a run; rows and templates are checked at once.

    Endpoints and providers are asked in the name of the key: its budgets count, and what must not leave is not sent.
    """
    exam = await asyncio.to_thread(evals.get, here.db, key.workspace, eval_id)
    if not exam.meta.get("testing_criteria"):
        raise BadRequest("This exam belongs to the turns of the wheel.", "Create an eval of your own.", "eval_id")
    name, kept = here.answering.base_name, ""
    if isinstance(given.data_source, Completions):
        name = given.data_source.model
        kept = called(here.snapshot, key.workspace, name)
    if kept:
        permit(key, "/v1/chat/completions")
    version = kept or (await here.answering.route(key.workspace, name)).version.id
    asked = {each: called(here.snapshot, key.workspace, each) for each in judging(exam.meta["testing_criteria"])}
    for judge in [each for each, way in asked.items() if not way]:
        await here.answering.route(key.workspace, judge or here.answering.base_name)  # or it says that there is none
    if any(asked.values()):
        permit(key, "/v1/chat/completions")
    source = given.data_source.model_dump(exclude_none=True)
    if source["source"]["type"] == "file_id":
        await uploaded(here, key.workspace, source["source"]["id"], "data_source.source.id")
    rows = await asyncio.to_thread(read_rows, here.db, key.workspace, source["source"])
    required = exam.meta["schema"].get("required", [])
    await asyncio.to_thread(check_rows, rows, source, required if isinstance(required, list) else [])
    meta: JSON = {
        "data_source": source,
        # Routes find scores by "model", which is no endpoint: its name might be that of a target.
        "endpoint" if kept not in {"", name} else "model": name,
        "name": given.name or exam.name,
        "metadata": given.metadata,
        "total": len(rows),
    }
    spec = {"eval": exam.id, "version": version, "called": name if kept else "", "key": key.id, "meta": meta}
    spec["judges"] = sorted(each for each, way in asked.items() if way)
    job = await asyncio.to_thread(here.journal.create, Job(new_id(PREFIX), key.workspace, KIND, spec))
    run = EvalRun(job.id, key.workspace, exam.id, version, created=job.created, meta=meta)
    run = await asyncio.to_thread(evals.add_run, here.db, run)
    here.background.wake(KIND)
    return await _shape(here, request, run)


@router.get("")
async def list_runs(
    eval_id: str,
    request: Request,
    here: Here,
    key: Builder,
    after: str | None = None,
    limit: Limit = 20,
    order: Order = "asc",
    status: Status | None = None,
) -> Page[RunObject]:
    """List the runs of an eval."""
    await asyncio.to_thread(evals.get, here.db, key.workspace, eval_id)
    found = await asyncio.to_thread(evals.find_runs, here.db, key.workspace, eval_id)
    shown, more = cut(found if order == "asc" else found[::-1], after, limit)
    shapes = [await _shape(here, request, run) for run in shown]
    return Page[RunObject](**page([shape for shape in shapes if status in {None, shape.status}], more))


@router.get("/{run_id}")
async def retrieve_run(eval_id: str, run_id: str, request: Request, here: Here, key: Builder) -> RunObject:
    """Return a run as it is now."""
    return await _shape(here, request, await _run(here, key.workspace, eval_id, run_id))


@router.post("/{run_id}", include_in_schema=False)
@router.post("/{run_id}/cancel")
async def cancel_run(eval_id: str, run_id: str, request: Request, here: Here, key: Builder) -> RunObject:
    """Ask a run to stop; what was answered stays."""
    run = await _run(here, key.workspace, eval_id, run_id)
    if "data_source" in run.meta:
        await asyncio.to_thread(here.journal.request_cancel, run_id)
    return await _shape(here, request, run)


@router.delete("/{run_id}")
async def delete_run(eval_id: str, run_id: str, here: Here, key: Builder) -> RunDeleted:
    """Delete a run with its answers."""
    run = await _run(here, key.workspace, eval_id, run_id)
    if "data_source" in run.meta:
        await asyncio.to_thread(here.journal.request_cancel, run_id)
    await asyncio.to_thread(evals.delete_run, here.db, key.workspace, run_id)
    return RunDeleted(id=run_id, object="eval.run.deleted", run_id=run_id)


@router.get("/{run_id}/output_items")
async def list_output_items(
    eval_id: str,
    run_id: str,
    here: Here,
    key: Builder,
    after: str | None = None,
    limit: Limit = 20,
    order: Order = "asc",
    status: Literal["pass", "fail", "error"] | None = None,
) -> Page[OutputItem]:
    """List the answers of a run."""
    found = [item for item in await _items(here, key.workspace, eval_id, run_id) if status in {None, item.status}]
    shown, more = cut(found if order == "asc" else found[::-1], after, limit)
    return Page[OutputItem](**page(shown, more))


@router.get("/{run_id}/output_items/{item_id}")
async def retrieve_output_item(eval_id: str, run_id: str, item_id: str, here: Here, key: Builder) -> OutputItem:
    """Return one answer of a run."""
    for item in await _items(here, key.workspace, eval_id, run_id):
        if item.id == item_id:
            return item
    raise NotFound(f"There is no output item {item_id[:100]!r} in this run.")


async def _run(here: Gateway, ws: str, eval_id: str, run_id: str) -> EvalRun:
    run = await asyncio.to_thread(evals.get_run, here.db, ws, run_id)
    if run.eval != eval_id:
        raise NotFound(f"There is no run {run_id[:100]!r} of this eval.")
    return run


async def _items(here: Gateway, ws: str, eval_id: str, run_id: str) -> list[OutputItem]:
    run = await _run(here, ws, eval_id, run_id)
    exam = await asyncio.to_thread(evals.get, here.db, ws, eval_id)
    answers = await asyncio.to_thread(evals.answers, here.db, ws, run_id)
    return [_output_item(run, exam, place, answer) for place, answer in enumerate(answers)]


def _output_item(run: EvalRun, exam: Eval, place: int, answer: EvalAnswer) -> OutputItem:
    passed = answer.score == 1.0
    questions = {item.id: item for item in exam.items}
    if answer.item in questions:
        asked = questions[answer.item]
        item: JSON = {"question": asked.question, "accept": list(asked.accept), "reject": list(asked.reject)}
        results = [{"name": exam.name, "type": grader_of(asked)["type"], "score": answer.score, "passed": passed}]
        sample: JSON = {
            "model": run.model,
            "input": [{"role": "user", "content": asked.question}],
            "output": [{"role": "assistant", "content": answer.answer}],
            "finish_reason": answer.meta.get("finish", "stop"),
            "error": None,
        }
    else:
        place = int(answer.item.removeprefix("item-"))
        item, results, sample = answer.meta["item"], answer.meta["results"], dict(answer.meta["sample"])
    cost = {**sample, **answer.meta}
    prompt, completion = int(cost.get("prompt_tokens") or 0), int(cost.get("completion_tokens") or 0)
    sample["usage"] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cached_tokens": int(cost.get("cached_tokens") or 0),
        "total_tokens": prompt + completion,
    }
    # What OpenAI's description has in every sample; answers that came with their rows have no model behind them.
    how = run.meta.get("data_source", {}).get("sampling_params") or {}
    sample |= {name: how.get(name) or usual for name, usual in _SAMPLING.items()}
    return OutputItem(
        id=answer.item,
        created_at=int(run.created),
        run_id=run.id,
        eval_id=run.eval,
        status="error" if answer.meta.get("errored") else "pass" if passed else "fail",
        datasource_item_id=place,
        datasource_item=item,
        results=results,
        sample=sample,
    )


async def _shape(here: Gateway, request: Request, run: EvalRun) -> RunObject:
    status, error = run.status, None
    if "data_source" in run.meta:
        job = await asyncio.to_thread(here.journal.get, run.id, run.workspace)
        status = job.status
        detail = job.error.get("error") if status == "failed" else None
        error = RunError.model_validate(detail) if detail else None
    found = run.meta
    if "criteria" not in found:
        answers = await asyncio.to_thread(evals.answers, here.db, run.workspace, run.id)
        found = {**found, **counts(answers, int(run.meta.get("total", len(answers))))}
    prompt, completion = found["prompt_tokens"], found["completion_tokens"]
    return RunObject(
        id=run.id,
        eval_id=run.eval,
        name=str(run.meta.get("name", "")),
        created_at=int(run.created),
        model=asked_for(run),
        model_version=run.model,
        status=_STATUS[status],
        data_source=run.meta.get("data_source", {"type": "exam"}),
        metadata=run.meta.get("metadata"),
        error=error,
        result_counts=ResultCounts.model_validate({name: found[name] for name in ResultCounts.model_fields}),
        per_testing_criteria_results=found["criteria"],
        per_model_usage=[
            {
                "model_name": asked_for(run),
                "invocation_count": found["passed"] + found["failed"] + found["errored"],
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "cached_tokens": found.get("cached_tokens", 0),
                "total_tokens": prompt + completion,
            }
        ],
        report_url=str(request.url_for("list_output_items", eval_id=run.eval, run_id=run.id)),
    )
