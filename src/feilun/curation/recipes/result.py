"""The rows of a run as a Parquet file, and the sum that tells one result from another.

This module knows records and files. It does not know where records come from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from feilun.curation.recipes.making import canonical
from feilun.later import Later
from feilun.records import Record
from feilun.store.blobs import written_whole

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa, pq = Later("pyarrow"), Later("pyarrow.parquet")


def sum_of(records: Iterable[Record]) -> str:
    """Return the SHA-256 of records' contents in their order."""
    told = hashlib.sha256()
    for record in records:
        told.update(canonical(record))
    return told.hexdigest()


_encode = msgspec.json.Encoder().encode


def table(records: Sequence[Record]) -> pa.Table:
    """Return records as a table; what is not text is written as JSON."""
    columns = {
        name: [value if isinstance(value := getattr(each, name), str) else _encode(value).decode() for each in records]
        for name in _columns().names
    }
    return pa.table(columns, schema=_columns())


class Rows:
    """The Parquet file of a result in the making."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        """Write with ``writer``."""
        self._writer, self._told = writer, hashlib.sha256()

    def add(self, given: pa.Table, plain: bytes) -> None:
        """Write a table of records whose canonical bytes are ``plain``."""
        self._told.update(plain)
        if given.num_rows:
            self._writer.write_table(given)

    def sum(self) -> str:
        """Return the SHA-256 of the records' contents in their order."""
        return self._told.hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[Rows]:
    """Give a file of records, which has its name only once it is whole."""
    with written_whole(path) as file, pq.ParquetWriter(file, _columns(), compression="zstd") as writer:
        yield Rows(writer)


@cache
def _columns() -> pa.Schema:
    return pa.schema([(name, pa.string()) for name in ("id", "kind", "sources", "messages", "text", "meta")])
