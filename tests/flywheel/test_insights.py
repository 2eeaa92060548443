"""Scripted calls to a named insight, accepted with one action, to what the next turn learns and asks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.feedback.insights.scripted import play
from tests.flywheel.organisation import WORKSPACE, write_organisation

from feilun.curation import ingest
from feilun.feedback.insights import Given, accept, look
from feilun.flywheel.data import make_data
from feilun.records import Job, normalise_text
from feilun.settings import Settings
from feilun.store import datasets, evals, open_database, workspaces

ANSWERS = ("Lockers for luggage stand beside the blue staircase.", "寄存柜在蓝色楼梯旁边。")


@pytest.mark.slow
def test_an_accepted_insight_is_learnt_and_asked(tmp_path: Path) -> None:
    """Its corrections are trained on, its held-back questions asked and never trained, in both languages."""
    made = Settings(home=str(tmp_path / "home"), embedding="", general=20)
    db = open_database(made.root)
    workspaces.ensure(db, WORKSPACE)
    ingest(db, WORKSPACE, [write_organisation(tmp_path / "files")])
    script = play(db, WORKSPACE, "museum", seed=4)
    found = look(db, WORKSPACE, list)
    assert len(script.found(found, 0.6)) >= 4
    lockers = next(
        one
        for one in found
        if Counter(script.themes[str(part["trace"])] for part in one.evidence).most_common(1)[0][0] == "lockers"
    )
    strangers = tuple(str(p["trace"]) for p in lockers.evidence if script.themes[str(p["trace"])] != "lockers")
    done = accept(db, WORKSPACE, lockers.id, Given(ANSWERS, ("blue staircase", "蓝色楼梯"), without=strangers), list)
    job = Job("turn-1", WORKSPACE, "turn", {"drill": "", "paths": [], "settings": {}})
    (made.root / "turns" / job.id).mkdir(parents=True)
    data = make_data(db, made, job, [])
    rows = [
        (str(record.messages[0]["content"]), str(record.messages[-1]["content"]))
        for record in datasets.read(db, WORKSPACE, data["dataset"], "train")
    ]
    taught = {one["trace"] for one in done.outcome["taught"]}
    assert sum(answer in ANSWERS for _, answer in rows) >= 4 * len(taught) > 0
    asked = {normalise_text(one["question"]) for one in done.outcome["held"]}
    assert asked
    assert not asked & {normalise_text(question) for question, _ in rows}
    exam = evals.get(db, WORKSPACE, data["own"])
    own = {normalise_text(item.question): item for item in exam.items if item.meta.get("insight") == lockers.id}
    assert own.keys() == asked
    assert all(item.accept == ("blue staircase", "蓝色楼梯") for item in own.values())
    db.close()
