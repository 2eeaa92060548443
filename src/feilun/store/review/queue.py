"""Rows on their way past people: added, leased to one after the other, decided, taken away.

Knows that nobody sees a row twice and no more people have one than it needs. Does not know which decisions are
possible, nor when people agree: ``settle`` is handed in.

A lease is the right to decide: it ends by itself, and then others may have the row. Rows that measure annotators go to
everybody. A row is withdrawn from view as soon as one of its sources is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from feilun.errors import Conflict, NotFound
from feilun.store import audit, lineage
from feilun.store.database import Database, insert, one, rows, serialise
from feilun.store.review.nouns import Annotation, ReviewItem, Settled, Status, Suggestion
from feilun.store.review.tables import ANNOTATIONS, ITEMS, annotation_row, item_row, secret, to_annotation, to_item
from feilun.store.schema import SOURCES, clean

_WAITING = ("open", "disputed")
_WITHDRAWN: dict[str, Any] = {"status": "withdrawn", "row": {}, "gold": None, "suggestion": None, "result": None}
_FEW = 500
Settle = Callable[[ReviewItem, Sequence[Annotation]], Settled]


def add(
    db: Database,
    ws: str,
    items: Sequence[ReviewItem],
    parents: Mapping[str, Sequence[str]],
    secrets: Collection[str] = (),
) -> list[ReviewItem]:
    """Keep items of a workspace and return them as kept, in order; those that are there already stay as they are.

    ``parents`` names, by item, what it was made of beside its sources (a trace, a judgement). Rows of the sources in
    ``secrets`` are kept encrypted. Raises NotFound for an unknown source or workspace.
    """
    hidden = frozenset(secrets)
    items = [replace(item, workspace=ws, sealed=not hidden.isdisjoint(item.sources)) for item in items]
    with db.writing() as conn:
        wanted = sorted({source for item in items for source in item.sources})
        if gone := _gone(conn, ws, wanted):
            raise NotFound(f"There is no source {clean(min(gone))} in this workspace.", "GET /api/sources lists them.")
        insert(conn, ITEMS, [item_row(item, db.root) for item in items])
        edges = [(source, item.id, "data") for item in items for source in item.sources]
        edges += [(parent, item.id, "flagged") for item in items for parent in parents.get(item.id, ())]
        edges += [(item.suggestion.by, item.id, "suggested") for item in items if item.suggestion]
        lineage.record(conn, ws, edges)
        ids = [item.id for item in items]
        kept = {item.id: item for at in range(0, len(ids), _FEW) for item in _named(db, conn, ws, ids[at : at + _FEW])}
        if ids:
            queues = sorted({item.queue for item in items})
            audit.note(conn, ws, "", "review.added", ids[0], {"rows": len(ids), "queues": queues})
        return [kept[item_id] for item_id in ids]


def get(db: Database, ws: str, item_id: str) -> ReviewItem:
    """Return an item; raise NotFound."""
    with db.reading() as conn:
        return _read(db, conn, ws, item_id)


def find(
    db: Database, ws: str, queue: str = "", status: Status | None = None, after: str = "", limit: int | None = None
) -> list[ReviewItem]:
    """Return the items of a workspace (of a queue, with a status), oldest first, behind the id ``after``.

    ``withdrawn`` are those of which a source is gone: they have no row any more. Raises NotFound for ``after``.
    """
    query = sa.select(ITEMS).where(ITEMS.c.workspace == ws)
    query = query.where(ITEMS.c.queue == queue) if queue else query
    if status not in {None, "withdrawn"}:
        query = query.where(ITEMS.c.status == status)
    with db.reading() as conn:
        if after:
            last = one(conn, sa.select(ITEMS).where(_is(ws, after)), f"review item {after[:100]}")
            later = sa.and_(ITEMS.c.created == last["created"], ITEMS.c.id > last["id"])
            query = query.where(sa.or_(ITEMS.c.created > last["created"], later))
        found: list[ReviewItem] = []
        query = query.order_by(ITEMS.c.created, ITEMS.c.id)
        at = 0
        while batch := rows(conn, query.offset(at).limit(_FEW)):
            at += len(batch)
            found += [item for item in _shown(db, conn, ws, batch) if status in {None, item.status}]
            if limit is not None and len(found) >= limit:
                return found[:limit]
    return found


def decisions(db: Database, ws: str, item_id: str = "") -> list[Annotation]:
    """Return what people decided, skipped or have (of one item), in the order in which they did."""
    query = sa.select(ANNOTATIONS).where(ANNOTATIONS.c.workspace == ws)
    query = query.where(ANNOTATIONS.c.item == item_id) if item_id else query
    order = (ANNOTATIONS.c.created, ANNOTATIONS.c.item, ANNOTATIONS.c.annotator)
    with db.reading() as conn:
        return [to_annotation(row, db.root) for row in rows(conn, query.order_by(*order))]


def lease(
    db: Database, ws: str, annotator: str, queue: str, now: float, until: float, measure: bool
) -> tuple[ReviewItem, float] | None:
    """Give an annotator the next row until a time (s since 1970), or again the one that they have; None if none waits.

    ``measure``: rather one that measures annotators. Rows that people disputed come first, then the oldest.
    """
    with db.writing() as conn:
        serialise(conn, "review", ws)
        held = _held(db, conn, ws, annotator, queue, now)
        if held is not None:
            return held
        for gold in (measure, not measure):
            query = _candidates(ws, annotator, now, gold)
            query = query.where(ITEMS.c.queue == queue) if queue else query
            while found := rows(conn, query.limit(1)):
                (item,) = _shown(db, conn, ws, found)
                if item.status == "withdrawn":
                    conn.execute(sa.update(ITEMS).where(_is(ws, item.id)).values(**_WITHDRAWN))
                    continue
                _write(db, conn, item, Annotation(item.id, annotator, "leased", until, created=now))
                audit.note(conn, ws, annotator, "review.seen", item.id)
                return item, until
    return None


def decide(db: Database, ws: str, given: Annotation, now: float, settle: Settle) -> Annotation:
    """Keep what an annotator decided about the row that they were given, and what all decisions about it come to.

    Raises NotFound, and Conflict if they were not given it, have decided or skipped it, or lost it to somebody else.
    """
    with db.writing() as conn:
        serialise(conn, "review", ws)
        item = _mine(db, conn, ws, given.item, given.annotator, now)
        kept = replace(given, state="decided", until=0.0, created=now)
        _write(db, conn, item, kept)
        if item.gold is None:
            about = sa.select(ANNOTATIONS).where(_about(ws, item.id), ANNOTATIONS.c.state == "decided")
            order = (ANNOTATIONS.c.created, ANNOTATIONS.c.annotator)
            decided = [to_annotation(row, db.root) for row in rows(conn, about.order_by(*order))]
            settled = settle(item, decided)
            _set(db, conn, item, status=settled.status, result=settled.result)
        audit.note(conn, ws, kept.annotator, "review.decided", item.id)
        return kept


def skip(db: Database, ws: str, item_id: str, annotator: str, reason: str, now: float) -> Annotation:
    """Note that an annotator leaves the row that they were given to others; raises as :func:`decide` does."""
    with db.writing() as conn:
        serialise(conn, "review", ws)
        item = _mine(db, conn, ws, item_id, annotator, now)
        kept = Annotation(item_id, annotator, "skipped", 0.0, reason=reason, created=now)
        _write(db, conn, item, kept)
        audit.note(conn, ws, annotator, "review.skipped", item_id)
        return kept


def resolve(db: Database, ws: str, item_id: str, settled: Settled) -> ReviewItem:
    """End an item by somebody's word, whatever the annotators said; raise NotFound, Conflict for one that is gone."""
    with db.writing() as conn:
        serialise(conn, "review", ws)
        item = _read(db, conn, ws, item_id)
        if item.status == "withdrawn" or item.gold is not None:
            raise Conflict("This row is not there to be decided.", "GET /api/review/items lists those that are.")
        _set(db, conn, item, status=settled.status, result=settled.result)
        audit.note(conn, ws, "", "review.resolved", item_id)
        return _read(db, conn, ws, item_id)


def suggest(db: Database, ws: str, item_id: str, suggestion: Suggestion) -> ReviewItem:
    """Set what a model would decide about an item that nobody has finished; raise NotFound, Conflict."""
    with db.writing() as conn:
        serialise(conn, "review", ws)
        item = _read(db, conn, ws, item_id)
        if item.status not in _WAITING:
            raise Conflict("This row waits for nobody any more.", "Suggest for rows that are open or disputed.")
        _set(db, conn, item, suggestion=suggestion)
        lineage.record(conn, ws, [(suggestion.by, item_id, "suggested")])
        audit.note(conn, ws, "", "review.suggested", item_id, {"by": suggestion.by})
        return _read(db, conn, ws, item_id)


def remove(db: Database, ws: str, item_id: str) -> None:
    """Delete an item with all that was decided about it; raise NotFound."""
    with db.writing() as conn:
        serialise(conn, "review", ws)
        _read(db, conn, ws, item_id)
        conn.execute(sa.delete(ANNOTATIONS).where(_about(ws, item_id)))
        conn.execute(sa.delete(ITEMS).where(_is(ws, item_id)))
        audit.note(conn, ws, "", "review.removed", item_id)


def seal(db: Database, ws: str, secrets: Collection[str]) -> int:
    """Encrypt what is plain of rows of these sources, and of what was decided about them; return how many rows."""
    hidden, count = frozenset(secrets), 0
    with db.writing() as conn:
        serialise(conn, "review", ws)
        for row in rows(conn, sa.select(ITEMS).where(ITEMS.c.workspace == ws)):
            item = to_item(row, db.root)
            if item.sealed or hidden.isdisjoint(item.sources):
                continue
            count += 1
            item = replace(item, sealed=True)
            conn.execute(sa.update(ITEMS).where(_is(ws, item.id)).values(item_row(item, db.root)))
            for given in rows(conn, sa.select(ANNOTATIONS).where(_about(ws, item.id))):
                _write(db, conn, item, to_annotation(given, db.root))
    return count


def _held(
    db: Database, conn: Connection, ws: str, annotator: str, queue: str, now: float
) -> tuple[ReviewItem, float] | None:
    """Return the row that an annotator has at this moment, and until when."""
    leased = sa.and_(ANNOTATIONS.c.state == "leased", ANNOTATIONS.c.until > now, ANNOTATIONS.c.annotator == annotator)
    query = (
        sa.select(ITEMS, ANNOTATIONS.c.until.label("leased_until"))
        .join(ANNOTATIONS, sa.and_(ANNOTATIONS.c.workspace == ITEMS.c.workspace, ANNOTATIONS.c.item == ITEMS.c.id))
        .where(ITEMS.c.workspace == ws, ITEMS.c.status.in_(_WAITING), leased)
        .order_by(ANNOTATIONS.c.created, ITEMS.c.id)
    )
    for row in rows(conn, query.where(ITEMS.c.queue == queue) if queue else query):
        until = float(row.pop("leased_until"))
        (item,) = _shown(db, conn, ws, [row])
        if item.status != "withdrawn":
            return item, until
    return None


def _candidates(ws: str, annotator: str, now: float, gold: bool) -> sa.Select[Any]:
    """Return the rows that an annotator may be given, the most urgent first."""
    here = sa.and_(ANNOTATIONS.c.workspace == ITEMS.c.workspace, ANNOTATIONS.c.item == ITEMS.c.id)
    own = ANNOTATIONS.c.annotator == annotator
    over = sa.exists().where(here, own, ANNOTATIONS.c.state != "leased")
    query = (
        sa.select(ITEMS)
        .where(ITEMS.c.workspace == ws, ITEMS.c.measures == gold, ITEMS.c.status.in_(_WAITING), ~over)
        .order_by(ITEMS.c.status, ITEMS.c.created, ITEMS.c.id)  # disputed comes before open
    )
    if gold:
        return query
    taken = sa.select(sa.func.count()).where(here, ~own, _counts(now)).scalar_subquery()
    return query.where(taken < ITEMS.c.needed + sa.case((ITEMS.c.status == "disputed", 1), else_=0))


def _counts(now: float) -> sa.ColumnElement[bool]:
    """Say whether an annotation stands, or may still come to stand, for one of those that an item needs."""
    leased = sa.and_(ANNOTATIONS.c.state == "leased", ANNOTATIONS.c.until > now)
    return sa.or_(ANNOTATIONS.c.state == "decided", leased)


def _mine(db: Database, conn: Connection, ws: str, item_id: str, annotator: str, now: float) -> ReviewItem:
    """Return an item that an annotator may decide about now; raise NotFound, Conflict."""
    item = _read(db, conn, ws, item_id)
    own = sa.select(ANNOTATIONS).where(_about(ws, item_id), ANNOTATIONS.c.annotator == annotator)
    found = rows(conn, own)
    if not found:
        raise Conflict("This row was not given to you.", "POST /api/review/next gives you one.")
    if found[0]["state"] != "leased":
        raise Conflict(f"You have {found[0]['state']} this row already.", "POST /api/review/next gives you another.")
    lost = item.status not in _WAITING
    if item.gold is None and not lost and found[0]["until"] <= now:
        others = sa.select(sa.func.count()).where(_about(ws, item_id), ANNOTATIONS.c.annotator != annotator)
        lost = conn.execute(others.where(_counts(now))).scalar_one() >= item.needed + (item.status == "disputed")
    if lost:
        raise Conflict("Your time for this row is over, and others have it.", "POST /api/review/next gives another.")
    return item


def _read(db: Database, conn: Connection, ws: str, item_id: str) -> ReviewItem:
    found = one(conn, sa.select(ITEMS).where(_is(ws, item_id)), f"review item {item_id[:100]}")
    return _shown(db, conn, ws, [found])[0]


def _named(db: Database, conn: Connection, ws: str, ids: Sequence[str]) -> list[ReviewItem]:
    return _shown(db, conn, ws, rows(conn, sa.select(ITEMS).where(ITEMS.c.workspace == ws, ITEMS.c.id.in_(ids))))


def _shown(db: Database, conn: Connection, ws: str, found: Sequence[Mapping[str, Any]]) -> list[ReviewItem]:
    """Return items; of those of which a source is gone, nothing that they say."""
    items = [to_item(row, db.root) for row in found]
    gone = _gone(conn, ws, sorted({source for item in items for source in item.sources}))
    return [replace(item, **_WITHDRAWN) if gone & set(item.sources) else item for item in items]


def _gone(conn: Connection, ws: str, wanted: Sequence[str]) -> set[str]:
    there: set[str] = set()
    for at in range(0, len(wanted), _FEW):
        named = SOURCES.c.id.in_(wanted[at : at + _FEW])
        there.update(conn.scalars(sa.select(SOURCES.c.id).where(SOURCES.c.workspace == ws, ~SOURCES.c.deleted, named)))
    return set(wanted) - there


def _write(db: Database, conn: Connection, item: ReviewItem, given: Annotation) -> None:
    values = annotation_row(item.workspace, given, db.root if item.sealed else None)
    key = {"workspace", "item", "annotator"}
    insert(conn, ANNOTATIONS, [values], replace=sorted(values.keys() - key))


def _set(db: Database, conn: Connection, item: ReviewItem, **values: Any) -> None:
    values |= secret(values, db.root) if item.sealed else {}
    conn.execute(sa.update(ITEMS).where(_is(item.workspace, item.id)).values(**values))


def _is(ws: str, item_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(ITEMS.c.workspace == ws, ITEMS.c.id == item_id)


def _about(ws: str, item_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(ANNOTATIONS.c.workspace == ws, ANNOTATIONS.c.item == item_id)
