"""Files of exams as rows, each with the place that it has in its file.

This module knows CSV, TSV, JSON, JSON lines and the nesting that exams come in. It does not know what a row asks.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.errors import BadRequest
from feilun.evaluation.formats.fields import QUESTION, find
from feilun.records import JSON

MOST_BYTES = 256 << 20
NAMED = 8  # places that a message names
_LISTS = ("example", "examples", "data", "questions", "items", "rows", "samples", "test", "dev", "train", "eval")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the file, the line or number that people find it by, and its fields."""

    file: str
    line: int
    fields: JSON

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"{self.file}:{self.line}"


def named(faults: Sequence[str]) -> str:
    """Return the first of many faults, and how many more there are."""
    more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
    return "; ".join(faults[:NAMED]) + more + "."


def read_rows(path: Path, field: str = "") -> list[Row]:
    """Return the rows of a file; ``field`` is where in a JSON object they are. Raises BadRequest that says why not."""
    try:
        data = path.read_bytes() if path.stat().st_size <= MOST_BYTES else None
    except OSError as error:
        raise BadRequest(f"The exam {path} cannot be read: {error.strerror}.", "Name a file.") from error
    if data is None:
        raise BadRequest(f"The exam {path} is larger than {MOST_BYTES >> 20} MiB.", "Give a part of it.")
    text = _decoded(path, data)
    if not text.strip():
        raise BadRequest(f"The exam {path} is empty.", "It needs at least one question.")
    rows = _table(path, text) if path.suffix.lower() in {".csv", ".tsv"} else _json(path, text, field)
    if not rows:
        raise BadRequest(f"The exam {path} has no question.", "It needs at least one row.")
    return rows


def _decoded(path: Path, data: bytes) -> str:
    for encoding in ("utf-8-sig", "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise BadRequest(f"The exam {path} is neither UTF-8 nor GB 18030 text.", "Save it as UTF-8.")


def _table(path: Path, text: str) -> list[Row]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    head = text.split("\n", 1)[0]
    if delimiter == "," and "," not in head:
        delimiter = ";" if ";" in head else "\t" if "\t" in head else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[Row] = []
    names: list[str] = []
    begun = 1
    try:
        for cells in reader:
            line, begun = begun, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = [cell.strip() for cell in cells]
                continue
            rows.append(Row(path.name, line, {name: cell for name, cell in zip(names, cells, strict=False) if name}))
    except csv.Error as error:
        raise BadRequest(f"The exam {path.name} is broken at line {reader.line_num}: {error}.", "Mend it.") from error
    return rows


def _json(path: Path, text: str, field: str) -> list[Row]:
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise BadRequest(f"The exam {path.name} is nested too deeply.", "Give a list of questions.") from error
    except ValueError as error:
        return _lines(path, text, error)
    if field:
        if not isinstance(value, dict) or not isinstance(value.get(field), list):
            raise BadRequest(f"{path.name} has no list {field!r}.", "Look at its keys.")
        value = value[field]
    found = _list(value)
    return [Row(path.name, number, row) for number, row in enumerate(found, 1) if isinstance(row, dict)]


def _lines(path: Path, text: str, whole: ValueError) -> list[Row]:
    rows: list[Row] = []
    # Not splitlines(): JSON texts may hold U+2028 unescaped.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            if not rows:
                raise BadRequest(f"The exam {path.name} is not JSON: {whole}.", "Give JSON or JSON lines.") from error
            raise BadRequest(f"The exam {path.name} is broken at line {number}: {error}.", "Mend this line.") from error
        if not isinstance(value, dict):
            raise BadRequest(f"Line {number} of {path.name} is not an object.", "A question is an object a line.")
        rows.append(Row(path.name, number, value))
    return rows


def _list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return []
    if find(value, QUESTION) or "ground_truth" in value:  # one row, not a list of them
        return [value]
    lists = {
        name: each for name, each in value.items() if isinstance(each, list) and each and isinstance(each[0], dict)
    }
    for name in (*_LISTS, *lists):
        if name in lists:
            return lists[name]
    if value and all(isinstance(each, dict) for each in value.values()):
        return [{"id": name, **each} for name, each in value.items()]
    return [value]
