"""Langfuse: datasets with their items, traces, observations and scores, as its API, its pages and its storage export.

It knows names in camelCase (API) and snake_case (exports), as JSON, JSON lines and CSV. It does not know how anything
was traced: of a trace, the last generation's question and answer count where the trace itself has none.

Source: Langfuse's API reference and *Blob Storage Export Field Reference*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from feilun.migration.fields import Fields
from feilun.migration.messages import answered, asked
from feilun.migration.rows import ENDINGS, Row, moment, parsed, rows_of, snake
from feilun.migration.seam import Brought, Call, Example, Judged
from feilun.records import JSON

_ITEM = (
    *("id", "dataset_id", "dataset_name", "input", "expected_output", "metadata", "status", "source_trace_id"),
    *("source_observation_id", "created_at", "updated_at", "project_id"),
)
_TRACE = (
    *("id", "timestamp", "name", "input", "output", "metadata", "session_id", "user_id", "tags", "release", "version"),
    *("observations", "scores", "project_id", "environment", "public", "bookmarked", "created_at", "updated_at"),
    *("html_path", "latency", "total_cost", "external_id"),
)
_OBSERVATION = (
    *("id", "trace_id", "type", "name", "input", "output", "model", "start_time", "end_time", "metadata", "usage"),
    *("usage_details", "cost_details", "level", "status_message", "parent_observation_id", "version", "project_id"),
    *("environment", "completion_start_time", "model_parameters", "created_at", "updated_at", "latency", "trace_name"),
    *("user_id", "session_id", "tags", "release"),
)
_SCORE = (
    *(
        "id",
        "trace_id",
        "observation_id",
        "name",
        "value",
        "string_value",
        "data_type",
        "comment",
        "source",
        "timestamp",
    ),
    *("created_at", "updated_at", "project_id", "environment", "config_id", "author_user_id", "queue_id", "metadata"),
    *("session_id", "dataset_run_id", "trace", "long_string_value"),
)
_OF_ITEMS = {"id", "dataset_id", "dataset_name", "source_trace_id", "status"}
_ASKING = frozenset({"generation", "agent", "chain"})


def recognises(row: Mapping[str, Any]) -> bool:
    """Say whether a row is one of these objects."""
    return bool(_kind(snake(dict(row))))


def read(files: Sequence[tuple[str, Path]]) -> Brought:
    """Return what some files hold; what is none of these objects is left out, with the reason."""
    found = Brought()
    rows: dict[str, list[Row]] = {"dataset": [], "item": [], "trace": [], "observation": [], "score": []}
    for name, path in files:
        if path.suffix.casefold() not in ENDINGS:
            found.leave(name, "it is no JSON, CSV or Parquet")
            continue
        found.files.append(name)
        for row in rows_of(name, path, found):
            value = snake(row.value)
            kind = _kind(value)
            if not kind:
                found.leave(row.place, "it is none of Langfuse's objects")
                continue
            found.came[kind] += 1
            _named(value, kind, row, found)
            rows[kind].append(Row(row.file, row.number, value))
            for inner, what in (("items", "item"), ("observations", "observation"), ("scores", "score")):
                _inside(rows, row, value, (inner, what), found)
    _calls(rows, found)
    for row in rows["score"]:
        _judged(row, found)
    names = {row.value["id"]: str(row.value.get("name")) for row in rows["dataset"]}
    for row in rows["item"]:
        _item(row, names, found)
    return found


def _kind(row: Mapping[str, Any]) -> str:
    names = row.keys()
    if names >= {"input", "expected_output"} and names & _OF_ITEMS and "trace_id" not in names:
        return "item"
    if names >= {"trace_id", "type", "start_time"} or (names >= {"trace_id", "type"} and "input" in names):
        return "observation"
    if names >= {"name", "value", "trace_id"} and names & {"data_type", "source", "observation_id"}:
        return "score"
    if names >= {"id", "timestamp"} and (names >= {"input", "output"} or "observations" in names):
        return "trace"
    return "dataset" if names >= {"id", "name"} and names & {"items", "runs"} and "metadata" in names else ""


def _named(value: JSON, kind: str, row: Row, found: Brought) -> None:
    """Give an object the id that it has, or one that follows from its content: without one it would be any other."""
    value["id"] = Fields(value, row.place, found).key(kind)


def _inside(rows: dict[str, list[Row]], row: Row, value: JSON, which: tuple[str, str], found: Brought) -> None:
    name, kind = which
    for each in Fields({name: parsed(value.get(name))}, row.place, found).tables(name):
        inner = snake(each.value)
        if kind == "item":
            inner.setdefault("dataset_name", value.get("name"))
        elif inner.get("trace_id") is None:
            inner["trace_id"] = value["id"]
        found.came[kind] += 1
        _named(inner, kind, row, found)
        rows[kind].append(Row(row.file, row.number, inner))


def _calls(rows: Mapping[str, list[Row]], found: Brought) -> None:
    """Make a call of each trace, and of each generation whose trace is not here."""
    generations: dict[str, list[Row]] = {}
    seen: dict[str, JSON] = {}
    for row in sorted(rows["observation"], key=lambda row: moment(row.value.get("start_time"))):
        value, key = row.value, row.value["id"]
        if key in seen:
            if any(seen[key].get(name) != value.get(name) for name in ("trace_id", "input", "output")):
                found.leave(row.place, f"another observation has the id {key}, with other content")
            continue
        seen[key] = value
        if str(value.get("type", "")).casefold() in _ASKING:
            trace = Fields(value, row.place, found).text("trace_id", key)
            generations.setdefault(trace, []).append(row)
        else:
            found.came["observation (no generation)"] += 1
    for row in rows["trace"]:
        key = row.value["id"]
        _one(row, key, generations.pop(key, []), found, _TRACE, "trace")
    for trace, inner in sorted(generations.items()):
        _one(inner[-1], trace, inner, found, _OBSERVATION, "observation")


def _one(row: Row, key: str, inner: Sequence[Row], found: Brought, known: Sequence[str], kind: str) -> None:
    value, told = row.value, Fields(row.value, row.place, found)
    last = inner[-1].value if inner else {}
    messages = asked(value.get("input")) or asked(last.get("input"))
    answer = answered(value.get("output")) or answered(last.get("output"))
    if not messages:
        found.leave(row.place, f"a {kind} that asks nothing")
        return
    said = {"usage": parsed(last.get("usage_details") or last.get("usage"))}
    usage = Fields(said, row.place, found).table("usage")
    meta: JSON = {
        name: parsed(value[name]) for name in ("session_id", "user_id", "tags", "metadata") if value.get(name)
    }
    meta["observations"] = [str(each.value.get("id")) for each in inner]
    meta["fields"] = found.rest(kind, value, known)
    failed = str(last.get("level", "")).casefold() == "error"
    found.calls.append(
        Call(
            key,
            messages,
            answer,
            told.text("name") or told.text("trace_name"),
            Fields(last, row.place, found).text("model"),
            moment(value.get("timestamp") or value.get("start_time")),
            "error" if failed else "stop",
            (usage.count("input"), usage.count("output")),
            meta,
        )
    )


def _judged(row: Row, found: Brought) -> None:
    value = row.value
    name, kind = str(value.get("name") or "score"), str(value.get("data_type") or "NUMERIC").upper()
    key, call = value["id"], str(value.get("trace_id") or "")
    words = str(value.get("comment") or "").strip()
    text = value.get("string_value")
    comment = f"{name}: {words}" if words else name
    found.rest("score", value, _SCORE)
    when = moment(value.get("timestamp") or value.get("created_at"))
    if not call:
        found.leave(row.place, "a score of no trace (of a session or a run)")
        return
    if kind == "CORRECTION":
        correction = str(value.get("long_string_value") or text or value.get("value") or "")
        found.judged.append(Judged(key, call, None, None, correction, comment, when))
        return
    number = value.get("value")
    if kind == "CATEGORICAL" or (text not in (None, "") and kind != "BOOLEAN") or number in (None, ""):
        label = text if text not in (None, "") else number
        found.judged.append(Judged(key, call, None, None, "", f"{name}: {label} {words}".strip(), when))
        return
    try:
        score = float(str(number).casefold().replace("true", "1").replace("false", "0"))
    except ValueError:
        found.judged.append(Judged(key, call, None, None, "", f"{name}: {number} {words}".strip(), when))
        return
    if kind == "BOOLEAN":
        found.judged.append(Judged(key, call, 1 if score else -1, None, "", comment, when))
    elif 0 <= score <= 1:
        found.judged.append(Judged(key, call, None, score, "", comment, when))
    else:
        found.note(f"score {name}: not from 0 to 1, kept as a comment.")
        found.judged.append(Judged(key, call, None, None, "", f"{name}: {score:g} {words}".strip(), when))


def _item(row: Row, names: Mapping[str, str], found: Brought) -> None:
    value = row.value
    messages, answer = asked(value.get("input")), answered(value.get("expected_output"))
    dataset = str(value.get("dataset_name") or names.get(str(value.get("dataset_id"))) or Path(row.file).stem)
    if str(value.get("status") or "ACTIVE").upper() == "ARCHIVED":
        found.leave(row.place, "this item was archived there")
    elif not messages:
        found.leave(row.place, "an item without an input")
    elif not answer.strip():
        found.leave(row.place, "an item without an expected output teaches nothing")
    else:
        rest = found.rest("item", value, _ITEM)
        about: JSON = {"from": "langfuse", "id": str(value.get("id")), "fields": rest}
        about |= {name: parsed(value[name]) for name in ("metadata", "source_trace_id") if value.get(name)}
        said = (*messages, {"role": "assistant", "content": answer})
        found.examples.append(Example(f"langfuse/{dataset}", row.file, said, {"imported": about}))
