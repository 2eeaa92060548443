"""What made this, and what did this touch: the two questions that must always have an answer.

Knows ids' prefixes, edges, and how to name in words what an edge leads to. Does not know who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from feilun.errors import BadRequest, NotFound
from feilun.records import JSON, Record, Source
from feilun.store import datasets, feedback, lineage, models, sources, traces, verdicts
from feilun.store.access import revoked
from feilun.store.database import Database
from feilun.store.journal import Journal
from feilun.store.lineage import Edge

_SHORT = 160
_GROUPS = {
    "source": "sources",
    "file": "sources",
    "dataset": "datasets",
    "ftjob": "jobs",
    "turn": "jobs",
    "model": "models",
    "verdict": "verdicts",
    "deployment": "deployments",
    "trace": "answers",
    "feedback": "feedback",
}


def explain(db: Database, ws: str, node: str, limit: int = 20) -> JSON:
    """Return what made ``node``: ``deployments``, ``models``, ``jobs``, ``datasets``, ``sources`` and the ``edges``.

    ``records`` are those of the dataset versions, at most ``limit``, with ``records_total``. Sources are named. Raises
    NotFound for an id that is not in the workspace.
    """
    edges = lineage.ancestors(db, ws, node)
    about = _describe(db, ws, node)
    if about is None:
        raise NotFound(f"There is no {node[:100]} in this workspace.", "Ids look like trace-…, model-…, dataset-….")
    found = _grouped(db, ws, (edge.parent for edge in edges))
    shown: list[JSON] = []
    total = 0
    for dataset in [about, *found["datasets"]]:
        if str(dataset["id"]).startswith("dataset-"):
            records = datasets.read(db, ws, str(dataset["id"]), "inspect")
            total += len(records)
            shown += [_record(record) for record in records[: max(0, limit - len(shown))]]
    answer = {"id": node, "about": about, **found, "records": shown, "records_total": total}
    return answer | {"edges": [asdict(edge) for edge in edges]}


def impact(db: Database, ws: str, what: str, limit: int = 100) -> JSON:
    """Return what ``what`` touched: ``datasets``, ``models``, ``verdicts``, ``deployments`` and ``answers``.

    Those that contain revoked data say so: ``revoked`` lists why.
    ``what`` is an id, or the name of a source (the whole name, or its last part where no other has the same). At most
    ``limit`` answers are shown, with ``answers_total``. Raises NotFound, and BadRequest where a name is not unique.
    """
    node = resolve(db, ws, what)
    about = _describe(db, ws, node)
    edges = lineage.descendants(db, ws, node)
    touched = dict.fromkeys(edge.child for edge in edges)
    answers = [one for one in touched if one.startswith("trace-")]
    shown = [one for one in touched if not one.startswith("trace-")] + answers[:limit]
    found = _grouped(db, ws, shown)
    return {
        "id": node,
        "about": about,
        **found,
        "answers_total": len(answers),
        "edges": _without(edges, answers[limit:]),
    }


def resolve(db: Database, ws: str, what: str) -> str:
    """Return the id that ``what`` means: itself, or that of the source with this name."""
    if _describe(db, ws, what) is not None:
        return what
    everything = sources.find(db, ws)
    for same in (_named, _ends):
        found = [source for source in everything if same(source, what)]
        if len(found) > 1:
            ids = ", ".join(f"{source.id} ({source.name})" for source in found[:5])
            raise BadRequest(f"{len(found)} sources are named {what[:100]}.", f"Name one by its id: {ids}.")
        if found:
            return found[0].id
    raise NotFound(f"There is no source {what[:100]!r} in this workspace.", "feilun permissions lists what there is.")


def permit(db: Database, ws: str, what: str, said: Mapping[str, Any]) -> list[Source]:
    """Say what a source and all that came out of it may be used for; return them with what holds now, in order.

    ``what`` is an id or a name, also that of an archive, a mailbox or a folder, which is no source itself but holds
    some. Raises BadRequest, NotFound.
    """
    return [sources.grant(db, ws, one, said) for one in whole(db, ws, what)]


def whole(db: Database, ws: str, what: str) -> list[str]:
    """Return the ids of a source and of all that came out of it, or of all that an archive or a folder holds."""
    everything = sources.find(db, ws)
    try:
        node = resolve(db, ws, what)
    except NotFound:
        holders = {place for source in everything if (place := _holder(source, what))}
        if len(holders) != 1:
            if not holders:
                raise
            places = ", ".join(sorted(holders))
            raise BadRequest(f"{len(holders)} places are named {what[:100]}.", f"Name one: {places}.") from None
        return _below(everything, holders.pop())
    return [node, *_below(everything, next((_path(one) for one in everything if one.id == node), ""))]


def _holder(source: Source, what: str) -> str:
    """Return the path of what is named ``what`` and holds a source; empty if nothing does."""
    path, asked = _path(source), what.rstrip("/")
    within = len(path) - len(source.name) if path.endswith(source.name) else 0
    if asked.startswith("/"):
        return asked if path.startswith(f"{asked}/") else ""
    # Names begin below the folder that was given; this one's own name may be said, too.
    place = f"/{path}".find(f"/{asked}/", max(0, within - len(asked) - 1)) if asked else -1
    return path[: place + len(asked)] if place >= 0 else ""


def _path(source: Source) -> str:
    return str(source.meta.get("path", ""))


def _below(everything: Iterable[Source], place: str) -> list[str]:
    return [one.id for one in everything if place and _path(one).startswith(f"{place}/")]


def _named(source: Source, what: str) -> bool:
    return source.name == what


def _ends(source: Source, what: str) -> bool:
    return bool(what) and (source.name.endswith(f"/{what}") or what.endswith(f"/{source.name}"))


def _without(edges: list[Edge], hidden: list[str]) -> list[JSON]:
    gone = set(hidden)
    return [asdict(edge) for edge in edges if edge.child not in gone and edge.parent not in gone]


def _grouped(db: Database, ws: str, ids: Iterable[str]) -> dict[str, list[JSON]]:
    found: dict[str, list[JSON]] = {group: [] for group in dict.fromkeys(_GROUPS.values())}
    for node in dict.fromkeys(ids):
        group = _GROUPS.get(node.partition("-")[0])
        if group is not None:
            found[group].append(_describe(db, ws, node) or {"id": node, "name": "(deleted)"})
    return found


def _describe(db: Database, ws: str, node: str) -> JSON | None:
    """Return the id with what tells people what it is; None if it is not there."""
    describe = _DESCRIBERS.get(node.partition("-")[0])
    if describe is None:
        return None
    try:
        return {"id": node, **describe(db, ws, node)}
    except NotFound:
        return None


def _source(db: Database, ws: str, node: str) -> JSON:
    found = sources.get(db, ws, node)
    return {"name": found.name, "origin": found.origin, "permissions": asdict(found.permissions)}


def _dataset(db: Database, ws: str, node: str) -> JSON:
    found = datasets.get(db, ws, node)
    about = {"name": found.name, "version": found.version, "rows": found.rows, "created": found.created}
    return about | {"revoked": revoked.dataset(db, ws, node)}


def _job(db: Database, ws: str, node: str) -> JSON:
    found = Journal(db).get(node, ws)
    return {"kind": found.kind, "status": found.status, "created": found.created}


def _model(db: Database, ws: str, node: str) -> JSON:
    found = models.get(db, ws, node)
    about = {"name": found.name, "kind": found.kind, "base": found.base, "created": found.created}
    return about | {"revoked": revoked.model(db, ws, node)}


def _verdict(db: Database, ws: str, node: str) -> JSON:
    found = verdicts.get(db, ws, node)
    return {"candidate": found.candidate, "promoted": found.promoted, "reason": found.reason, "created": found.created}


def _deployment(db: Database, ws: str, node: str) -> JSON:
    for found in verdicts.deployments(db, ws):
        if found.id == node:
            about = {"endpoint": found.endpoint, "model": found.model, "created": found.created}
            return about | {"revoked": revoked.model(db, ws, found.model)}
    raise NotFound(f"There is no deployment {node}.")


def _trace(db: Database, ws: str, node: str) -> JSON:
    found = traces.get(db, ws, node)
    asked = next((str(m.get("content") or "") for m in reversed(found.messages) if m.get("role") == "user"), "")
    shown = {"question": asked[:_SHORT], "answer": found.answer[:_SHORT], "finish": found.finish}
    return {"endpoint": found.endpoint, "model": found.model, **shown, "created": found.created}


def _feedback(db: Database, ws: str, node: str) -> JSON:
    found = feedback.get(db, ws, node)
    return {"trace": found.trace, "thumb": found.thumb, "correction": found.correction[:_SHORT]}


def _record(record: Record) -> JSON:
    asked = next((str(m.get("content") or "") for m in record.messages if m.get("role") == "user"), record.text)
    return {"id": record.id, "question": asked[:_SHORT], "sources": list(record.sources)}


_DESCRIBERS: dict[str, Callable[[Database, str, str], JSON]] = {
    "source": _source,
    "file": _source,
    "dataset": _dataset,
    "ftjob": _job,
    "turn": _job,
    "model": _model,
    "verdict": _verdict,
    "deployment": _deployment,
    "trace": _trace,
    "feedback": _feedback,
}
