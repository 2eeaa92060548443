"""The ledger of a run as a table: every row that was dropped, changed, flagged or set aside, by what and why.

This module knows the table's form. It does not know what the report makes of it. Texts are not in it: what a row said
before is in its source, which its permissions guard.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from feilun.curation.seam import Entry
from feilun.errors import OutOfSpace
from feilun.later import Later

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa, pq = Later("pyarrow"), Later("pyarrow.parquet")

COLUMNS = ("row", "source", "name", "place", "operator", "action", "reason", "detail", "times", "score")


def table(entries: Sequence[Entry]) -> pa.Table | None:
    """Return entries as rows of the ledger, None if there are none."""
    if not entries:
        return None
    return pa.table({name: [getattr(entry, name) for entry in entries] for name in COLUMNS}, schema=_schema())


class Ledger:
    """A Parquet file in the making; it has its name only once it is whole."""

    def __init__(self, path: Path) -> None:
        """Begin beside ``path``."""
        self._path, self._part = path, path.with_name(f".{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(self._part, _schema(), compression="zstd")

    def add(self, entries: pa.Table | None) -> None:
        """Write entries, as :func:`table` makes them; raise OutOfSpace."""
        if entries is None:
            return
        try:
            self._writer.write_table(entries)
        except OSError as error:
            raise OutOfSpace(f"No room left on the disk for {self._path}.", "Free some space, try again.") from error

    def close(self, whole: bool) -> None:
        """Give the file its name if it is ``whole``, else leave nothing."""
        try:
            self._writer.close()
            if whole:
                self._part.replace(self._path)
        except OSError as error:
            raise OutOfSpace(f"No room left on the disk for {self._path}.", "Free some space, try again.") from error
        finally:
            self._part.unlink(missing_ok=True)


@cache
def _schema() -> pa.Schema:
    kinds = {"times": pa.int64(), "score": pa.float64()}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
