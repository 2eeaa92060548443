"""From thumbs and edits in the store to a registered version, and from there to one that a reward model drew on."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from feilun.compute import run
from feilun.engines.models import ensure_base
from feilun.errors import BadModel, BadRequest, TooFewSamples
from feilun.feedback import write_preferences
from feilun.gateway.endpoints.fine_tuning.judged import of_feedback
from feilun.gateway.endpoints.fine_tuning.methods import Method, chosen
from feilun.records import JSON, Eval, EvalItem, Feedback, Job, ModelVersion, Record, Source, Trace, Usage
from feilun.settings import Settings
from feilun.store import (
    Database,
    Journal,
    datasets,
    evals,
    feedback,
    lineage,
    models,
    open_database,
    sources,
    traces,
    workspaces,
)
from feilun.training import run_training


@dataclass
class Room:
    """A home with a base model."""

    db: Database
    settings: Settings
    base: ModelVersion

    def train(self, job: str, **spec: Any) -> JSON:
        """Run a training job to its end."""
        journal = Journal(self.db)
        given = {"base": self.base.id, "replay": False, "epochs": 1, **spec}
        journal.create(Job(job, "bank", "training", given))

        def work(context: Any) -> Any:
            return run_training(context, self.db, self.settings, given)

        return asyncio.run(run(journal, job, work, locks=self.settings.root / "locks"))


@pytest.fixture(scope="module")
def room(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """Give a home with a copy of the tiny base, and twelve judged calls."""
    root = tmp_path_factory.mktemp("room")
    shutil.copytree(base, root / "base")
    made = Settings(home=str(root / "home"), model=str(root / "base"), batch=8, context=512, threads=1)
    database = open_database(made.root)
    workspaces.ensure(database, "bank")
    workspaces.ensure(database, "other")
    version = ensure_base(made.root, made.model)
    models.add(database, version)
    for number in range(12):
        asked = ({"role": "user", "content": f"What is the fee of account {number}?"},)
        trace = Trace(
            f"trace-{number}", "bank", "key", "own", version.id, asked, "A fee is a fee.", "stop", Usage(1, 1)
        )
        traces.add(database, [trace])
        words = f"{number} crowns." if number < 8 else ""
        feedback.add(database, Feedback(f"feedback-{number}", "bank", trace.id, None if words else -1, None, words))
    yield Room(database, made, version)
    database.close()


def test_thumbs_and_edits_become_a_version(room: Room) -> None:
    """Eight edits and four thumbs are enough together; what was judged can be traced from the version."""
    dataset, found = write_preferences(room.db, "bank")
    assert (len(found.pairs), len(found.rated)) == (8, 4)
    made = room.train("ftjob-1", dataset=dataset.id, method="dpo")
    version = models.get(room.db, "bank", made["model"])
    assert version.meta["method"] == "dpo"
    assert made["pairs"] == 8
    assert made["rated"] == 4
    above = {edge.parent for edge in lineage.ancestors(room.db, "bank", version.id)}
    assert {"feedback-0", "trace-11", dataset.id} <= above


@pytest.mark.slow
def test_a_reward_model_by_its_id(room: Room) -> None:
    """A version trained by the method reward rewards another's answers, and is above it; no other version can."""
    dataset, _ = write_preferences(room.db, "bank")
    said = [({"role": "user", "content": f"Which account is number {number}?"},) for number in range(10)]
    sources.add(room.db, Source("source-1", "bank", "asked.txt", "", 0), b"asked")
    asked = [Record(f"record-{number}", "chat", ("source-1",), one) for number, one in enumerate(said)]
    prompts, _ = datasets.write(room.db, "bank", "prompts", asked, "train")
    with pytest.raises(BadModel, match="is no reward model"):
        room.train("ftjob-2", dataset=prompts.id, method="grpo", options={"reward_model": room.base.id})
    reward = [record for record in datasets.read(room.db, "bank", dataset.id, "train") if record.kind == "preference"]
    more = [
        replace(one, id=f"{one.id}-more", messages=({"role": "user", "content": f"Fee {place}?"}, *one.messages[1:]))
        for place, one in enumerate(reward)
    ]
    ranked, _ = datasets.write(room.db, "bank", "ranked", [*reward, *more], "train")
    judge = room.train("ftjob-3", dataset=ranked.id, method="reward")["model"]
    options = {"reward_model": judge, "samples": 2, "max_tokens": 4}
    made = room.train("ftjob-4", dataset=prompts.id, method="grpo", options=options)
    assert made["grades"] == 20
    assert judge in {edge.parent for edge in lineage.ancestors(room.db, "bank", made["model"])}


def test_feedback_is_a_training_file(room: Room) -> None:
    """By its name it stands for what people preferred, without what an exam asks; other methods refuse it."""
    method = chosen(Method(type="dpo"), None)
    found = of_feedback(room.db, "bank", "uploads/feedback", method)
    assert found.version.rows == 12
    assert "8 pairs, 4 answers" in found.notes[0]
    asked = EvalItem("item-1", "What is the fee of account 3?", ("3 crowns",))
    evals.add(room.db, Eval("eval-1", "bank", "fees", (asked,)))
    sealed = of_feedback(room.db, "bank", "uploads/feedback", method)
    assert sealed.version.rows < 12
    assert sealed.removed
    with pytest.raises(TooFewSamples, match=r"Feedback holds 0 preference\(s\)"):
        of_feedback(room.db, "other", "uploads/feedback", method)
    with pytest.raises(BadRequest, match="supervised does not learn from feedback"):
        of_feedback(room.db, "bank", "uploads/feedback", chosen(Method(), None))
