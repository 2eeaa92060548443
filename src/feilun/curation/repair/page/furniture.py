"""Site furniture removed: stock phrases around the text of one page, and lines that many documents share.

This module knows the three steps of an operator that compares all rows. It does not know phrases, nor how a page is
parted into text and furniture.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from feilun.curation.pairs import is_labelled
from feilun.curation.repair.page.pages import answer_edges, furniture_lines
from feilun.curation.seam import Mended, Mending, Note, Row, Ruling

_ANSWERS = {"assistant", "chosen", "rejected"}
_MOST = 200  # characters of a line that counts as furniture


def line_key(line: str) -> int:
    """Return 64 bits of a line, whatever its case and the blanks around; 0 for lines too short or long."""
    line = line.strip()
    if not 4 <= len(line) <= _MOST or line.isdecimal():
        return 0
    line = line.lower()
    return int.from_bytes(hashlib.blake2b(line.encode("utf-8", "replace"), digest_size=8).digest(), "little") or 1


def _owner(row: Row) -> int:
    said = f"{row.source}\0{row.name}\0{'' if row.name else row.id}".encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "little")


def pruned(text: str, shared: frozenset[int] = frozenset()) -> Mended | None:
    """Return a page without its furniture; ``shared`` are the keys of lines that many documents have."""
    lines = text.split("\n")
    if len(lines) < 4:
        return None
    gone = furniture_lines(lines, lambda line: bool(shared) and line_key(line) in shared)
    return _without(lines, gone) if gone else None


def _without(lines: Sequence[str], gone: Mapping[int, str]) -> Mended:
    kept = [line for place, line in enumerate(lines) if place not in gone]
    counts = Counter(gone.values())
    shown = {kind: lines[place].strip()[:40] for place, kind in sorted(gone.items(), reverse=True)}
    mended = re.sub("\n{3,}", "\n\n", "\n".join(kept)).strip("\n")
    return Mended(mended, tuple(Note(kind, shown[kind], times) for kind, times in counts.items()))


def answered(text: str) -> Mended | None:
    """Return an answer without the stock phrases of the page that it was copied from."""
    lines = text.split("\n")
    gone = answer_edges(lines) if len(lines) > 1 else {}
    return _without(lines, gone) if gone else None


@dataclass(frozen=True, slots=True)
class Furniture:
    """Removes furniture. A line is shared when ``share`` of all documents (at least 3, at most 10) have it."""

    share: float = 0.1

    def sketch(self, rows: Sequence[Row]) -> Any:
        """Return (line, document) pairs as two columns of numbers."""
        pairs: set[tuple[int, int]] = set()
        owners = [_owner(row) for row in rows]
        for row, owner in zip(rows, owners, strict=True):
            for role, text in zip(row.roles, row.texts, strict=True):
                if role == "text" and text.count("\n") >= 2:
                    # Many questions have the same answer, which is no furniture.
                    said = (line for line in text.split("\n") if not is_labelled(line))
                    pairs.update((key, owner) for line in said if (key := line_key(line)))
        lines = np.array(sorted(pairs), np.uint64).reshape(-1, 2)
        return lines, np.array(sorted(set(owners)), np.uint64)

    def decide(self, sketches: Sequence[Any]) -> Any:
        """Return the keys of the lines that many documents share."""
        if not sketches:
            return np.zeros(0, np.uint64)
        documents = len(np.unique(np.concatenate([owners for _, owners in sketches])))
        enough = max(3, min(10, int(np.ceil(self.share * documents))))
        pairs = np.concatenate([lines for lines, _ in sketches])
        keys, counts = np.unique(pairs[:, 0], return_counts=True)
        # Few lines come often enough to be looked at: pairs are slow to compare, and a document may have parts.
        pairs = np.unique(pairs[np.isin(pairs[:, 0], keys[counts >= enough])], axis=0)
        keys, counts = np.unique(pairs[:, 0], return_counts=True)
        return keys[counts >= enough]

    def apply(self, rows: Sequence[Row], decided: Any) -> list[Sequence[Ruling | Mending]]:
        """Return the pages without furniture."""
        shared = frozenset(int(key) for key in decided)
        return [self._one(row, shared) for row in rows]

    def _one(self, row: Row, shared: frozenset[int]) -> Sequence[Ruling | Mending]:
        found: list[Ruling | Mending] = []
        for place, (role, text) in enumerate(zip(row.roles, row.texts, strict=True)):
            if mended := pruned(text, shared) if role == "text" else answered(text) if role in _ANSWERS else None:
                found.append(Mending(place, mended))
        return found
