"""Kiln projects: tasks, their runs with ratings and repairs, dataset splits, evals.

It knows the ``.kiln`` files of a project's folder: what a file is says ``model_type``, whose it is its folder. It does
not know how anything was run.

Source: Kiln's data model (``kiln_ai.datamodel``, version 1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from feilun.errors import BadRequest
from feilun.grading import check
from feilun.migration.fields import Fields, TooDeep, decoded
from feilun.migration.messages import text_of
from feilun.migration.rows import Row, moment
from feilun.migration.seam import Brought, Call, Definition, Example, Judged
from feilun.records import JSON, derived_id

_RUN = (
    *("v", "id", "path", "created_at", "created_by", "input", "input_source", "output", "repair_instructions"),
    *("repaired_output", "intermediate_outputs", "tags", "usage", "cumulative_usage", "trace", "parent_task_run_id"),
    "model_type",
)
_GOOD = 0.75  # four stars of five
_OTHERS = "this kind of file has no place here; it is kept in your project"


def recognises(path: Path) -> bool:
    """Say whether a file is one of Kiln's."""
    return path.suffix.casefold() == ".kiln"


def read(files: Sequence[tuple[str, Path]]) -> Brought:
    """Return what a project's folder holds; kinds of files that have no place here are left out."""
    found = Brought()
    kinds = _kinds(files, found)
    tasks = {_folder(row): _task(row, found) for row in kinds.get("task", [])}
    good: dict[str, _Run] = {}
    for row in kinds.get("task_run", []):
        run = _run(row, _of(row, tasks), found)
        if run is not None and run.teaches:
            good.setdefault(run.key, run)
    placed = {run for row in kinds.get("dataset_split", []) for run in _split(row, good, found)}
    for key, run in good.items():
        if key not in placed:
            found.examples.append(_example(run, "all"))
    for row in kinds.get("eval", []):
        configs = [each for each in kinds.get("eval_config", []) if _folder(each).startswith(f"{_folder(row)}/")]
        _eval(row, configs, _of(row, tasks), found)
    for kind in sorted(kinds.keys() - {"project", "task", "task_run", "dataset_split", "eval", "eval_config"}):
        for row in kinds[kind]:
            found.leave(row.file, f"{kind}: {_OTHERS}")
    return found


def _kinds(files: Sequence[tuple[str, Path]], found: Brought) -> dict[str, list[Row]]:
    """Return the files that can be read, by what they are."""
    kinds: dict[str, list[Row]] = {}
    for name, path in files:
        if not recognises(path):
            found.leave(name, "it is no .kiln file")
            continue
        try:
            value = decoded(path.read_text(encoding="utf-8"))
        except TooDeep as error:
            found.leave(name, str(error))
            continue
        except (OSError, ValueError, RecursionError):
            found.leave(name, "it is not JSON")
            continue
        if not isinstance(value, dict):
            found.leave(name, "it is no JSON object")
            continue
        found.files.append(name)
        kind = Fields(value, name, found).text("model_type", path.stem)
        found.came[kind] += 1
        kinds.setdefault(kind, []).append(Row(name, 1, value))
    return kinds


def _folder(row: Row) -> str:
    return PurePosixPath(row.file).parent.as_posix()


@dataclass(frozen=True, slots=True)
class _Task:
    name: str = ""
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class _Run:
    """A run as it is trained on; ``teaches`` if it shows how it should be."""

    key: str
    file: str
    task: str
    asked: tuple[JSON, ...]
    answer: str
    tags: Any
    teaches: bool


def _task(row: Row, found: Brought) -> _Task:
    told = Fields(row.value, row.file, found)
    return _Task(told.text("name"), told.text("instruction").strip())


def _of(row: Row, tasks: Mapping[str, _Task]) -> _Task:
    """Return the task in whose folder a file lies."""
    for parent in PurePosixPath(row.file).parents:
        if parent.as_posix() in tasks:
            return tasks[parent.as_posix()]
    return _Task()


def _rating(rating: Fields) -> float | None:
    """Return a rating as 0-1: stars from one to five, passed or failed, or critically so; None for none of these."""
    number = rating.value.get("value")
    if number is None:
        return None
    kind = rating.text("type", "five_star")
    low, high = {"five_star": (1, 5), "pass_fail": (0, 1), "pass_fail_critical": (-1, 1)}.get(kind, (0, 0))
    if isinstance(number, int | float) and low < high and low <= number <= high:
        return (number - low) / (high - low)
    rating.found.leave(rating.place, "it is on no scale that is known")
    return None


def _run(row: Row, task: _Task, found: Brought) -> _Run | None:
    value, told = row.value, Fields(row.value, row.file, found)
    key, output = told.text("id", row.file), told.table("output")
    question, said = text_of(value.get("input")), output.text("output")
    if not question.strip() or not said.strip():
        found.leave(row.file, "a run without an input or an output")
        return None
    source = output.table("source")
    meta: JSON = {name: value[name] for name in ("tags", "parent_task_run_id", "input_source") if value.get(name)}
    meta |= {"source": source.value} if source.value else {}
    meta["fields"] = found.rest("task_run", value, _RUN)
    usage = told.table("usage")
    when = moment(value.get("created_at"))
    system: list[JSON] = [{"role": "system", "content": task.instruction}] if task.instruction else []
    asked = (*system, {"role": "user", "content": question})
    tokens = usage.count("input_tokens"), usage.count("output_tokens")
    model = source.table("properties").text("model_name")
    found.calls.append(Call(key, asked, said, task.name, model, when, tokens=tokens, meta=meta))
    rating = output.table("rating")
    score, repaired = _rating(rating), told.table("repaired_output").text("output")
    if score is not None:
        found.judged.append(Judged(f"{key}-rating", key, None, score, "", "", when))
    if repaired.strip():
        comment = told.text("repair_instructions")
        found.judged.append(Judged(f"{key}-repair", key, None, None, repaired, comment, when))
    if wanted := rating.value.get("requirement_ratings"):
        comment = json.dumps(wanted, sort_keys=True)
        found.judged.append(Judged(f"{key}-requirements", key, None, None, "", comment, when))
    # Repaired, written by a person, or rated well.
    teaches = bool(repaired) or source.text("type") in {"human", "file_import"} or (score or 0.0) >= _GOOD
    return _Run(key, row.file, task.name or "task", asked, repaired or said, value.get("tags") or [], teaches)


def _example(run: _Run, split: str) -> Example:
    said = (*run.asked, {"role": "assistant", "content": run.answer})
    about = {"from": "kiln", "id": run.key, "tags": run.tags}
    return Example(f"kiln/{run.task}/{split}", run.file, said, {"imported": about})


def _split(row: Row, good: Mapping[str, _Run], found: Brought) -> list[str]:
    """Make a dataset of each part of a split; return the runs that have a place in one."""
    placed = []
    told = Fields(row.value, row.file, found)
    name, contents = told.text("name", "split"), told.table("split_contents")
    for part in sorted(contents.value):
        for run in map(str, contents.each(part)):
            if run in good:
                found.examples.append(_example(good[run], f"{name}/{part}"))
                placed.append(run)
            else:
                found.leave(f"{row.file} ({part}: {run})", "this run is not there, or nobody has said that it is good")
    return placed


def _eval(row: Row, configs: Sequence[Row], task: _Task, found: Brought) -> None:
    value, told = row.value, Fields(row.value, row.file, found)
    criteria = [made for config in configs if (made := _criterion(config, found)) is not None]
    if not configs:
        found.leave(row.file, "an eval without a judge (eval_config)")
    meta: JSON = {
        "schema": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]},
        "include_sample_schema": True,
        "testing_criteria": criteria,
        "metadata": {"task": task.name},
        "kind": "imported",
        "imported": {"from": "kiln", "eval": value, "configs": [each.value for each in configs]},
    }
    if criteria:
        key = derived_id("eval", "kiln", told.key("eval"))
        found.definitions.append(Definition(key, told.text("name", "eval"), meta, moment(value.get("created_at"))))
    elif configs:
        found.leave(row.file, "none of its judges can be graded here")


def _criterion(row: Row, found: Brought) -> JSON | None:
    """Return the grader that an eval's configuration is here; None for a judge that has none."""
    told = Fields(row.value, row.file, found)
    name, asked = told.text("name", "judge"), told.table("properties")
    how, kind = asked.value, asked.text("type") or told.text("config_type")
    reference = "{{ item.reference }}" if how.get("reference_key") is None else f"{{{{ item.{how['reference_key']} }}}}"
    made: JSON | None = None
    if kind == "exact_match":
        wanted = how["expected_value"] if how.get("expected_value") is not None else reference
        made = {"type": "string_check", "name": name, "input": "{{ sample.output_text }}", "reference": wanted}
        made["operation"] = "eq"
    elif kind == "contains" and how.get("mode", "must_contain") == "must_contain":
        wanted = how["substring"] if how.get("substring") is not None else reference
        operation = "like" if how.get("case_sensitive", True) else "ilike"
        made = {"type": "string_check", "name": name, "input": "{{ sample.output_text }}", "reference": wanted}
        made["operation"] = operation
    elif kind == "pattern_match" and how.get("pattern"):
        made = {"type": "regex", "name": name, "pattern": str(how["pattern"])}
        made["absent"] = how.get("mode") == "must_not_match"
    if made is None:
        found.leave(row.file, f"a judge of type {kind or '?'} is kept with the eval; write it as a grader of ours")
        return None
    try:
        check(made)
    except BadRequest as error:
        found.leave(row.file, f"this judge cannot be graded here: {error.message}")
        return None
    return made
