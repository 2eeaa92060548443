"""Dataset versions: immutable Parquet files, named by their content, read and written for a purpose.

Knows records, files and versions. Does not know how records are made, nor which purpose somebody ought to have.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from feilun.errors import BadRequest, FeilunError, NotFound
from feilun.later import Later
from feilun.records import JSON, DatasetVersion, Purpose, Record, content_hash, derived_id
from feilun.store import audit, lineage
from feilun.store.blobs import written_whole
from feilun.store.database import Database, insert, one, rows, serialise
from feilun.store.schema import DATASETS, clean, from_row, to_row
from feilun.store.sources import Rights

_LONGEST_NAME = 200
pa, pq = Later("pyarrow"), Later("pyarrow.parquet")  # large, and many a process has no datasets


def write(
    db: Database, ws: str, name: str, records: Sequence[Record], purpose: Purpose, meta: JSON | None = None
) -> tuple[DatasetVersion, list[tuple[Record, str]]]:
    """Write the records that may be used for a purpose; return the version and the others, each with the reason.

    A record is left out if any of its sources (an unknown one too), or a source that holds one of its texts, forbids
    the purpose. The content hash covers the records in their order with their ids; the same content under the same
    name is the version that is there already. The version exists only once its file is safe on the disk, and is
    linked to its sources. Raises BadRequest, NotFound for an unknown workspace, OutOfSpace.
    """
    name = clean(name)
    if not 0 < len(name.strip()) <= _LONGEST_NAME:
        raise BadRequest(f"A dataset's name has 1 to {_LONGEST_NAME} characters.", param="name")
    with db.reading() as conn:
        rights = Rights(conn, ws)
        kept, left_out = rights.filter([_cleaned(record) for record in records], purpose)
        sources = {source for record in kept for source in record.sources}
        sealed = any(rights.source(source).permissions.encrypt for source in sources if rights.has(source))
    sha = content_hash([asdict(record) for record in kept])
    dataset_id = derived_id("dataset", ws, name, sha)
    _keep(db, ws, kept, sha, sealed=sealed)
    version = DatasetVersion(dataset_id, ws, name, 0, sha, len(kept), meta={"purpose": purpose, **(meta or {})})
    same_name = sa.and_(DATASETS.c.workspace == ws, DATASETS.c.name == name)
    with db.writing() as conn:
        serialise(conn, "dataset", ws, name)
        last = conn.execute(sa.select(sa.func.max(DATASETS.c.version)).where(same_name)).scalar_one() or 0
        insert(conn, DATASETS, [to_row(replace(version, version=last + 1))])
        lineage.record(conn, ws, [(source, dataset_id, "data") for source in sources])
        facts = {"name": name, "purpose": purpose, "rows": len(kept), "left_out": len(left_out)}
        audit.note(conn, ws, "", "dataset.written", dataset_id, facts)
        stored = one(conn, _select(ws, dataset_id), f"dataset version {dataset_id}")
    return from_row(DatasetVersion, stored), left_out


def read(db: Database, ws: str, version_id: str, purpose: Purpose) -> list[Record]:
    """Return the records of a version that may be used for a purpose now, in order.

    What was revoked, expired or deleted since it was written is not among them. Raises NotFound, BadRequest, and
    FeilunError, naming the file, if it is damaged.
    """
    with db.reading() as conn:
        version = from_row(DatasetVersion, one(conn, _select(ws, version_id), f"dataset version {version_id}"))
        kept, _ = Rights(conn, ws).filter(_load(db, ws, version.sha256), purpose)
    facts = {"name": version.name, "purpose": purpose, "rows": len(kept)}
    audit.note(db, ws, "", "dataset.read", version_id, facts)
    return kept


def withdrawn(db: Database, ws: str, version_id: str, purpose: Purpose) -> list[tuple[Record, str]]:
    """Return the records of a version that must not be used for a purpose any more, each with the reason."""
    with db.reading() as conn:
        version = from_row(DatasetVersion, one(conn, _select(ws, version_id), f"dataset version {version_id}"))
        return Rights(conn, ws).filter(_load(db, ws, version.sha256), purpose)[1]


def get(db: Database, ws: str, version_id: str) -> DatasetVersion:
    """Return a version; raise NotFound."""
    with db.reading() as conn:
        return from_row(DatasetVersion, one(conn, _select(ws, version_id), f"dataset version {version_id}"))


def find(db: Database, ws: str, name: str | None = None) -> list[DatasetVersion]:
    """Return the versions of a workspace (of one name), oldest first."""
    query = sa.select(DATASETS).where(DATASETS.c.workspace == ws)
    if name is not None:
        query = query.where(DATASETS.c.name == name)
    with db.reading() as conn:
        found = rows(conn, query.order_by(DATASETS.c.created, DATASETS.c.name, DATASETS.c.version))
    return [from_row(DatasetVersion, row) for row in found]


def latest(db: Database, ws: str, name: str) -> DatasetVersion:
    """Return the newest version of a name; raise NotFound if there is none."""
    found = find(db, ws, name)
    if not found:
        raise NotFound(f"There is no dataset named {clean(name)} in this workspace.")
    return max(found, key=lambda version: version.version)


def _select(ws: str, version_id: str) -> sa.Select[Any]:
    return sa.select(DATASETS).where(DATASETS.c.workspace == ws, DATASETS.c.id == version_id)


def _path(db: Database, sha: str) -> Path:
    return db.root / "tables" / f"{sha}.parquet"


def _cleaned(record: Record) -> Record:
    # By way of JSON, so that what is hashed is what will be read again (numbers as keys become text, say).
    values = json.loads(json.dumps(clean(asdict(record))))
    return Record(**{**values, "sources": tuple(values["sources"]), "messages": tuple(values["messages"])})


def _keep(db: Database, ws: str, records: Sequence[Record], sha: str, *, sealed: bool) -> None:
    if _sound(db, ws, sha) and (db.vault.has("tables", ws, sha) or not sealed):
        return
    columns = {
        "id": [record.id for record in records],
        "kind": [record.kind for record in records],
        "sources": [list(record.sources) for record in records],
        "messages": [json.dumps(record.messages, ensure_ascii=False) for record in records],
        "text": [record.text for record in records],
        "meta": [json.dumps(record.meta, ensure_ascii=False) for record in records],
    }
    table = pa.table(columns, schema=_columns())
    if sealed:
        out = pa.BufferOutputStream()
        pq.write_table(table, out, compression="zstd")
        db.vault.put("tables", ws, sha, [out.getvalue().to_pybytes()])
        return
    with written_whole(_path(db, sha)) as file:
        pq.write_table(table, file, compression="zstd")


def _columns() -> Any:
    return pa.schema(
        [
            ("id", pa.string()),
            ("kind", pa.string()),
            ("sources", pa.list_(pa.string())),
            ("messages", pa.string()),
            ("text", pa.string()),
            ("meta", pa.string()),
        ]
    )


def _sound(db: Database, ws: str, sha: str) -> bool:
    try:
        _load(db, ws, sha)
    except FeilunError:
        return False
    return True


def _load(db: Database, ws: str, sha: str) -> list[Record]:
    sealed = db.vault.has("tables", ws, sha)
    path = db.vault.path("tables", ws, sha) if sealed else _path(db, sha)
    content = pa.BufferReader(db.vault.read("tables", ws, sha)) if sealed else path
    damaged = FeilunError(f"The table {path} is damaged or missing.", "Restore it from a backup, or curate again.")
    try:
        table = pq.read_table(content, schema=_columns())
        records = [
            Record(
                id=row["id"],
                kind=row["kind"],
                sources=tuple(row["sources"]),
                messages=tuple(json.loads(row["messages"])),
                text=row["text"],
                meta=json.loads(row["meta"]),
            )
            for row in table.to_pylist()
        ]
    except (OSError, pa.ArrowException, ValueError, TypeError, KeyError) as error:
        raise damaged from error
    if content_hash([asdict(record) for record in records]) != sha:
        raise damaged
    return records
