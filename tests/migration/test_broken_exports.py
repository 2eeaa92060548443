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
from tests.migration.exports import TOML, kiln_project, openai_export, tensorzero_rows, write_json, write_lines
from tests.migration.test_others import langfuse_rows

from feilun.errors import FeilunError
from feilun.migration import Report, bring, home_of
from feilun.store import Database, traces, workspaces

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
        told = len(report.left_out) + len(report.notes) > len(whole.left_out) + len(whole.notes)
        misshapen = not gone and isinstance(was, dict | list) and isinstance(other, bool | int | float)
        if misshapen and sum(report.added.values()) < sum(whole.added.values()):
            assert told, (name, path, other)

    changed()
