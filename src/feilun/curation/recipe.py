"""The recipe: documents -> training records, passages and a report; read ``curate`` from top to bottom.

This module knows the order of the steps. It does not know the store: what may be read was decided before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from feilun.curation.clean import boilerplate, clean_text, language, worthless
from feilun.curation.conflicts import Correction, apply_corrections, drop_duplicates, drop_exam, settle
from feilun.curation.documents import Document, Skip
from feilun.curation.exams import is_exam, parse_exam
from feilun.curation.mask import Public, introduced, mask, mask_together, named
from feilun.curation.pairs import Extract, Pair, extract, is_labelled, people_in
from feilun.curation.passages import Passage, copies, cut
from feilun.curation.report import Report
from feilun.records import Record, derived_id, normalise_text, text_digest

_SIGNATURE = re.compile(r"(?i)[\s,]*\b(?:(?:best|kind|warm)\s+regards|regards,)\s[^?？]{0,80}$")


@dataclass(frozen=True, slots=True)
class Curated:
    """What a curation gives: records to train on, passages to find, and the report."""

    chat: list[Record]
    passages: list[Record]
    report: Report


def curate(
    documents: Sequence[Document],
    corrections: Sequence[Correction] = (),
    exam_questions: Sequence[str] = (),
    skipped: Iterable[Skip] = (),
) -> Curated:
    """Return the records that the documents hold, cleaned, masked, without copies, contradictions and exam questions.

    The same documents, corrections and questions give the same records with the same ids, in the same order, whatever
    order they come in. ``skipped`` are files that were left out before; they are only reported.
    """
    report = Report(files=len(documents))
    report.skip([*skipped, *(document.problem for document in documents if document.problem)])
    usable = sorted((d for d in documents if not d.problem), key=lambda d: (d.name, d.source))
    report.notes = [f"{document.name}: {note}" for document in usable for note in document.notes]
    exams = [document for document in usable if is_exam(document.name)]
    asked = [*exam_questions, *(item.question for document in exams for item in parse_exam(document))]
    usable = [document for document in usable if not is_exam(document.name)]

    # What is a copy, and which lines are page furniture.
    copied = copies(usable)
    report.copies = {name: original for (_, name), original in sorted(copied.items())}
    furniture = boilerplate(_lines(d) for d in usable if (d.source, d.name) not in copied)
    extracts = [(d, extract(d, furniture | _page_furniture(d))) for d in usable]

    # Personal data goes before anything is compared, shown or kept.
    public = public_facts(extracts)
    masked: Counter[str] = Counter()
    permitted_raw = {d.source for d in usable if not d.mask}
    pairs = [
        masked_pair(pair, public, d.source not in permitted_raw, masked)
        for d, found in extracts
        for pair in acquainted(found.pairs)
    ]
    report.pairs_found = len(pairs)
    report.pairs_by_file = dict(Counter(pair.name for pair in pairs))

    # Each pair by itself: does it hold, does it say something?
    reasons = [
        "superseded" if pair.old else worthless(pair.question, pair.answer, pair.kind == "talk") for pair in pairs
    ]
    report.drop((pair, reason) for pair, reason in zip(pairs, reasons, strict=True) if reason)
    pairs = [pair for pair, reason in zip(pairs, reasons, strict=True) if not reason]

    # Pairs against pairs.
    pairs, dropped = drop_duplicates(pairs)
    report.drop(dropped)
    clean = [replace(c, question=clean_text(c.question), answer=clean_text(c.answer)) for c in corrections]
    pairs, dropped = apply_corrections(pairs, [replace(c, question=mask(c.question, public)) for c in clean])
    report.drop(dropped)
    pairs, dropped, clashes = settle(pairs)
    report.drop(dropped)
    report.clash(clashes)
    pairs, dropped = drop_exam(pairs, asked)
    report.drop(dropped)

    chat = [chat_record(pair) for pair in sorted(pairs, key=lambda pair: pair.key)]
    passages = _passages(extracts, copied, public, masked, report)
    report.masked = dict(sorted(masked.items()))
    report.describe(
        Counter(record.meta["group"] for record in chat),
        Counter(record.meta["lang"] for record in chat),
        Counter(record.meta["topic"] for record in chat if record.meta["topic"]),
    )
    return Curated(chat, passages, report)


def _lines(document: Document) -> list[str]:
    lines = (line for block in document.blocks for line in clean_text(block.text).split("\n"))
    return [line for line in lines if not is_labelled(line)]


def _page_furniture(document: Document) -> frozenset[str]:
    pages = [block.text.split("\n") for block in document.blocks if block.place.startswith("page ")]
    return boilerplate(pages) if len(pages) > 2 else frozenset()


def public_facts(extracts: Sequence[tuple[Document, Extract]]) -> Public:
    """Return what the organisation publishes: its written answers, its prose, its plain tables.

    Conversations, tables of people, what tells of a private person, and documents that must be masked throughout are
    not public.
    """
    texts: list[str] = []
    answers: list[tuple[str, str]] = []
    for document, found in extracts:
        if not document.mask:
            answers.extend((pair.question, pair.answer) for pair in found.pairs if not pair.private)
            for block in found.prose:
                texts.extend([block.heading, block.text])
                if not people_in(block.rows):
                    texts.extend("\n".join(row) for row in block.rows)
    private = [pair for _, found in extracts for pair in found.pairs if pair.private]
    clients = introduced(pair.question for pair in private if pair.kind == "talk")
    clients |= {name.casefold() for pair in private if pair.kind == "table" for name in pair.people}
    return Public.of(texts, answers, frozenset(clients))


def acquainted(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Yield pairs, those of a conversation with the people whom any part of it names."""
    for (private, _), some in groupby(pairs, lambda pair: (pair.private and pair.kind == "talk", pair.place)):
        talk = list(some)
        people = named(text for pair in talk for text in (pair.question, pair.answer)) if private else set()
        yield from (replace(p, people=tuple(sorted({*p.people, *people}))) if people else p for p in talk)


def masked_pair(pair: Pair, public: Public, throughout: bool, counts: Counter[str]) -> Pair:
    """Return a pair without personal data; what is public stays, unless ``throughout``."""
    known = Public() if throughout else public
    question, answer = mask_together([pair.question, pair.answer], known, pair.people, counts)
    question = (_SIGNATURE.sub("", question) if pair.private else "") or question
    return replace(pair, question=question, answer=answer, people=())


def chat_record(pair: Pair) -> Record:
    """Return the record of a pair: a user's message and the assistant's, with its topic, language, group and place."""
    messages = ({"role": "user", "content": pair.question}, {"role": "assistant", "content": pair.answer})
    meta = {
        "topic": pair.topic,
        "lang": language(pair.question),
        "group": f"group-{text_digest(pair.answer)[:16]}",
        "place": pair.place,
        "file": pair.name,
        "origin": pair.kind,
        "day": pair.age.day if pair.age.stated else "",
    }
    sources = tuple(sorted(pair.sources))
    return Record(
        derived_id("record", "chat", pair.question, pair.answer, sources), "chat", sources, messages, "", meta
    )


def passage_record(passage: Passage) -> Record:
    """Return the record of a passage."""
    meta = {"topic": passage.heading, "lang": language(passage.text), "place": passage.place, "file": passage.name}
    key = derived_id("record", "passage", passage.text, passage.source, passage.place)
    return Record(key, "passage", (passage.source,), (), passage.text, meta)


def _passages(
    extracts: Sequence[tuple[Document, Extract]],
    copied: dict[tuple[str, str], str],
    public: Public,
    masked: Counter[str],
    report: Report,
) -> list[Record]:
    """Return the passages of documents that hold and are no copies, each text once."""
    seen: set[str] = set()
    records: list[Record] = []
    for document, found in extracts:
        people = [name for block in found.prose for name in people_in(block.rows)]
        for passage in cut(document, found.prose):
            report.passages_found += 1
            text = passage.text
            if document.mask or people:
                text = mask(text, Public() if document.mask else public, people, masked)
            key = normalise_text(text)
            copy = (document.source, document.name) in copied
            reason = "superseded" if found.old else "copy" if copy else "duplicate" if key in seen else ""
            if reason:
                report.drop_passage(reason, document.name, text)
                continue
            seen.add(key)
            records.append(passage_record(replace(passage, text=text)))
    report.passages_kept = len(records)
    return records
