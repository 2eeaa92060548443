"""Exports with a field that is not what it must be: the rest comes in, and what stays out is told."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.migration.exports import (
    TOML,
    eval_object,
    kiln_project,
    openai_export,
    output_items,
    run_object,
    tensorzero_rows,
    write_json,
    write_lines,
)
from tests.migration.test_others import langfuse_rows

from feilun.errors import FeilunError
from feilun.migration import Report, bring, home_of
from feilun.store import Database, evals, feedback, traces, workspaces

DEEP: Any = "end"
for _ in range(400):
    DEEP = [DEEP]
OTHERS = (
    *("x", "", "1e999", "lone \ud800", "nul \0", 5, -1, 0.5, float("nan"), float("inf"), 10**400, True),
    *([], ["a"], [5, None], [{}], {}, {"a": 1}, {"type": ["a"], "value": []}, DEEP),
)
COUNTER = itertools.count()


def _export(home: str, folder: Path) -> dict[str, list[Any]]:
    """Return the JSON values of an export, by file; written as the originals are."""
    if home == "tensorzero":
        return {f"{table}.jsonl": rows for table, rows in tensorzero_rows().items()}
    if home == "langfuse":
        return {f"{name}.jsonl": rows for name, rows in langfuse_rows().items()}
    root = kiln_project(folder) if home == "kiln" else openai_export(folder)
    return {
        path.relative_to(root).as_posix(): [json.loads(line) for line in path.read_text().splitlines()]
        if path.suffix == ".jsonl"
        else [json.loads(path.read_text())]
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _write(folder: Path, files: dict[str, list[Any]]) -> Path:
    for name, values in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    if "ChatInference.jsonl" in files:
        (folder / "tensorzero.toml").write_text(TOML, encoding="utf-8")
    return folder


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield (*path, key)
        yield from _places(each, (*path, key))


def _brought(db: Database, home: str, folder: Path) -> Report:
    ws = f"w{next(COUNTER)}"
    workspaces.ensure(db, ws)
    first = bring(db, ws, home, [folder])
    assert bring(db, ws, home, [folder]).added == {}
    return first


@pytest.mark.parametrize("home", ["openai", "tensorzero", "langfuse", "kiln"])
def test_any_field_may_be_anything(db: Database, tmp_path: Path, home: str) -> None:
    """Whatever one field becomes: no traceback, again adds nothing, and what is missing then is told of."""
    files = _export(home, tmp_path / "whole")
    places = [(name, path) for name, values in files.items() for path in _places(values)]
    whole = _brought(db, home, _write(tmp_path / "as-it-was", files))

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(places), st.sampled_from([*OTHERS, None]), st.booleans())
    def changed(place: tuple[str, tuple[Any, ...]], other: Any, gone: bool) -> None:
        name, path = place
        broken = copy.deepcopy(files)
        inside: Any = broken[name]
        for key in path[:-1]:
            inside = inside[key]
        was = inside[path[-1]]
        if gone and isinstance(inside, dict):
            del inside[path[-1]]
        else:
            inside[path[-1]] = other
        folder = _write(tmp_path / f"broken-{next(COUNTER)}", broken)
        try:
            home_of([folder])
            report = _brought(db, home, folder)
        except FeilunError:
            return
        told = {*report.left_out, *report.notes} - {*whole.left_out, *whole.notes}
        misshapen = not gone and isinstance(was, dict | list) and isinstance(other, bool | int | float)
        if misshapen and sum(report.added.values()) < sum(whole.added.values()):
            assert told, (name, path, other)

    changed()


def _trace(key: str | None, asked: str, **more: Any) -> dict[str, Any]:
    return {"id": key, "timestamp": "2026-01-05T10:00:00Z", "input": asked, "output": "Yes.", **more}


def test_what_has_no_id_is_kept_apart(db: Database, tmp_path: Path) -> None:
    """Two traces without ids are two calls, each with its own score; a second time both are known."""
    score = {"name": "ok", "value": 1, "dataType": "BOOLEAN", "source": "API"}
    write_lines(tmp_path / "t.jsonl", [_trace(None, text, scores=[score]) for text in ("First?", "Second?")])
    assert bring(db, "harbour", "langfuse", [tmp_path / "t.jsonl"]).added == {"calls": 2, "judgements": 2}
    assert bring(db, "harbour", "langfuse", [tmp_path / "t.jsonl"]).added == {}
    calls = {trace.id for trace in traces.find(db, "harbour", -1)}
    assert {one.trace for one in feedback.find(db, "harbour", -1)} == calls


def test_one_id_with_other_content_is_told(db: Database, tmp_path: Path) -> None:
    """Of two things with one id the first comes in, and the other is listed; the same twice is only counted."""
    write_lines(tmp_path / "t.jsonl", [_trace("t1", "First?"), _trace("t1", "Second?"), _trace("t1", "First?")])
    report = bring(db, "harbour", "langfuse", [tmp_path / "t.jsonl"])
    assert report.added == {"calls": 1}
    assert report.left_out == [("call t1", "another one has the same id, with other content")]
    assert report.notes == ["1 of 3 calls came more than once, and are kept once."]
    objects = [eval_object(), eval_object(name="another"), run_object(), run_object(name="another")]
    write_lines(tmp_path / "e.jsonl", [*objects, *output_items()["data"], {**output_items()["data"][0], "id": "o2"}])
    report = bring(db, "harbour", "openai", [tmp_path / "e.jsonl"])
    assert report.added == {"answers": 3, "evals": 1, "runs": 1}
    assert [place for place, _ in report.left_out] == ["eval eval_68a1", "run evalrun_77b"]
    items = [answer.item for answer in evals.answers(db, "harbour", "evalrun_77b")]
    assert sorted(items) == ["item-000000", "item-000000-2", "item-000001"]


def test_a_field_of_another_type_is_left_out(db: Database, tmp_path: Path) -> None:
    """The run comes without what cannot be read of it; each such field is named with its place."""
    root = kiln_project(tmp_path / "k")
    (run,) = root.rglob("r1/task_run.kiln")
    told = json.loads(run.read_text())
    told |= {"usage": "x", "output": {**told["output"], "source": ["human"], "rating": 5}}
    write_json(run, told)
    report = bring(db, "harbour", "kiln", [root])
    assert report.added["calls"] == 4
    places = " ".join(place for place, reason in report.left_out if "not an object" in reason)
    for name in ("(usage)", "output (source)", "output (rating)"):
        assert name in places


def test_what_no_store_can_hold(db: Database, tmp_path: Path) -> None:
    """Lone surrogates, NUL, numbers without end come in as what is nearest; what is too deep stays out, alone."""
    rows = [
        _trace("t\ud800", "Half a sign \ud83d?", metadata={"n": float("nan"), "long": 10**400, "nul\0": "\0"}),
        _trace("t2", json.dumps({"messages": [{"role": "user", "content": "Deep \udfff?"}]})),
        _trace("t3", "Deep?", metadata=DEEP),
        _trace("t4", "Times?", timestamp="9" * 500),
    ]
    write_json(tmp_path / "t.jsonl", None).write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = bring(db, "harbour", "langfuse", [tmp_path / "t.jsonl"])
    assert report.added == {"calls": 3}
    assert report.left_out == [("t.jsonl:3", "it is nested more than 100 deep")]
    asked = {trace.messages[-1]["content"] for trace in traces.find(db, "harbour", -1)}
    assert asked == {"Half a sign \ufffd?", "Deep \ufffd?", "Times?"}
    (tmp_path / "d.jsonl").write_text("[" * 200_000 + "\n" + json.dumps(_trace("t5", "After?")) + "\n")
    assert bring(db, "harbour", "langfuse", [tmp_path / "d.jsonl"]).added == {"calls": 1}
