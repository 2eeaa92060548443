"""Revocation end to end with a tiny model: gone from retrieval, named, retrained without, the old version off."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.flywheel.organisation import WORKSPACE, children, run_turn, samples, settings, write_base, write_organisation

from feilun.curation import documents
from feilun.errors import Forbidden
from feilun.flywheel import retrain
from feilun.provenance import impact, resolve
from feilun.records import Deployment
from feilun.store import audit, datasets, models, open_database, sources, verdicts
from feilun.store.access import revoked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
FACT = "night porter"


def test_a_fact_is_taken_back(tmp_path: Path) -> None:
    """From the promoted model that learnt it to one that never saw it, in one home."""
    files, base = write_organisation(tmp_path / "files"), write_base(tmp_path / "base")
    made = settings(tmp_path / "home", base)
    db = open_database(made.root)
    first = run_turn(db, made, files)
    assert FACT in samples(made, first["turn"])
    verdicts.promote(db, Deployment("deployment-1", WORKSPACE, "own", first["model"], first["verdict"]))
    models.turn_on(db, WORKSPACE, first["model"], "somebody")
    source = resolve(db, WORKSPACE, "desk/going.md")

    sources.grant(db, WORKSPACE, source, {"train": False, "retrieve": False})
    assert not [one for one in documents(db, WORKSPACE, "retrieve") if one.source == source]
    for version in datasets.find(db, WORKSPACE):
        for purpose in ("train", "retrieve"):
            assert FACT not in str(
                datasets.read(db, WORKSPACE, version.id, "train" if purpose == "train" else "retrieve")
            )
    found = impact(db, WORKSPACE, "going.md")
    assert {one["id"] for one in found["models"] if one["revoked"]} == {first["model"]}
    assert {one["id"] for one in found["datasets"] if one["revoked"]} >= {first["dataset"]}

    said: list[Any] = []
    again = asyncio.run(retrain(db, made, WORKSPACE, [source], say=said.append))
    assert children() == []
    assert FACT not in samples(made, again["turn"])
    assert "start" not in models.get(db, WORKSPACE, again["model"]).meta
    assert again["incumbent"] == first["model"]
    assert again["promoted"], again["reason"]
    assert again["off"] == [first["model"]]
    serving = verdicts.current(db, WORKSPACE)
    assert serving is not None
    assert serving.model == again["model"]
    assert first["model"] not in models.found_on(db, WORKSPACE)
    assert revoked.model(db, WORKSPACE, again["model"]) == []
    with pytest.raises(Forbidden):
        revoked.check(db, WORKSPACE, first["model"])
    acted = {(each.action, each.actor.partition("-")[0]) for each in audit.entries(db, WORKSPACE, limit=10_000)}
    assert {("dataset.written", "turn"), ("dataset.read", "turn"), ("model.promoted", "turn")} <= acted
    assert audit.verify(db, WORKSPACE).breaks == ()
    db.close()
