"""Sources and the rule that no room can get around: what each of them may be used for.

Knows permissions, purposes and sameness of bytes and texts. Does not know file formats or how texts are found in them.

A source is refused a purpose if its own permissions refuse it, or those of a source with the same bytes in the
workspace, or those of a source that it was made of (a lineage edge between two sources). The permissions of a deleted
source are remembered for its bytes and texts, until somebody sets the permissions of a source with the same bytes.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from feilun.errors import BadRequest, Conflict, Forbidden, NotFound
from feilun.records import PURPOSES, Permissions, Purpose, Record, Source, normalise_text, text_digest
from feilun.store import changes, lineage
from feilun.store.database import Database, insert, rows, serialise
from feilun.store.schema import DIGESTS, LINEAGE, SOURCES, from_row, to_row

SHORTEST_TEXT = 12
_BATCH = 500
_UPPER, _LOWER = SOURCES.alias("upper_source"), SOURCES.alias("lower_source")


def add(db: Database, source: Source, content: bytes | Path) -> Source:
    """Keep a source and its bytes, and return it as kept, with the permissions that are in force for it.

    ``sha256`` and ``size`` are those of the content, whatever ``source`` says. The same id and bytes again change
    nothing; the same id with other bytes is a Conflict. An id that was deleted comes back with the strictest of its
    old and new permissions. ``meta["parents"]`` may list the sources that it was made of; their permissions hold for
    it too. Raises BadRequest for malformed permissions, NotFound for an unknown workspace or parent, BadSource for an
    unreadable file, OutOfSpace.
    """
    source = replace(source, permissions=_checked(source.permissions))
    parents = [str(parent) for parent in source.meta.get("parents", [])]
    sha = _keep(db, content)
    size = len(content) if isinstance(content, bytes) else db.blobs.path(sha).stat().st_size
    source = replace(source, sha256=sha, size=size)
    with db.writing() as conn:
        serialise(conn, "blob", sha)
        if not db.blobs.path(sha).is_file():
            _keep(db, content)  # the last other source with these bytes was deleted a moment ago
        known = rows(conn, sa.select(SOURCES).where(_is(source.workspace, source.id)))
        if known and known[0]["sha256"] != sha:
            raise Conflict(f"The source {source.id} holds other bytes.", "Give the new content an id of its own.")
        if not known:
            insert(conn, SOURCES, [to_row(source, deleted=False)])
            changes.bump(conn)
        elif known[0]["deleted"]:
            merged = strictest([source.permissions, Permissions(**known[0]["permissions"])])
            values = to_row(replace(source, permissions=merged), deleted=False)
            conn.execute(sa.update(SOURCES).where(_is(source.workspace, source.id)).values(values))
            changes.bump(conn)
        for parent in parents:
            Rights(conn, source.workspace, parent).source(parent)
        lineage.record(conn, source.workspace, [(parent, source.id, "derived") for parent in parents])
        return Rights(conn, source.workspace, source.id).source(source.id)


def get(db: Database, ws: str, source_id: str) -> Source:
    """Return a source with the permissions that are in force for it; raise NotFound."""
    with db.reading() as conn:
        return Rights(conn, ws, source_id).source(source_id)


def find(db: Database, ws: str, origin: str | None = None) -> list[Source]:
    """Return the sources of a workspace (of one origin), oldest first, with the permissions that are in force."""
    with db.reading() as conn:
        return [source for source in Rights(conn, ws).sources() if origin in {None, source.origin}]


def set_permissions(db: Database, ws: str, source_id: str, permissions: Permissions) -> Source:
    """Set what a source may be used for; return it with the permissions now in force (a stricter copy still counts)."""
    permissions = _checked(permissions)
    with db.writing() as conn:
        sha = Rights(conn, ws, source_id).source(source_id).sha256
        conn.execute(sa.update(SOURCES).where(_is(ws, source_id)).values(permissions=permissions))
        forgotten = sa.and_(SOURCES.c.workspace == ws, SOURCES.c.sha256 == sha, SOURCES.c.deleted)
        conn.execute(sa.update(SOURCES).where(forgotten).values(permissions=permissions))
        changes.bump(conn)
        return Rights(conn, ws, source_id).source(source_id)


def content(db: Database, ws: str, source_id: str, purpose: Purpose) -> bytes:
    """Return the bytes of a source; raise Forbidden if this purpose is not permitted, NotFound, BadRequest."""
    with db.reading() as conn:
        rights = Rights(conn, ws, source_id)
        source, reason = rights.source(source_id), rights.refusal(source_id, purpose)
    if reason:
        raise Forbidden(reason, "Its owner can change its permissions.")
    return db.blobs.read(source.sha256)


def permitted(db: Database, ws: str, purpose: Purpose) -> list[Source]:
    """Return the sources that may be used for a purpose today, oldest first."""
    _known(purpose)
    with db.reading() as conn:
        rights = Rights(conn, ws)
        return [source for source in rights.sources() if not rights.refusal(source.id, purpose)]


def note_digests(db: Database, ws: str, source_id: str, digests: Iterable[str]) -> None:
    """Remember the digests of the texts that a source holds, so that a copy of one elsewhere is refused with it."""
    unique = sorted(set(digests))
    with db.writing() as conn:
        Rights(conn, ws, source_id).source(source_id)
        insert(conn, DIGESTS, [{"workspace": ws, "source": source_id, "digest": digest} for digest in unique])


def refusals(db: Database, ws: str, purpose: Purpose) -> tuple[dict[str, str], dict[str, str]]:
    """Return why sources (by id) and texts (by digest) of a workspace must not be used for a purpose."""
    with db.reading() as conn:
        rights = Rights(conn, ws)
        reasons = {source.id: rights.refusal(source.id, purpose) for source in rights.sources()}
        return {source: reason for source, reason in reasons.items() if reason}, rights.refused_texts(purpose)


def delete(db: Database, ws: str, source_id: str) -> None:
    """Delete a source and, unless another source has the same, its bytes; what it forbade stays forbidden."""
    with db.writing() as conn:
        Rights(conn, ws, source_id).source(source_id)
        conn.execute(sa.update(SOURCES).where(_is(ws, source_id)).values(deleted=True, name="", meta={}))
        changes.bump(conn)
    with db.writing() as conn:
        # All of the workspace's, so that bytes left behind by a crash between the two transactions go as well.
        gone = conn.scalars(sa.select(SOURCES.c.sha256).where(SOURCES.c.workspace == ws, SOURCES.c.deleted).distinct())
        for sha in sorted(gone):
            serialise(conn, "blob", sha)
            if not conn.execute(sa.select(SOURCES.c.id).where(SOURCES.c.sha256 == sha, ~SOURCES.c.deleted)).first():
                db.blobs.remove(sha)


def record_digests(record: Record) -> frozenset[str]:
    """Return the digests by which a record's texts are known again: the whole text, each message, question + answer.

    System messages, and texts of fewer than 12 normalised columns (a Chinese character fills two), say too little to
    tell one source from another and have none.
    """
    said = [str(m.get("content") or "") for m in record.messages if m.get("role") != "system"]
    texts = {record.text, *said, " ".join(said)}
    return frozenset(text_digest(text) for text in texts if telling(text))


def strictest(permissions: Sequence[Permissions]) -> Permissions:
    """Return the permissions that forbid whatever any of the given ones forbids."""
    until = [each.until for each in permissions if each.until]
    return Permissions(
        train=all(each.train for each in permissions),
        retrieve=all(each.retrieve for each in permissions),
        leave=all(each.leave for each in permissions),
        mask="pseudonymise" if any(each.mask == "pseudonymise" for each in permissions) else "none",
        until=min(until) if until else None,
    )


class Rights:
    """What the sources of one workspace may be used for, as of one moment in the database."""

    def __init__(self, conn: Connection, ws: str, source_id: str = "") -> None:
        """Read the sources, or only the given one with its kin: its copies, what it was made of, and their copies."""
        self._conn, self._ws = conn, ws
        self._today = datetime.now(UTC).date()
        self._parents: defaultdict[str, set[str]] = defaultdict(set)
        found = self._read_kin(source_id) if source_id else self._read_all()
        self._all = {row["id"]: from_row(Source, row) for row in found}
        self._live = {row["id"] for row in found if not row["deleted"]}
        self._in_force = self._strictest_of_kin()

    def source(self, source_id: str) -> Source:
        """Return a source with the permissions in force; raise NotFound."""
        if source_id not in self._live:
            raise NotFound(f"There is no source {source_id} in this workspace.")
        return replace(self._all[source_id], permissions=self._in_force[source_id])

    def sources(self) -> list[Source]:
        """Return every source with the permissions in force, oldest first."""
        return [self.source(source_id) for source_id in self._all if source_id in self._live]

    def refusal(self, source_id: str, purpose: Purpose) -> str:
        """Return why a source may not be used for a purpose, or nothing if it may; raise BadRequest."""
        _known(purpose)
        if source_id not in self._live:
            return f"the source {source_id} is not in this workspace"
        reason = _refused(self._in_force[source_id], purpose, self._today)
        return f"the source {source_id} {reason}" if reason else ""

    def filter(self, records: Sequence[Record], purpose: Purpose) -> tuple[list[Record], list[tuple[Record, str]]]:
        """Return the records that may be used for a purpose, and the others, each with the reason."""
        _known(purpose)
        reasons = {source: self.refusal(source, purpose) for record in records for source in record.sources}
        owners = self.refused_texts(purpose)
        kept: list[Record] = []
        left_out: list[tuple[Record, str]] = []
        for record in records:
            reason = next((reasons[source] for source in record.sources if reasons[source]), "")
            if not record.sources:
                reason = "it names no source"
            if not reason and owners:
                copied = sorted(owners[digest] for digest in record_digests(record) & owners.keys())
                reason = f"its text is also in {copied[0]}" if copied else ""
            if reason:
                left_out.append((record, reason))
            else:
                kept.append(record)
        return kept, left_out

    def refused_texts(self, purpose: Purpose) -> dict[str, str]:
        """Return, by digest, why texts of sources must not be used for a purpose."""
        refusing = []
        for source_id, source in self._all.items():
            if source_id in self._live:
                reason = self.refusal(source_id, purpose)
            else:
                reason = _refused(source.permissions, purpose, self._today)
            if reason:
                refusing.append((source_id, reason))
        found: dict[str, str] = {}
        for start in range(0, len(refusing), _BATCH):
            batch = dict(refusing[start : start + _BATCH])
            where = sa.and_(DIGESTS.c.workspace == self._ws, DIGESTS.c.source.in_(list(batch)))
            for digest, source_id in self._conn.execute(sa.select(DIGESTS.c.digest, DIGESTS.c.source).where(where)):
                found[digest] = f"another source: {batch[source_id].removeprefix('the source ')}"
        return found

    def _read_all(self) -> list[dict[str, Any]]:
        self._read_parents(sa.true())
        query = sa.select(SOURCES).where(SOURCES.c.workspace == self._ws)
        return rows(self._conn, query.order_by(SOURCES.c.created, SOURCES.c.id))

    def _read_kin(self, source_id: str) -> list[dict[str, Any]]:
        query = sa.select(SOURCES).where(SOURCES.c.workspace == self._ws)
        found = {row["id"]: row for row in rows(self._conn, query.where(SOURCES.c.id == source_id))}
        waiting = {row["sha256"] for row in found.values()}
        seen: set[str] = set()
        while waiting:
            found |= {row["id"]: row for row in rows(self._conn, query.where(SOURCES.c.sha256.in_(waiting)))}
            seen |= waiting
            waiting = self._read_parents(_LOWER.c.sha256.in_(waiting)) - seen
        return list(found.values())

    def _read_parents(self, where: sa.ColumnElement[bool]) -> set[str]:
        """Note which bytes were made of which, for the lower sources that ``where`` selects; return the upper ones."""
        here = LINEAGE.c.workspace
        query = (
            sa.select(_LOWER.c.sha256, _UPPER.c.sha256)
            .select_from(LINEAGE)
            .join(_UPPER, sa.and_(_UPPER.c.workspace == here, _UPPER.c.id == LINEAGE.c.parent))
            .join(_LOWER, sa.and_(_LOWER.c.workspace == here, _LOWER.c.id == LINEAGE.c.child))
            .where(here == self._ws, where)
        )
        found = [(str(lower), str(upper)) for lower, upper in self._conn.execute(query)]
        for lower, upper in found:
            self._parents[lower].add(upper)
        return {upper for _, upper in found}

    def _strictest_of_kin(self) -> dict[str, Permissions]:
        by_bytes: defaultdict[str, list[Permissions]] = defaultdict(list)
        for source in self._all.values():
            by_bytes[source.sha256].append(source.permissions)
        in_force: dict[str, Permissions] = {}
        for sha in by_bytes:
            kin, waiting = {sha}, [sha]
            while waiting:
                new = self._parents[waiting.pop()] - kin
                kin |= new
                waiting.extend(new)
            in_force[sha] = strictest([each for one in sorted(kin) for each in by_bytes[one]])
        return {source_id: in_force[source.sha256] for source_id, source in self._all.items()}


def _refused(permissions: Permissions, purpose: Purpose, today: date) -> str:
    if purpose == "inspect":
        return ""
    if permissions.until and today > date.fromisoformat(permissions.until):
        return f"was permitted until {permissions.until} only"
    granted = {
        "train": permissions.train,
        "retrieve": permissions.retrieve,
        "send_outside": permissions.leave,
        # An exam made of a forbidden source would leak it into the choice of what is trained and promoted.
        "evaluate": permissions.train,
    }
    return "" if granted[purpose] else f"does not permit the purpose {purpose}"


def _checked(permissions: Permissions) -> Permissions:
    """Return the permissions with ``until`` as YYYY-MM-DD; raise BadRequest: a wrong value must not permit anything."""
    for name in ("train", "retrieve", "leave"):
        if not isinstance(getattr(permissions, name), bool):
            raise BadRequest(f"{name}: {getattr(permissions, name)!r} is neither true nor false.", param=name)
    if permissions.mask not in {"none", "pseudonymise"}:
        raise BadRequest(f"mask: {permissions.mask!r} is neither none nor pseudonymise.", param="mask")
    if permissions.until is None:
        return permissions
    try:
        return replace(permissions, until=date.fromisoformat(permissions.until).isoformat())
    except (TypeError, ValueError) as error:
        raise BadRequest(f"until: {permissions.until!r} is no date.", "Write it as 2026-12-31.", "until") from error


def _known(purpose: Purpose) -> None:
    if purpose not in PURPOSES:
        raise BadRequest(f"{purpose!r} is no purpose.", f"Choices: {', '.join(PURPOSES)}.", "purpose")


def telling(text: str) -> bool:
    """Say whether a text is long enough to be known again by its digest."""
    plain = normalise_text(text)
    if len(plain) >= SHORTEST_TEXT:
        return True
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in plain) >= SHORTEST_TEXT


def _keep(db: Database, content: bytes | Path) -> str:
    return db.blobs.put(content) if isinstance(content, bytes) else db.blobs.put_file(content)


def _is(ws: str, source_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(SOURCES.c.workspace == ws, SOURCES.c.id == source_id)
