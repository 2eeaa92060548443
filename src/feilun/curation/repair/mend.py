"""The texts of one document mended in the order that works: characters first, then marks, script, spam and furniture.

This module knows the order. It does not know recipes; those that compare many documents use the operators themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feilun.curation.repair.marks import Anticopy, lost_places
from feilun.curation.repair.mojibake import Mojibake
from feilun.curation.repair.normalise import Normalise
from feilun.curation.repair.page import Spam, pruned
from feilun.curation.repair.script import Script
from feilun.curation.seam import Mend, Note

_STEPS: tuple[tuple[str, Mend], ...] = (
    ("mojibake", Mojibake()),
    ("normalise", Normalise()),
    ("anticopy", Anticopy()),
    ("spam", Spam()),
    ("script", Script()),
)


@dataclass(frozen=True, slots=True)
class Repaired:
    """A mended text, and what was done to it: (operator, note) in the order of doing; ``lost`` changes nothing."""

    text: str
    notes: tuple[tuple[str, Note], ...] = ()


def mend_document(texts: Sequence[str], shared: frozenset[int] = frozenset()) -> list[Repaired]:
    """Return the texts of a document mended. ``shared`` are keys (``line_key``) of lines that many documents have."""
    now = list(texts)
    notes: list[list[tuple[str, Note]]] = [[] for _ in texts]
    for name, step in _STEPS:
        for place, mended in enumerate(step.mend(now, [""] * len(now))):
            if mended is not None:
                now[place] = mended.text
                notes[place] += [(name, note) for note in mended.notes]
    for place, text in enumerate(now):
        mended = pruned(text, shared)
        if mended is not None:
            now[place] = mended.text
            notes[place] += [("furniture", note) for note in mended.notes]
        found, shown = lost_places(now[place])
        if found:
            notes[place].append(("lost", Note("lost", shown, sum(found.values()))))
    return [Repaired(text, tuple(told)) for text, told in zip(now, notes, strict=True)]
