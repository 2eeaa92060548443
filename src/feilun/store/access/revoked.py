"""Which dataset versions and models hold what must not be used any more: revoked, expired, deleted, or a copy of such.

Nothing is marked once and for all: it is looked up, so that a date that passes marks by itself, and what is permitted
again is not marked. Knows rows, edges and permissions. Does not know what is done about it.
"""

from __future__ import annotations

from collections import defaultdict

from feilun.errors import FeilunError, Forbidden
from feilun.records import PURPOSES, ModelVersion, Purpose
from feilun.store import datasets, lineage, models, sources
from feilun.store.database import Database

_LEARNT = {"trained on", "made", "continued"}
_MOST = 5
_TRAIN: Purpose = "train"


def dataset(db: Database, ws: str, version_id: str, purpose: Purpose | None = None) -> list[str]:
    """Return why rows of a dataset version must not be used for a purpose (its own) any more, at most 5 reasons."""
    written: object = datasets.get(db, ws, version_id).meta.get("purpose")
    wanted: Purpose = next((each for each in PURPOSES if each == (purpose or written)), _TRAIN)
    try:
        reasons = [reason for _, reason in datasets.withdrawn(db, ws, version_id, wanted)]
    except FeilunError:  # its table is gone, but not what it was made of
        refused, _ = sources.refusals(db, ws, wanted)
        living = {source.id for source in sources.find(db, ws)}
        above = {edge.parent for edge in lineage.ancestors(db, ws, version_id) if edge.relation == "data"}
        refused |= {source: f"the source {source} is not in this workspace" for source in above - living}
        reasons = [refused[source] for source in above if source in refused]
    return sorted(set(reasons))[:_MOST]


def learnt(db: Database, ws: str, model: str) -> list[str]:
    """Return the dataset versions that a model learnt from, also those of the versions that it went on from."""
    parents: defaultdict[str, list[str]] = defaultdict(list)
    for edge in lineage.ancestors(db, ws, model):
        if edge.relation in _LEARNT:
            parents[edge.child].append(edge.parent)
    seen, waiting = {model}, [model]
    while waiting:
        new = [parent for parent in parents[waiting.pop()] if parent not in seen]
        seen.update(new)
        waiting.extend(new)
    return sorted(node for node in seen if node.startswith("dataset-"))


def model(db: Database, ws: str, model_id: str, known: dict[str, list[str]] | None = None) -> list[str]:
    """Return why a model has learnt what must not be trained on any more; nothing if it has not.

    ``known`` keeps what was found out about dataset versions, for the next call.
    """
    found = {} if known is None else known
    for version in learnt(db, ws, model_id):
        if version not in found:
            found[version] = dataset(db, ws, version, "train")
    return sorted({reason for version in learnt(db, ws, model_id) for reason in found[version]})[:_MOST]


def all_models(db: Database, ws: str) -> dict[str, list[str]]:
    """Return the workspace's model versions that have learnt what must not be trained on any more, and why."""
    known: dict[str, list[str]] = {}
    found = {each.id: model(db, ws, each.id, known) for each in models.find(db, ws) if each.kind != "base"}
    return {model_id: reasons for model_id, reasons in found.items() if reasons}


def turn_on(db: Database, ws: str, model_id: str, who: str) -> ModelVersion:
    """Have a version answer to its id, as :func:`feilun.store.models.turn_on` does; raise as :func:`check`, too."""
    models.get(db, ws, model_id)
    check(db, ws, model_id)
    return models.turn_on(db, ws, model_id, who)


def check(db: Database, ws: str, model_id: str) -> None:
    """Raise Forbidden for a model that has learnt what must not be trained on any more."""
    if reasons := model(db, ws, model_id):
        raise Forbidden(f"{model_id} contains revoked data: {reasons[0]}.", "feilun retrain makes one without it.")
