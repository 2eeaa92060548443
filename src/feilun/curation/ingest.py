"""A folder -> sources in the store; sources in the store -> documents for a purpose.

This module knows the store's sources and the scanner. It does not know what becomes of the documents. Files that
vanished from the folder stay sources; of a file that changed, the newest content counts.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from feilun.curation.clean import clean_text
from feilun.curation.documents import Document, Skip, Unreadable, skip
from feilun.curation.exams import is_exam, parse_exam
from feilun.curation.mask import Public, mask
from feilun.curation.pairs import extract
from feilun.curation.passages import cut
from feilun.curation.recipe import chat_record, masked_pair, passage_record
from feilun.curation.scan import Found, load, parse, scan
from feilun.errors import Forbidden, NothingUsable
from feilun.records import EvalItem, Purpose, Record, Source, derived_id, text_digest
from feilun.store import sources
from feilun.store.database import Database

_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n")


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingestion did: ids of sources added, known before, and given other permissions; files left out; notes."""

    added: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    permissions_changed: list[str] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def ingest(db: Database, ws: str, paths: Sequence[Path]) -> IngestReport:
    """Add every readable file below ``paths`` as a source, with its permissions and the digests of its texts.

    Running it again adds nothing twice. Raises BadSource (no such path, broken permissions file: then nothing at all
    is added) and NothingUsable if no file can be read.
    """
    found, skipped, notes = scan(list(paths))
    report = IngestReport(skipped=skipped, notes=notes)
    known: dict[str, list[Source]] = {}
    for source in sources.find(db, ws, "file"):
        known.setdefault(str(source.meta.get("path", source.name)), []).append(source)
    for file in found:
        try:
            data = load(file.path)
            document = parse(file.name, data)
        except Unreadable as problem:
            report.skipped.append(skip(file.name, problem.reason, problem.detail))
            continue
        _keep(db, ws, file, data, document, known.get(str(file.path), []), report)
    if not report.added and not report.unchanged:
        reasons = "; ".join(f"{item.name}: {item.en}" for item in report.skipped[:5])
        raise NothingUsable(
            f"None of {len(report.skipped)} files could be used. {reasons}".strip(),
            "Add files with text: DOCX, XLSX, PDF, HTML, Markdown, text, CSV or JSON.",
        )
    return report


def _keep(
    db: Database, ws: str, file: Found, data: bytes, document: Document, known: Sequence[Source], report: IngestReport
) -> None:
    """Add one file unless its newest known content is the same; give all its contents today's permissions.

    A rule of the folder can take permissions away, never give back what a person took away since: that is done by name.
    """
    sha = hashlib.sha256(data).hexdigest()
    allowed = sources.strictest([file.permissions, *(source.permissions for source in known)])
    if known and known[-1].sha256 == sha:
        source_id = known[-1].id
        report.unchanged.append(source_id)
    else:
        # A file that goes back to an earlier content is newer than what lies between, so it gets an id of its own.
        before = sum(source.sha256 == sha for source in known)
        source = Source(
            id=derived_id("source", ws, file.name, sha, before),
            workspace=ws,
            name=file.name,
            sha256=sha,
            size=len(data),
            media=file.path.suffix.lstrip(".").casefold(),
            permissions=allowed,
            meta={"path": str(file.path), "modified": file.modified},
        )
        source_id = sources.add(db, source, data).id
        report.added.append(source_id)
    # Also for known sources: a process killed between the two writes must not leave a source without digests.
    sources.note_digests(db, ws, source_id, digests(document))
    for source in known:
        if source.permissions != allowed:
            sources.set_permissions(db, ws, source.id, allowed)
            report.permissions_changed.append(source.id)
    if allowed != file.permissions:
        report.notes.append(f"{file.name}: stricter than its folder's rules; change it with feilun permissions.")


def digests(document: Document) -> set[str]:
    """Return the digests by which copies of a document's texts are known: pairs, passages, paragraphs, sentences.

    Each as written and as masked, because a copy in another source may be masked before it is compared.
    """
    found = extract(document)
    records: list[Record] = []
    for pair in found.pairs:
        plain = replace(pair, people=())
        hidden = masked_pair(pair, Public(), True, Counter())
        records.extend(chat_record(form) for form in ([plain] if plain == hidden else [plain, hidden]))
    texts: set[str] = set()
    for passage in cut(document, found.prose):
        records.append(passage_record(passage))
        texts.update(_SENTENCE.split(passage.text))
    known = {digest for record in records for digest in sources.record_digests(record)}
    for text in texts:
        for form in {clean_text(text), mask(clean_text(text), Public())}:
            if len(form) >= sources.SHORTEST_TEXT:
                known.add(text_digest(form))
    return known


def documents(db: Database, ws: str, purpose: Purpose, origins: Sequence[str] = ("file", "upload")) -> list[Document]:
    """Return the documents of a workspace that may be used for ``purpose``, sorted by name, without exam files.

    One that cannot be read is there with its ``problem`` and no blocks. Corrections (origin ``feedback``) are not
    documents. Raises BadRequest for an unknown purpose.
    """
    return [_read(db, ws, source, purpose) for source in _current(db, ws, purpose, origins) if not is_exam(source.name)]


def exam_items(db: Database, ws: str, origins: Sequence[str] = ("file",)) -> list[EvalItem]:
    """Return the questions of the organisation's own exam files, each once, in the order of the files' names."""
    items: dict[str, EvalItem] = {}
    for source in _current(db, ws, "evaluate", origins):
        if is_exam(source.name):
            for item in parse_exam(_read(db, ws, source, "evaluate")):
                meta = {**item.meta, "sources": [source.id]}
                items.setdefault(item.id, replace(item, meta=meta))
    return list(items.values())


def _current(db: Database, ws: str, purpose: Purpose, origins: Sequence[str]) -> list[Source]:
    """Return the permitted sources whose content is the newest of their file, by name."""
    newest: dict[str, str] = {}
    for source in sources.find(db, ws):
        newest[str(source.meta.get("path", source.id))] = source.id
    permitted = sources.permitted(db, ws, purpose)
    wanted = [s for s in permitted if s.origin in origins and newest[str(s.meta.get("path", s.id))] == s.id]
    return sorted(wanted, key=lambda source: (source.name, source.id))


def _read(db: Database, ws: str, source: Source, purpose: Purpose) -> Document:
    masked = source.permissions.mask == "pseudonymise"
    try:
        data = sources.content(db, ws, source.id, purpose)
        return parse(source.name, data, source.id, str(source.meta.get("modified", "")), masked)
    except Unreadable as problem:
        return Document(source.id, source.name, (), problem=skip(source.name, problem.reason, problem.detail))
    except Forbidden:
        return Document(source.id, source.name, (), problem=skip(source.name, "forbidden"))
