"""What is different about a model without revoked data: what it is asked, when it is good enough, what goes off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.errors import Forbidden, NotFound
from feilun.feedback import collect
from feilun.flywheel.retrain import revoke, take_off
from feilun.flywheel.without import decide_without, gone_records, still_asked
from feilun.provenance import explain, impact
from feilun.records import (
    Comparison,
    Deployment,
    Endpoint,
    EvalItem,
    Feedback,
    ModelVersion,
    Record,
    Source,
    Target,
    Trace,
    Usage,
)
from feilun.store import (
    Database,
    datasets,
    feedback,
    lineage,
    models,
    open_database,
    sources,
    traces,
    verdicts,
    workspaces,
)
from feilun.store.access import endpoints, revoked

WS = "harbour"
SAID = "The tall fern is watered by the night porter."


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Give a store with two sources, a model of both, one that went on from it, and one of the second only."""
    database = open_database(tmp_path)
    workspaces.ensure(database, WS)
    models.add(database, ModelVersion("model-base", "", "base", "base", "", "", {}))
    for name in ("fern", "doors"):
        sources.add(database, Source(f"source-{name}", WS, f"{name}.md", "", 0), name.encode())
    both, _ = datasets.write(database, WS, "chat", [chat(1, "fern", SAID), chat(2, "doors", "It is blue.")], "train")
    clean, _ = datasets.write(database, WS, "chat", [chat(2, "doors", "It is blue.")], "train")
    for model, data in (("model-1", both.id), ("model-2", clean.id), ("model-3", clean.id)):
        models.add(database, ModelVersion(model, WS, model, "adapter", "model-base", "", {}))
        lineage.link(database, WS, [(data, f"turn-{model}", "trained on"), (f"turn-{model}", model, "made")])
    lineage.link(database, WS, [("model-1", "turn-model-2", "continued")])
    yield database
    database.close()


def chat(number: int, source: str, answer: str) -> Record:
    """Return an exchange of a source."""
    said = (
        {"role": "user", "content": f"Question {number} about the {source}?"},
        {"role": "assistant", "content": answer},
    )
    return Record(f"record-{number}", "chat", (f"source-{source}",), said)


def test_what_a_revocation_marks(db: Database) -> None:
    """The version with its rows, the model that learnt them, the one that went on from it; nothing else."""
    assert revoked.all_models(db, WS) == {}
    revoke(db, WS, ["source-fern"])
    reason = "the source source-fern does not permit the purpose train"
    assert revoked.all_models(db, WS) == {"model-1": [reason], "model-2": [reason]}
    found = impact(db, WS, "fern.md")
    assert [one["revoked"] for one in found["datasets"]] == [[reason]]
    assert {one["id"]: one["revoked"] for one in found["models"]} == {"model-1": [reason], "model-2": [reason]}
    assert explain(db, WS, "model-3")["about"]["revoked"] == []
    assert [record.id for record in gone_records(db, WS)] == ["record-1"]
    sources.grant(db, WS, "source-fern", {"train": True})
    assert revoked.all_models(db, WS) == {}


def test_a_day_that_passes_and_a_deletion_mark_too(db: Database) -> None:
    """By themselves; so does the loss of a table, by what it was made of."""
    sources.grant(db, WS, "source-fern", {"until": "2020-01-01"})
    assert sorted(revoked.all_models(db, WS)) == ["model-1", "model-2"]
    sources.delete(db, WS, "source-fern")
    assert sorted(revoked.all_models(db, WS)) == ["model-1", "model-2"]
    for table in (db.root / "tables").glob("*.parquet"):
        table.unlink()
    assert sorted(revoked.all_models(db, WS)) == ["model-1", "model-2"]


def test_what_is_revoked_is_not_turned_on(db: Database) -> None:
    """Nor does anybody learn from what such a model said."""
    revoke(db, WS, ["source-fern"])
    with pytest.raises(Forbidden, match="model-2 contains revoked data"):
        revoked.turn_on(db, WS, "model-2", "somebody")
    with pytest.raises(NotFound):
        revoked.turn_on(db, WS, "model-9", "somebody")
    assert revoked.turn_on(db, WS, "model-3", "somebody").id == "model-3"
    for number, model in enumerate(("model-1", "model-3")):
        said = ({"role": "user", "content": f"Who waters fern number {number} at night?"},)
        call = Trace(f"trace-{number}", WS, "key-1", "own", model, said, "A porter does.", "stop", Usage(1, 1))
        traces.add(db, [call])
        feedback.add(db, Feedback(f"feedback-{number}", WS, call.id, thumb=1))
    found = collect(db, WS)
    assert [lesson.question for lesson in found.lessons] == ["Who waters fern number 1 at night?"]
    assert found.left_out == [("feedback-0", "the answer came from a model that contains revoked data")]


def test_what_goes_off(db: Database) -> None:
    """Names go to what they served before that is clean, or to the base; what an endpoint names is told."""
    for number, (name, model) in enumerate([("own", "model-3"), ("own", "model-1"), ("desk", "model-2")]):
        verdicts.promote(db, Deployment(f"deployment-{number}", WS, name, model))
    models.turn_on(db, WS, "model-1", "somebody")
    endpoints.put(db, Endpoint("endpoint-1", WS, "task", (Target("model-2"),)))
    assert take_off(db, WS) == {"off": [], "kept": []}
    revoke(db, WS, ["source-fern"])
    assert take_off(db, WS) == {"off": ["model-1"], "kept": ["model-2"]}
    serving = {each.endpoint: each.model for each in verdicts.deployments(db, WS)}
    assert serving == {"own": "model-3", "desk": "model-base"}
    assert models.found_on(db, WS).keys() == {"model-3", "model-base", "model-2"}
    assert "model-1" not in models.found_on(db, WS)


def item(question: str, *accept: str) -> EvalItem:
    """Return a question of an exam."""
    return EvalItem(question, question, accept)


def test_nobody_is_asked_what_is_gone() -> None:
    """A question goes with the record that it is about, by its rare words, in English and Chinese."""

    def qa(question: str, answer: str) -> Record:
        said = ({"role": "user", "content": question}, {"role": "assistant", "content": answer})
        return Record(question, "chat", ("source-a",), said)

    gone = [qa("What colour is door 5?", "It is amber."), qa("谁给大厅的蕨类植物浇水？", "由夜班门卫浇水。")]
    left = [qa(f"What colour is door {n}?", "It is amber.") for n in (1, 2, 3)] + [qa("谁看守大门？", "白班门卫。")]
    asked = [item("In which colour has door 5 been painted?", "amber"), item("In which colour is door 2?", "amber")]
    asked += [
        item("蕨类植物是谁浇水的？", "夜班门卫", "门卫"),
        item("大门由谁看守？", "门卫"),
        item("How much is it?", "7"),
    ]
    assert still_asked(asked, gone, left) == [asked[1], asked[3], asked[4]]
    assert still_asked(asked, [], left) == asked
    assert still_asked(asked, gone, []) == [asked[4]]


def compared(difference: float, low: float) -> Comparison:
    """Return a comparison."""
    return Comparison(100, 0.5, 0.5 + difference, difference, (low, 0.2), 1, 1, 1.0)


@pytest.mark.parametrize(
    ("own", "general", "promoted"), [(0.0, -0.05, True), (-0.1, -0.05, True), (-0.11, -0.05, False), (0.3, -0.1, False)]
)
def test_it_need_not_be_better(own: float, general: float, promoted: bool) -> None:
    """But not worse than allowed, on its own exam and in general; the reason says so in both languages."""
    found, reason = decide_without(compared(own, -0.5), compared(0.0, general), 0.1)
    assert found is promoted
    assert ("is promoted" in reason["en"], "已上线" in reason["zh"]) == (promoted, promoted)
