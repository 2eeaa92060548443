"""What OpenAI gives away: evals, runs, answers, training files, jobs."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.migration.exports import (
    GRADERS,
    eval_object,
    kiln_project,
    openai_export,
    output_items,
    run_object,
    write_json,
    write_lines,
)

from feilun.errors import BadRequest, BadSource, NothingUsable
from feilun.migration import bring, home_of
from feilun.store import Database, Journal, evals, sources, traces


def test_everything_has_a_place_under_its_own_id(db: Database, tmp_path: Path) -> None:
    """Evals with every type of grader, the run with its answers and grades, files and settings: nothing is lost."""
    folder = openai_export(tmp_path / "export")
    assert home_of([folder]) == "openai"
    report = bring(db, "harbour", "openai", [folder])
    assert report.came == {
        "eval": 1,
        "eval.run": 1,
        "eval.run.output_item": 2,
        "fine_tuning.job": 1,
        "training file": 2,
    }
    assert report.added == {"answers": 2, "evals": 1, "files": 3, "runs": 1}
    assert report.left_out == []
    assert report.unknown == {"eval": ["shiny"], "fine_tuning.job": ["status", "trained_tokens"]}
    exam = evals.get(db, "harbour", "eval_68a1")
    assert exam.meta["testing_criteria"] == GRADERS
    assert exam.meta["schema"]["required"] == ["question", "right"]
    assert exam.meta["include_sample_schema"] is True
    assert exam.meta["imported"]["fields"] == {"shiny": True}
    run = evals.get_run(db, "harbour", "evalrun_77b")
    assert (run.status, run.model, run.eval) == ("succeeded", "gpt-5-mini", exam.id)
    first, second = evals.answers(db, "harbour", run.id)
    assert (first.item, first.answer, first.score, second.score) == ("item-000000", "At noon.", 1.0, 0.0)
    assert first.meta["results"] == [{"name": "same", "passed": True, "score": 1.0, "novel": 3}]
    assert first.meta["sample"]["prompt_tokens"] == 9
    assert Journal(db).get(run.id, "harbour").status == "succeeded"
    files = {source.id: source for source in sources.find(db, "harbour", "upload")}
    assert files["file-AbC123def"].meta["purpose"] == "fine-tune"
    assert files["file-AbC123def"].permissions.train
    assert not files["file-AbC123def"].permissions.leave
    assert not files["file-ftjob-9k2"].permissions.retrieve  # settings are nobody's knowledge
    assert b'"n_epochs": 2' in sources.content(db, "harbour", "file-ftjob-9k2", "inspect")
    assert any("gpt-5-mini must be callable" in note for note in report.notes)


def test_importing_twice_changes_nothing(db: Database, tmp_path: Path) -> None:
    """All that came is known already; what people changed meanwhile stays as they left it."""
    folder = openai_export(tmp_path / "export")
    first = bring(db, "harbour", "openai", [folder])
    evals.update(db, "harbour", "eval_68a1", "ours now", {})
    again = bring(db, "harbour", "openai", [folder])
    assert again.added == {}
    assert again.known == first.added
    assert evals.get(db, "harbour", "eval_68a1").name == "ours now"


def test_two_workspaces_may_have_the_same_run(db: Database, tmp_path: Path) -> None:
    """An id that another workspace's run has is answered with another one, and said."""
    folder = openai_export(tmp_path / "export")
    bring(db, "harbour", "openai", [folder])
    report = bring(db, "other", "openai", [folder])
    assert report.added["runs"] == 1
    assert len(evals.answers(db, "other", report.ids["evalrun_77b"])) == 2
    assert bring(db, "other", "openai", [folder]).added == {}


def test_what_cannot_be_used_is_told(db: Database, tmp_path: Path) -> None:
    """Graders that are none, runs of nothing, broken lines and foreign objects: each with its place and reason."""
    odd = {"type": "clairvoyance", "name": "future"}
    write_json(tmp_path / "e" / "evals.json", [eval_object(criteria=[GRADERS[0], odd])])
    write_json(tmp_path / "e" / "runs.json", [run_object(), run_object("evalrun_9", eval_id="eval_gone")])
    write_json(tmp_path / "e" / "items.json", output_items("evalrun_lost"))
    lines = write_lines(tmp_path / "e" / "more.jsonl", [{"object": "model", "id": "gpt"}, {"stranger": 1}])
    with lines.open("a", encoding="utf-8") as file:
        file.write("{broken\n")
    report = bring(db, "harbour", "openai", [tmp_path / "e"])
    why = dict(report.left_out)
    assert "clairvoyance" in why["evals.json:1 (future)"]
    assert why["runs.json:2"] == "its eval eval_gone is not in this import"
    assert why["items.json:1"] == "its run evalrun_lost is not in this import"
    assert why["more.jsonl:3"] == "this line is not JSON"
    assert {"more.jsonl:1", "more.jsonl:2"} <= why.keys()
    assert evals.get(db, "harbour", "eval_68a1").meta["testing_criteria"] == [GRADERS[0]]
    assert any("2 rows were run, 0 answers" in note for note in report.notes)


def test_graders_are_taken_as_the_api_prints_them(db: Database, tmp_path: Path) -> None:
    """With ids, nulls, fields of tomorrow and names that occur twice or not at all; nested ones too."""
    printed = {**GRADERS[0], "id": "same-1", "strict": None, "mood": "calm"}
    nameless = {key: value for key, value in GRADERS[1].items() if key != "name"}
    both = {
        "type": "multi",
        "name": "both",
        "graders": {"a": {**GRADERS[0], "id": "x"}, "b": GRADERS[1]},
        "calculate_output": "(a + b) / 2",
    }
    write_json(tmp_path / "evals.json", [eval_object(criteria=[printed, GRADERS[0], nameless, both])])
    report = bring(db, "harbour", "openai", [tmp_path / "evals.json"])
    assert report.left_out == []
    assert report.unknown == {"grader string_check": ["mood"]}
    kept = evals.get(db, "harbour", "eval_68a1").meta
    assert [one["name"] for one in kept["testing_criteria"]] == ["same", "same (2)", "text_similarity 3", "both"]
    assert kept["testing_criteria"][0] == GRADERS[0]
    assert "id" not in kept["testing_criteria"][3]["graders"]["a"]
    assert kept["imported"]["testing_criteria"][0] == printed


def test_permissions_are_those_that_were_given(db: Database, tmp_path: Path) -> None:
    """With ``--train no`` the files must not be trained on."""
    bring(db, "harbour", "openai", [openai_export(tmp_path / "export")], {"train": False})
    assert not sources.get(db, "harbour", "file-AbC123def").permissions.train


def test_what_a_workspace_forbids_is_forbidden_to_what_comes_in(db: Database, tmp_path: Path) -> None:
    """The workspace's default holds for calls and files; rules beside an export are not passed over."""
    sources.set_default(db, "harbour", {"train": False})
    bring(db, "harbour", "kiln", [kiln_project(tmp_path / "k")])
    assert not any(trace.permissions.train for trace in traces.find(db, "harbour", -1))
    assert not any(source.permissions.train for source in sources.find(db, "harbour"))
    (tmp_path / "k" / "feilun.permissions.yaml").write_text("'*': {train: no}", encoding="utf-8")
    with pytest.raises(BadRequest, match="for ordinary files"):
        bring(db, "other", "kiln", [tmp_path / "k"])


def test_nothing_is_written_of_what_is_nothing(db: Database, tmp_path: Path) -> None:
    """Ordinary files, empty ones, unknown systems and missing folders are refused with what to do."""
    write_json(tmp_path / "o" / "x.json", {"hello": 1})
    with pytest.raises(NothingUsable):
        bring(db, "harbour", "openai", [tmp_path / "o"])
    (tmp_path / "o" / "x.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NothingUsable):
        bring(db, "harbour", "openai", [tmp_path / "o"])
    with pytest.raises(BadRequest):
        bring(db, "harbour", "wandb", [tmp_path / "o"])
    with pytest.raises(BadSource):
        bring(db, "harbour", "openai", [tmp_path / "none"])
    assert sources.find(db, "harbour") == []
