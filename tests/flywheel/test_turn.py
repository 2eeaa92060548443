"""Whole turns on a small organisation with a tiny model: what they leave, what they refuse, what they never learn.

The turns of this module follow each other in one home, as they do in life: a first one; a second one after feedback, a
revocation and a crash of the engine; then the two drills.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.flywheel.organisation import (
    SECRET,
    WORKSPACE,
    children,
    run_turn,
    samples,
    settings,
    write_base,
    write_organisation,
)

from feilun.feedback import exam_wordings, training_wordings
from feilun.records import Deployment, Feedback, Source, Trace, Usage, normalise_text
from feilun.settings import Settings
from feilun.store import (
    Database,
    datasets,
    evals,
    feedback,
    lineage,
    models,
    open_database,
    sources,
    traces,
    verdicts,
    workspaces,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ASKED = "Which bell rings when the boats come home?"
RIGHT = "The copper bell named Tilda rings when the boats come home."
TWIN = f"Hello, {ASKED}"  # what one lesson is asked is what the other one teaches
FIELDS = {"own_exam", "general_exam", "promoted", "reason", "seconds", "steps", "peak_rss_mib", "report"}


@dataclass
class World:
    """One home and what has happened in it."""

    db: Database
    settings: Settings
    files: Path
    said: list[dict[str, Any]]

    def turn(self, drill: str = "", say: Callable[..., None] | None = None) -> dict[str, Any]:
        """Turn once more."""
        self.said.clear()
        found: dict[str, Any] = run_turn(self.db, self.settings, self.files, drill, say or self.said.append)
        return found

    def shut(self) -> None:
        """Nothing runs any more."""
        assert children() == []


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give a home, an organisation, and an upload of what must not be trained on."""
    root = tmp_path_factory.mktemp("world")
    files = write_organisation(root / "files")
    made = replace(settings(root / "home", write_base(root / "base")), guards="idioms")
    database = open_database(made.root)
    yield World(database, made, files, [])
    database.close()


@pytest.fixture(scope="module")
def first(world: World) -> dict[str, Any]:
    """Turn once, with the forbidden minutes uploaded under another name with all permissions."""
    secret = (world.files / "board" / "minutes.md").read_bytes()
    workspaces.ensure(world.db, WORKSPACE)
    sources.add(world.db, Source("file-1", WORKSPACE, "harmless.md", "", 0, origin="upload", media="md"), secret)
    found = world.turn()
    world.shut()
    return found


@pytest.fixture(scope="module")
def second(world: World, first: dict[str, Any]) -> dict[str, Any]:
    """Turn again, the first candidate serving, after corrections, a quoted secret, a revocation; the engine crashes."""
    db = world.db
    verdicts.promote(db, Deployment("deployment-1", WORKSPACE, "own", first["model"], first["verdict"]))
    given = [(ASKED, RIGHT), (TWIN, RIGHT), ("And the vault, its code?", f"The code of the vault is {SECRET} seven.")]
    for number, (question, answer) in enumerate(given):
        said = ({"role": "user", "content": question},)
        trace = f"trace-{number}"
        call = Trace(trace, WORKSPACE, "key-1", "own", first["model"], said, "No.", "stop", Usage(1, 1), "deployment-1")
        traces.add(db, [call])
        feedback.add(db, Feedback(f"feedback-{number}", WORKSPACE, trace, correction=answer, created=float(number + 1)))
    going = next(source for source in sources.find(db, WORKSPACE) if source.name == "desk/going.md")
    sources.set_permissions(db, WORKSPACE, going.id, replace(going.permissions, train=False))
    crashed: list[int] = []

    def say(message: dict[str, Any]) -> None:
        world.said.append(message)
        if message.get("exam") and not crashed:
            (engine,) = children()
            crashed.append(engine.pid)
            engine.kill()

    found = world.turn(say=say)
    assert crashed
    world.shut()
    return {**found, "said": list(world.said)}


def test_a_turn_leaves_its_results(world: World, first: dict[str, Any]) -> None:
    """Programs find every figure in last-turn.json, people a report in both languages."""
    kept = json.loads((world.settings.root / "last-turn.json").read_text(encoding="utf-8"))
    assert first.keys() == kept.keys() >= FIELDS
    for exam in (first["own_exam"], first["general_exam"]):
        assert {"incumbent", "candidate", "interval", "questions"} <= exam.keys()
        assert 0 <= exam["incumbent"] <= 1
        assert 0 <= exam["candidate"] <= 1
        assert -1 <= exam["interval"][0] <= exam["difference"] <= exam["interval"][1] <= 1
    assert (first["own_exam"]["questions"], first["general_exam"]["questions"]) == (26, 40)
    assert [step["name"] for step in first["steps"]] == [
        "ingest",
        "curate",
        "base",
        "incumbent",
        "train",
        "identity",
        "candidate",
        "verdict",
    ]
    assert first["seconds"] > 0
    assert first["peak_rss_mib"] > 100
    assert first["identity"]["prompts"] >= 20
    assert not first["identity"]["differs"]
    english, chinese = (Path(first[name]).read_text(encoding="utf-8") for name in ("report", "report_zh"))
    assert first["reason"].split(".")[0] in english
    assert first["reason_zh"].split("。")[0] in chinese
    assert '<html lang="zh' in chinese


def test_a_guard_exam_is_sat_and_told(world: World, first: dict[str, Any]) -> None:
    """What the setting names is asked of both models, kept with the verdict, and told in the report."""
    verdict = verdicts.get(world.db, WORKSPACE, first["verdict"])
    guard = verdict.meta["guards"]["idioms"]
    assert guard["questions"] == 60
    assert "uard exam" in verdict.reason["en"]
    assert "idioms" in Path(first["report"]).read_text(encoding="utf-8")


def test_a_model_that_learnt_nothing_is_refused(first: dict[str, Any]) -> None:
    """One pass over few samples proves nothing: the reason says so in both languages."""
    assert not first["promoted"]
    assert first["reason"].startswith("The current model stays.")
    assert "own exam" in first["reason"]
    assert first["reason_zh"].startswith("继续使用当前模型")


def test_what_must_not_be_trained_on_is_not(world: World, first: dict[str, Any], second: dict[str, Any]) -> None:
    """Not by a copy, a passage in another file, an upload, an expired day, a quotation; yet it can be found."""
    for result in (first, second):
        assert SECRET not in samples(world.settings, result["turn"])
        learnt = datasets.read(world.db, WORKSPACE, result["dataset"], "train")
        assert not [record for record in learnt if SECRET in str(record.messages)]
        found = datasets.read(world.db, WORKSPACE, result["passages"], "retrieve")
        assert [record for record in found if SECRET in record.text]
        asked = evals.get(world.db, WORKSPACE, verdict_exam(world, result)).items
        assert not [item for item in asked if SECRET in item.question + str(item.accept)]
    assert "lost umbrellas" in samples(world.settings, first["turn"]).casefold()


def verdict_exam(world: World, result: dict[str, Any]) -> str:
    """Return the id of the own exam that a turn's candidate sat."""
    edges = lineage.ancestors(world.db, WORKSPACE, result["verdict"])
    runs = {edge.parent for edge in edges if edge.child == result["verdict"] and edge.relation == "compared in"}
    asked = {edge.parent for edge in edges if edge.child in runs and edge.relation == "asked"}
    (own,) = [exam.id for exam in evals.find(world.db, WORKSPACE) if exam.id in asked and exam.name == "own exam"]
    return own


def test_what_was_revoked_between_two_turns_is_gone(
    world: World, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """The first turn learnt it, the second did not, nor went on from a model that had."""
    assert "night porter" in samples(world.settings, first["turn"])
    assert "night porter" not in samples(world.settings, second["turn"])
    assert "start" not in models.get(world.db, WORKSPACE, second["model"]).meta


def test_a_correction_is_trained_and_asked(world: World, first: dict[str, Any], second: dict[str, Any]) -> None:
    """In wordings of its own each; none is in both; lessons whose wordings meet do not clash."""
    trained = {
        normalise_text(str(record.messages[0]["content"])): str(record.messages[1]["content"])
        for record in datasets.read(world.db, WORKSPACE, second["dataset"], "train")
    }
    own = evals.get(world.db, WORKSPACE, verdict_exam(world, second))
    asked = {normalise_text(item.question) for item in own.items}
    assert second["lessons"] == 2
    assert not trained.keys() & asked
    for wording in training_wordings(ASKED):
        assert trained[normalise_text(wording)] == RIGHT
    assert trained[normalise_text(TWIN)] == RIGHT
    assert sum(normalise_text(wording) in asked for wording in exam_wordings(ASKED)) == len(exam_wordings(ASKED)) - 1
    assert second["own_exam"]["questions"] > first["own_exam"]["questions"]


def test_answers_that_are_there_are_not_asked_again(first: dict[str, Any], second: dict[str, Any]) -> None:
    """The incumbent of the second turn sat the general exam in the first: it sits only the new own exam."""
    before_training = []
    for message in second["said"]:
        if message.get("step") == "train":
            break
        before_training.append(message.get("exam"))
    assert second["incumbent"] == first["model"]
    assert "own exam" in before_training
    assert "general exam" not in before_training


def test_a_deployment_leads_back_to_the_sources(world: World, first: dict[str, Any], second: dict[str, Any]) -> None:
    """From what serves to the files: model, job, dataset version, sources; and the base."""
    above = {edge.parent for edge in lineage.ancestors(world.db, WORKSPACE, "deployment-1")}
    (base,) = [version for version in models.find(world.db, WORKSPACE) if version.kind == "base"]
    assert {first["model"], first["verdict"], first["turn"], first["dataset"], base.id} <= above
    named = {source.id: source.name for source in sources.find(world.db, WORKSPACE)}
    assert {"faq.csv", "desk/answers.md"} <= {named[node] for node in above if node in named}
    below = {edge.child for edge in lineage.descendants(world.db, WORKSPACE, "feedback-0")}
    assert second["model"] in below


def test_a_changed_template_is_refused(world: World, second: dict[str, Any]) -> None:
    """One character between trainer and engine: no promotion, the character is named, what serves stays."""
    assert not second["drill"]
    found = world.turn("changed-template")
    world.shut()
    assert not found["promoted"]
    assert found["own_exam"] is None
    assert "character" in found["reason"]
    assert "Assistant" in found["reason"]
    assert "template" in found["identity"]["differs"][0]
    assert found["reason_zh"].startswith("服务引擎与训练结果不一致")
    assert Path(found["report_zh"]).is_file()
    serving = verdicts.current(world.db, WORKSPACE)
    assert serving is not None
    assert serving.id == "deployment-1"


def test_shuffled_answers_are_refused(world: World, second: dict[str, Any]) -> None:
    """A candidate that learnt every answer under another question is not promoted, and what serves stays."""
    found = world.turn("shuffled-answers")
    world.shut()
    learnt = datasets.read(world.db, WORKSPACE, found["dataset"], "train")
    before = {r.id: r.messages for r in datasets.read(world.db, WORKSPACE, second["dataset"], "train")}
    changed = [record for record in learnt if record.id in before and before[record.id][1] != record.messages[1]]
    assert len(changed) > len(learnt) * 0.7
    assert SECRET not in samples(world.settings, found["turn"])
    assert not found["promoted"]
    assert found["reason"].startswith("The current model stays.")
    serving = verdicts.current(world.db, WORKSPACE)
    assert serving is not None
    assert serving.id == "deployment-1"
