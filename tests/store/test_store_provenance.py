"""What made this, and what did this touch, on both databases."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from feilun.errors import BadRequest, NotFound
from feilun.provenance import explain, impact
from feilun.records import Deployment, ModelVersion, Record, Source, Trace, Usage
from feilun.store import Database, datasets, lineage, models, sources, traces, verdicts


def test_the_whole_way_from_a_file_to_an_answer_and_back(
    db: Database, add_source: Callable[..., Source], chat: Callable[..., Record]
) -> None:
    """Every noun on the way is named, records up to the limit, and nothing of another workspace."""
    add_source("fees")
    data, _ = datasets.write(db, "bank", "chat", [chat(number, "fees") for number in range(5)], "train")
    model = models.add(db, ModelVersion("model-a", "bank", "own", "adapter", "model-base", "", {}))
    lineage.link(db, "bank", [(data.id, model.id, "trained on")])
    verdicts.promote(db, Deployment("deployment-a", "bank", "own", model.id))
    asked = ({"role": "user", "content": "费用？"},)
    for number in range(3):
        trace = Trace(
            f"trace-{number}", "bank", "key", "own", model.id, asked, "4", "stop", Usage(1, 1), "deployment-a"
        )
        traces.add(db, [trace])
    made = explain(db, "bank", "trace-1", limit=2)
    assert [each["id"] for each in made["deployments"]] == ["deployment-a"]
    assert [each["id"] for each in made["models"]] == ["model-a"]
    assert [each["id"] for each in made["datasets"]] == [data.id]
    assert [each["name"] for each in made["sources"]] == ["fees.txt"]
    assert [each["id"] for each in made["records"]] == ["record-0", "record-1"]
    assert made["records_total"] == 5
    touched = impact(db, "bank", "fees.txt", limit=2)
    assert [each["id"] for each in touched["datasets"]] == [data.id]
    assert [each["question"] for each in touched["answers"]] == ["费用？", "费用？"]
    assert touched["answers_total"] == 3
    for ask in (lambda: explain(db, "other", "trace-1"), lambda: impact(db, "other", "fees.txt")):
        with pytest.raises(NotFound):
            ask()


def test_a_name_that_two_sources_have_is_not_guessed(db: Database) -> None:
    """The error names both ids; the longer name decides."""
    for place in ("old", "new"):
        sources.add(db, Source(f"source-{place}", "bank", f"{place}/fees.md", "", 0), place.encode())
    with pytest.raises(BadRequest, match="2 sources"):
        impact(db, "bank", "fees.md")
    assert impact(db, "bank", "old/fees.md")["id"] == "source-old"


def test_a_deleted_source_is_still_named_as_what_it_was(
    db: Database, add_source: Callable[..., Source], chat: Callable[..., Record]
) -> None:
    """Lineage says that there was something."""
    add_source("fees")
    data, _ = datasets.write(db, "bank", "chat", [chat(1, "fees")], "train")
    sources.delete(db, "bank", "source-fees")
    assert explain(db, "bank", data.id)["sources"] == [{"id": "source-fees", "name": "(deleted)"}]
