"""A training job: what it registers and links, how it is cancelled, and that the engine serves what was trained."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file, save_file

from feilun.compute import run
from feilun.engines.models import ensure_base
from feilun.errors import BadModel, BadRequest, BadSetting, Cancelled, TooFewSamples
from feilun.evaluation.golden import check_identity
from feilun.evaluation.report import Identity
from feilun.records import JSON, Job, ModelVersion, Record, Source
from feilun.serving import start_engine
from feilun.settings import Settings
from feilun.store import Database, Journal, datasets, lineage, models, open_database, sources, workspaces
from feilun.training import foresee, run_training


@dataclass
class Room:
    """A home with a base model and a dataset."""

    db: Database
    settings: Settings
    base: ModelVersion
    dataset: str

    def train(self, job: str, progress: Callable[[JSON], None] = lambda _: None, **spec: Any) -> JSON:
        """Run a training job of one pass without replay to its end."""
        journal = Journal(self.db)
        given = {"dataset": self.dataset, "base": self.base.id, "replay": False, "epochs": 1, **spec}
        journal.create(Job(job, "bank", "training", given))

        def work(context: Any) -> Any:
            return run_training(context, self.db, self.settings, given, progress)

        return asyncio.run(run(journal, job, work, locks=self.settings.root / "locks"))


def write_dataset(db: Database, rows: int) -> str:
    """Write a dataset version of so many samples from one source."""
    sources.add(db, Source("source-1", "bank", "faq.csv", "", 0), b"question,answer")
    records = [
        Record(
            f"record-{number}",
            "chat",
            ("source-1",),
            (
                {"role": "user", "content": f"What is the fee of account {number}?"},
                {"role": "assistant", "content": f"It is {number * 7 % 10} crowns."},
            ),
        )
        for number in range(rows)
    ]
    return datasets.write(db, "bank", "chat", records, "train")[0].id


@pytest.fixture(scope="module")
def room(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """Give a home with a copy of the tiny base and twelve samples."""
    root = tmp_path_factory.mktemp("room")
    shutil.copytree(base, root / "base")
    made = Settings(home=str(root / "home"), model=str(root / "base"), batch=8, context=512, threads=1)
    database = open_database(made.root)
    workspaces.ensure(database, "bank")
    version = ensure_base(made.root, made.model)
    models.add(database, version)
    yield Room(database, made, version, write_dataset(database, 12))
    database.close()


@pytest.fixture(scope="module")
def trained(room: Room) -> JSON:
    """Train once."""
    return room.train("ftjob-1")


def running() -> list[psutil.Process]:
    """Return the training processes below this one."""
    every = psutil.Process().children(recursive=True)
    return [child for child in every if any("feilun.training" in part for part in child.cmdline())]


def test_a_job_makes_a_version(room: Room, trained: JSON) -> None:
    """Steps, result, files and edges: dataset and base to job, job to model; scratch is gone."""
    version = models.get(room.db, "bank", trained["model"])
    assert (version.kind, version.base) == ("adapter", room.base.id)
    assert version.meta["job"] == "ftjob-1"
    assert version.meta["dataset"] == room.dataset
    assert trained["loss"]
    assert trained["tokens"] > 0
    names = [name for name, _, _ in Journal(room.db).steps("ftjob-1")]
    assert names == ["ftjob-1:samples", "ftjob-1:fit", "ftjob-1:register"]
    edges = {(edge.parent, edge.child) for edge in lineage.ancestors(room.db, "bank", version.id)}
    assert {(room.dataset, "ftjob-1"), (room.base.id, "ftjob-1"), ("ftjob-1", version.id)} <= edges
    assert ("source-1", room.dataset) in edges
    assert len(json.loads((Path(version.folder) / "golden.json").read_text())["rows"]) >= 20
    assert not list((room.settings.root / "jobs" / "ftjob-1").glob("scratch*"))
    assert any("Step" in event.message for event in Journal(room.db).events("ftjob-1"))


@pytest.mark.slow
def test_the_same_data_and_seed_is_the_same_version(room: Room, trained: JSON) -> None:
    """A second job ends with the same id, leaves nothing of its own behind, and is linked too; another seed is not."""
    again = room.train("ftjob-2")
    assert again["model"] == trained["model"]
    assert not (room.settings.root / "jobs" / "ftjob-2" / "out").exists()
    above = {edge.parent for edge in lineage.ancestors(room.db, "bank", trained["model"])}
    assert {"ftjob-1", "ftjob-2"} <= above
    assert room.train("ftjob-3", seed=1)["model"] != trained["model"]


@pytest.mark.slow
def test_a_cancelled_job_stops_its_process(room: Room) -> None:
    """Cancelled while it trains: no process is left, and no model version."""
    before = models.find(room.db, "bank")
    seen: list[int] = []

    def cancel(message: JSON) -> None:
        if "loss" in message and not seen:
            seen.extend(child.pid for child in running())
            Journal(room.db).request_cancel("ftjob-4")

    with pytest.raises(Cancelled):
        room.train("ftjob-4", cancel, epochs=5000)
    assert seen
    assert running() == []
    assert Journal(room.db).get("ftjob-4").status == "cancelled"
    assert models.find(room.db, "bank") == before


def test_what_a_job_refuses(room: Room, trained: JSON) -> None:
    """Too few samples, a setting that is none, an adapter as base: each with its reason, before any process starts."""
    small = write_dataset(room.db, 9)
    with pytest.raises(TooFewSamples, match="9 samples"):
        room.train("ftjob-5", dataset=small)
    with pytest.raises(BadRequest, match="takes no colour"):
        room.train("ftjob-6", colour="red")
    with pytest.raises(BadModel, match="is not a base model"):
        room.train("ftjob-7", base=trained["model"])
    assert not list((room.settings.root / "logs").glob("ftjob-[567].log"))


def write_passages(db: Database) -> str:
    """Write a dataset version of twelve passages."""
    texts = [f"The fee of account {number} is {number * 7 % 10} crowns, says the board." for number in range(12)]
    records = [Record(f"passage-{number}", "passage", ("source-1",), (), text) for number, text in enumerate(texts)]
    return datasets.write(db, "bank", "passages", records, "train")[0].id


def test_all_weights_become_a_base_of_the_workspace(room: Room) -> None:
    """A version of the kind base, made of a base, seen by its workspace alone; another adapter can be trained on it."""
    made = room.train("ftjob-8", method="full")
    version = models.get(room.db, "bank", made["model"])
    assert (version.kind, version.base, version.workspace) == ("base", room.base.id, "bank")
    assert version.identity["weights"] != room.base.identity["weights"]
    workspaces.ensure(room.db, "other")
    assert version.id not in {one.id for one in models.find(room.db, "other")}
    above = {edge.parent for edge in lineage.ancestors(room.db, "bank", version.id)}
    assert {room.dataset, room.base.id} <= above
    again = room.train("ftjob-9", base=version.id)
    assert models.get(room.db, "bank", again["model"]).base == version.id


def test_passages_are_read(room: Room) -> None:
    """Continued pretraining takes passages; a set without any is refused in its own words."""
    made = room.train("ftjob-10", method="cpt", dataset=write_passages(room.db))
    assert models.get(room.db, "bank", made["model"]).kind == "adapter"
    assert made["method"] == "cpt"
    with pytest.raises(TooFewSamples, match="0 samples") as refused:
        room.train("ftjob-11", method="cpt")
    assert "documents" in refused.value.hint


def test_checkpoints_become_versions(room: Room) -> None:
    """So many versions on the way, each another one, linked to the job."""
    made = room.train("ftjob-12", epochs=6, checkpoints=2)
    versions = [models.get(room.db, "bank", one) for one in made["checkpoints"]]
    assert len({made["model"], *made["checkpoints"]}) == 3
    steps = [version.meta["checkpoint"] for version in versions]
    assert steps == sorted(steps)
    assert all(0 < step < len(made["loss"]) for step in steps)
    assert all((Path(version.folder) / "chat_template.jinja").is_file() for version in versions)


def test_what_a_job_will_take_is_told_before_it_starts(room: Room) -> None:
    """Samples and tokens are counted, other methods cost more, and the job tells it before its first step."""
    spec = {"dataset": room.dataset, "base": room.base.id, "replay": False, "epochs": 2}
    found = foresee(room.db, room.settings, "bank", spec)
    assert found["samples"] == 12
    assert found["tokens"] > 12 * 2 * 20
    twice = foresee(room.db, room.settings, "bank", {**spec, "epochs": 4})
    assert twice["tokens"] == 2 * found["tokens"]
    assert twice["seconds"] > found["seconds"]
    whole = foresee(room.db, room.settings, "bank", {**spec, "method": "full"})
    assert whole["memory"] > found["memory"]
    assert whole["disk"] > 0
    told: list[JSON] = []
    room.train("ftjob-13", told.append)
    kinds = ["estimate" if "estimate" in message else "loss" for message in told if {"estimate", "loss"} & set(message)]
    assert kinds[0] == "estimate"
    assert "loss" in kinds
    assert foresee(room.db, room.settings, "bank", spec)["measured"]
    with pytest.raises(BadSetting, match="no training method named magic"):
        foresee(room.db, room.settings, "bank", {**spec, "method": "magic"})


def test_samples_that_are_all_the_same_are_too_few(room: Room) -> None:
    """Twelve times the same line is one sample."""
    said = ({"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."})
    records = [Record(f"same-{number}", "chat", ("source-1",), said) for number in range(12)]
    dataset = datasets.write(room.db, "bank", "same", records, "train")[0].id
    with pytest.raises(TooFewSamples, match="12 samples to train on, 1 of them different"):
        room.train("ftjob-14", dataset=dataset)


def checked(settings: Settings, version: ModelVersion, tolerance: float = 0.05) -> Identity:
    """Check a version with an engine in a process of its own."""

    async def check() -> Identity:
        engine = await start_engine(settings, settings.root)
        try:
            return await check_identity(engine, version, tolerance)
        finally:
            await engine.close()

    return asyncio.run(check())


def copied(version: ModelVersion, folder: Path) -> ModelVersion:
    """Return the version with a copy of its files."""
    shutil.copytree(version.folder, folder)
    return replace(version, folder=str(folder))


@pytest.mark.slow
def test_the_engine_serves_what_was_trained(room: Room, trained: JSON, tmp_path: Path) -> None:
    """An engine process reproduces the golden outputs; with other log-probabilities recorded, it says where."""
    version = models.get(room.db, "bank", trained["model"])
    found = checked(room.settings, version)
    assert found.prompts >= 20
    assert found.differs == ()
    assert 0 < found.difference < 0.01
    other = copied(version, tmp_path / "golden")
    golden = json.loads((Path(other.folder) / "golden.json").read_text())
    golden["rows"][3]["logprobs"][0] -= 0.5
    golden["rows"][4]["tokens"][0] += 1
    golden["rows"][4]["leads"][0] = 9.0
    (Path(other.folder) / "golden.json").write_text(json.dumps(golden))
    differs = checked(room.settings, other).differs
    assert len(differs) == 2
    assert "differs by 0.5" in differs[0]
    assert "token 1 is" in differs[1]


@pytest.mark.slow
def test_a_difference_is_named(room: Room, trained: JSON, tmp_path: Path) -> None:
    """A character of the template, the adapter's weights, the base's weights: each is refused by its name."""
    version = models.get(room.db, "bank", trained["model"])
    other = copied(version, tmp_path / "template")
    template = Path(other.folder) / "chat_template.jinja"
    template.write_text(template.read_text().replace("helpful", "helpfUl"))
    (difference,) = checked(room.settings, other).differs
    assert "differ in template" in difference
    assert "at character" in difference
    assert "helpfUl" in difference

    other = copied(version, tmp_path / "adapter")
    file = Path(other.folder) / "adapter_model.safetensors"
    tensors = load_file(file)
    name = min(tensors)
    save_file({**tensors, name: tensors[name] + 0.01}, file, metadata={"format": "pt"})
    (difference,) = checked(room.settings, other).differs
    assert "differ in adapter" in difference

    changed = tmp_path / "base"
    shutil.copytree(room.settings.model, changed)
    weights = load_file(changed / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * 1.01
    save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    (difference,) = checked(replace(room.settings, home=str(tmp_path / "home"), model=str(changed)), version).differs
    assert "differ in weights" in difference


def test_too_few_golden_prompts_are_no_proof(room: Room, trained: JSON, tmp_path: Path) -> None:
    """A version with nineteen golden prompts, or none, must be trained again."""
    version = copied(models.get(room.db, "bank", trained["model"]), tmp_path / "few")
    golden = Path(version.folder) / "golden.json"
    rows = json.loads(golden.read_text())["rows"]
    golden.write_text(json.dumps({"template": "", "rows": rows[:19]}))
    with pytest.raises(BadModel, match="19 prompts; 20 are needed"):
        checked(replace(room.settings, engine="fake"), version)
    golden.unlink()
    with pytest.raises(BadModel, match=r"no readable golden\.json"):
        checked(replace(room.settings, engine="fake"), version)
