"""``feilun exam``: brought in, looked at, sat by log-probability and in words, resumed, and never half counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.models import tiny_model

from feilun.cli import main
from feilun.curation.sealing import sealed_items
from feilun.records import Eval
from feilun.store import evals, open_database, workspaces

ROWS = [{"question": f"What is {n}?", "A": "one", "B": "two", "answer": "AB"[n % 2]} for n in range(40)]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Speak English, with a tiny model as base, away from any settings file."""
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("FEILUN_MODEL", str(tiny_model(tmp_path / "base")))
    monkeypatch.chdir(tmp_path)


def exam(tmp_path: Path, *arguments: str) -> int:
    """Run the command on a home of its own."""
    return main(["exam", *arguments, "--home", str(tmp_path / "home")])


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return the JSON that was printed last."""
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_an_exam_is_brought_in_and_sat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Import, list, show, run by likelihood: a score with its interval, every answer kept."""
    file = tmp_path / "numbers.jsonl"
    file.write_text("\n".join(map(json.dumps, [*ROWS, {"question": "Broken?"}])), encoding="utf-8")
    assert exam(tmp_path, "import", str(file), "--name", "numbers") == 0
    said = capsys.readouterr().out
    assert "numbers: 40 questions" in said
    assert "numbers.jsonl:41" in said
    assert exam(tmp_path, "list", "--json") == 0
    assert told(capsys)[0]["graders"] == {"choice": 40}
    assert exam(tmp_path, "show", "numbers") == 0
    assert "A. one" in capsys.readouterr().out
    assert exam(tmp_path, "run", "numbers", "--limit", "10", "--json") == 0
    part = told(capsys)
    assert (part["questions"], part["complete"]) == (10, True)
    assert exam(tmp_path, "run", "numbers", "--json") == 0
    whole = told(capsys)
    assert (whole["run"], whole["questions"], whole["errored"], whole["missing"]) == (part["run"], 40, 0, 0)
    assert whole["interval"][0] <= whole["score"] <= whole["interval"][1]
    db = open_database(tmp_path / "home")
    run = evals.get_run(db, "default", whole["run"])
    answers = evals.answers(db, "default", whole["run"])
    db.close()
    assert (run.status, len(answers)) == ("succeeded", 40)
    assert sum(answer.score for answer in answers) / 40 == pytest.approx(whole["score"])


def test_answers_that_nobody_could_grade_leave_a_run_incomplete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its judge an exam in words has no score, says so, and keeps no finished run."""
    monkeypatch.setenv("FEILUN_ENGINE", "fake")
    file = tmp_path / "essays.jsonl"
    rows = [{"question": "Why?", "rubric": ["names a cause"]}, {"question": "Who?", "accept": ["who"]}]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert exam(tmp_path, "import", str(file)) == 0
    assert "Only 2 questions" in capsys.readouterr().out
    assert exam(tmp_path, "run", "essays", "--json") == 1
    found = told(capsys)
    assert (found["errored"], found["complete"], found["score"]) == (1, False, 1.0)
    db = open_database(tmp_path / "home")
    assert evals.get_run(db, "default", found["run"]).status == "failed"
    db.close()
    assert exam(tmp_path, "run", "essays", "--by", "likelihood") == 2
    assert "No question of essays offers options" in capsys.readouterr().err


def asked(tmp_path: Path, folder: str, *words: str) -> str:
    """Write an exam ``test.jsonl`` of one question for each word, and return its file."""
    file = tmp_path / folder / "test.jsonl"
    file.parent.mkdir(exist_ok=True)
    rows = [{"question": f"Where is the {word}?", "answer": f"in {word}"} for word in words]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(file)


def sealed(tmp_path: Path) -> set[str]:
    """Return the words that the sealed questions ask for."""
    db = open_database(tmp_path / "home")
    found = {item.question.removeprefix("Where is the ").rstrip("?") for item in sealed_items(db, "default")}
    db.close()
    return found


def test_another_exam_takes_the_place_of_none_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one name: a version that asks most again is one, another exam is refused unless somebody says so."""
    first, other = asked(tmp_path, "a", "ox", "cow", "pig", "hen"), asked(tmp_path, "b", "ox", "cat", "dog", "rat")
    grown = asked(tmp_path, "c", "cow", "ox", "bee")
    assert exam(tmp_path, "import", first) == exam(tmp_path, "import", first) == 0
    assert exam(tmp_path, "import", other) == 4
    said = capsys.readouterr().err
    assert "only 1 of its 4 questions" in said
    assert "--new-version" in said
    assert sealed(tmp_path) == {"ox", "cow", "pig", "hen"}
    assert exam(tmp_path, "import", other, "--name", "pets") == 0
    assert sealed(tmp_path) == {"ox", "cow", "pig", "hen", "cat", "dog", "rat"}
    capsys.readouterr()
    assert exam(tmp_path, "import", grown, "--json") == 0
    assert told(capsys)["replaces"]
    assert sealed(tmp_path) >= {"ox", "cow", "bee"}
    assert exam(tmp_path, "import", first) == 4
    assert "later version" in capsys.readouterr().err
    assert exam(tmp_path, "import", other, "--new-version") == 0
    assert "takes the place" in capsys.readouterr().out
    assert sealed(tmp_path) == {"ox", "cat", "dog", "rat"}


@pytest.mark.parametrize("name", ["own exam", "General  Exam", "own", "Ｏｗｎ exam"])
def test_names_of_turns_are_theirs(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """An exam that is brought in or drafted is not called so, and nothing is kept."""
    assert exam(tmp_path, "import", asked(tmp_path, "a", "ox"), "--name", name) == 2
    assert "--name" in capsys.readouterr().err
    assert exam(tmp_path, "author", "draft", name) == 2
    assert exam(tmp_path, "list", "--json") == 0
    assert told(capsys) == []


def test_an_exam_without_questions_is_not_sat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is an error that says where its rows come from; no run of it is kept."""
    db = open_database(tmp_path / "home")
    workspaces.ensure(db, "default")
    evals.add(db, Eval("eval-api", "default", "api", meta={"testing_criteria": []}))
    for by in ("likelihood", "words"):
        assert exam(tmp_path, "run", "api", "--by", by) == 2
        said = capsys.readouterr()
        assert "no question" in said.err
        assert "%" not in said.out
    assert evals.find_runs(db, "default", "eval-api") == []
    db.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("import",), "No file is named"),
        (("import", "nothing.csv"), "There is no file"),
        (("show", "nothing"), "There is no exam"),
        (("run",), "One exam is needed"),
        (("import", "x.csv", "--shots", "2"), "--shots needs --dev"),
        (("run", "x", "--tokens", "0"), "--tokens"),
    ],
)
def test_what_is_not_understood_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    """A clear error, a hint, exit code 2, and nothing kept."""
    assert exam(tmp_path, *arguments) == 2
    assert said in capsys.readouterr().err


def test_a_judge_s_agreement_with_people_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a table of verdicts: the share that agrees, kappa, both with intervals; a row without one is named."""
    file = tmp_path / "verdicts.csv"
    rows = [f"{judge},{human}" for judge, human in [("yes", "yes"), ("no", "no")] * 40 + [("yes", "no")] * 2]
    file.write_text("\n".join(["judge,human", *rows]), encoding="utf-8")
    assert exam(tmp_path, "calibrate", str(file)) == 0
    said = capsys.readouterr().out
    assert "82 verdicts, 97.6% the same" in said
    assert "kappa 0.95" in said
    rows = ["0,0.0", "1,true", "１,1.00", "False,0", "-0.5,-.5"] * 10
    file.write_text("judge,human\n" + "\n".join(rows) + "\n", encoding="utf-8")
    assert exam(tmp_path, "calibrate", str(file)) == 0
    assert "50 verdicts, 100.0% the same" in capsys.readouterr().out
    file.write_text("judge,human\nyes,\n", encoding="utf-8")
    assert exam(tmp_path, "calibrate", str(file)) == 2
    assert "verdicts.csv:2 lacks a verdict" in capsys.readouterr().err
