"""Who the rows of a comparison are: their keys in arrays, their names packed away until one is needed.

This module knows ids and names of rows. It does not know texts, nor why rows were compared.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feilun.curation.seam import Mending, Note, Row, Ruling

Keys = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]


def key_of(text: str) -> int:
    """Return 64 bits that stand for a text."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class Names:
    """The rows of a batch: a key for each, and how they are named to people, packed."""

    keys: Keys
    packed: bytes

    @staticmethod
    def of(rows: Sequence[Row]) -> Names:
        """Return the names of rows."""
        keys = np.fromiter((key_of(row.id) for row in rows), np.uint64, len(rows))
        names = "\n".join([f"{row.id} {row.name}".replace("\n", " ") for row in rows])
        return Names(keys, zlib.compress(names.encode("utf-8", "surrogatepass"), 1))

    def lines(self) -> list[str]:
        """Return the names."""
        return zlib.decompress(self.packed).decode("utf-8", "surrogatepass").split("\n")


@dataclass(frozen=True, slots=True)
class Fates:
    """What was decided: keys of rows in order, and for each the row it yields to, a score, and a reason by number."""

    keys: Keys
    instead: Ints  # into ``names``
    scores: npt.NDArray[np.float32]
    reasons: npt.NDArray[np.uint8]
    names: tuple[str, ...]

    def find(self, rows: Sequence[Row]) -> list[int]:
        """Return for each row its place among the fates, or -1."""
        if not self.keys.size:
            return [-1] * len(rows)
        keys = np.fromiter((key_of(row.id) for row in rows), np.uint64, len(rows))
        places = np.minimum(np.searchsorted(self.keys, keys), self.keys.size - 1)
        return [int(place) for place in np.where(self.keys[places] == keys, places, -1)]

    def rulings(
        self, rows: Sequence[Row], reasons: Sequence[str], flags: Sequence[str] = ()
    ) -> list[Sequence[Ruling | Mending]]:
        """Return a ruling for each row that has a fate: dropped, or flagged for reasons in ``flags``."""
        found: list[Sequence[Ruling | Mending]] = []
        for place in self.find(rows):
            if place < 0:
                found.append([])
                continue
            reason = reasons[self.reasons[place]]
            note = Note(reason, self.names[self.instead[place]])
            found.append([Ruling("flag" if reason in flags else "drop", note, round(float(self.scores[place]), 3))])
        return found


def fates(
    names: Sequence[Names],
    dropped: Ints,
    kept: Ints,
    scores: npt.NDArray[np.float32] | None = None,
    reasons: npt.NDArray[np.uint8] | None = None,
) -> Fates:
    """Return the fates of rows ``dropped`` that yield to rows ``kept``; both count through all batches in order."""
    keys = np.concatenate([batch.keys for batch in names]) if names else np.zeros(0, np.uint64)
    scores = np.ones(dropped.size, np.float32) if scores is None else scores
    reasons = np.zeros(dropped.size, np.uint8) if reasons is None else reasons
    order = np.argsort(keys[dropped], kind="stable")
    wanted, instead = np.unique(kept[order], return_inverse=True)
    shown = tuple(_named(names, wanted.tolist()))
    return Fates(keys[dropped][order], instead.astype(np.int64), scores[order], reasons[order], shown)


def _named(names: Sequence[Names], wanted: Iterable[int]) -> Iterable[str]:
    """Yield the names of rows by their places in all batches, ascending; each batch is unpacked once."""
    start, batches, lines = 0, iter(names), list[str]()
    for place in wanted:
        while place >= start + len(lines):
            start += len(lines)
            lines = next(batches).lines()
        yield lines[place - start]
