"""What is left of a shard's rows at the end of a run, made where the rows were made: counts, ledger, records.

This module knows the last thing that is done to a shard, so that who began the run has only to put shards together. It
does not know shards' files, nor what a report says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from feilun.curation.health import Counts, Shape
from feilun.curation.recipes import ledger, result
from feilun.curation.recipes.making import canonical, empty, record_of
from feilun.curation.seam import Entry, Row
from feilun.records import Record

if TYPE_CHECKING:
    import pyarrow as pa

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Record]).decode


@dataclass(slots=True)
class Ended:
    """A shard's share of the result: ``plain`` are its records in canonical bytes, ``table`` the same as a table."""

    counts: Counts
    shape: Shape
    ledger: pa.Table | None
    plain: bytes = b""
    table: pa.Table | None = None
    packed: bytes = b""

    def records(self) -> list[Record]:
        """Return the records, if they were asked for."""
        return _decode(self.packed) if self.packed else []


@dataclass(frozen=True, slots=True)
class Ending:
    """How shards end: with ``wanted`` ``records``, a ``table`` of them, or (empty) what happened to rows only.

    Rows that mending has emptied are left out, and flagged ones if a person is to see them first (``set_aside``). Of
    ``sealed`` sources the ledger tells neither details nor places, which are headings.
    """

    wanted: str = ""
    set_aside: bool = False
    sealed: frozenset[str] = frozenset()

    def __call__(self, rows: Sequence[Row], entries: list[Entry]) -> Ended:
        """Return the share of a shard with these rows left, to which all this has happened."""
        shape, kept = Shape(), list[Record]()
        if self.wanted:
            left = [row for row in rows if self._stays(row, entries)]
            shape.add(left, self.sealed)
            kept = [record_of(row) for row in left]
        ended = Ended(Counts.of(entries), shape, ledger.table(self.without_details(entries)))
        if self.wanted == "table":
            ended.plain, ended.table = b"".join(map(canonical, kept)), result.table(kept)
        elif kept:
            ended.packed = _encode(kept)
        return ended

    def without_details(self, entries: list[Entry]) -> list[Entry]:
        """Return entries that tell nothing of what sealed sources hold."""
        for entry in entries:
            if entry.source in self.sealed:
                entry.detail = entry.place = ""
        return entries

    def _stays(self, row: Row, entries: list[Entry]) -> bool:
        if empty(row):
            entries.append(_entry(row, "dropped", "emptied"))
        elif self.set_aside and row.meta.get("flags"):
            entries.append(_entry(row, "set_aside", "for_a_person"))
        else:
            return True
        return False


def _entry(row: Row, action: str, reason: str) -> Entry:
    return Entry(
        row.id, "rows", action, reason, before=row.text[:80], name=row.name, place=row.place, source=row.source
    )
