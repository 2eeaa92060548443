"""TensorZero: the rows of its ClickHouse tables, exported as JSON lines, CSV or Parquet, and its configuration.

It knows ChatInference, JsonInference, the four kinds of feedback, datapoints of datasets, and what the configuration
says about metrics. It does not know how variants are chosen, nor templates: inputs are kept as they were asked.

Source: TensorZero's documentation, *Data Model* and *Configuration Reference*.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from feilun.migration.fields import Fields, sound
from feilun.migration.messages import answered, asked
from feilun.migration.rows import ENDINGS, Row, moment, moment_in, parsed, rows_of
from feilun.migration.seam import Brought, Call, Example, Judged, Upload
from feilun.records import JSON

_CALL = (
    *("id", "function_name", "variant_name", "episode_id", "input", "output", "timestamp", "tags", "tool_params"),
    *("inference_params", "processing_time_ms", "ttft_ms", "output_schema", "auxiliary_content", "extra_body"),
)
_POINT = (
    *("id", "dataset_name", "function_name", "episode_id", "input", "output", "tool_params", "output_schema", "tags"),
    *("auxiliary", "is_deleted", "staled_at", "updated_at", "created_at", "source_inference_id", "is_custom", "name"),
)
_SAID = ("id", "target_id", "inference_id", "target_type", "metric_name", "value", "tags", "timestamp")
_TRUE, _FALSE = ("true", "1", "t", "yes"), ("false", "0", "f", "no")


def recognises(row: Mapping[str, Any]) -> bool:
    """Say whether a row is of one of these tables."""
    return bool(_table(row))


def configures(path: Path) -> bool:
    """Say whether a TOML file is a configuration of TensorZero."""
    found = _toml(path)
    tables = [each for each in found.values() if isinstance(each, Mapping)]
    return bool(tables) and bool({"functions", "metrics", "evaluations"} & found.keys())


def read(files: Sequence[tuple[str, Path]]) -> Brought:
    """Return what some files hold; rows of no table that is known are left out, with the reason."""
    found = Brought()
    metrics: dict[str, JSON] = {}
    tables: dict[str, list[Row]] = {}
    for name, path in files:
        if path.suffix.casefold() == ".toml":
            metrics |= _configuration(name, path, found)
        elif path.suffix.casefold() in ENDINGS:
            found.files.append(name)
            for row in rows_of(name, path, found):
                table = _table(row.value)
                if table:
                    found.came[table] += 1
                    tables.setdefault(table, []).append(row)
                else:
                    found.leave(row.place, "it is a row of no table that is known")
        else:
            found.leave(name, "it is no export of a table")
    episodes: dict[str, str] = {}
    for row in tables.get("inference", []):
        call = _call(row, found)
        if call is not None:
            found.calls.append(call)
            episodes[str(row.value.get("episode_id"))] = call.key
    for row in tables.get("metric feedback", []):
        _metric(row, metrics, episodes, found)
    for row in tables.get("comment", []):
        key = str(row.value.get("target_id"))
        _judge(row, episodes.get(key, key), found, comment=str(row.value.get("value") or ""))
    for row in tables.get("demonstration", []):
        _judge(row, str(row.value.get("inference_id")), found, correction=answered(row.value.get("value")))
    for row in tables.get("datapoint", []):
        _point(row, found)
    return found


def _table(row: Mapping[str, Any]) -> str:
    names = row.keys()
    if names >= {"dataset_name", "function_name", "input"}:
        return "datapoint"
    if names >= {"id", "function_name", "variant_name", "input", "output"}:
        return "inference"
    if names >= {"target_id", "metric_name", "value"}:
        return "metric feedback"
    if names >= {"target_id", "target_type", "value"}:
        return "comment"
    return "demonstration" if names >= {"inference_id", "value"} and "score" not in names else ""


def _toml(path: Path) -> JSON:
    try:
        return dict(sound(tomllib.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, RecursionError):
        return {}


def _configuration(name: str, path: Path, found: Brought) -> dict[str, JSON]:
    config = _toml(path)
    if not config:
        found.leave(name, "it is no TOML")
        return {}
    found.files.append(name)
    found.came["configuration"] += 1
    found.uploads.append(Upload("", name, path.name, "user_data", meta={"imported": {"from": "tensorzero"}}))
    told = Fields(config, name, found)
    for function, about in told.named("functions").items():
        models = sorted({each.text("model") for each in about.named("variants").values()} - {""})
        found.note(f"function {function}: make an endpoint of this name; its variants used {', '.join(models) or '-'}.")
    for kind in ("evaluations", "tools"):
        for each in told.named(kind):
            found.leave(f"{name} [{kind}.{each}]", "it is kept in the file; set it up here by hand")
    return {metric: about.value for metric, about in told.named("metrics").items()}


def _call(row: Row, found: Brought) -> Call | None:
    value = row.value
    told = Fields(value, row.place, found)
    messages, key = asked(value.get("input")), told.text("id")
    if not key or not messages:
        found.leave(row.place, "an inference without an id or an input")
        return None
    meta: JSON = {
        name: parsed(value[name]) for name in ("tags", "tool_params", "episode_id", "output_schema") if value.get(name)
    }
    output = parsed(value.get("output"))
    tools = (
        [part for part in output if isinstance(part, Mapping) and part.get("type") == "tool_call"]
        if isinstance(output, list)
        else []
    )
    meta |= {"tool_calls": tools} if tools else {}
    meta["fields"] = found.rest("inference", value, _CALL)
    return Call(
        key,
        messages,
        answered(output),
        told.text("function_name"),
        told.text("variant_name"),
        moment(value.get("timestamp")) or moment_in(key),
        "tool_calls" if tools else "stop",
        meta=meta,
    )


def _metric(row: Row, metrics: Mapping[str, JSON], episodes: Mapping[str, str], found: Brought) -> None:
    """Take a metric as a thumb (boolean), a score (0-1), or else as a comment."""
    name, value = str(row.value.get("metric_name")), row.value.get("value")
    about = metrics.get(name, {})
    worse = about.get("optimize") == "min"
    target = str(row.value.get("target_id"))
    call = episodes.get(target, target)
    word = str(value).strip().casefold()
    yes = True if word in _TRUE else False if word in _FALSE else None
    if about.get("type", "boolean" if isinstance(value, bool) or word in {"true", "false"} else "float") == "boolean":
        if yes is None:
            found.leave(row.place, f"{name}: {str(value)[:40]!r} is neither true nor false")
        else:
            _judge(row, call, found, thumb=1 if yes != worse else -1, comment=name)
        return
    try:
        number = float(word)
    except ValueError:
        found.leave(row.place, f"{name}: {str(value)[:40]!r} is no number")
        return
    if 0 <= number <= 1:
        _judge(row, call, found, score=1 - number if worse else number, comment=name)
    else:
        found.note(f"metric {name}: not from 0 to 1, kept as a comment.")
        _judge(row, call, found, comment=f"{name}: {number:g}")


def _judge(
    row: Row,
    call: str,
    found: Brought,
    *,
    thumb: int | None = None,
    score: float | None = None,
    correction: str = "",
    comment: str = "",
) -> None:
    key = str(row.value.get("id") or row.place)
    if thumb is None and score is None and not correction.strip() and not comment.strip():
        found.leave(row.place, "a judgement that says nothing")
        return
    found.rest("feedback", row.value, _SAID)
    when = moment(row.value.get("timestamp")) or moment_in(key)
    found.judged.append(Judged(key, call, thumb, score, correction, comment, when))


def _point(row: Row, found: Brought) -> None:
    value = row.value
    gone = str(value.get("is_deleted", "")).casefold() in _TRUE or value.get("staled_at") not in (None, "", "\\N")
    messages, answer = asked(value.get("input")), answered(value.get("output"))
    if gone:
        found.leave(row.place, "this datapoint was deleted there")
    elif not messages:
        found.leave(row.place, "a datapoint without an input")
    elif not answer.strip():
        found.leave(row.place, "a datapoint without an output teaches nothing")
    else:
        rest = found.rest("datapoint", value, _POINT)
        meta = {"imported": {"from": "tensorzero", "id": str(value.get("id")), "fields": rest}}
        meta["imported"] |= {name: parsed(value[name]) for name in ("function_name", "tags") if value.get(name)}
        said = (*messages, {"role": "assistant", "content": answer})
        found.examples.append(Example(f"tensorzero/{value['dataset_name']}", row.file, said, meta))
