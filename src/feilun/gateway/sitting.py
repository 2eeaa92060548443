"""Runs of evals that came through the API: rows of a data source, messages from templates, answers, grades.

Answers are saved in chunks, so a run that was killed goes on behind the last one. This module knows data sources,
templates and criteria of the OpenAI evals API. It does not know HTTP.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from feilun.compute import Context
from feilun.engines.seam import Delta, Request
from feilun.errors import BadRequest, EngineDown, FeilunError
from feilun.evaluation import render_template, string_check
from feilun.gateway.answering import Answering, Route
from feilun.records import JSON, EvalAnswer, EvalRun, Usage
from feilun.store import Database, evals, models, sources

CHUNK = 16
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


def grade(criteria: list[JSON], item: JSON, output: str) -> list[JSON]:
    """Return one result per criterion; a template that names what is not there is an error of that criterion."""
    results = []
    for criterion in criteria:
        result: JSON = {"name": criterion["name"], "type": "string_check"}
        try:
            sides = [render_template(criterion[side], item, {"output_text": output}) for side in ("input", "reference")]
            score = string_check(criterion["operation"], *sides)
            result |= {"score": score, "passed": score == 1.0}
        except BadRequest as error:
            result |= {"score": 0.0, "passed": False, "error": error.message}
        results.append(result)
    return results


class Sitter:
    """The work behind a run's job."""

    def __init__(self, db: Database, answering: Answering, batch: int) -> None:
        """Keep the store, the engine, and how many questions are asked together."""
        self._db, self._answering, self._batch = db, answering, max(1, min(batch, CHUNK))

    async def sit(self, context: Context) -> JSON:
        """Answer and grade what is not yet answered; return the counts."""
        ws, run_id, spec = context.job.workspace, context.job.id, context.job.spec
        run = EvalRun(run_id, ws, spec["eval"], spec["version"], created=context.job.created, meta=spec["meta"])
        await asyncio.to_thread(evals.add_run, self._db, run)
        exam = await asyncio.to_thread(evals.get, self._db, ws, spec["eval"])
        rows = await asyncio.to_thread(read_rows, self._db, ws, spec["meta"]["data_source"]["source"])
        done = {answer.item for answer in await asyncio.to_thread(evals.answers, self._db, ws, run_id)}
        version = await asyncio.to_thread(models.get, self._db, ws, spec["version"])
        route = Route(spec["meta"]["model"], version)
        await asyncio.to_thread(evals.set_run, self._db, ws, run_id, "running", {"total": len(rows)})
        waiting = [(index, row) for index, row in enumerate(rows) if item_id(index) not in done]
        for start in range(0, len(waiting), self._batch):
            chunk = waiting[start : start + self._batch]
            found = await asyncio.gather(*(self._one(run, exam.meta, route, index, row) for index, row in chunk))
            await asyncio.to_thread(evals.add_answers, self._db, found)
        counted = await asyncio.to_thread(evals.answers, self._db, ws, run_id)
        result = counts(counted, len(rows))
        await asyncio.to_thread(evals.set_run, self._db, ws, run_id, "succeeded", result)
        return result

    async def _one(self, run: EvalRun, exam: JSON, route: Route, index: int, row: JSON) -> EvalAnswer:
        source, item = run.meta["data_source"], row["item"]
        said, error = _Said(), None
        sample: JSON = {"model": route.endpoint, "error": None}
        if source["type"] == "jsonl":
            said.text, said.finish = _given_output(row), "stop"
            messages: tuple[JSON, ...] = ()
        else:
            messages = messages_of(source, item)
            try:
                await self._ask(run.workspace, said, route, messages, source.get("sampling_params") or {})
            except EngineDown:
                raise
            except FeilunError as failure:
                error = failure
                sample["error"] = {"code": failure.code, "message": failure.message}
        results = [] if error else grade(exam["testing_criteria"], item, said.text)
        passed = bool(results) and all(result["passed"] for result in results)
        sample |= {
            "input": list(messages),
            "output": [{"role": "assistant", "content": said.text}],
            "finish_reason": said.finish or "error",
            "prompt_tokens": said.usage.prompt_tokens,
            "completion_tokens": said.usage.completion_tokens,
        }
        prompt = "\n".join(message["content"] for message in messages)
        meta = {"item": item, "results": results, "sample": sample, "errored": error is not None}
        return EvalAnswer(run.id, item_id(index), prompt, said.text, float(passed), meta)

    async def _ask(self, ws: str, said: _Said, route: Route, messages: tuple[JSON, ...], how: JSON) -> None:
        request = Request(
            model=route.version.id,
            messages=messages,
            max_tokens=how.get("max_completion_tokens") or how.get("max_completions_tokens") or LONGEST,
            temperature=how.get("temperature") or 0.0,
            top_p=how.get("top_p") or 1.0,
            seed=how.get("seed"),
        )
        async for delta in self._answering.generate(ws, route.version, request):
            said.take(delta)
        if not said.finish:
            raise EngineDown("The engine stopped in the middle of an answer.", "Try again in a moment.")


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
    }
