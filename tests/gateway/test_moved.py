"""Who moves in changes the address: the official client finds its evals again, runs them, and trains on its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.migration.exports import GRADERS, eval_object, openai_export, write_json

from feilun.migration import bring
from feilun.settings import Settings, load

ROWS = [
    {"item": {"question": "When does the ferry leave?", "right": "ferry"}},
    {"item": {"question": "Pier?", "right": "x"}},
]


def run_of(model: str) -> dict[str, Any]:
    """Return the data source that the program has always sent, with a model of this place."""
    template = [{"role": "user", "content": "{{ item.question }}"}]
    return {
        "type": "completions",
        "model": model,
        "source": {"type": "file_content", "content": ROWS},
        "input_messages": {"type": "template", "template": template},
        "sampling_params": {"max_completion_tokens": 16},
    }


def test_evals_and_runs_are_found_under_their_ids(gateway: Any, tmp_path: Path) -> None:
    """Definition, run, counts and every answer are what the API gave away; the run can be deleted."""
    secret = gateway.key()
    bring(gateway.db, "bank", "openai", [openai_export(tmp_path / "export")])
    client = gateway.openai(secret)
    found = client.evals.retrieve("eval_68a1")
    assert (found.name, found.metadata) == ("ferry questions", {"team": "harbour"})
    assert [criterion.to_dict()["type"] for criterion in found.testing_criteria] == [one["type"] for one in GRADERS]
    run = client.evals.runs.retrieve("evalrun_77b", eval_id="eval_68a1")
    assert (run.status, run.model, run.name) == ("completed", "gpt-5-mini", "july")
    counts = run.result_counts
    assert (counts.total, counts.passed, counts.failed, counts.errored) == (2, 1, 1, 0)
    items = client.evals.runs.output_items.list("evalrun_77b", eval_id="eval_68a1").data
    assert [item.status for item in items] == ["pass", "fail"]
    assert items[0].sample.output[0].content == "At noon."
    assert items[0].datasource_item == {"question": "When does the ferry leave?", "right": "noon"}
    assert client.evals.runs.delete("evalrun_77b", eval_id="eval_68a1").deleted
    assert "file-AbC123def" in [file.id for file in client.files.list(purpose="fine-tune").data]


def test_an_imported_eval_is_run_here(
    gateway: Any, tmp_path: Path, wait: Callable[[Callable[[], object]], None]
) -> None:
    """The same call as before, with a model of this place: it is sat and graded by the criteria that came along."""
    secret = gateway.key()
    write_json(tmp_path / "e" / "evals.json", [eval_object(criteria=GRADERS[:3])])
    bring(gateway.db, "bank", "openai", [tmp_path / "e"])
    client = gateway.openai(secret)
    base = next(model.id for model in client.models.list().data)
    run = client.evals.runs.create("eval_68a1", name="here", data_source=run_of(base))
    wait(lambda: client.evals.runs.retrieve(run.id, eval_id="eval_68a1").status in {"completed", "failed"})
    done = client.evals.runs.retrieve(run.id, eval_id="eval_68a1")
    assert (done.status, done.result_counts.total, done.result_counts.errored) == ("completed", 2, 0)
    graded = client.evals.runs.output_items.list(run.id, eval_id="eval_68a1").data
    assert [item.results[0].to_dict()["name"] for item in graded] == ["same", "same"]
    assert all([each.to_dict().get("error") for each in item.results] == [None] * 3 for item in graded)


@pytest.fixture
def trainer(
    tmp_path: Path,
    serve: Callable[[Settings], Iterator[Any]],
    tiny_folder: Callable[[Path], Path],
    replay_of: Callable[[Settings], None],
) -> Iterator[Any]:
    """Give a gateway that can really train a tiny random model."""
    folder = tiny_folder(tmp_path / "tiny")
    given = {"home": str(tmp_path / "home"), "engine": "fake", "model": str(folder), "threads": 1}
    settings = load(environment={}, given=given)
    replay_of(settings)
    yield from serve(settings)


@pytest.mark.slow
def test_an_imported_file_is_trained_on(
    trainer: Any, tmp_path: Path, wait: Callable[[Callable[[], object]], None]
) -> None:
    """The file's id and the job's settings are the old ones; only the model is of this place."""
    secret = trainer.key()
    bring(trainer.db, "bank", "openai", [openai_export(tmp_path / "export")])
    client = trainer.openai(secret)
    settings = client.files.content("file-ftjob-9k2").json()["request"]
    assert settings["training_file"] == "file-AbC123def"
    settings["method"]["supervised"]["hyperparameters"]["n_epochs"] = 1
    job = client.fine_tuning.jobs.create(model="tiny", **settings)
    assert (job.seed, job.method.type) == (7, "supervised")
    wait(lambda: client.fine_tuning.jobs.retrieve(job.id).status in {"succeeded", "failed", "cancelled"})
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.error) == ("succeeded", None)
    assert done.fine_tuned_model
