"""Rows of exported files: JSON (an object, a list, a page of a list), JSON lines, CSV, Parquet.

It knows file formats. It does not know what any row means. What cannot be read is noted with its place, and the rest
is read.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from feilun.errors import BadSource
from feilun.migration.fields import TooDeep, decoded, sound
from feilun.migration.seam import Brought
from feilun.records import JSON

ENDINGS = frozenset({".json", ".jsonl", ".ndjson", ".csv", ".parquet"})
LARGEST = 512 << 20  # bytes
_HEAD = 100  # rows of a table that is only looked at
_WHOLE = 64 << 20  # bytes of one JSON value that is only looked at
_LISTS = ("data", "items", "datasetItems", "results")
_NOTHING = ("", "\\N", "null")  # as databases and JSON within CSV write it
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Row:
    """One object of a file, and where it stands: the file's name, and the row or line (from 1)."""

    file: str
    number: int
    value: JSON

    @property
    def place(self) -> str:
        """Return where it stands, for people."""
        return f"{self.file}:{self.number}"


def files_in(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Return every file below some paths with its name within them, in order; raise BadSource for what is not there."""
    found: list[tuple[str, Path]] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith("."))
            found += [(each.relative_to(path).as_posix(), each) for each in inside]
        elif path.is_file():
            found.append((path.name, path))
        else:
            raise BadSource(f"{path} is not there.", "Give the files or the folder of the export.")
    return found


def rows_of(name: str, path: Path, found: Brought | None = None, most: int = LARGEST) -> list[Row]:
    """Return the objects of a file (of lines: in its first ``most`` bytes); what is none is left out and noted."""
    noted = found or Brought()
    if most < LARGEST and path.suffix.casefold() == ".json" and path.stat().st_size > _WHOLE:
        return []
    if path.stat().st_size > LARGEST:
        noted.leave(name, f"it is larger than {LARGEST >> 20} MB")
        return []
    try:
        values = list(_values(name, path, noted, most))
    except (OSError, ValueError, RecursionError, csv.Error, pa.ArrowException) as error:
        noted.leave(name, f"it cannot be read: {type(error).__name__}")
        return []
    rows = []
    for number, value in values:
        if not isinstance(value, dict):
            noted.leave(f"{name}:{number}", "it is no JSON object")
            continue
        try:
            rows.append(Row(name, number, sound(value)))
        except TooDeep as error:
            noted.leave(f"{name}:{number}", str(error))
    return rows


def _values(name: str, path: Path, found: Brought, most: int) -> Iterator[tuple[int, Any]]:
    ending = path.suffix.casefold()
    if ending == ".parquet":
        with pq.ParquetFile(path) as table:
            rows = (row for batch in table.iter_batches(1000) for row in batch.to_pylist())
            yield from enumerate(rows if most == LARGEST else islice(rows, _HEAD), 1)
        return
    with path.open("rb") as file:
        data = file.read() if ending == ".json" else file.read(most)
    if len(data) == most:
        data = data.rpartition(b"\n")[0]  # the last line is not whole
    text = data.decode("utf-8-sig")
    if ending == ".csv":
        csv.field_size_limit(LARGEST)
        for number, row in enumerate(csv.DictReader(io.StringIO(text, newline="")), 2):
            yield number, {str(name): None if value in _NOTHING else value for name, value in row.items()}
        return
    if ending == ".json":
        try:
            yield from _whole(json.loads(text))
            return
        except json.JSONDecodeError:  # lines of JSON are often called so
            if "\n" not in text.strip():
                raise
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                found.leave(f"{name}:{number}", "this line is not JSON")
                continue
            yield number, value


def _whole(value: Any) -> Iterator[tuple[int, Any]]:
    if isinstance(value, dict):
        for key in _LISTS:
            inside = value.get(key)
            if isinstance(inside, list) and inside and all(isinstance(each, dict) for each in inside):
                if value.get("object") not in (None, "list") or "name" in value:
                    break  # it is something itself, and has these
                value = inside
                break
    yield from enumerate(value if isinstance(value, list) else [value], 1)


def snake(row: JSON) -> JSON:
    """Return a row with its names in snake_case."""
    return {_CAMEL.sub("_", str(name)).casefold(): value for name, value in row.items()}


def parsed(value: Any) -> Any:
    """Return what a JSON text holds, or the value itself if it is none."""
    if not isinstance(value, str) or not value.strip() or value.strip()[0] not in '[{"':
        return value
    try:
        return decoded(value)
    except (ValueError, RecursionError):
        return value


def moment(value: Any) -> float:
    """Return a time (ISO text, number of s or ms) as s since 1970; 0 for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        try:
            told = datetime.fromisoformat(str(value).strip())
            return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return 0.0
    if not 0 < number < 1e14:
        return 0.0
    return number / 1000 if number > 1e11 else number


def moment_in(text: str) -> float:
    """Return when a UUID of version 7 was made (s since 1970); 0 for others."""
    try:
        found = UUID(text)
    except ValueError:
        return 0.0
    return (found.int >> 80) / 1000 if found.version == 7 else 0.0
