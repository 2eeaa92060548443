"""Runs of evals that came through the API: rows of a data source, messages from templates, answers, grades.

A version of this machine is asked directly. Endpoints, and models of providers by their own names, are asked on the way
of every call, with the rights, budgets and permissions of whoever began the run. Answers are saved in chunks, so a run
that was killed goes on behind the last one. This module knows data sources, templates and criteria of the OpenAI evals
API. It does not know HTTP, nor how a call reaches a provider.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from feilun.compute import Context
from feilun.compute.energy import Meter
from feilun.engines.seam import Delta, Request
from feilun.errors import (
    BadRequest,
    EngineDown,
    EngineError,
    FeilunError,
    ModelNotFound,
    RateLimited,
    Unauthorized,
    UpstreamTimeout,
)
from feilun.evaluation.answered import answered_by
from feilun.gateway.answering import Answering
from feilun.gateway.hotpath import Hotpath
from feilun.gateway.hotpath.routes import alone
from feilun.gateway.snapshot import Snapshot
from feilun.gateway.surface.patience import Holder, patiently
from feilun.grading import Judge, grade, render_template
from feilun.records import JSON, EvalAnswer, EvalRun, ModelVersion, Usage
from feilun.store import Database, evals, models, sources

CHUNK = 16
CALLS = 8  # questions that are asked together of an endpoint or a provider, whose limits we do not know
TRIES = 7  # with pauses that double, a provider has a minute to let us in again
WINDOW_SECONDS = 24 * 3600.0
MOST_ROWS = 10_000
LONGEST = 512  # tokens of an answer, where a run does not say
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


@dataclass(slots=True)
class _Said:
    """What was said so far to one question."""

    text: str = ""
    finish: str = ""
    usage: Usage = field(default_factory=lambda: Usage(0, 0))

    def take(self, delta: Delta) -> None:
        """Add a delta."""
        self.text += delta.text
        self.finish = delta.finish or self.finish
        self.usage = delta.usage or self.usage


Ask = Callable[[_Said, JSON, tuple[JSON, ...]], Awaitable[None]]  # an answer to fill, an item, its messages


@dataclass(frozen=True, slots=True)
class _Way:
    """How a run's model is asked and told apart, how many questions together, which errors end it, the job's spec."""

    ask: Ask
    identity: Callable[[], Awaitable[JSON]]  # of the model that answers: nothing, where nobody can know
    together: int
    ends: tuple[type[FeilunError], ...]
    spec: JSON


def called(snapshot: Snapshot, ws: str, name: str) -> str:
    """Return what the runs of a model are kept under that is asked on the way of every call; empty if it is not.

    A provider's model that an endpoint has goes by its full name, ``provider/model``, and cost-aware routes find its
    scores by it. An endpoint goes by its id: whichever of its targets answered, none is scored.
    """
    endpoints = snapshot.endpoints(ws)
    if alone(endpoints, name) is not None:
        return name
    return next((endpoint.id for endpoint in endpoints if endpoint.name == name), "")


def read_rows(db: Database, ws: str, source: JSON) -> list[JSON]:
    """Return the rows of a data source: ``{"item": {…}, "sample": {…}}``; raise BadRequest, NotFound, Forbidden."""
    if source["type"] == "file_content":
        rows: list[JSON] = source["content"]
    else:
        data = sources.content(db, ws, source["id"], "evaluate")
        rows = [_parsed(line, number) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    if not 0 < len(rows) <= MOST_ROWS:
        raise BadRequest(f"A run has 1 to {MOST_ROWS} rows, not {len(rows)}.", param="data_source.source")
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("item"), dict):
            raise BadRequest(f"Row {number} has no object item.", 'A row is {"item": {…}}.', "data_source.source")
    return rows


def _parsed(line: bytes, number: int) -> JSON:
    try:
        row = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"Line {number} of the file is not JSON.", param="data_source.source.id") from error
    if not isinstance(row, dict):
        raise BadRequest(f"Line {number} of the file is not a JSON object.", param="data_source.source.id")
    return row


def check_rows(rows: list[JSON], data_source: JSON, required: list[str]) -> None:
    """Raise BadRequest that names the first row which the eval's schema or the templates cannot take."""
    for number, row in enumerate(rows, 1):
        missing = [name for name in required if name not in row["item"]]
        if missing:
            raise BadRequest(f"Row {number} lacks {', '.join(missing)[:200]}.", param="data_source.source")
        try:
            if data_source["type"] == "completions":
                messages_of(data_source, row["item"])
            else:
                _given_output(row)
        except BadRequest as error:
            raise BadRequest(f"Row {number}: {error.message}", error.hint, "data_source") from error


def messages_of(data_source: JSON, item: Mapping[str, Any]) -> tuple[JSON, ...]:
    """Return the messages that a model is asked for an item; raise BadRequest."""
    wanted = data_source.get("input_messages") or {}
    if wanted.get("type") == "item_reference":
        path = str(wanted.get("item_reference", "")).removeprefix("item.")
        found = item.get(path)
        if not isinstance(found, list) or not found:
            raise BadRequest(f"item.{path[:80]} is not a list of messages.")
        return tuple(_message(message, None) for message in found)
    return tuple(_message(message, item) for message in wanted.get("template", []))


def _message(message: Any, item: Mapping[str, Any] | None) -> JSON:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, dict):
        content = content.get("text")
    if not isinstance(content, str) or message.get("role") not in _ROLES:
        raise BadRequest("a message needs a role and a text.")
    return {"role": _ROLES[message["role"]], "content": content if item is None else render_template(content, item)}


def _given_output(row: JSON) -> str:
    sample = row.get("sample") or {}
    text = sample.get("output_text") if isinstance(sample, dict) else None
    if not isinstance(text, str):
        raise BadRequest("a row of a jsonl run needs sample.output_text.")
    return text


def judging(criteria: list[JSON]) -> set[str]:
    """Return the names of the models that criteria ask, those within others too."""
    found: set[str] = set()
    for each in criteria:
        inner = each.get("graders") or []
        found |= judging(list(inner.values()) if isinstance(inner, dict) else inner)
        if each.get("type") in {"score_model", "label_model", "rubric"}:
            found.add(str(each.get("model") or ""))
    return found


async def graded(criteria: list[JSON], item: JSON, sample: JSON, judges: Callable[[str], Judge]) -> list[JSON]:
    """Return one result per criterion; a criterion that fails itself says so in its ``error``.

    ``judges`` gives who answers for the model that a criterion names.
    """
    results = []
    for criterion in criteria:
        result: JSON = {"name": criterion["name"], "type": criterion["type"]}
        found = await grade(criterion, item, sample, judges(str(criterion.get("model") or "")))
        result |= {"score": found.score, "passed": found.passed}
        result |= {"error": found.error} if found.error else {"reason": found.why} if found.why else {}
        results.append(result)
    return results


class Sitter:
    """The work behind a run's job."""

    def __init__(self, db: Database, answering: Answering, hotpath: Hotpath, batch: int, pause: float = 1.0) -> None:
        """Keep the store, both ways to a model, and how many questions are asked together of one of this machine.

        ``pause`` (s) is doubled between two tries of a question that nobody answered.
        """
        self._db, self._answering, self._hotpath = db, answering, hotpath
        self._batch, self._pause = max(1, min(batch, CHUNK)), pause

    async def sit(self, context: Context) -> JSON:
        """Answer and grade what is not yet answered; return the counts."""
        ws, run_id, spec = context.job.workspace, context.job.id, context.job.spec
        run = EvalRun(run_id, ws, spec["eval"], spec["version"], created=context.job.created, meta=spec["meta"])
        await asyncio.to_thread(evals.add_run, self._db, run)
        exam = await asyncio.to_thread(evals.get, self._db, ws, spec["eval"])
        rows = await asyncio.to_thread(read_rows, self._db, ws, spec["meta"]["data_source"]["source"])
        done = {answer.item for answer in await asyncio.to_thread(evals.answers, self._db, ws, run_id)}
        way = await self._way(run, spec)
        await asyncio.to_thread(evals.set_run, self._db, ws, run_id, "running", {"total": len(rows)})
        waiting = [(index, row) for index, row in enumerate(rows) if item_id(index) not in done]
        for start in range(0, len(waiting), way.together):
            chunk, meter = waiting[start : start + way.together], Meter()
            asked = (self._one(run, exam.meta, way, row) for row in chunk)
            found = await asyncio.gather(*asked, return_exceptions=True)
            # What was answered and paid for is kept, whatever became of the others.
            given = [each for each in found if isinstance(each, EvalAnswer)]
            answers = answered_by(given, await way.identity() if given else {}, meter.spent())
            await asyncio.to_thread(evals.add_answers, self._db, answers)
            for each in found:
                if isinstance(each, BaseException):
                    raise each
        counted = await asyncio.to_thread(evals.answers, self._db, ws, run_id)
        result = counts(counted, len(rows))
        await asyncio.to_thread(evals.set_run, self._db, ws, run_id, "succeeded", result)
        return result

    async def _way(self, run: EvalRun, spec: JSON) -> _Way:
        how = run.meta["data_source"].get("sampling_params") or {}
        if spec.get("called"):
            holder = Holder(self._db, run.workspace, spec["key"], "run")
            ends = (EngineError, RateLimited, Unauthorized, ModelNotFound)
            return _Way(
                partial(self._call, run, holder, spec["called"], how),
                _unknown,
                min(self._batch, CALLS),
                ends,
                spec["key"],
            )
        version = await asyncio.to_thread(models.get, self._db, run.workspace, spec["version"])
        here = partial(self._identity, run.workspace, version)
        # The answers of a jsonl run came with its rows.
        identity = _unknown if run.meta["data_source"]["type"] == "jsonl" else here
        return _Way(partial(self._ask, run.workspace, version, how), identity, self._batch, (EngineDown,), spec)

    async def _identity(self, ws: str, version: ModelVersion) -> JSON:
        try:
            return await self._answering.identity(ws, version)
        except EngineDown:  # what was answered is kept all the same
            return {}

    def _judge(self, run: EvalRun, spec: JSON, name: str) -> Judge:
        """Return who judges in the name of ``name``: an endpoint or a provider's model as runs ask them, or ours."""
        how: JSON = {"max_completion_tokens": LONGEST}

        async def ask(messages: tuple[JSON, ...]) -> str:
            said = _Said()
            if name in spec.get("judges", []):
                await self._call(
                    run, Holder(self._db, run.workspace, spec["key"], "run"), name, how, said, {}, messages
                )
            else:
                routed = await self._answering.route(run.workspace, name or self._answering.base_name)
                await self._ask(run.workspace, routed.version, how, said, {}, messages)
            return said.text

        return ask

    async def _one(self, run: EvalRun, exam: JSON, way: _Way, numbered: tuple[int, JSON]) -> EvalAnswer:
        (index, row), source = numbered, run.meta["data_source"]
        item = row["item"]
        said, error = _Said(), None
        sample: JSON = {"model": asked_for(run), "error": None}
        if source["type"] == "jsonl":
            said.text, said.finish = _given_output(row), "stop"
            messages: tuple[JSON, ...] = ()
        else:
            messages = messages_of(source, item)
            try:
                await way.ask(said, item, messages)
            except way.ends:
                raise
            except FeilunError as failure:
                error = failure
                sample["error"] = {"code": failure.code, "message": failure.message}
        seen = {**(row.get("sample") or {}), "output_text": said.text}
        judges = partial(self._judge, run, way.spec)
        results = [] if error else await graded(exam["testing_criteria"], item, seen, judges)
        passed = bool(results) and all(result["passed"] for result in results)
        sample |= {
            "input": list(messages),
            "output": [{"role": "assistant", "content": said.text}],
            "finish_reason": said.finish or "error",
            "prompt_tokens": said.usage.prompt_tokens,
            "completion_tokens": said.usage.completion_tokens,
            "cached_tokens": said.usage.cached_tokens,
        }
        prompt = "\n".join(message["content"] for message in messages)
        meta = {"item": item, "results": results, "sample": sample, "errored": error is not None}
        return EvalAnswer(run.id, item_id(index), prompt, said.text, float(passed), meta)

    async def _ask(
        self, ws: str, version: ModelVersion, how: JSON, said: _Said, _: JSON, messages: tuple[JSON, ...]
    ) -> None:
        """Ask a version of this machine."""
        request = Request(
            model=version.id,
            messages=messages,
            max_tokens=_most(how) or LONGEST,
            temperature=how.get("temperature") or 0.0,
            top_p=how.get("top_p") or 1.0,
            seed=how.get("seed"),
        )
        async for delta in self._answering.generate(ws, version, request):
            said.take(delta)
        if not said.finish:
            raise EngineDown("The engine stopped in the middle of an answer.", "Try again in a moment.")

    async def _call(
        self, run: EvalRun, holder: Holder, name: str, how: JSON, said: _Said, item: JSON, messages: tuple[JSON, ...]
    ) -> None:
        """Ask on the way of every call."""
        source = run.meta["data_source"]["source"]
        headers = {b"x-feilun-sources": source["id"].encode()} if source["type"] == "file_id" else {}
        metadata = {**(run.meta.get("metadata") or {}), "feilun_texts": _inserted(item, messages)}  # it is not sent
        body = {"model": name, "messages": list(messages), "metadata": metadata, **_sampling(how)}

        async def once() -> JSON:
            return await self._hotpath.chat(await holder.key(), body, kind="eval", headers=headers)

        try:
            found = await patiently(once, run.created + WINDOW_SECONDS, TRIES, self._pause)
        except TimeoutError as error:
            raise UpstreamTimeout("The run was not done within a day.", "Begin another one.") from error
        choice, usage = found["choices"][0], found.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        said.text = choice["message"].get("content") or ""
        said.finish = choice.get("finish_reason") or "stop"
        counted = (usage.get("prompt_tokens"), usage.get("completion_tokens"), details.get("cached_tokens"))
        said.usage = Usage(*(int(number or 0) for number in counted))


async def _unknown() -> JSON:
    return {}


def _inserted(item: JSON, messages: tuple[JSON, ...]) -> list[str]:
    """Return the texts of an item that its messages repeat, wherever in a sentence a template has put them."""
    whole = "\n".join(message["content"] for message in messages)
    found: list[str] = []
    waiting: list[Any] = [item]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
        elif isinstance(value, str) and (value in whole or json.dumps(value, ensure_ascii=False)[1:-1] in whole):
            found.append(value)
    return found


def _most(how: JSON) -> int | None:
    return how.get("max_completion_tokens") or how.get("max_completions_tokens")


def _sampling(how: JSON) -> JSON:
    """Return how an endpoint or a provider is to answer: greedy where a run does not say otherwise."""
    found: JSON = {"temperature": how.get("temperature") or 0.0, "seed": how.get("seed") or 0}
    if how.get("top_p"):
        found["top_p"] = how["top_p"]
    most = _most(how)
    # Some servers know only one of the two names; whoever gives a bound has chosen which.
    return found | ({"max_completion_tokens": most} if most else {"max_tokens": LONGEST})


def asked_for(run: EvalRun) -> str:
    """Return the name of a model that somebody asked to be examined."""
    return str(run.meta.get("endpoint") or run.meta.get("model") or run.model)


def item_id(index: int) -> str:
    """Return the id of a row's answer: ids sort as rows do."""
    return f"item-{index:06d}"


def counts(answers: list[EvalAnswer], total: int) -> JSON:
    """Return ``total``, ``passed``, ``failed``, ``errored``, results per criterion, and what the answers cost."""
    errored = sum(bool(answer.meta.get("errored")) for answer in answers)
    passed = sum(answer.score == 1.0 for answer in answers)
    criteria: dict[str, JSON] = {}
    for answer in answers:
        for result in answer.meta.get("results", []):
            found = criteria.setdefault(result["name"], {"testing_criteria": result["name"], "passed": 0, "failed": 0})
            found["passed" if result["passed"] else "failed"] += 1
    samples = [answer.meta.get("sample", answer.meta) for answer in answers]
    return {
        "total": total,
        "passed": passed,
        "failed": len(answers) - passed - errored,
        "errored": errored,
        "criteria": list(criteria.values()),
        "prompt_tokens": sum(sample.get("prompt_tokens", 0) for sample in samples),
        "completion_tokens": sum(sample.get("completion_tokens", 0) for sample in samples),
        "cached_tokens": sum(sample.get("cached_tokens") or 0 for sample in samples),
    }
