"""Sources and the rule that no room can get around: what each of them may be used for.

Knows permissions, purposes and sameness of bytes and texts. Does not know file formats or how texts are found in them.

What is permitted is inherited: what was said about a source by name goes before the rules of its folder, these before
the workspace's. A source is refused a purpose if its own permissions refuse it, or those of a source with the same
bytes in the workspace, or those of a source that it was made of (a lineage edge between two sources). The permissions
of a deleted source are remembered for its bytes and texts, until somebody sets those of a source with the same bytes.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from feilun.errors import Conflict, Forbidden, NotFound
from feilun.records import Permissions, Purpose, Record, Source, normalise_text, text_digest
from feilun.store import audit, changes, lineage
from feilun.store.access import permits
from feilun.store.access.permits import strictest
from feilun.store.database import Database, insert, rows, serialise
from feilun.store.review import queue
from feilun.store.schema import DIGESTS, LINEAGE, SOURCES, WORKSPACES, from_row, to_row
from feilun.store.vault import contents

__all__ = ["Rights", "strictest"]
SHORTEST_TEXT, _BATCH = 12, 500
_UPPER, _LOWER = SOURCES.alias("upper_source"), SOURCES.alias("lower_source")


def add(
    db: Database,
    source: Source,
    content: bytes | Path,
    said: Mapping[str, Any] | None = None,
    inherited: Mapping[str, Any] | None = None,
    like: Sequence[str] = (),
) -> Source:
    """Keep a source and its bytes, and return it as kept, with the permissions that are in force for it.

    ``said`` is what was said about it by name (None: those of its permissions that are not what holds where nobody
    says anything), ``inherited`` what its folder's rules say; what was said about the sources ``like`` it (earlier
    contents of its file) holds for it too. ``sha256`` and ``size`` are those of the content, whatever ``source`` says.
    The same id and bytes again change nothing; the same id with other bytes is a Conflict. An id that was deleted comes
    back with the strictest of its old and new permissions. ``meta["parents"]`` may list the sources that it was made
    of; their permissions hold for it too. Raises BadRequest for malformed permissions, NotFound for an unknown
    workspace or parent, BadSource for an unreadable file, OutOfSpace.
    """
    ws = source.workspace
    whole = permits.checked(asdict(source.permissions))
    named = permits.said_by(Permissions(**whole)) if said is None else permits.checked(said)
    rules = permits.checked(inherited or {})
    parents = [str(parent) for parent in source.meta.get("parents", [])]
    with db.reading() as conn:
        named = permits.all_said([named, *_said(conn, ws, like)])
        sealed = permits.put_together(_default(conn, ws), rules, named).encrypt
        if not sealed and db.vault.used(ws):
            sealed = _has_secret_kin(conn, ws, contents.sum_of(content), parents)
    sha, size = contents.keep(db, ws, content, sealed=sealed)
    row = to_row(replace(source, sha256=sha, size=size), deleted=False) | {"permissions": named, "inherited": rules}
    with db.writing() as conn:
        serialise(conn, "blob", sha)
        if not contents.kept(db, ws, sha):
            contents.keep(db, ws, content, sealed=sealed)  # the last other source with these bytes was just deleted
        known = rows(conn, sa.select(SOURCES).where(_is(ws, source.id)))
        if known and known[0]["sha256"] != sha:
            raise Conflict(f"The source {source.id} holds other bytes.", "Give the new content an id of its own.")
        if not known:
            insert(conn, SOURCES, [row])
            changes.bump(conn)
        elif known[0]["deleted"]:
            both = {"permissions": permits.all_said([named, known[0]["permissions"]])}
            conn.execute(sa.update(SOURCES).where(_is(ws, source.id)).values(row | both))
            changes.bump(conn)
        for parent in parents:
            Rights(conn, ws, parent).source(parent)
        lineage.record(conn, ws, [(parent, source.id, "derived") for parent in parents])
        found = Rights(conn, ws, source.id).source(source.id)
        if not known or known[0]["deleted"]:
            facts = {"name": source.name, "origin": source.origin, "permissions": permits.said_by(found.permissions)}
            audit.note(conn, ws, "", "source.added", source.id, facts)
    if found.permissions.encrypt:
        seal(db, ws, [found])
    return found


def get(db: Database, ws: str, source_id: str) -> Source:
    """Return a source with the permissions that are in force for it; raise NotFound."""
    with db.reading() as conn:
        return Rights(conn, ws, source_id).source(source_id)


def find(db: Database, ws: str, origin: str | None = None) -> list[Source]:
    """Return the sources of a workspace (of one origin), oldest first, with the permissions that are in force."""
    with db.reading() as conn:
        return [source for source in Rights(conn, ws).sources() if origin in {None, source.origin}]


def set_permissions(db: Database, ws: str, source_id: str, permissions: Permissions) -> Source:
    """Say everything about what a source may be used for, by name; see :func:`grant`."""
    return grant(db, ws, source_id, asdict(permissions))


def grant(db: Database, ws: str, source_id: str, said: Mapping[str, Any]) -> Source:
    """Say by name what a source may be used for; what is not named stays as it was said, or inherited.

    Returns it with the permissions now in force (a stricter copy still counts). Raises BadRequest, NotFound.
    """
    values = permits.checked(said)
    with db.writing() as conn:
        before = Rights(conn, ws, source_id).source(source_id)
        # What was said about deleted sources with the same bytes is remembered until this.
        same = sa.and_(SOURCES.c.workspace == ws, SOURCES.c.sha256 == before.sha256, SOURCES.c.deleted)
        for row in rows(conn, sa.select(SOURCES).where(sa.or_(_is(ws, source_id), same))):
            new = {**row["permissions"], **values}
            conn.execute(sa.update(SOURCES).where(_is(ws, row["id"])).values(permissions=new))
        after = _changed(conn, before, {"said": values})
    return _sealed(db, before, after)


def inherit(db: Database, ws: str, source_id: str, rules: Mapping[str, Any]) -> Source:
    """Let a source inherit what its folder's rules say now, in the place of what they said before; return it.

    They take away what was given by name, and never give back what was taken by name.
    """
    values = permits.checked(rules)
    with db.writing() as conn:
        before = Rights(conn, ws, source_id).source(source_id)
        (row,) = rows(conn, sa.select(SOURCES).where(_is(ws, source_id)))
        new = {"permissions": permits.stricter(row["permissions"], values), "inherited": values}
        if new == {name: row[name] for name in new}:
            return before
        conn.execute(sa.update(SOURCES).where(_is(ws, source_id)).values(new))
        after = _changed(conn, before, {"rules": values})
    return _sealed(db, before, after)


def set_default(db: Database, ws: str, said: Mapping[str, Any]) -> Permissions:
    """Say what the sources of a workspace inherit; what is not named stays. Return what holds. Raises BadRequest."""
    values = permits.checked(said)
    with db.writing() as conn:
        where = WORKSPACES.c.name == ws
        if not conn.execute(sa.select(WORKSPACES.c.name).where(where)).first():
            raise NotFound(f"There is no workspace {ws}.")
        new = {**_default(conn, ws), **values}
        conn.execute(sa.update(WORKSPACES).where(where).values(permissions=new))
        changes.bump(conn)
        audit.note(conn, ws, "", "workspace.permissions", ws, {"said": values})
    if values.get("encrypt"):
        seal(db, ws, find(db, ws))
    return permits.put_together(new)


def default(db: Database, ws: str) -> Permissions:
    """Return what the sources of a workspace inherit where neither they nor their folder say anything."""
    with db.reading() as conn:
        return permits.put_together(_default(conn, ws))


def seal(db: Database, ws: str, found: Iterable[Source]) -> None:
    """Seal what is not sealed yet of sources that must be encrypted, the tables and the rows in review with theirs."""
    secret = {source.id: source.sha256 for source in found if source.permissions.encrypt}
    contents.seal(db, ws, secret)
    queue.seal(db, ws, secret)


def content(db: Database, ws: str, source_id: str, purpose: Purpose) -> bytes:
    """Return the bytes of a source; raise Forbidden if this purpose is not permitted, NotFound, BadRequest."""
    with db.reading() as conn:
        rights = Rights(conn, ws, source_id)
        source, reason = rights.source(source_id), rights.refusal(source_id, purpose)
    facts = {"name": source.name, "purpose": purpose}
    audit.note(db, ws, "", "source.refused" if reason else "source.read", source_id, facts)
    if reason:
        raise Forbidden(reason, "Its owner can change its permissions.")
    return contents.read(db, ws, source.sha256)


def permitted(db: Database, ws: str, purpose: Purpose) -> list[Source]:
    """Return the sources that may be used for a purpose today, oldest first."""
    permits.known(purpose)
    with db.reading() as conn:
        rights = Rights(conn, ws)
        return [source for source in rights.sources() if not rights.refusal(source.id, purpose)]


def note_digests(db: Database, ws: str, source_id: str, digests: Iterable[str]) -> None:
    """Remember the digests of the texts that a source holds, so that a copy of one elsewhere is refused with it."""
    with db.writing() as conn:
        Rights(conn, ws, source_id).source(source_id)
        insert(conn, DIGESTS, [{"workspace": ws, "source": source_id, "digest": each} for each in sorted(set(digests))])
        changes.bump(conn)


def refusals(db: Database, ws: str, purpose: Purpose) -> tuple[dict[str, str], dict[str, str]]:
    """Return why sources (by id) and texts (by digest) of a workspace must not be used for a purpose."""
    with db.reading() as conn:
        rights = Rights(conn, ws)
        reasons = {source.id: rights.refusal(source.id, purpose) for source in rights.sources()}
        return {source: reason for source, reason in reasons.items() if reason}, rights.refused_texts(purpose)


def delete(db: Database, ws: str, source_id: str) -> None:
    """Delete a source and, unless another source has the same, its bytes; what it forbade stays forbidden."""
    with db.writing() as conn:
        name = Rights(conn, ws, source_id).source(source_id).name
        conn.execute(sa.update(SOURCES).where(_is(ws, source_id)).values(deleted=True, name="", meta={}))
        changes.bump(conn)
        audit.note(conn, ws, "", "source.deleted", source_id, {"name": name})
    with db.writing() as conn:
        # All of the workspace's, so that bytes left behind by a crash between the two transactions go as well.
        gone = conn.scalars(sa.select(SOURCES.c.sha256).where(SOURCES.c.workspace == ws, SOURCES.c.deleted).distinct())
        for sha in sorted(gone):
            serialise(conn, "blob", sha)
            contents.drop(db, conn, ws, sha)


def record_digests(record: Record) -> frozenset[str]:
    """Return the digests by which a record's texts are known again: the whole text, each message, question + answer.

    System messages, and texts of fewer than 12 normalised columns (a Chinese character fills two), say too little to
    tell one source from another and have none.
    """
    said = [str(m.get("content") or "") for m in record.messages if m.get("role") != "system"]
    texts = {record.text, *said, " ".join(said)}
    return frozenset(text_digest(text) for text in texts if telling(text))


class Rights:
    """What the sources of one workspace may be used for, as of one moment in the database."""

    def __init__(self, conn: Connection, ws: str, source_id: str = "") -> None:
        """Read the sources, or only the given one with its kin: its copies, what it was made of, and their copies."""
        self._conn, self._ws = conn, ws
        self._today = datetime.now(UTC).date()
        self._parents: defaultdict[str, set[str]] = defaultdict(set)
        found = self._read_kin(source_id) if source_id else self._read_all()
        top = _default(conn, ws)
        held = {row["id"]: {**top, **row["inherited"], **row["permissions"]} for row in found}
        self._all = {row["id"]: from_row(Source, {**row, "permissions": held[row["id"]]}) for row in found}
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

    def has(self, source_id: str) -> bool:
        """Return whether a source is in the workspace."""
        return source_id in self._live

    def encrypts(self) -> bool:
        """Return whether any of the sources that were read must be kept encrypted."""
        return any(permissions.encrypt for permissions in self._in_force.values())

    def refusal(self, source_id: str, purpose: Purpose) -> str:
        """Return why a source may not be used for a purpose, or nothing if it may; raise BadRequest."""
        permits.known(purpose)
        if source_id not in self._live:
            return f"the source {source_id} is not in this workspace"
        reason = permits.refused(self._in_force[source_id], purpose, self._today)
        return f"the source {source_id} {reason}" if reason else ""

    def filter(self, records: Sequence[Record], purpose: Purpose) -> tuple[list[Record], list[tuple[Record, str]]]:
        """Return the records that may be used for a purpose, and the others, each with the reason."""
        permits.known(purpose)
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
                reason = permits.refused(source.permissions, purpose, self._today)
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


def telling(text: str) -> bool:
    """Say whether a text is long enough to be known again by its digest."""
    plain = normalise_text(text)
    if len(plain) >= SHORTEST_TEXT:
        return True
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in plain) >= SHORTEST_TEXT


def _changed(conn: Connection, before: Source, facts: dict[str, Any]) -> Source:
    """Note a change of permissions, and return the source with those in force now."""
    changes.bump(conn)
    after = Rights(conn, before.workspace, before.id).source(before.id)
    held = {"before": permits.said_by(before.permissions), "after": permits.said_by(after.permissions)}
    audit.note(conn, before.workspace, "", "source.permissions", before.id, {"name": before.name, **facts, **held})
    return after


def _sealed(db: Database, before: Source, after: Source) -> Source:
    if after.permissions.encrypt and not before.permissions.encrypt:
        seal(db, after.workspace, find(db, after.workspace))  # also what was made of it
    return after


def _default(conn: Connection, ws: str) -> dict[str, Any]:
    found: dict[str, Any] | None = conn.scalar(sa.select(WORKSPACES.c.permissions).where(WORKSPACES.c.name == ws))
    return found or {}


def _said(conn: Connection, ws: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    return [row["permissions"] for each in ids for row in rows(conn, sa.select(SOURCES).where(_is(ws, each)))]


def _has_secret_kin(conn: Connection, ws: str, sha: str, parents: Sequence[str]) -> bool:
    same = conn.scalars(sa.select(SOURCES.c.id).where(SOURCES.c.workspace == ws, SOURCES.c.sha256 == sha)).all()
    return any(Rights(conn, ws, each).encrypts() for each in (*parents, *same))


def _is(ws: str, source_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(SOURCES.c.workspace == ws, SOURCES.c.id == source_id)
