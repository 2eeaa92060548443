"""Which texts a recipe must not let through because another source forbids them, as they are and as they are mended.

This module knows sources that refuse a purpose, and reads them for nothing but to know their texts again. It does not
know why a source refuses.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from feilun.curation.documents import Document, Unreadable
from feilun.curation.exams import is_exam
from feilun.curation.readers.confined import shared_pool
from feilun.curation.recipes import engine
from feilun.curation.recipes.around import Around
from feilun.curation.recipes.making import Maker, digests_of, document_row, record_of
from feilun.curation.recipes.plan import Recipe, find
from feilun.records import Purpose, Record, Source
from feilun.store import sources
from feilun.store.database import Database


def refused(db: Database, ws: str, recipe: Recipe, folder: Path) -> dict[str, str]:
    """Return why texts must not be among the rows of a recipe, by digest.

    The store knows the texts of a source as they were brought in. A recipe mends texts before rows are cut, and would
    mend a forbidden one into something else: so the sources that refuse are mended the same way.
    """
    owners, known = sources.refusals(db, ws, recipe.purpose)
    found = [_read(db, ws, source) for source in sources.find(db, ws) if source.id in owners]
    given = [document_row(document) for document in found if document is not None]
    if given:
        result = engine.run(given, recipe.documents, folder / "refused", Around())
        for row in Maker(recipe.made).rows(result.rows()):
            reason = f"another source: {owners[row.source].removeprefix('the source ')}"
            for digest in sources.record_digests(record_of(row)) | digests_of(row.texts):
                known.setdefault(digest, reason)
    return known


def allowed(db: Database, ws: str, records: Iterable[Record], purpose: Purpose) -> list[Record]:
    """Return the records that hold nothing which a source forbids for a purpose, as the recipe ``chat`` mends texts."""
    recipe = replace(find("chat"), made="passages" if purpose == "retrieve" else "chat")
    with tempfile.TemporaryDirectory(prefix="feilun-refused-", dir=in_memory()) as folder:
        known = refused(db, ws, recipe, Path(folder))
    return [record for record in records if not (known and known.keys() & _digests(record))]


def _digests(record: Record) -> frozenset[str]:
    texts = [record.text, *(str(message.get("content") or "") for message in record.messages)]
    return sources.record_digests(record) | digests_of(texts)


def in_memory() -> Path | None:
    """Return a folder that is on no disk, if there is one: what is kept encrypted is to be nowhere in plain."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else None


def _read(db: Database, ws: str, source: Source) -> Document | None:
    if source.origin not in {"file", "upload"} or is_exam(source.name):
        return None
    try:
        data = sources.content(db, ws, source.id, "inspect")
        document, _ = shared_pool().read(source.name, data)
    except Unreadable:
        return None
    return Document(source.id, source.name, document.blocks, document.modified)
