"""Kiln projects: tasks, their runs with ratings and repairs, dataset splits, evals.

It knows the ``.kiln`` files of a project's folder: what a file is says ``model_type``, whose it is its folder. It does
not know how anything was run.

Source: Kiln's data model (``kiln_ai.datamodel``, version 1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from feilun.errors import BadRequest
from feilun.grading import check
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
    kinds: dict[str, list[Row]] = {}
    for name, path in files:
        if not recognises(path):
            found.leave(name, "it is no .kiln file")
            continue
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            found.leave(name, "it is not JSON")
            continue
        if not isinstance(value, dict):
            found.leave(name, "it is no JSON object")
            continue
        found.files.append(name)
        kind = str(value.get("model_type") or path.stem)
        found.came[kind] += 1
        kinds.setdefault(kind, []).append(Row(name, 1, value))
    tasks = {_folder(row): row.value for row in kinds.get("task", [])}
    runs = {row.file: _run(row, _of(row, tasks), found) for row in kinds.get("task_run", [])}
    good = {
        str(row.value.get("id")): row for row in kinds.get("task_run", []) if runs[row.file] and _teaches(row.value)
    }
    placed = {run for row in kinds.get("dataset_split", []) for run in _split(row, tasks, good, found)}
    for run, row in good.items():
        if run not in placed:
            found.examples.append(_example(row, _of(row, tasks), "all"))
    for row in kinds.get("eval", []):
        configs = [each for each in kinds.get("eval_config", []) if _folder(each).startswith(f"{_folder(row)}/")]
        _eval(row, configs, _of(row, tasks), found)
    for kind in sorted(kinds.keys() - {"project", "task", "task_run", "dataset_split", "eval", "eval_config"}):
        for row in kinds[kind]:
            found.leave(row.file, f"{kind}: {_OTHERS}")
    return found


def _folder(row: Row) -> str:
    return PurePosixPath(row.file).parent.as_posix()


def _of(row: Row, tasks: Mapping[str, JSON]) -> JSON:
    """Return the task in whose folder a file lies."""
    for parent in PurePosixPath(row.file).parents:
        if parent.as_posix() in tasks:
            return tasks[parent.as_posix()]
    return {}


def _asked(value: Mapping[str, Any], task: Mapping[str, Any]) -> tuple[JSON, ...]:
    system = str(task.get("instruction") or "").strip()
    said: list[JSON] = [{"role": "system", "content": system}] if system else []
    return (*said, {"role": "user", "content": str(value.get("input") or "")})


def _output(value: Any) -> str:
    return str(value.get("output") or "") if isinstance(value, Mapping) else ""


def _rating(value: Any) -> float | None:
    """Return a rating as 0-1: stars from one to five, passed or failed, or critically so; None for none of these."""
    rating = value.get("rating") if isinstance(value, Mapping) else None
    number = rating.get("value") if isinstance(rating, Mapping) else None
    if not isinstance(number, int | float):
        return None
    kind = str(rating.get("type") or "five_star") if isinstance(rating, Mapping) else ""
    low, high = {"five_star": (1, 5), "pass_fail": (0, 1), "pass_fail_critical": (-1, 1)}.get(kind, (0, 0))
    return (number - low) / (high - low) if low < high and low <= number <= high else None


def _run(row: Row, task: JSON, found: Brought) -> bool:
    value = row.value
    key, output = str(value.get("id") or row.file), value.get("output")
    if not str(value.get("input") or "").strip() or not _output(output).strip():
        found.leave(row.file, "a run without an input or an output")
        return False
    source = output.get("source") if isinstance(output, Mapping) else None
    properties = (source or {}).get("properties") or {}
    meta: JSON = {name: value[name] for name in ("tags", "parent_task_run_id", "input_source") if value.get(name)}
    meta |= {"source": source} if source else {}
    meta["fields"] = found.rest("task_run", value, _RUN)
    usage = value.get("usage") or {}
    tokens = tuple(int(usage.get(name) or 0) for name in ("input_tokens", "output_tokens"))
    when = moment(value.get("created_at"))
    found.calls.append(
        Call(
            key,
            _asked(value, task),
            _output(output),
            str(task.get("name") or ""),
            str(properties.get("model_name") or ""),
            when,
            tokens=(tokens[0], tokens[1]),
            meta=meta,
        )
    )
    score, repaired = _rating(output), _output(value.get("repaired_output"))
    comment = str(value.get("repair_instructions") or "")
    if score is not None:
        found.judged.append(Judged(f"{key}-rating", key, None, score, "", "", when))
    elif isinstance(output, Mapping) and output.get("rating") and (output["rating"] or {}).get("value") is not None:
        found.leave(f"{row.file} (rating)", "it is on no scale that is known")
    if repaired.strip():
        found.judged.append(Judged(f"{key}-repair", key, None, None, repaired, comment, when))
    wanted = (output.get("rating") or {}).get("requirement_ratings") if isinstance(output, Mapping) else None
    if wanted:
        found.judged.append(
            Judged(f"{key}-requirements", key, None, None, "", json.dumps(wanted, sort_keys=True), when)
        )
    return True


def _teaches(value: Mapping[str, Any]) -> bool:
    """Say whether a run shows how it should be: repaired, written by a person, or rated well."""
    output = value.get("output")
    source = (output or {}).get("source") if isinstance(output, Mapping) else None
    human = (source or {}).get("type") in {"human", "file_import"}
    return bool(_output(value.get("repaired_output"))) or human or (_rating(output) or 0.0) >= _GOOD


def _example(row: Row, task: JSON, split: str) -> Example:
    value = row.value
    answer = _output(value.get("repaired_output")) or _output(value.get("output"))
    said = (*_asked(value, task), {"role": "assistant", "content": answer})
    about = {"from": "kiln", "id": str(value.get("id")), "tags": value.get("tags") or []}
    return Example(f"kiln/{task.get('name') or 'task'}/{split}", row.file, said, {"imported": about})


def _split(row: Row, tasks: Mapping[str, JSON], good: Mapping[str, Row], found: Brought) -> list[str]:
    """Make a dataset of each part of a split; return the runs that have a place in one."""
    placed = []
    task, name = _of(row, tasks), str(row.value.get("name") or "split")
    contents = row.value.get("split_contents")
    for part, runs in sorted(contents.items()) if isinstance(contents, Mapping) else []:
        for run in runs:
            if str(run) in good:
                found.examples.append(_example(good[str(run)], task, f"{name}/{part}"))
                placed.append(str(run))
            else:
                found.leave(f"{row.file} ({part}: {run})", "this run is not there, or nobody has said that it is good")
    return placed


def _eval(row: Row, configs: Sequence[Row], task: JSON, found: Brought) -> None:
    value = row.value
    criteria = [made for config in configs if (made := _criterion(config, found)) is not None]
    if not configs:
        found.leave(row.file, "an eval without a judge (eval_config)")
    meta: JSON = {
        "schema": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]},
        "include_sample_schema": True,
        "testing_criteria": criteria,
        "metadata": {"task": str(task.get("name") or "")},
        "kind": "imported",
        "imported": {"from": "kiln", "eval": value, "configs": [each.value for each in configs]},
    }
    if criteria:
        key = derived_id("eval", "kiln", str(value.get("id")))
        found.definitions.append(
            Definition(key, str(value.get("name") or "eval"), meta, moment(value.get("created_at")))
        )
    elif configs:
        found.leave(row.file, "none of its judges can be graded here")


def _criterion(row: Row, found: Brought) -> JSON | None:
    """Return the grader that an eval's configuration is here; None for a judge that has none."""
    value, name = row.value, str(row.value.get("name") or "judge")
    how = value.get("properties") or {}
    kind = str(how.get("type") or value.get("config_type") or "")
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
