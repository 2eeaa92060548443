"""A folder -> sources in the store; sources in the store -> documents for a purpose.

This module knows the store's sources, the scanner and the pool of readers. It does not know what becomes of the
documents, nor any file format. Files that vanished from the folder stay sources; of a file that changed, the newest
content counts. Files within archives, and what is attached to messages, are sources of their own, named
``archive.zip/inner/file.docx``; the rules of the folder reach into them by these names, and a permissions file within
an archive can only forbid more.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from feilun.curation.clean import clean_text
from feilun.curation.documents import Document, Skip, Unreadable, skip
from feilun.curation.exams import is_exam, parse_exam
from feilun.curation.mask import Public, mask
from feilun.curation.pairs import extract
from feilun.curation.passages import cut
from feilun.curation.readers.archives import ARCHIVES, ending, gives_rules, is_container, whole_budget
from feilun.curation.readers.confined import Budget, Pool, shared_pool
from feilun.curation.recipe import chat_record, masked_pair, passage_record
from feilun.curation.rules import Rule, permissions_of, rules_in, values_of
from feilun.curation.scan import Found, load, look, written
from feilun.errors import BadSource, Forbidden, NothingUsable
from feilun.records import JSON, EvalItem, Permissions, Purpose, Record, Source, derived_id, text_digest
from feilun.store import audit, sources
from feilun.store.access import permits
from feilun.store.database import Database

SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n")
_DEEPEST = 4  # archives and messages within each other


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingestion did: ids of sources added, known before, and given other permissions; files left out; notes."""

    added: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    permissions_changed: list[str] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an ingestion is: files of the folder that are done, of how many; the last one's name; sources so far."""

    done: int
    files: int
    name: str
    sources: int


@dataclass(frozen=True, slots=True)
class Piece:
    """One file to be kept, or (``problem``) why it is not; ``at`` counts the files of the folder up to it.

    ``meta`` is kept with the source.
    """

    file: Found
    data: bytes = b""
    problem: Skip | None = None
    at: int = 0
    meta: JSON = field(default_factory=dict)


def ingest(
    db: Database,
    ws: str,
    paths: Sequence[Path],
    progress: Callable[[Progress], None] | None = None,
    pool: Pool | None = None,
) -> IngestReport:
    """Add every readable file below ``paths`` as a source, with its permissions and the digests of its texts.

    Running it again adds nothing twice, also after it was killed in the middle. ``progress`` is told of every file.
    Raises BadSource (no such path, broken permissions file: then nothing at all is added), OutOfSpace, and
    NothingUsable if no file can be read.
    """
    survey = look(list(paths))
    unpacker = Unpacker(pool or shared_pool(), survey.rules)
    pieces = unpacker.pieces(survey.found)
    report = keep_all(db, ws, pieces, unpacker.pool, progress, len(survey.found))
    report.skipped[:0] = survey.skipped
    report.notes[:0] = survey.idle(unpacker.seen)
    if not report.added and not report.unchanged:
        reasons = "; ".join(f"{item.name}: {item.en}" for item in report.skipped[:5])
        raise NothingUsable(
            f"None of {len(report.skipped)} files could be used. {reasons}".strip(),
            "Add files with text: DOCX, XLSX, PDF, HTML, Markdown, text, CSV or JSON.",
        )
    return report


def keep_all(
    db: Database,
    ws: str,
    pieces: Iterator[Piece],
    pool: Pool,
    progress: Callable[[Progress], None] | None = None,
    files: int = 0,
) -> IngestReport:
    """Read ``pieces`` in confined processes and add them as sources, in their order."""
    report = IngestReport()
    known: dict[str, list[Source]] = {}
    for source in sources.find(db, ws, "file"):
        known.setdefault(str(source.meta.get("path", source.name)), []).append(source)
    holders = _of_holders(known)
    owners = {source.id: path for path, given in known.items() for source in given}

    def read(piece: Piece) -> tuple[Document, list[str]]:
        if piece.problem:
            raise Unreadable(piece.problem.reason)
        return pool.read(piece.file.name, piece.data)

    for piece, result in pool.map(read, pieces):
        problem = result.exception()
        if isinstance(problem, Unreadable):
            report.skipped.append(piece.problem or skip(piece.file.name, problem.reason, problem.detail))
        else:
            path = written(piece.file.path)
            document, texts = result.result()
            report.notes.extend(f"{piece.file.name}: {note}" for note in document.notes)
            like = known.get(path) or [holders[one] for one in _holders(path) if one in holders][:1]
            _keep(db, ws, piece, texts, known.get(path, []), owners, report, like)
        if progress is not None:
            progress(Progress(piece.at, files, piece.file.name, len(report.added) + len(report.unchanged)))
    return report


class Unpacker:
    """Files of a folder -> these and the files within them, with what the rules permit for each.

    ``seen`` are the paths of all files, those within archives written as if the archive were a folder.
    """

    def __init__(self, pool: Pool, rules: Sequence[Rule], given: Permissions | None = None) -> None:
        """Unpack in the children of ``pool``; a file is permitted what ``rules`` of its folder say, or ``given``."""
        self.pool = pool
        self.seen: list[Path] = []
        self._rules = list(rules)
        self._given = given

    def pieces(self, found: Sequence[Found]) -> Iterator[Piece]:
        """Yield every file of a folder, what is within it after it."""
        for at, file in enumerate(found, 1):
            self.seen.append(file.path)
            try:
                data = load(file.path)
            except Unreadable as problem:
                yield _refused(file, problem, at)
                continue
            for piece in self.unpack(file, data):
                yield replace(piece, at=at)

    def unpack(self, file: Found, data: bytes) -> Iterator[Piece]:
        """Yield a file, unless it is nothing but a container of others, and then what is within it."""
        return self._unpack(file, data, whole_budget(), ())

    def _unpack(self, file: Found, data: bytes, budget: Budget, layers: tuple[list[Rule], ...]) -> Iterator[Piece]:
        alone = ending(file.name) in ARCHIVES or ending(file.name) == ".mbox"
        if not alone:
            yield Piece(file, data)
        if is_container(file.name):
            try:
                if len(layers) >= _DEEPEST:
                    raise Unreadable("too_deep")
                yield from self._within(file, data, budget, layers)
            except Unreadable as problem:
                # A message that cannot be read says so itself.
                if alone or problem.reason == "bad_rules":
                    yield _refused(file, problem)

    def _within(self, file: Found, data: bytes, budget: Budget, layers: tuple[list[Rule], ...]) -> Iterator[Piece]:
        inner: list[Rule] = []
        depth = budget.depth - (ending(file.name) in ARCHIVES)
        empty = True
        for member in self.pool.members(file.name, data, budget):
            empty = False
            inside = replace(file, path=file.path / member.name, name=f"{file.name}/{member.name}")
            if isinstance(member, Skip):
                yield Piece(inside, problem=replace(member, name=inside.name))
            elif gives_rules(member.name):
                try:
                    inner.extend(rules_in(member.data, inside.path))
                except BadSource as error:
                    raise Unreadable("bad_rules", str(error)) from error
            elif budget.bytes <= 0 or budget.members <= 0:
                raise Unreadable("zip_bomb")
            else:
                self.seen.append(inside.path)
                below = (*layers, inner)
                allowed = self._permitted(inside.path, below)
                said = {} if self._given else values_of(inside.path, self._rules)
                said |= permits.said_by(allowed)  # rules within an archive only forbid
                inside = replace(inside, permissions=allowed, modified=member.modified or file.modified, said=said)
                budget = Budget(budget.bytes - len(member.data), budget.members - 1, depth)
                for piece in self._unpack(inside, member.data, budget, below):
                    budget = Budget(budget.bytes - len(piece.data), budget.members - 1, depth)
                    yield piece
        if empty and ending(file.name) in ARCHIVES:
            raise Unreadable("empty")

    def _permitted(self, path: Path, layers: Sequence[list[Rule]]) -> Permissions:
        """Return what the folder permits for ``path``, and what the archives around it forbid beyond that."""
        allowed = self._given or permissions_of(path, self._rules)
        for rules in layers:
            allowed = sources.strictest([allowed, replace(allowed, **values_of(path, rules))])
        return allowed


def _refused(file: Found, problem: Unreadable, at: int = 0) -> Piece:
    return Piece(file, problem=skip(file.name, problem.reason, problem.detail), at=at)


def _of_holders(known: Mapping[str, Sequence[Source]]) -> dict[str, Source]:
    """Return, by the paths of archives and messages, a source out of each for all of which one thing holds.

    That was then said of the whole, and holds for what comes out of it from now on.
    """
    inside: defaultdict[str, list[Source]] = defaultdict(list)
    for path, some in known.items():
        for holder in {path, *_holders(path)} if is_container(path) else _holders(path):
            inside[holder] += some
    return {holder: some[0] for holder, some in inside.items() if len({one.permissions for one in some}) == 1}


def _holders(path: str) -> list[str]:
    """Return the paths of the archives and messages that a file is within, the innermost first."""
    parts = path.split("/")
    return [holder for size in range(len(parts) - 1, 0, -1) if is_container(holder := "/".join(parts[:size]))]


def _keep(
    db: Database,
    ws: str,
    piece: Piece,
    texts: Sequence[str],
    known: Sequence[Source],
    owners: dict[str, str],
    report: IngestReport,
    like: Sequence[Source],
) -> None:
    """Add one file unless its newest known content is the same; give all its contents today's permissions.

    A rule of the folder can take permissions away, never give back what a person took away since: that is done by name.
    """
    file, data = piece.file, piece.data
    path = written(file.path)
    sha = hashlib.sha256(data).hexdigest()
    if known and known[-1].sha256 == sha:
        source_id = known[-1].id
        report.unchanged.append(source_id)
    else:
        # A file that goes back to an earlier content is newer than what lies between, so it gets an id of its own.
        before = sum(source.sha256 == sha for source in known)
        source_id = derived_id("source", ws, file.name, sha, before)
        if owners.get(source_id, path) != path:
            # The same name and bytes below another folder, perhaps with other permissions: a source of its own.
            source_id = derived_id("source", ws, file.name, sha, before, path)
        source = Source(
            id=source_id,
            workspace=ws,
            name=file.name,
            sha256=sha,
            size=len(data),
            media=PurePosixPath(file.name).suffix.lstrip(".").casefold(),
            meta={"path": path, "modified": file.modified, **piece.meta},
        )
        sources.add(db, source, data, {}, file.said, [earlier.id for earlier in like])
        owners[source_id] = path
        report.added.append(source_id)
    # Also for known sources: a process killed between the two writes must not leave a source without digests.
    sources.note_digests(db, ws, source_id, texts)
    for source in known:
        if sources.inherit(db, ws, source.id, file.said).permissions != source.permissions:
            report.permissions_changed.append(source.id)
    held = sources.get(db, ws, source_id).permissions
    if sources.strictest([held, file.permissions]) != file.permissions:
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
        texts.update(SENTENCE_ENDS.split(passage.text))
    known = {digest for record in records for digest in sources.record_digests(record)}
    for text in texts:
        for form in {clean_text(text), mask(clean_text(text), Public())}:
            if len(form) >= sources.SHORTEST_TEXT:
                known.add(text_digest(form))
    return known


def documents(
    db: Database, ws: str, purpose: Purpose, origins: Sequence[str] = ("file", "upload"), pool: Pool | None = None
) -> list[Document]:
    """Return the documents of a workspace that may be used for ``purpose``, sorted by name, without exam files.

    One that cannot be read is there with its ``problem`` and no blocks. An archive that was uploaded gives a document
    for each file within. Corrections (origin ``feedback``) are not documents. Raises BadRequest for an unknown purpose.
    """
    wanted = [source for source in _current(db, ws, purpose, origins) if not is_exam(source.name)]
    with audit.together(db):
        return _read(db, ws, wanted, purpose, pool or shared_pool())


def exam_items(db: Database, ws: str, origins: Sequence[str] = ("file",), pool: Pool | None = None) -> list[EvalItem]:
    """Return the questions of the organisation's own exam files, each once, in the order of the files' names."""
    items: dict[str, EvalItem] = {}
    wanted = [source for source in _current(db, ws, "evaluate", origins) if is_exam(source.name)]
    for document in _read(db, ws, wanted, "evaluate", pool or shared_pool()):
        for item in parse_exam(document):
            items.setdefault(item.id, replace(item, meta={**item.meta, "sources": [document.source]}))
    return list(items.values())


def _current(db: Database, ws: str, purpose: Purpose, origins: Sequence[str]) -> list[Source]:
    """Return the permitted sources whose content is the newest of their file, by name."""
    newest: dict[str, str] = {}
    for source in sources.find(db, ws):
        newest[str(source.meta.get("path", source.id))] = source.id
    permitted = sources.permitted(db, ws, purpose)
    wanted = [s for s in permitted if s.origin in origins and newest[str(s.meta.get("path", s.id))] == s.id]
    return sorted(wanted, key=lambda source: (source.name, source.id))


def _read(db: Database, ws: str, wanted: Sequence[Source], purpose: Purpose, pool: Pool) -> list[Document]:
    """Return the documents of sources, in their order."""

    def pieces() -> Iterator[tuple[Source, Piece]]:
        for source in wanted:
            modified = str(source.meta.get("modified", ""))
            file = Found(Path(source.name), source.name, source.permissions, modified)
            try:
                data = sources.content(db, ws, source.id, purpose)
            except Forbidden:
                yield source, Piece(file, problem=skip(source.name, "forbidden"))
                continue
            if source.origin == "file":
                # What was within it became sources of their own when it was imported.
                yield source, Piece(file, data)
            else:
                unpacker = Unpacker(pool, [], source.permissions)
                yield from ((source, piece) for piece in unpacker.unpack(file, data))

    def read(item: tuple[Source, Piece]) -> Document:
        source, piece = item
        file, problem = piece.file, piece.problem
        if problem is None and permits.refused(file.permissions, purpose, dt.datetime.now(dt.UTC).date()):
            problem = skip(file.name, "forbidden")
        if problem is None:
            masked = file.permissions.mask == "pseudonymise"
            try:
                return pool.parse(file.name, piece.data, source.id, file.modified, masked)
            except Unreadable as error:
                problem = skip(file.name, error.reason, error.detail)
        return Document(source.id, file.name, (), problem=problem)

    return [future.result() for _, future in pool.map(read, pieces())]
