"""A recipe from end to end: documents -> mended documents -> rows -> a dataset version and its health report.

This module knows in which order that is done and what is left in which folder. It does not know what operators do.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from feilun.compute.locks import lock
from feilun.curation import health
from feilun.curation.documents import Document, Skip
from feilun.curation.ingest import documents, exam_items
from feilun.curation.mask import introduced, published
from feilun.curation.personal import USUAL, Finder
from feilun.curation.personal.masking import key_of, label, replaced
from feilun.curation.recipes import engine
from feilun.curation.recipes.around import Around, reader
from feilun.curation.recipes.catalogue import operators
from feilun.curation.recipes.ending import Ended, Ending
from feilun.curation.recipes.ledger import Ledger
from feilun.curation.recipes.making import Maker, document_of, document_row
from feilun.curation.recipes.plan import Recipe, Step, find
from feilun.curation.recipes.refusals import in_memory, refused
from feilun.curation.recipes.result import sum_of, writing
from feilun.curation.recipes.streaming import refused_texts, rows_of_all, sorted_out
from feilun.curation.report import DROPS
from feilun.curation.scan import look
from feilun.curation.seam import Entry, Row
from feilun.errors import NothingUsable
from feilun.records import JSON, DatasetVersion, Purpose, Record
from feilun.store import datasets, evals, sources, workspaces
from feilun.store.access.sealing import derived
from feilun.store.blobs import written_whole
from feilun.store.database import Database
from feilun.store.vault import contents

Say = Callable[[str, int, int], None]
MASKED = "personal"  # the operator that sources with mask: pseudonymise always pass
_HISTORY = 100


@dataclass(frozen=True, slots=True)
class Options:
    """How a recipe runs: in how many processes (0: one for each core), on a sample of how many rows (0: all)."""

    processes: int = 0
    preview: int = 0
    name: str = ""  # of the dataset; empty: the recipe's
    language: str = "en"  # of the page, at first sight
    embedding: str = ""
    terms: tuple[str, ...] = ()
    model: str = ""  # the base model that says how likely texts are, where a recipe asks; it must be ready


@dataclass(slots=True)
class Outcome:
    """What came of a recipe: the report and its page for people; ``version`` is None for a preview."""

    report: JSON
    page: Path
    version: DatasetVersion | None = None
    records: list[Record] = field(default_factory=list)


def curate_workspace(
    db: Database, ws: str, recipe: Recipe, options: Options, say: Say | None = None, skipped: Sequence[Skip] = ()
) -> Outcome:
    """Run a recipe over all sources of a workspace that permit its purpose; write the rows as a dataset version.

    Raises NotFound for an unknown workspace, NothingUsable, Busy if this recipe runs already, OutOfSpace. A preview
    writes no dataset.
    """
    workspaces.ensure(db, ws)
    base = contents.derived(db, ws) / _file_name(recipe.name)
    with lock(db.root / "locks" / f"curation-{base.parent.name}-{base.name}.lock", f"the recipe {recipe.name}"):
        found = documents(db, ws, recipe.purpose)
        usable = [document for document in found if not document.problem]
        if not usable:
            raise NothingUsable(
                f"No source of this workspace may be used to {recipe.purpose} and can be read.", "Add files first."
            )
        asked = [item.question for item in exam_items(db, ws)]
        asked += [item.question for exam in evals.find(db, ws) for item in exam.items]
        around = Around(
            tuple(sorted(set(asked))),
            options.terms,
            options.embedding,
            derived(db.root, "pseudonyms", ws),
            reader=reader(db.root, options.model, recipe),
        )
        sealed = frozenset(source.id for source in sources.find(db, ws) if source.permissions.encrypt)
        with _ledger(base, options) as ledger, _work(base, options, sealed) as folder:
            run = _Run(recipe, options, around, say, ledger)
            run.sealed = sealed
            run.skipped = [*skipped, *(document.problem for document in found if document.problem)]
            run.notes = [f"{document.name}: {note}" for document in usable for note in document.notes]
            run.refused = refused(db, ws, recipe, folder)
            run.newest = max((document.modified for document in usable), default="")
            if options.preview:
                return run.preview(usable, folder, base)
            records = run.records(usable, folder)
            version, left_out = datasets.write(
                db, ws, options.name or recipe.name, records, recipe.purpose, {"recipe": recipe.name}
            )
            run.forbid(left_out)
            outcome = run.report(base, version.sha256, len(usable))
            outcome.version = version
            return outcome


def curate_files(
    paths: Iterable[Path],
    recipe: Recipe,
    out: Path,
    options: Options,
    say: Say | None = None,
    around: Around | None = None,
) -> Outcome:
    """Run a recipe over large files of rows without a store; leave ``rows.parquet`` and the report in ``out``.

    The files' rows are taken as they stand, one batch at a time, so that files may be larger than the memory. What
    ``feilun.permissions.yaml`` beside them says holds here, too. Raises BadSource, NothingUsable, OutOfSpace.
    """
    around = around or Around(terms=options.terms, embedding=options.embedding)
    survey = look(list(paths))
    files, skipped = sorted_out(survey.found, recipe.purpose)
    if not files:
        told = "; ".join(f"{each.name}: {each.en}" for each in [*survey.skipped, *skipped][:5])
        raise NothingUsable(
            f"No file of rows may be used to {recipe.purpose}. {told}", "Give .jsonl or .parquet files."
        )
    steps = _masking((*recipe.documents, *recipe.rows), any(f.permissions.mask == "pseudonymise" for f in files))
    processes = options.processes or engine.cores()
    with _ledger(out, options) as ledger:
        run = _Run(recipe, options, around, say, ledger)
        run.skipped = [*survey.skipped, *skipped]
        with writing(out / "rows.parquet") as rows:

            def take(ended: Ended) -> None:
                run.take(ended)
                rows.add(ended.table, ended.plain)

            work, given = out / "work", rows_of_all(files, run.notes, refused_texts(survey.found, files))
            run.told(engine.run(given, steps, work, around, processes, say, run.ending("table"), take))
        outcome = run.report(out, rows.sum(), len(files))
    shutil.rmtree(out / "work", ignore_errors=True)
    return outcome


@contextmanager
def _ledger(base: Path, options: Options) -> Iterator[Ledger]:
    """Give the ledger of a run, which is there only once the run has ended well."""
    ledger = Ledger(base / ("preview-ledger.parquet" if options.preview else "ledger.parquet"))
    whole = False
    try:
        yield ledger
        whole = True
    finally:
        ledger.close(whole)


@contextmanager
def _work(base: Path, options: Options, sealed: frozenset[str]) -> Iterator[Path]:
    """Give a folder to work in: one that lasts, or for sealed sources and previews one that leaves nothing behind."""
    if not (sealed or options.preview):
        yield base / "work"
        return
    if sealed:  # what was kept before anything had to be encrypted
        shutil.rmtree(base / "work", ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="feilun-curation-", dir=in_memory() if sealed else None) as folder:
        yield Path(folder)


def mended(db: Database, ws: str, purpose: Purpose) -> list[Document]:
    """Return the documents that may be used for a purpose, after what the recipe ``chat`` does with whole documents.

    Those that cannot be read are there with their problem. What is no more than an old version of another is left out.
    """
    found = documents(db, ws, purpose)
    usable = [document_row(document) for document in found if not document.problem]
    notes = {document.source: document.notes for document in found}
    with tempfile.TemporaryDirectory(prefix="feilun-mended-", dir=in_memory()) as folder:
        result = engine.run(usable, find("chat").documents, Path(folder), Around())
        kept = [replace(document_of(row), notes=notes.get(row.source, ())) for row in result.rows()]
    return [*kept, *(document for document in found if document.problem)]


class _Run:
    """One run of a recipe: what is counted on the way."""

    def __init__(self, recipe: Recipe, options: Options, around: Around, say: Say | None, ledger: Ledger) -> None:
        self._ledger = ledger
        self._recipe, self._options, self.around, self._say = recipe, options, around, say
        self._tally = health.Tally(operators(), DROPS | _OWN, self._show)
        self._finder = Finder(frozenset(USUAL), 0.3)
        self._shape = health.Shape()
        self._in = self._computed = self._work = 0
        self._seconds = time.monotonic()
        self._tables: list[JSON] = []
        self.skipped: list[Skip] = []
        self.notes: list[str] = []
        self.newest = ""
        self.sealed: frozenset[str] = frozenset()
        self.refused: dict[str, str] = {}

    def ending(self, wanted: str = "") -> Ending:
        """Return how this run's shards end."""
        return Ending(wanted, self._recipe.flagged == "set_aside", self.sealed)

    def take(self, ended: Ended) -> None:
        """Count what happened to a shard, and what is left of it."""
        self._tally.add(ended.counts)
        self._shape.join(ended.shape)
        self._ledger.add(ended.ledger)

    def _count(self, entries: list[Entry]) -> None:
        self.take(self.ending()((), entries))

    def _show(self, source: str, text: str) -> str:
        """Return what the report may show of a text: nothing of a sealed source, no personal data of any."""
        if source in self.sealed:
            return "…" if text else ""
        return replaced(text, self._finder.find(text), label)

    def records(self, found: Sequence[Document], folder: Path) -> list[Record]:
        """Return the records that the recipe makes of documents; of a sample of their rows for a preview."""
        processes = 1 if self._options.preview else self._options.processes or engine.cores()
        given = (document_row(document) for document in found)
        place, steps = folder / "documents", self._recipe.documents
        first = engine.run(given, steps, place, self.around, processes, self._say, self.ending(), self.take)
        self.told(first, rows=False)
        self.around = replace(self.around, published=_published(self._maker().rows(first.rows())))
        maker = self._maker()
        rows = maker.rows(first.rows())
        if self._options.preview:
            # Ids are sums of contents: the smallest are as good as drawn, and the same the next time.
            rows = iter(heapq.nsmallest(self._options.preview, rows, key=lambda row: row.id))
        records: list[Record] = []

        def take(ended: Ended) -> None:
            self.take(ended)
            records.extend(ended.records())

        place, steps = folder / "rows", _masking(self._recipe.rows, any(document.mask for document in found))
        second = engine.run(rows, steps, place, self.around, processes, self._say, self.ending("records"), take)
        self.told(second)
        if not self._options.preview:
            self._count(maker.ledger)
            self._in += len(maker.ledger)
        return records

    def _maker(self) -> Maker:
        return Maker(self._recipe.made, self.refused)

    def preview(self, found: Sequence[Document], folder: Path, base: Path) -> Outcome:
        """Return what the recipe would do, seen on a sample; its page is written beside that of the whole."""
        records = self.records(found, folder)
        outcome = self.report(base, sum_of(records), len(found), "preview")
        outcome.records = records
        return outcome

    def told(self, result: engine.Result, rows: bool = True) -> None:
        """Count what a run of the engine did."""
        self._computed += result.computed
        self._work += result.work
        self._in += result.rows_in if rows else 0
        for name, decided in result.decided:
            if isinstance(decided, dict) and "report" in decided:
                self._tables.append({"operator": name, "report": decided["report"]})

    def forbid(self, left_out: Sequence[tuple[Record, str]]) -> None:
        """Count what the store did not take for want of permission."""
        self._count(
            [
                Entry(record.id, "permissions", "dropped", "forbidden", reason, name=str(record.meta.get("file", "")))
                for record, reason in left_out
            ]
        )

    def report(self, base: Path, sha: str, files: int, name: str = "report") -> Outcome:
        """Write the report of the run into ``base``, for people and for programs, and return it."""
        shape, findings = self._shape.as_json(), self._tally.findings()
        counted = self._tally.rows
        report: JSON = {
            "name": self._options.name or self._recipe.name,
            "recipe": self._recipe.name,
            "make": self._recipe.made,
            "day": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "seconds": round(time.monotonic() - self._seconds, 3),
            "files": files,
            "skipped": [asdict(each) for each in self.skipped],
            "notes": self.notes,
            "rows": {"in": self._in, "kept": shape["rows"], **{a: counted[a] for a in health.ACTIONS}},
            "computed": round(self._computed / max(1, self._work), 4),
            "sha256": sha,
            "shape": shape,
            "findings": findings,
            "operators": _about(),
            "tables": self._tables,
            "readiness": health.readiness(self._recipe.made, shape, findings),
            "newest_days": _days_since(self.newest),
        }
        earlier = base / "report.json"
        before = json.loads(earlier.read_text("utf-8")) if earlier.is_file() else None
        report["drift"] = health.compare(before, report)
        page = base / f"{name}.html"
        for path, text in (
            (page, health.page(report, self._options.language)),
            (base / f"{name}.json", json.dumps(report, ensure_ascii=False, indent=1)),
        ):
            with written_whole(path) as file:
                file.write(text.encode("utf-8", "replace"))
        if name == "report":
            _remember(base / "history.jsonl", report)
        return Outcome(report, page)


_OWN = {
    "forbidden": (
        "Its permissions, or those of another source with this text, forbid it.",
        "该来源或含相同文字的来源不允许此用途。",
    ),
    "not_learned": ("Its answer is marked as not to be learned.", "其回答标明不用于学习。"),
}


def _masking(given: tuple[Step, ...], needed: bool) -> tuple[Step, ...]:
    """Return steps that first mask the personal data of sources that want it, whatever the recipe says."""
    if not needed:
        return given
    values = {name: parameter.default for name, parameter in operators()[MASKED].parameters.items()}
    return (Step(MASKED, {**values, "published": True}, only="mask"), *given)


def _published(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return what the organisation itself tells everybody in its written answers: its hotline is no secret.

    Where it names somebody who introduces himself in a conversation, it tells of a client.
    """
    found: set[str] = set()
    naming: list[set[str]] = []  # what answers tell that name somebody: who is a client is known at the end
    clients: set[str] = set()
    answers = (row for row in rows if "assistant" in row.roles)
    while batch := list(itertools.islice(answers, 1000)):
        clients |= introduced(row.texts[0] for row in batch if row.meta.get("private"))
        written = (("\n".join(row.texts[:-1]), row.texts[-1]) for row in batch if not _private(row))
        for text, spans in published(written):
            told = {key_of(span.kind, text[span.start : span.end]) for span in spans}
            if any(span.kind == "NAME" for span in spans):
                naming.append(told)
            else:
                found |= told
    people = {key_of("NAME", name) for name in clients}
    return tuple(sorted(found.union(*(told for told in naming if not told & people))))


def _private(row: Row) -> bool:
    """Tell whether a row comes from a conversation, from a table about people, or from a source to be masked."""
    return bool(row.meta.get("private") or row.meta.get("mask"))


def _about() -> JSON:
    found = {name: {"en": op.about[0], "zh": op.about[1], "origin": op.origin} for name, op in operators().items()}
    found["rows"] = {"en": "Cutting rows from documents", "zh": "从文件切出数据行", "origin": ""}
    found["permissions"] = {"en": "Permissions of sources", "zh": "来源权限", "origin": ""}
    return found


def _days_since(day: str) -> int | None:
    try:
        return (datetime.now(UTC).date() - datetime.fromisoformat(day).date()).days
    except ValueError:
        return None


def _remember(path: Path, report: JSON) -> None:
    """Keep the figures of the last runs, one line each."""
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    kept = ("day", "rows", "files", "sha256", "drift")
    lines.append(json.dumps({name: report[name] for name in kept}, ensure_ascii=False))
    with written_whole(path) as file:
        file.write("\n".join([*lines[-_HISTORY:], ""]).encode())


def _file_name(name: str) -> str:
    plain = "".join(char if char.isalnum() or char in "-_" else "-" for char in name)[:60]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
