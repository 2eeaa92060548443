"""English personal data of presidio-research: what is found there, by us and by presidio's analyzer.

This module knows the data's entities and how they map to both sides' kinds. It does not know the finder's rules.

Convention (presidio-research's span evaluator): spans of the same type with nothing but spaces, punctuation and line
ends between them are one span, on all sides; a find is right if type and place agree, where places agree if the
characters shared are at least half (``least``) of those covered together. ADDRESS counts as LOCATION, as there.
Entities that only one side knows (TITLE, ORGANIZATION, NRP, US_PASSPORT, US_BANK_NUMBER) do not count.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from feilun.curation.personal import KINDS, Finder

from .scores import Found, Tally

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent.parent / "shared" / "data" / "presidio_pii" / "tests" / "data"
PEER = HERE.parent / "out" / ".presidio"
ENTITIES = [
    "PERSON",
    "LOCATION",
    "PHONE_NUMBER",
    "CREDIT_CARD",
    "EMAIL_ADDRESS",
    "IP_ADDRESS",
    "US_SSN",
    "US_DRIVER_LICENSE",
    "DATE_TIME",
    "URL",
    "IBAN_CODE",
]
_TRUE = {
    "ADDRESS": "LOCATION",
    "GPE": "LOCATION",
    "STREET_ADDRESS": "LOCATION",
    "ZIP_CODE": "LOCATION",
    "DOMAIN_NAME": "URL",
}
_OURS = {
    "NAME": "PERSON",
    "ADDRESS": "LOCATION",
    "PLACE": "LOCATION",
    "PHONE": "PHONE_NUMBER",
    "CARD": "CREDIT_CARD",
    "EMAIL": "EMAIL_ADDRESS",
    "IP": "IP_ADDRESS",
    "SSN": "US_SSN",
    "LICENCE": "US_DRIVER_LICENSE",
    "BIRTHDAY": "DATE_TIME",
    "DATE": "DATE_TIME",
    "URL": "URL",
    "IBAN": "IBAN_CODE",
}
_NOTHING = re.compile(r"[\s\W_]*")


def texts_and_truth(folder: Path = DATA) -> tuple[list[str], list[list[Found]]]:
    """Return the texts and what is true of them."""
    items = [item for path in sorted(folder.glob("*.json")) for item in json.loads(path.read_text(encoding="utf-8"))]
    spans = [
        [
            (_TRUE.get(s["entity_type"], s["entity_type"]), int(s["start_position"]), int(s["end_position"]))
            for s in item["spans"]
        ]
        for item in items
    ]
    return [item["full_text"] for item in items], spans


def merged(text: str, spans: Iterable[Found]) -> list[Found]:
    """Return ``spans`` of the entities that count, neighbours of one type made one."""
    together: list[Found] = []
    for kind, start, end in sorted((s for s in spans if s[0] in ENTITIES), key=lambda s: (s[1], s[2])):
        last = together[-1] if together else None
        if last and last[0] == kind and (start <= last[2] or _NOTHING.fullmatch(text, last[2], start)):
            together[-1] = (kind, last[1], max(end, last[2]))
        else:
            together.append((kind, start, end))
    return together


def ours(texts: Sequence[str]) -> list[list[Found]]:
    """Return what the finder finds, whatever its confidence, as the peer's default does."""
    finder = Finder(frozenset(KINDS), 0.35)
    return [[(_OURS[s.kind], s.start, s.end) for s in spans if s.kind in _OURS] for spans in finder.find_all(texts)]


def presidio(texts: Sequence[str]) -> tuple[list[list[Found]], str, float]:
    """Return what presidio's analyzer finds in its own environment, its model, and its seconds."""
    python = PEER / "bin" / "python"
    given = json.dumps({"texts": list(texts), "entities": ENTITIES})
    done = subprocess.run(
        [str(python), str(HERE / "presidio_peer.py")], input=given, capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    return [_unlike([tuple(s) for s in spans]) for spans in said["found"]], said["model"], said["seconds"]


def _unlike(spans: list[tuple[str, int, int, float]]) -> list[Found]:
    """Return spans without those that lie within surer ones of another type, as presidio's anonymizer resolves them."""
    kept: list[tuple[str, int, int, float]] = []
    for span in sorted(spans, key=lambda s: (-s[3], s[1] - s[2])):
        if all(span[2] <= other[1] or span[1] >= other[2] for other in kept):
            kept.append(span)
    return [(kind, start, end) for kind, start, end, _ in sorted(kept, key=lambda s: s[1])]


def tally(
    texts: Sequence[str], truth: Sequence[Sequence[Found]], found: Sequence[Sequence[Found]], least: float
) -> Tally:
    """Return the counts of what was found against what is true."""
    counts = Tally(least)
    for text, true, one in zip(texts, truth, found, strict=True):
        counts.add(merged(text, true), merged(text, one))
    return counts
