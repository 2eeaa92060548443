"""Prose and plain tables -> passages; copies of a document are told.

This module cuts text into pieces that can be found and cited. It does not know questions, permissions or the store.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from feilun.curation.clean import clean_text, is_mark
from feilun.curation.documents import Block, Document
from feilun.records import normalise_text

LENGTH = 1_000
MOST = 5_000
COPY = 0.85
_SHINGLE = 3
_SKETCH = 256


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a source: a paragraph, a long paragraph's part, or some rows of a table with the names of columns."""

    text: str
    source: str
    name: str
    place: str = ""
    heading: str = ""


def cut(document: Document, prose: Sequence[Block]) -> Iterator[Passage]:
    """Yield the passages of a document's prose: paragraphs of at most 1000 characters; at most 5000 of them."""
    pieces = ((block, text) for block in prose for text in _pieces(block))
    for block, text in itertools.islice(pieces, MOST):
        if sum(char.isalnum() for char in text) >= 4 and not is_mark(text):
            yield Passage(text, document.source, document.name, block.place, clean_text(block.heading[:500]))


def _pieces(block: Block) -> Iterator[str]:
    if block.kind == "table":
        yield from _row_pieces(block.rows)
    for paragraph in re.split(r"\n\s*\n", block.text):
        yield from _split(paragraph.strip())


def _split(text: str) -> Iterator[str]:
    """Yield ``text`` in pieces of at most LENGTH characters, cut at line or sentence ends where there are any."""
    while len(text) > LENGTH:
        ends = [match.end() for match in re.finditer(r"\n|[。！？!?；;]|\.\s", text[:LENGTH])]
        end = ends[-1] if ends and ends[-1] > LENGTH // 4 else LENGTH
        yield text[:end].strip()
        text = text[end:].strip()
    if text:
        yield text


def _row_pieces(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield some rows together, each as ``column: value; …``; the first row with two cells is the header."""
    full = [row for row in rows if any(row)]
    start = next((i for i, row in enumerate(full) if sum(map(bool, row)) > 1), len(full))
    names = full[start] if start < len(full) else ()
    piece = ""
    for row in full[start + 1 :]:
        cells = (
            f"{name}: {value}" if name else value
            for name, value in itertools.zip_longest(names, row, fillvalue="")
            if value
        )
        line = clean_text("; ".join(cells))[:LENGTH]
        if piece and len(piece) + len(line) > LENGTH:
            yield piece
            piece = ""
        piece = f"{piece}\n{line}".strip()
    if piece:
        yield piece


def words_of(document: Document) -> str:
    """Return all the text of a document, normalised."""
    parts: list[str] = []
    for block in document.blocks:
        parts.extend((block.heading, block.text))
        parts.extend(cell for row in block.rows for cell in row)
        parts.extend(text for _, text in block.turns)
    return normalise_text("\n".join(parts))


def copies(documents: Iterable[Document]) -> dict[tuple[str, str], str]:
    """Return (source, name) of a document -> name of the earlier one that it is a copy or a near copy of.

    Near: the word trigrams (for Chinese: characters) have a Jaccard index of at least 0.85, estimated on the 256
    smallest hashes (Broder 1997), and all figures are the same: other figures make it another version, not a copy. The
    original is the one whose name looks least like a copy's.
    """
    sketches: dict[str, frozenset[int]] = {}
    figures: dict[str, frozenset[str]] = {}
    index: dict[int, list[str]] = defaultdict(list)
    found: dict[tuple[str, str], str] = {}
    for document in sorted(documents, key=lambda d: (_looks_copied(d.name), d.name)):
        text = words_of(document)
        if not text:
            continue
        sketch = _sketch(text)
        numbers = frozenset(re.findall(r"\d+", text))
        # A copy shares most of the smallest hashes, so looking up a few of them finds every candidate.
        near = {name for value in sorted(sketch)[:32] for name in index[value]}
        likely = ((name, _estimate(sketch, sketches[name])) for name in sorted(near) if figures[name] == numbers)
        name, score = max(likely, key=lambda pair: pair[1], default=("", 0.0))
        if score >= COPY:
            found[document.source, document.name] = name
            continue
        sketches[document.name], figures[document.name] = sketch, numbers
        for value in sorted(sketch)[:32]:
            index[value].append(document.name)
    return found


def _looks_copied(name: str) -> bool:
    return re.search(r"(?i)copy|\(\d\)|archive|backup|old|副本|复制|拷贝|备份", name) is not None


def _sketch(text: str) -> frozenset[int]:
    words = re.findall(r"[\u3400-\u9fff]|[^\s\u3400-\u9fff]+", text)
    shingles = {" ".join(words[i : i + _SHINGLE]) for i in range(max(1, len(words) - _SHINGLE + 1))}
    hashes = (int.from_bytes(hashlib.blake2b(s.encode(), digest_size=8).digest(), "big") for s in shingles)
    return frozenset(sorted(hashes)[:_SKETCH])


def _estimate(one: frozenset[int], other: frozenset[int]) -> float:
    union = frozenset(sorted(one | other)[:_SKETCH])
    return len(union & one & other) / len(union)
