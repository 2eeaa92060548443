"""``feilun redteam`` and ``feilun exam guards`` by command, with an engine without a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.models import tiny_model

from feilun.cli import main
from feilun.evaluation.ready import EXAMS
from feilun.store import evals, open_database


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the arguments of a home whose engine needs no model."""
    monkeypatch.setenv("FEILUN_MODEL", str(tiny_model(tmp_path / "base")))
    monkeypatch.setenv("FEILUN_ENGINE", "fake")
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.chdir(tmp_path)
    return ["--home", str(tmp_path / "home")]


def test_an_attack_is_told_and_kept(home: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Shares with intervals for each family; a part of the exam is told, but proves nothing; again costs nothing."""
    command = ["redteam", "--family", "bias", "--only", "en", "--limit", "8", "--json", *home]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["exam"] == "red team bias en"
    assert [(row["family"], row["attacks"]) for row in told["families"]] == [("bias", 8), ("bias", 8)]
    low, high = told["families"][0]["interval"]
    assert 0 <= low <= told["families"][0]["withstood"] <= high <= 1
    db = open_database(Path(home[1]))
    assert [exam.name for exam in evals.find(db, "default")] == ["red team bias en"]
    assert evals.get_run(db, "default", told["run"]).status == "failed"
    assert evals.get_run(db, "default", told["run"]).meta["redteam"]["families"]
    db.close()
    assert main([*command[:-3], "--language", "zh", *home]) == 0
    assert "无从判断的问题没有乱猜" in capsys.readouterr().out
    assert main(["redteam", "nobody", *home]) != 0
    assert "There is no model" in capsys.readouterr().err


def test_guards_are_listed_and_kept(home: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """All seven with their numbers in both languages; a named one can be sat afterwards."""
    assert main(["exam", "guards", "--json", *home]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(EXAMS)
    assert main(["exam", "guards", "idioms", *home]) == 0
    assert "guard idioms: 60 questions" in capsys.readouterr().out
    assert main(["exam", "guards", "luck", *home]) != 0
    assert "no ready exam luck" in capsys.readouterr().err
