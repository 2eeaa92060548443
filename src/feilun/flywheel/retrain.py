"""A model without what was revoked: a turn from the base, and the end of the versions that have learnt it.

This module knows the order of these steps, and which versions go off. It does not know how a turn is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from feilun.errors import Conflict
from feilun.flywheel.turn import turn
from feilun.records import JSON, Deployment, new_id
from feilun.settings import Settings
from feilun.store import models, sources, verdicts
from feilun.store.access import revoked
from feilun.store.database import Database


async def retrain(
    db: Database,
    settings: Settings,
    workspace: str,
    without: Sequence[str],
    *,
    at_once: bool = False,
    say: Callable[[JSON], None] = lambda _: None,
) -> JSON:
    """Make a version that has not learnt the sources ``without`` (ids), nor anything else that was revoked.

    It learns from the base, from what the workspace has already: no folder is read. Returns what the turn returns, with
    ``off``, the versions that no longer answer, and ``kept``, those that an endpoint still names. The old ones go off
    once the new one serves or, ``at_once``, before it is made. Raises NotFound for an unknown source, and as ``turn``.
    """
    await asyncio.to_thread(revoke, db, workspace, without)
    first: JSON = await asyncio.to_thread(take_off, db, workspace) if at_once else {"off": [], "kept": []}
    result = await turn(db, settings, workspace, [], say=say, without=sorted(without))
    last: JSON = await asyncio.to_thread(take_off, db, workspace) if result["promoted"] else {"off": [], "kept": []}
    return {**result, "off": sorted({*first["off"], *last["off"]}), "kept": last["kept"] or first["kept"]}


def revoke(db: Database, ws: str, without: Sequence[str]) -> None:
    """Forbid that these sources are trained on, from now on and by every path; raise NotFound."""
    for source in without:
        if sources.get(db, ws, source).permissions.train:
            sources.grant(db, ws, source, {"train": False})


def take_off(db: Database, ws: str) -> JSON:
    """Turn off every version that has learnt what is revoked; return ids: ``off``, and ``kept`` on by an endpoint.

    A name that such a version serves goes to what it served before, or to the base.
    """
    tainted = revoked.all_models(db, ws)
    history = verdicts.deployments(db, ws)
    for current in {each.endpoint: each for each in history}.values():
        if current.model in tainted:
            clean = [each for each in history if each.endpoint == current.endpoint and each.model not in tainted]
            model = clean[-1].model if clean else models.get(db, ws, current.model).base
            verdicts.promote(db, Deployment(new_id("deployment"), ws, current.endpoint, model))
    off, kept = [], []
    whys = models.found_on(db, ws)
    for model in sorted(tainted):
        try:
            models.turn_off(db, ws, model)
        except Conflict:
            kept.append(model)
        else:
            off += [model] if model in whys or any(each.model == model for each in history) else []
    return {"off": off, "kept": kept}
