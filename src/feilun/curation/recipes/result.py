"""The rows of a run as a Parquet file, and the sum that tells one result from another.

This module knows records and files. It does not know where records come from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from feilun.curation.recipes.making import canonical
from feilun.records import Record
from feilun.store.blobs import written_whole


def sum_of(records: Iterable[Record]) -> str:
    """Return the SHA-256 of records' contents in their order."""
    told = hashlib.sha256()
    for record in records:
        told.update(canonical(record))
    return told.hexdigest()


_COLUMNS = pa.schema([(name, pa.string()) for name in ("id", "kind", "sources", "messages", "text", "meta")])


def write(records: Iterable[Record], path: Path) -> str:
    """Write records as Parquet, a group at a time; return the SHA-256 of their contents in order."""
    told = hashlib.sha256()
    encode = msgspec.json.Encoder().encode

    def group(batch: list[Record]) -> pa.Table:
        columns = {
            name: [
                value if isinstance(value := getattr(record, name), str) else encode(value).decode() for record in batch
            ]
            for name in _COLUMNS.names
        }
        return pa.table(columns, schema=_COLUMNS)

    with written_whole(path) as file, pq.ParquetWriter(file, _COLUMNS, compression="zstd") as writer:
        batch: list[Record] = []
        for record in records:
            told.update(canonical(record))
            batch.append(record)
            if len(batch) == 4096:
                writer.write_table(group(batch))
                batch = []
        if batch:
            writer.write_table(group(batch))
    return told.hexdigest()
