"""Rollouts begun, moved on and ended; each change noted, and heard of by whoever follows the store.

Knows the rows, and that an endpoint tries one version at a time. Does not know when a stage is over.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from feilun.errors import BadRequest, Conflict
from feilun.records import JSON, Deployment, derived_id, new_id
from feilun.store import audit, changes, lineage, models, verdicts
from feilun.store.access import revoked
from feilun.store.database import Database, insert, one, rows, serialise
from feilun.store.rollouts.nouns import STAGES, Rollout, Status
from feilun.store.rollouts.tables import ROLLOUTS
from feilun.store.schema import TRACES, from_row, to_row

WEEK = 7 * 86400.0
ENOUGH = 200  # calls of an endpoint within a week, of which a share can prove something
NEVER = -1


def promote(db: Database, deployment: Deployment, enough: int = ENOUGH) -> tuple[Rollout | None, JSON]:
    """Let a version take an endpoint over: in stages where that can prove something, else at once; say why.

    Stages need another version that serves the endpoint now, and at least ``enough`` calls to it within the last week
    (0: any number; below 0: never stages). Returns the rollout, None if the version serves already. The same deployment
    again changes nothing. What the endpoint tries so far makes room.
    """
    ws, endpoint = deployment.workspace, deployment.endpoint
    now = verdicts.current(db, ws, endpoint)
    key = derived_id("rollout", deployment.id)
    for known in find(db, ws, endpoint):
        if known.id == key:
            return known, {}
    if enough < 0:
        why = _reason("The new version takes all calls at once, as asked.", "按要求，新版本立即接管全部调用。")
    elif now is None:
        why = _reason("The endpoint served nothing before: all at once.", "该端点此前没有模型，立即全量上线。")
    elif now.model == deployment.model:
        why = _reason("This version serves already.", "该版本已在提供服务。")
    elif (seen := week_calls(db, ws, endpoint)) < enough:
        why = _reason(
            f"All at once: {seen} calls within 7 days prove nothing by shares ({enough} are needed).",
            f"立即全量上线：7 天内仅 {seen} 次调用，不足以分阶段验证（需要 {enough} 次）。",
        )
    else:
        supersede(db, ws, endpoint)
        return start(db, Rollout(key, ws, endpoint, deployment.model, now.model, now.id, deployment.verdict)), {}
    if now is None or now.model != deployment.model:
        supersede(db, ws, endpoint)
        verdicts.promote(db, deployment)
    return None, why


def start(db: Database, rollout: Rollout) -> Rollout:
    """Begin a rollout at its first share and return it as kept; one that is there already stays as it is.

    Raises Conflict while another is running on this endpoint or where nothing serves it, BadRequest where candidate and
    incumbent are one, NotFound for an unknown version, Forbidden for one that has learnt what is revoked.
    """
    ws = rollout.workspace
    models.get(db, ws, rollout.model)
    revoked.check(db, ws, rollout.model)
    if not rollout.deployment:
        raise Conflict(
            f"Nothing serves {rollout.endpoint} yet.", "Promote a version first: there is nothing to compare."
        )
    if rollout.model == rollout.incumbent:
        raise BadRequest(f"{rollout.model} serves {rollout.endpoint} already.", "Name another version.", "model")
    percent = f"{rollout.share:.0%}"
    begun = _entry(
        rollout.share,
        f"{percent} of the calls go to the new version; it takes over if they show no harm.",
        f"{percent} 的调用交给新版本；若未见变差则逐步接管。",
    )
    made = replace(rollout, history=(begun,))
    with db.writing() as conn:
        serialise(conn, "rollouts", ws, rollout.endpoint)
        query = sa.select(ROLLOUTS).where(ROLLOUTS.c.workspace == ws, ROLLOUTS.c.endpoint == rollout.endpoint)
        others = rows(conn, query.where(ROLLOUTS.c.status == "running", ROLLOUTS.c.id != rollout.id))
        if others:
            raise Conflict(
                f"{rollout.endpoint} is trying {others[0]['model']} ({others[0]['id']}).",
                "Promote that one or roll it back first: feilun rollout list.",
            )
        known = conn.execute(query.where(ROLLOUTS.c.id == rollout.id)).first()
        if known is None:
            insert(conn, ROLLOUTS, [to_row(made)])
            edges = [(rollout.model, rollout.id, "tried"), (rollout.verdict, rollout.id, "decided")]
            lineage.record(conn, ws, edges)
            changes.bump(conn)
            facts = {"endpoint": rollout.endpoint, "model": rollout.model, "share": rollout.share}
            audit.note(conn, ws, "", "rollout.started", rollout.id, facts)
    return get(db, ws, rollout.id)


def get(db: Database, ws: str, rollout_id: str) -> Rollout:
    """Return a rollout; raise NotFound."""
    with db.reading() as conn:
        return _get(conn, ws, rollout_id)


def find(db: Database, ws: str, endpoint: str = "") -> list[Rollout]:
    """Return the rollouts of a workspace (of an endpoint), oldest first."""
    query = sa.select(ROLLOUTS).where(ROLLOUTS.c.workspace == ws)
    query = query.where(ROLLOUTS.c.endpoint == endpoint) if endpoint else query
    with db.reading() as conn:
        return [_noun(row) for row in rows(conn, query.order_by(ROLLOUTS.c.created, ROLLOUTS.c.id))]


def running(db: Database) -> list[Rollout]:
    """Return what every workspace tries now."""
    query = sa.select(ROLLOUTS).where(ROLLOUTS.c.status == "running").order_by(ROLLOUTS.c.workspace, ROLLOUTS.c.id)
    with db.reading() as conn:
        return [_noun(row) for row in rows(conn, query)]


def move(db: Database, ws: str, rollout_id: str, share: float, reason: JSON) -> Rollout:
    """Give the candidate another share of the calls; raise Conflict once the rollout has ended."""
    if not 0 < share < 1:
        raise BadRequest("A share is more than 0 and less than 1.", "Promote it to give it all calls.", "share")
    with db.writing() as conn:
        found = _open(conn, ws, rollout_id)
        if found.share != share:
            _change(conn, found, {"share": share}, _entry(share, reason["en"], reason["zh"]))
            audit.note(conn, ws, "", "rollout.moved", rollout_id, {"share": share, "reason": reason["en"]})
    return get(db, ws, rollout_id)


def observe(db: Database, ws: str, rollout_id: str, evidence: JSON) -> None:
    """Keep what the calls of a running rollout have shown so far."""
    mine = sa.and_(ROLLOUTS.c.workspace == ws, ROLLOUTS.c.id == rollout_id, ROLLOUTS.c.status == "running")
    with db.writing() as conn:
        conn.execute(sa.update(ROLLOUTS).where(mine).values(evidence=evidence))


def end(db: Database, ws: str, rollout_id: str, status: Status, reason: JSON, evidence: JSON | None = None) -> Rollout:
    """End a rollout: ``promoted`` gives its candidate all calls, ``rolled back`` none. Return it as kept.

    A promoted one may be rolled back too: the incumbent serves again. Raises Conflict if it has ended otherwise, and
    Forbidden where the version that would serve has learnt what is revoked.
    """
    found = get(db, ws, rollout_id)
    again = status == "rolled back" and found.status == "promoted"
    if found.status != "running" and not again:
        raise _ended(found)
    if status == "promoted" or again:
        model = found.model if status == "promoted" else found.incumbent
        revoked.check(db, ws, model)
        # The same id again changes nothing: a process that is killed between these two writes does both again.
        key = derived_id("deployment", rollout_id, status)
        verdicts.promote(db, Deployment(key, ws, found.endpoint, model, found.verdict))
    share = 1.0 if status == "promoted" else 0.0
    with db.writing() as conn:
        now = _get(conn, ws, rollout_id)
        if now.status == found.status:
            values: dict[str, Any] = {"status": status, "share": share}
            if evidence is not None:
                values["evidence"] = evidence
            _change(conn, now, values, _entry(share, reason["en"], reason["zh"]))
            if status == "promoted":
                key = derived_id("deployment", rollout_id, status)
                lineage.record(conn, ws, [(rollout_id, key, "decided")])
            name = f"rollout.{status.replace(' ', '_')}"
            audit.note(conn, ws, "", name, rollout_id, {"model": found.model, "reason": reason["en"]})
    return get(db, ws, rollout_id)


def supersede(db: Database, ws: str, endpoint: str) -> None:
    """End what an endpoint tries, as another version was promoted to it."""
    for found in find(db, ws, endpoint):
        if found.status == "running":
            reason = _reason("Another version was promoted meanwhile.", "期间另一个版本已上线。")
            end(db, ws, found.id, "superseded", reason)


def week_calls(db: Database, ws: str, endpoint: str) -> int:
    """Return how many calls of clients an endpoint had within the last 7 days."""
    mine = sa.and_(TRACES.c.workspace == ws, TRACES.c.endpoint == endpoint, TRACES.c.kind != "eval")
    query = sa.select(sa.func.count()).select_from(TRACES).where(mine, TRACES.c.created > time.time() - WEEK)
    with db.reading() as conn:
        return int(conn.execute(query).scalar_one())


def begin(db: Database, ws: str, endpoint: str, model: str, rules: JSON | None = None) -> Rollout:
    """Have an endpoint try a version because somebody wants it; raise as :func:`start` does."""
    now = verdicts.current(db, ws, endpoint)
    incumbent, deployment = (now.model, now.id) if now else ("", "")
    return start(db, Rollout(new_id("rollout"), ws, endpoint, model, incumbent, deployment, rules=rules or {}))


def next_share(rollout: Rollout) -> float:
    """Return the share that follows; 1 after the last stage."""
    return next((share for share in STAGES if share > rollout.share), 1.0)


def _get(conn: Connection, ws: str, rollout_id: str) -> Rollout:
    query = sa.select(ROLLOUTS).where(ROLLOUTS.c.workspace == ws, ROLLOUTS.c.id == rollout_id)
    return _noun(one(conn, query, f"rollout {rollout_id}"))


def _open(conn: Connection, ws: str, rollout_id: str) -> Rollout:
    found = _get(conn, ws, rollout_id)
    if found.status != "running":
        raise _ended(found)
    return found


def _ended(found: Rollout) -> Conflict:
    return Conflict(f"{found.id} has ended: {found.status}.", "feilun rollout list shows which are running.")


def _change(conn: Connection, found: Rollout, values: dict[str, Any], entry: JSON) -> None:
    mine = sa.and_(ROLLOUTS.c.workspace == found.workspace, ROLLOUTS.c.id == found.id)
    conn.execute(sa.update(ROLLOUTS).where(mine).values(**values, history=[*found.history, entry]))
    changes.bump(conn)


def _noun(row: dict[str, Any]) -> Rollout:
    return from_row(Rollout, {**row, "history": tuple(row["history"])})


def _entry(share: float, en: str, zh: str) -> JSON:
    return {"time": time.time(), "share": share, "who": audit.actor(), "en": en, "zh": zh}


def _reason(en: str, zh: str) -> JSON:
    return {"en": en, "zh": zh}
