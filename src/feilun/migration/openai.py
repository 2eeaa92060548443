"""OpenAI's evals, runs with their answers, fine-tuning files and jobs, as its API and its client print them.

It knows the objects ``eval``, ``eval.run``, ``eval.run.output_item``, ``fine_tuning.job`` and ``file``, alone, in lists
and in pages, and lines to train on. Ids stay what they were, so that a program finds its evals again by changing the
address only. It does not know how an eval is sat or a model trained.

Source: the OpenAI API reference, *Evals*, *Graders*, *Fine-tuning* and *Files*.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from feilun.errors import BadRequest
from feilun.grading import check
from feilun.grading.grade import TYPES
from feilun.migration.fields import Fields
from feilun.migration.messages import answered, asked, text_of
from feilun.migration.rows import ENDINGS, Row, moment, rows_of
from feilun.migration.seam import Brought, Definition, Sat, Upload
from feilun.records import JSON, JobStatus

OBJECTS = frozenset({"eval", "eval.run", "eval.run.output_item", "fine_tuning.job", "file"})
_NOT_OURS = frozenset({"fine_tuning.job.event", "fine_tuning.job.checkpoint", "model", "batch", "list"})
_FILE_ID = re.compile(r"file-[A-Za-z0-9]{6,}")
_STATUS: dict[str, JobStatus] = {"completed": "succeeded", "failed": "failed", "canceled": "cancelled"}
_EVAL = (
    "id",
    "object",
    "name",
    "created_at",
    "metadata",
    "data_source_config",
    "testing_criteria",
    "shared_with_openai",
)
_RUN = (
    *("id", "object", "eval_id", "name", "created_at", "model", "status", "data_source", "metadata", "error"),
    *("result_counts", "per_testing_criteria_results", "per_model_usage", "report_url", "shared_with_openai"),
)
_ANSWER = (
    *("id", "object", "created_at", "run_id", "eval_id", "status", "datasource_item_id", "datasource_item"),
    *("results", "sample"),
)
_JOB = (
    *("id", "object", "model", "training_file", "validation_file", "hyperparameters", "method", "seed", "suffix"),
    *("metadata", "integrations", "user_provided_suffix"),
)
_PREFERENCE = {"input", "preferred_output", "non_preferred_output"}


def recognises(row: Mapping[str, Any]) -> bool:
    """Say whether a row is one of these objects, or a line of preferences."""
    kind = row.get("object")
    if isinstance(kind, str) and kind in OBJECTS:
        return kind != "file" or str(row.get("id", "")).startswith("file-")
    return row.keys() >= _PREFERENCE or {"data_source_config", "testing_criteria"} <= row.keys()


def trains(row: Mapping[str, Any]) -> bool:
    """Say whether a row is a line to train on: a chat, a pair of answers, a prompt for a grader."""
    messages = row.get("messages")
    return row.keys() >= _PREFERENCE or (
        isinstance(messages, list) and bool(messages) and all(isinstance(m, Mapping) and "role" in m for m in messages)
    )


def read(files: Sequence[tuple[str, Path]]) -> Brought:
    """Return what some files hold; what is none of these objects is left out, with the reason."""
    found = Brought()
    objects: dict[str, list[Row]] = {kind: [] for kind in OBJECTS}
    training: list[tuple[str, Path, int]] = []
    for name, path in files:
        if path.suffix.casefold() not in ENDINGS:
            found.leave(name, "it is no JSON, CSV or Parquet")
            continue
        rows = rows_of(name, path, found)
        found.files.append(name)
        if rows and all(trains(row.value) for row in rows) and path.suffix.casefold() in {".jsonl", ".ndjson"}:
            training.append((name, path, len(rows)))
            continue
        for row in rows:
            told = Fields(row.value, row.place, found)
            kind = told.text("object") or ("eval" if recognises(row.value) else "")
            if kind in OBJECTS:
                objects[kind].append(row)
                found.came[kind] += 1
            else:
                why = f"objects {kind} have no place here" if kind in _NOT_OURS else "it is none of OpenAI's objects"
                found.leave(row.place, why)
    evals = {definition.key for row in objects["eval"] if (definition := _definition(row, found))}
    _runs(objects, evals, found)
    _uploads(objects, training, found)
    for row in objects["fine_tuning.job"]:
        _settings(row, found)
    return found


def _definition(row: Row, found: Brought) -> Definition | None:
    value, told = row.value, Fields(row.value, row.place, found)
    given = told.table("data_source_config")
    config = given.value
    if not config or not isinstance(value.get("testing_criteria"), list):
        found.leave(row.place, "an eval without data_source_config or testing_criteria")
        return None
    key = told.key("eval")
    criteria = _criteria(row.place, value["testing_criteria"], found)
    inside = given.table("schema").table("properties")
    schema = given.table("item_schema").value or inside.table("item").value or {"type": "object"}
    if config.get("type") not in (None, "custom"):
        found.note(
            f"{key}: its data source is {config.get('type')}; give rows with each run (file_content or file_id)."
        )
    meta: JSON = {
        "schema": schema,
        "include_sample_schema": bool(config.get("include_sample_schema") or "sample" in inside.value),
        "testing_criteria": criteria,
        "metadata": value.get("metadata"),
        "kind": "imported",
        "imported": {
            "from": "openai",
            "data_source_config": dict(config),
            "testing_criteria": value["testing_criteria"],
            "fields": found.rest("eval", value, _EVAL),
        },
    }
    made = Definition(key, told.text("name", key), meta, moment(value.get("created_at")))
    found.definitions.append(made)
    return made


def _criteria(place: str, given: Sequence[Any], found: Brought) -> list[JSON]:
    """Return the criteria that can be graded here, each with a name of its own; the others are left out."""
    made: dict[str, JSON] = {}
    for number, one in enumerate(given, 1):
        spec = _plain(one, found) if isinstance(one, Mapping) else {}
        name = str(spec.get("name") or f"{spec.get('type') or 'criterion'} {number}")
        while name in made:
            name = f"{name} ({number})"
        try:
            check({**spec, "name": name})
        except BadRequest as error:
            found.leave(f"{place} ({name})", f"this criterion cannot be graded here: {error.message}")
            continue
        made[name] = {**spec, "name": name}
        if spec["type"] in {"score_model", "label_model"}:
            found.note(
                f"The judge {spec.get('model')} must be callable here: name an endpoint so, or change the model."
            )
    return list(made.values())


def _plain(given: Mapping[str, Any], found: Brought) -> JSON:
    """Return a grader without what answers of the API add to it (ids, nulls), nor fields that are not known."""
    kind = TYPES.get(str(given.get("type")))
    spec = {str(name): value for name, value in given.items() if value is not None and name != "id"}
    if kind is None:
        return spec
    known = ("type", *kind.__struct_fields__)
    found.rest(f"grader {given['type']}", spec, known)
    spec = {name: value for name, value in spec.items() if name in known}
    if isinstance(spec.get("graders"), Mapping):
        inside = spec["graders"].items()
        spec["graders"] = {name: _plain(each, found) if isinstance(each, Mapping) else each for name, each in inside}
    return spec


def _runs(objects: Mapping[str, list[Row]], evals: set[str], found: Brought) -> None:
    answers: dict[str, list[Row]] = {}
    for row in objects["eval.run.output_item"]:
        answers.setdefault(str(row.value.get("run_id")), []).append(row)
    for row in objects["eval.run"]:
        value, told = row.value, Fields(row.value, row.place, found)
        key, of = told.text("id"), told.text("eval_id")
        if not key or of not in evals:
            found.leave(row.place, f"its eval {of} is not in this import" if key else "a run without an id")
            continue
        # Of two runs with one id the first has the answers.
        given = sorted(answers.pop(key, []), key=lambda each: _order(each.value))
        said = tuple(_answer(number, each, found) for number, each in enumerate(given))
        counts = told.table("result_counts")
        total = counts.count("total")
        meta: JSON = {
            "data_source": told.table("data_source").value or {"type": "imported"},
            "model": told.text("model"),
            "name": told.text("name"),
            "metadata": value.get("metadata"),
            "imported": {
                "from": "openai",
                "fields": found.rest("eval.run", value, _RUN),
                "error": told.table("error").value or None,
            },
            "kind": "imported",
            "total": total or len(said),
        }
        if counts.value and total != len(said):
            found.note(f"{key}: {total} rows were run, {len(said)} answers are in this import.")
        status = _STATUS.get(told.text("status"), "cancelled")
        created = moment(value.get("created_at"))
        found.sat.append(Sat(key, of, meta["model"], status, meta, created, _apart(said)))
    runs = {str(row.value.get("id")) for row in objects["eval.run"]}
    for run in sorted(answers):
        for row in answers[run]:
            found.leave(row.place, "its run was left out" if run in runs else f"its run {run} is not in this import")


def _apart(said: Sequence[JSON]) -> tuple[JSON, ...]:
    """Return answers of which each has a row of its own: some were sampled several times."""
    seen: Counter[str] = Counter()
    made = []
    for each in said:
        seen[each["item"]] += 1
        again = seen[each["item"]]
        made.append({**each, "item": f"{each['item']}-{again}"} if again > 1 else each)
    return tuple(made)


def _place(value: Mapping[str, Any]) -> int | None:
    place = value.get("datasource_item_id")
    return int(place) if isinstance(place, int | float) and place >= 0 else None


def _order(value: Mapping[str, Any]) -> tuple[int, str]:
    return _place(value) or 0, str(value.get("id"))


def _answer(number: int, row: Row, found: Brought) -> JSON:
    value, told = row.value, Fields(row.value, row.place, found)
    asked_there = told.table("sample")
    usage = asked_there.table("usage")
    sample = {name: each for name, each in asked_there.value.items() if name != "usage"}
    output = answered(sample.get("output"))
    results = [_result(each) for each in told.tables("results")]
    passed = value.get("status") == "pass" or (bool(results) and all(each["passed"] for each in results))
    sample |= {"input": [dict(each) for each in asked(sample.get("input"))], "error": sample.get("error")}
    sample |= {"output": [{"role": "assistant", "content": output}]}
    sample |= {name: usage.count(name) for name in ("prompt_tokens", "completion_tokens", "cached_tokens")}
    place = _place(value)
    return {
        "item": f"item-{number if place is None else place:06d}",
        "prompt": "\n".join(text_of(each.get("content")) for each in sample["input"]),
        "answer": output,
        "score": float(passed),
        "meta": {
            "item": value.get("datasource_item") or {},
            "results": results,
            "sample": sample,
            "errored": value.get("status") in ("error", "errored") or bool(sample["error"]),
            "imported": {"from": "openai", "id": value.get("id"), "fields": found.rest("output_item", value, _ANSWER)},
        },
    }


def _result(given: Fields) -> JSON:
    passed, score = given.value.get("passed") is True, given.value.get("score")
    return {
        **given.value,
        "name": given.text("name"),
        "passed": passed,
        "score": score if isinstance(score, int | float) else float(passed),
    }


def _uploads(objects: Mapping[str, list[Row]], training: Sequence[tuple[str, Path, int]], found: Brought) -> None:
    named = {str(row.value.get("filename")): row.value for row in objects["file"][::-1]}
    here = set()
    for name, path, count in training:
        told = named.get(path.name, {})
        stem = _FILE_ID.match(path.stem)
        key = Fields(told, name, found).text("id", stem[0] if stem else "")
        here.add(key)
        found.came["training file"] += 1
        found.note(f"{name}: {count} lines to train on.")
        found.uploads.append(
            Upload(key, name, path.name, "fine-tune", meta={"imported": {"from": "openai", "object": dict(told)}})
        )
    for row in objects["file"]:
        if str(row.value.get("id")) not in here:
            found.leave(row.place, f"the bytes of {row.value.get('filename')} are not in this import")


def _settings(row: Row, found: Brought) -> None:
    """Keep a job's settings as a file whose ``request`` is what to send to ``/v1/fine_tuning/jobs`` here."""
    value, told = row.value, Fields(row.value, row.place, found)
    request: JSON = {
        name: value[name] for name in ("training_file", "validation_file", "seed", "metadata") if value.get(name)
    }
    suffix = told.text("suffix") or told.text("user_provided_suffix")
    request |= {"suffix": suffix[:64]} if suffix else {}
    method = told.table("method").value
    if method.get("type"):
        request["method"] = method
    elif value.get("hyperparameters"):
        request["hyperparameters"] = value["hyperparameters"]
    key = told.key("ftjob")
    rest = found.rest("fine_tuning.job", value, _JOB)
    body = {"request": request, "model_there": value.get("model"), "original": value}
    data = json.dumps(body, ensure_ascii=False, indent=1).encode()
    meta = {"imported": {"from": "openai", "fields": sorted(rest)}}
    found.uploads.append(Upload(f"file-{key}", row.file, f"{key}.json", "user_data", data, meta))
    found.note(f"{key}: its settings are kept in {key}.json; send its request with a model of this place.")
