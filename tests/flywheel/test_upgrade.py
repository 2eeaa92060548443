"""A new base under three adapters: trained and proven anew, the better ones promoted, the others named; and kills."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
from tests.flywheel.organisation import WORKSPACE, children, settings
from tests.models import tiny_adapter, tiny_model

from feilun.compute import lock
from feilun.engines.identity import adapter_identity
from feilun.engines.models import ensure_base
from feilun.errors import BadModel, Busy, Conflict
from feilun.flywheel.upgrade import adapters, upgrade
from feilun.records import Deployment, Eval, EvalItem, ModelVersion, Record, Source, normalise_text
from feilun.settings import Settings
from feilun.store import (
    Database,
    Journal,
    datasets,
    evals,
    lineage,
    models,
    open_database,
    sources,
    verdicts,
    workspaces,
)
from feilun.store.audit import entries

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NAMES = ("doors", "boats", "bells")
ROOT = Path(__file__).resolve().parent.parent.parent
CHILD = """
import asyncio, json, sys
from pathlib import Path
from tests.flywheel.organisation import WORKSPACE, settings
from feilun.flywheel.upgrade import upgrade
from feilun.store import open_database
made = settings(Path(sys.argv[1]), Path(sys.argv[2]))
db = open_database(made.root)
print(json.dumps(asyncio.run(upgrade(db, made, WORKSPACE, sys.argv[3]))), flush=True)
"""


@dataclass
class World:
    """A home with two bases and three adapters on the first."""

    db: Database
    settings: Settings
    new: Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give three adapters that answer at random, two with an exam that any whole answer passes."""
    made = settings(tmp_path / "home", tiny_model(tmp_path / "old-base"))
    db = open_database(made.root)
    workspaces.ensure(db, WORKSPACE)
    base = models.add(db, ensure_base(made.root, made.model))
    source = sources.add(db, Source("source-desk", WORKSPACE, "desk.md", "", 0), b"all about the harbour")
    for number, name in enumerate(NAMES):
        said = [
            ({"role": "user", "content": f"What of {name} {at}?"}, {"role": "assistant", "content": f"{name} {at}."})
            for at in range(12)
        ]
        rows = [Record(f"record-{name}-{at}", "chat", (source.id,), pair) for at, pair in enumerate(said)]
        data, _ = datasets.write(db, WORKSPACE, name, rows, "train")
        folder = tiny_adapter(made.root / "models" / f"model-{name}", Path(base.folder), seed=number)
        identity = adapter_identity(base.identity, folder)
        meta = {"dataset": data.id, "epochs": 1, "learning_rate": 0.5}
        models.add(
            db, ModelVersion(f"model-{name}", WORKSPACE, name, "adapter", base.id, str(folder), identity, meta=meta)
        )
        verdicts.promote(db, Deployment(f"deployment-{name}", WORKSPACE, name, f"model-{name}"))
    items = tuple(EvalItem(f"item-{at}", f"What of door {at}?", ("zzz",)) for at in range(24))
    evals.add(db, Eval("eval-own", WORKSPACE, "own exam", items))
    yield World(db, made, tiny_model(tmp_path / "new-base", seed=7))
    db.close()


def test_every_adapter_is_made_and_proven_anew(world: World) -> None:
    """On its own data, in the exams of the present one; a verdict for each, nothing promoted that is not better."""
    db = world.db
    result = asyncio.run(upgrade(db, world.settings, WORKSPACE, str(world.new)))
    assert children() == []
    assert [one["name"] for one in result["not_better"]] == sorted(NAMES, key=NAMES.index)
    assert result["better"] == result["failed"] == []
    for one in result["not_better"]:
        version = models.get(db, WORKSPACE, one["model"])
        assert version.base == result["base"] != models.get(db, WORKSPACE, one["adapter"]).base
        assert version.meta["dataset"] == models.get(db, WORKSPACE, one["adapter"]).meta["dataset"]
        assert "learning_rate" not in version.meta
        verdict = verdicts.get(db, WORKSPACE, one["verdict"])
        assert (verdict.candidate, verdict.incumbent, verdict.promoted) == (one["model"], one["adapter"], False)
        assert verdict.own is not None
        assert verdict.own.questions == 24
        assert one["reason"]
        assert one["reason_zh"]
        assert one["adapter"] in {edge.parent for edge in lineage.ancestors(db, WORKSPACE, one["model"])}
    assert {each.model for each in verdicts.deployments(db, WORKSPACE)} == {f"model-{name}" for name in NAMES}
    again = asyncio.run(upgrade(db, world.settings, WORKSPACE, str(world.new)))
    assert again == result  # nothing is done twice
    assert len(Journal(db).find(WORKSPACE, "upgrade")) == 3


def test_what_an_exam_asks_by_now_is_learnt_no_more(world: World) -> None:
    """An exam came after the adapter had learnt: its new version learns from the rest, and the old data stays."""
    db = world.db
    late = (EvalItem("item-late", "What of bells 3 in the old harbour tower?", ("zzz",)),)
    evals.add(db, Eval("eval-late", WORKSPACE, "late exam", late))
    said: list[str] = []
    pair = ({"role": "user", "content": late[0].question}, {"role": "assistant", "content": "It rings."})
    old = models.get(db, WORKSPACE, "model-bells")
    rows = datasets.read(db, WORKSPACE, old.meta["dataset"], "train")
    leaked = Record("record-leaked", "chat", ("source-desk",), pair)
    data, _ = datasets.write(db, WORKSPACE, "bells", [*rows, leaked], "train")
    models.add(db, replace(old, id="model-leaky", name="leaky", meta={**old.meta, "dataset": data.id}))
    made = replace(world.settings, embedding="")
    work = upgrade(db, made, WORKSPACE, str(world.new), lambda m: said.append(str(m.get("note"))), ["model-leaky"])
    result = asyncio.run(work)
    (one,) = [*result["better"], *result["not_better"]]
    learnt = str(models.get(db, WORKSPACE, one["model"]).meta["dataset"])
    kept = [record.id for record in datasets.read(db, WORKSPACE, learnt, "train")]
    assert kept == [record.id for record in rows]
    assert "bells: 1 left out because an exam asks them by now." in said
    assert data.id in {edge.parent for edge in lineage.ancestors(db, WORKSPACE, learnt)}
    assert len(datasets.read(db, WORKSPACE, data.id, "train")) == len(rows) + 1


def test_a_better_one_takes_its_place(world: World) -> None:
    """It passes what the present one fails: it serves where that served, and the others stay."""
    db = world.db
    first = asyncio.run(upgrade(db, world.settings, WORKSPACE, str(world.new), only=["model-boats"]))
    (tried,) = first["not_better"]
    run = next(run for run in evals.find_runs(db, WORKSPACE, "eval-own") if run.model == tried["model"])
    said = {answer.item: answer.answer for answer in evals.answers(db, WORKSPACE, run.id)}
    asked = evals.get(db, WORKSPACE, "eval-own").items
    items = tuple(replace(item, id=f"{item.id}-2", accept=(said[item.id],)) for item in asked)
    evals.add(db, Eval("eval-two", WORKSPACE, "own exam", tuple(i for i in items if normalise_text(i.accept[0]))))
    old = models.get(db, WORKSPACE, "model-boats")
    twin = replace(old, id="model-twin", name="twin")  # learns the same, so its new version says the same
    models.add(db, twin)
    verdicts.promote(db, Deployment("deployment-twin", WORKSPACE, "twin", twin.id))
    result = asyncio.run(upgrade(db, world.settings, WORKSPACE, str(world.new), only=["model-twin", "model-bells"]))
    better = {one["name"]: one for one in result["better"]}
    assert (better["twin"]["model"], better["twin"]["endpoints"]) == (tried["model"], ["twin"])
    serving = {each.endpoint: each.model for each in verdicts.deployments(db, WORKSPACE)}
    assert serving["doors"] == "model-doors"
    for one in (*result["better"], *result["not_better"]):
        assert serving[one["name"]] == (one["model"] if one["promoted"] else one["adapter"])


@pytest.mark.long
def test_an_upgrade_that_is_killed_goes_on(world: World) -> None:
    """In the middle of the second adapter, with all its processes: the first one's work is not done again."""
    db = world.db
    command = [sys.executable, "-c", CHILD, str(world.settings.root), world.settings.model, str(world.new)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True) as child:
        while len(Journal(db).find(WORKSPACE, "upgrade")) < 2:  # the first one is over once there is a second
            assert child.poll() is None, "it ended by itself"
            time.sleep(0.05)
        every = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
        for process in every:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(every[1:], timeout=30)
    done = [job for job in Journal(db).find(WORKSPACE, "upgrade") if job.status == "succeeded"]
    assert len(done) == 1
    assert done[0].finished is not None
    result = asyncio.run(upgrade(db, world.settings, WORKSPACE, str(world.new)))
    assert len(result["not_better"]) == 3
    assert Journal(db).get(done[0].id).finished == done[0].finished
    assert children() == []


def test_a_base_that_disappears(world: World, tmp_path: Path) -> None:
    """Of the present adapters: each fails with what to do, nothing is lost; of the new base: refused at once."""
    db = world.db
    with pytest.raises(BadModel, match="no-such-base"):
        asyncio.run(upgrade(db, world.settings, WORKSPACE, str(tmp_path / "no-such-base")))
    away = Path(world.settings.model).rename(tmp_path / "away")
    result = asyncio.run(upgrade(db, world.settings, WORKSPACE, str(world.new), only=["model-doors"]))
    (failed,) = result["failed"]
    assert "is gone from" in failed["message"]
    assert "feilun pull" in failed["message"]
    away.rename(world.settings.model)
    result = asyncio.run(upgrade(db, world.settings, WORKSPACE, str(world.new), only=["model-doors"]))
    assert len(result["not_better"]) == 1


def test_what_cannot_be_upgraded_is_said(world: World) -> None:
    """While the wheel turns, where there is nothing to do; replaced and refused versions are left alone."""
    db = world.db
    with lock(world.settings.root / "locks" / f"turn-{WORKSPACE}.lock", "a turn"), pytest.raises(Busy):
        asyncio.run(upgrade(db, world.settings, WORKSPACE, str(world.new)))
    with pytest.raises(Conflict, match="No adapter"):
        asyncio.run(upgrade(db, world.settings, WORKSPACE, world.settings.model))
    verdicts.promote(db, Deployment("deployment-again", WORKSPACE, "doors", "model-boats"))
    assert [one.name for one in adapters(db, WORKSPACE, "model-x")] == ["boats", "bells"]
    assert not [each for each in entries(db, WORKSPACE, limit=1000) if each.action == "rollout.started"]
