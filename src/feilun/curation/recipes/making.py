"""Documents as rows, rows cut from documents, rows as records.

This module knows the shapes that documents, rows and records have, and by which digests texts are known again. It does
not know operators, nor whose sources are which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from feilun.curation.clean import clean_text, worthless
from feilun.curation.documents import Block, Document
from feilun.curation.ingest import SENTENCE_ENDS
from feilun.curation.pairs import extract, people_in
from feilun.curation.passages import cut
from feilun.curation.personal import USUAL, Finder
from feilun.curation.personal.masking import label, replaced
from feilun.curation.recipe import acquainted
from feilun.curation.recipes.plan import Made
from feilun.curation.recipes.shards import row_id
from feilun.curation.seam import Entry, Row
from feilun.records import JSON, Record, derived_id, text_digest
from feilun.store import sources

HEADING, CELL = "heading", "cell"


def document_row(document: Document) -> Row:
    """Return a document as a row: its headings, texts, cells and turns, in reading order."""
    roles: list[str] = []
    texts: list[str] = []
    frame: list[list[Any]] = []
    for block in document.blocks:
        parts = [(HEADING, block.heading)] if block.heading else []
        parts += [("text", block.text)] if block.text else []
        parts += [(CELL, cell) for row in block.rows for cell in row]
        parts += [*block.turns, *block.parts]
        frame.append([block.kind, block.place, bool(block.heading), bool(block.text), [len(r) for r in block.rows]])
        frame[-1] += [len(block.turns), len(block.parts), block.day]
        roles += [role for role, _ in parts]
        texts += [_sound(text) for _, text in parts]
    meta: JSON = {"frame": frame, "modified": document.modified, "mask": document.mask}
    made = row_id(document.source, document.name, roles, texts, meta)
    return Row(made, document.source, document.name, "", tuple(roles), tuple(texts), "", meta)


def document_of(row: Row) -> Document:
    """Return the document that a row is; the inverse of :func:`document_row` but for texts that were mended."""
    texts = iter(row.texts)
    roles = iter(row.roles)
    blocks = []
    for kind, place, headed, told, widths, turns, others, day in row.meta["frame"]:
        heading = next(texts) if headed else ""
        text = next(texts) if told else ""
        cells = tuple(tuple(next(texts) for _ in range(width)) for width in widths)
        for _ in range(bool(headed) + bool(told) + sum(widths)):
            next(roles)
        said = tuple((next(roles), next(texts)) for _ in range(turns))
        beside = tuple((next(roles), next(texts)) for _ in range(others))
        blocks.append(Block(kind, place, heading, text, cells, said, day, beside))
    return Document(row.source, row.name, tuple(blocks), row.meta["modified"], bool(row.meta["mask"]))


def _sound(text: str) -> str:
    """Return a text without halves of characters, which no file can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


@dataclass(slots=True)
class Maker:
    """Cuts rows from documents; what it leaves out goes into ``ledger``."""

    made: Made
    refused: Mapping[str, str] = field(default_factory=dict)  # why texts are forbidden, by digest
    ledger: list[Entry] = field(default_factory=list)
    _finder: Finder = field(default_factory=lambda: Finder(frozenset(USUAL), 0.5))
    _again: Counter[str] = field(default_factory=Counter)

    def rows(self, documents: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows of mended documents, in their order."""
        cutters: Mapping[Made, Callable[[Document], Iterator[Row]]] = {
            "chat": self._chat,
            "passages": self._passages,
            "documents": self._whole,
            "preferences": self._given,
            "labels": self._given,
        }
        for each in documents:
            document = document_of(each)
            for row in cutters[self.made](document):
                if each.meta.get("flags"):
                    row.meta["flags"] = each.meta["flags"]
                if document.mask:
                    row.meta["mask"] = True
                if self.refused and (reason := self._refusal(row)):
                    self._leave_out(row, "forbidden", reason)
                    continue
                yield replace(row, lang=row.lang or each.lang)

    def _row(self, document: Document, place: str, roles: tuple[str, ...], texts: tuple[str, ...], meta: JSON) -> Row:
        if document.mask:
            place, topic = self._masked(texts, (place, str(meta.get("topic", ""))), meta.get("people", ()))
            meta |= {"topic": topic} if topic else {}
        key = row_id(document.source, document.name, roles, texts, meta)
        again = self._again[key]
        self._again[key] += 1
        if again:
            key = row_id(document.source, document.name, roles, texts, meta, again)
        return Row(key, document.source, document.name, place, roles, texts, "", meta)

    def _masked(self, texts: tuple[str, ...], headings: tuple[str, str], people: Iterable[str]) -> tuple[str, str]:
        """Return headings without personal data: no step mends them, and they go into reports and datasets."""
        given = (*texts, *headings)
        found = self._finder.find_together(given, self._finder.find_all(given), list(people))
        place, topic = (replaced(text, spans, label) for text, spans in zip(headings, found[len(texts) :], strict=True))
        return place, topic

    def _chat(self, document: Document) -> Iterator[Row]:
        pairs = extract(document).pairs
        answered = {pair.place for pair in pairs}
        for block in document.blocks:
            if block.kind in {"turns", "pair"} and block.place not in answered:
                self._unpaired(document, block)
        for pair in acquainted(pairs):
            meta: JSON = {"topic": pair.topic, "origin": pair.kind, "day": pair.age.day if pair.age.stated else ""}
            if pair.private:
                meta["private"] = True
            if pair.people:
                meta["people"] = list(pair.people)
            row = self._row(document, pair.place, ("user", "assistant"), (pair.question, pair.answer), meta)
            reason = "superseded" if pair.old else worthless(pair.question, pair.answer, pair.kind == "talk")
            if reason:
                self._leave_out(row, reason)
            else:
                yield row

    def _unpaired(self, document: Document, block: Block) -> None:
        """Leave out a conversation that holds no question with its answer, or holds none any more."""
        roles, texts = (tuple(each) for each in zip(*block.turns, strict=True)) if block.turns else ((), ())
        told = {role for role, text in block.turns if clean_text(text)}
        reason = "not_learned" if "context" in told else "no_answer" if "user" in told else "no_question"
        self._leave_out(self._row(document, block.place, roles, texts, {}), reason)

    def _passages(self, document: Document) -> Iterator[Row]:
        found = extract(document)
        people = [name for block in found.prose for name in people_in(block.rows)]
        for passage in cut(document, found.prose):
            meta: JSON = {"topic": passage.heading}
            if people:
                meta["people"] = people
            row = self._row(document, passage.place, ("text",), (passage.text,), meta)
            if found.old:
                self._leave_out(row, "superseded")
            else:
                yield row

    def _whole(self, document: Document) -> Iterator[Row]:
        parts: list[str] = []
        for block in document.blocks:
            parts += [block.heading, block.text]
            parts += [" | ".join(row) for row in block.rows if any(row)]
            parts += [f"{role}: {text}" for role, text in block.turns]
        text = clean_text("\n".join(part for part in parts if part))
        if text:
            yield self._row(document, document.blocks[0].place, ("text",), (text,), {})

    def _given(self, document: Document) -> Iterator[Row]:
        """Yield rows that stand in the file as such: preferences, labelled texts."""
        wanted = {"preferences": ("prompt", "chosen", "rejected"), "labels": ("text", "label")}[self.made]
        for block in document.blocks:
            beside = dict(block.parts)
            if self.made == "preferences" and "rejected" in beside and block.turns:
                asked = "\n".join(text for _, text in block.turns[:-1])
                texts = asked, block.turns[-1][1], beside["rejected"]
                yield self._row(document, block.place, wanted, texts, {})
            elif self.made == "labels" and "label" in beside:
                told = block.text or "\n".join(text for _, text in block.turns)
                yield self._row(document, block.place, wanted, (told, beside["label"]), {})
            elif block.kind == "table" and block.rows:
                yield from self._cells(document, block, wanted)

    def _cells(self, document: Document, block: Block, wanted: tuple[str, ...]) -> Iterator[Row]:
        heads = [head.strip().casefold() for head in block.rows[0]]
        if not set(wanted) <= set(heads):
            return
        columns = [heads.index(name) for name in wanted]
        for number, cells in enumerate(block.rows[1:], 2):
            texts = tuple(cells[column] if column < len(cells) else "" for column in columns)
            yield self._row(document, f"{block.place} row {number}".strip(), wanted, texts, {})

    def _refusal(self, row: Row) -> str:
        """Return why a row holds what a source forbids: the whole of it, or a long sentence."""
        known = sources.record_digests(record_of(row)) | digests_of(row.texts)
        return next((self.refused[digest] for digest in sorted(known) if digest in self.refused), "")

    def _leave_out(self, row: Row, reason: str, detail: str = "") -> None:
        shown = "" if detail else row.text[:80]
        self.ledger.append(
            Entry(row.id, "rows", "dropped", reason, detail, 1, 0.0, shown, "", row.name, row.place, row.source)
        )


_TELLING = 40  # columns: shorter sentences stand in many texts, and say nothing of where they are from


def digests_of(texts: Iterable[str]) -> frozenset[str]:
    """Return the digests of the long sentences of texts, as sources have them noted."""
    found = (clean_text(sentence) for text in texts for sentence in SENTENCE_ENDS.split(text))
    return frozenset(text_digest(sentence) for sentence in found if _columns(sentence) >= _TELLING)


def _columns(text: str) -> int:
    return len(text) if text.isascii() else sum(1 + (char > "\u2e80") for char in text)


def record_of(row: Row) -> Record:
    """Return the record that a row becomes."""
    meta = {key: value for key, value in row.meta.items() if key not in {"private", "people", "mask"}}
    meta |= {"lang": row.lang or "en", "place": row.place, "file": row.name}
    texts = dict(zip(row.roles, row.texts, strict=True))
    sources = (row.source,)
    if "chosen" in texts:
        kind: Any = "preference"
        said = [("user", texts["prompt"]), ("assistant", texts["chosen"]), ("assistant", texts["rejected"])]
    elif "label" in texts:
        meta["label"] = texts["label"]
        return Record(derived_id("record", "label", row.texts, sources), "label", sources, (), texts["text"], meta)
    elif "assistant" in texts:
        kind, said = "chat", list(zip(row.roles, row.texts, strict=True))
        meta["group"] = f"group-{text_digest(texts['assistant'])[:16]}"
    else:
        return Record(
            derived_id("record", "passage", row.text, row.source, row.place), "passage", sources, (), row.text, meta
        )
    messages = tuple({"role": role, "content": text} for role, text in said)
    return Record(derived_id("record", kind, *row.texts, sources), kind, sources, messages, "", meta)


def empty(row: Row) -> bool:
    """Tell whether mending has left a row without what it needs."""
    return not all(
        text.strip() for role, text in zip(row.roles, row.texts, strict=True) if role not in {"system", HEADING}
    )


canonical = msgspec.json.Encoder(order="deterministic").encode
