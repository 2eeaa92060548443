"""Rows that stand in large files as such, read line by line or group by group: JSON lines and Parquet.

This module knows files whose rows have a text, a question and an answer, or messages, and what the rules beside them
permit. It does not know documents: what must be parsed whole is read elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from feilun.curation.documents import Skip, skip
from feilun.curation.recipes.making import digests_of, record_of
from feilun.curation.recipes.shards import row_id
from feilun.curation.scan import Found
from feilun.curation.seam import Row
from feilun.errors import BadSource
from feilun.later import Later
from feilun.records import Purpose
from feilun.store import sources
from feilun.store.access import permits

pa, pq = Later("pyarrow"), Later("pyarrow.parquet")
ENDINGS = (".jsonl", ".ndjson", ".parquet")
_TEXT = ("text", "content", "body", "passage", "正文", "内容")
_PAIRS = (("question", "answer"), ("instruction", "output"), ("prompt", "completion"), ("问题", "答案"))
_NAMED = 20  # how many places a note names
_decode = msgspec.json.Decoder().decode


def sorted_out(found: Sequence[Found], purpose: Purpose) -> tuple[list[Found], list[Skip]]:
    """Return the files of rows that may be used for a purpose, and why the others are left out."""
    files: list[Found] = []
    skipped: list[Skip] = []
    today = datetime.now(UTC).date()
    for file in found:
        if file.path.suffix.casefold() not in ENDINGS:
            skipped.append(skip(file.name, "unsupported"))
        elif reason := permits.refused(file.permissions, purpose, today):
            skipped.append(skip(file.name, "forbidden", f"It {reason}."))
        elif file.permissions.encrypt:  # what we write here is plain
            skipped.append(skip(file.name, "forbidden", "It must be kept encrypted: import it into a workspace."))
        else:
            files.append(file)
    return files, skipped


def refused_texts(found: Iterable[Found], files: Sequence[Found]) -> frozenset[str]:
    """Return the digests of the texts in those files of rows found that are not among ``files``, which may be used."""
    shut = (file for file in found if file not in files and file.path.suffix.casefold() in ENDINGS)
    return frozenset(digest for file in shut for row in rows_of(file.path, file.name, "", []) for digest in _known(row))


def _known(row: Row) -> frozenset[str]:
    return sources.record_digests(record_of(row)) | digests_of(row.texts)


def rows_of_all(files: Iterable[Found], notes: list[str], refused: frozenset[str] = frozenset()) -> Iterator[Row]:
    """Yield the rows of files, file after file; what is no row, or holds ``refused`` texts, is told in ``notes``."""
    for file in files:
        copied = 0
        for row in rows_of(file.path, file.name, f"file:{file.name}", notes):
            if refused and not refused.isdisjoint(_known(row)):
                copied += 1
                continue
            if file.permissions.mask == "pseudonymise":
                row.meta["mask"] = True
            yield row
        if copied:
            notes.append(f"{file.name}: {copied} rows were left out: a file that must not be used holds their texts.")


def rows_of(path: Path, name: str, source: str, notes: list[str]) -> Iterator[Row]:
    """Yield the rows of a file; ``notes`` tell which lines are none. Raises BadSource for a file that is none."""
    seen: dict[str, int] = {}
    missed: list[str] = []
    many = 0
    for place, given in _lines(path):
        found = _parts(given)
        if found is None:
            many += 1
            missed += [place] if many <= _NAMED else []
            continue
        roles, texts = found
        key = row_id(source, name, roles, texts, None)
        again = seen.get(key, -1) + 1
        seen[key] = again
        if again:
            key = row_id(source, name, roles, texts, None, again)
        yield Row(key, source, name, place, roles, texts, "", {})
    if many:
        more = f" and {many - _NAMED} more" if many > _NAMED else ""
        notes.append(f"{name}: {many} items hold no text and were left out: {', '.join(missed)}{more}")


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        if path.suffix.casefold() == ".parquet":
            number = 0
            for batch in pq.ParquetFile(path).iter_batches(4096):
                for item in batch.to_pylist():
                    number += 1
                    yield f"row {number}", item
            return
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    value = _decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    value = None
                yield f"line {number}", value
    except (OSError, pa.ArrowException) as error:
        raise BadSource(f"{path} cannot be read: {error}") from error


def _parts(given: Any) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    if not isinstance(given, dict):
        return None
    for name in _TEXT:
        if isinstance(given.get(name), str):
            return ("text",), (given[name],)
    for asked, said in _PAIRS:
        if isinstance(given.get(asked), str) and isinstance(given.get(said), str):
            return ("user", "assistant"), (given[asked], given[said])
    messages = given.get("messages")
    if isinstance(messages, list) and all(isinstance(m, dict) for m in messages):
        told = [(str(m.get("role", "user")), m["content"]) for m in messages if isinstance(m.get("content"), str)]
        if told:
            return tuple(role for role, _ in told), tuple(text for _, text in told)
    return None
