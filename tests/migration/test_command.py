"""The command ``feilun import`` on exports: what it says, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.migration.exports import kiln_project, openai_export, write_lines

from feilun.cli import main
from feilun.store import evals, open_database, traces


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home; speak English, away from any settings file."""
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_an_export_is_known_and_told_of(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What came, what was added, what is kept but not used, notes; a second time all is known."""
    folder = openai_export(tmp_path / "export")
    assert main(["import", str(folder), "--home", str(home)]) == 0
    said = capsys.readouterr().out
    for words in ("From openai:", "1 eval, 1 eval.run, 2 eval.run.output_item", "2 answers", "shiny", "gpt-5-mini"):
        assert words in said
    assert main(["import", str(folder), "--home", str(home)]) == 0
    again = capsys.readouterr().out
    assert "known already: 2 answers" in again
    assert "added" not in again
    db = open_database(home)
    assert [exam.id for exam in evals.find(db, "default")] == ["eval_68a1"]
    db.close()


def test_in_chinese(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same in Chinese."""
    assert main(["import", str(kiln_project(tmp_path / "k")), "--home", str(home), "--language", "zh"]) == 0
    said = capsys.readouterr().out
    assert "来自 kiln：" in said
    assert "4 调用" in said


def test_whose_it_is_can_be_said(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--as`` settles it; a wrong one writes nothing and ends with code 2, without a traceback."""
    lines = write_lines(tmp_path / "x.jsonl", [{"messages": [{"role": "user", "content": "Hi"}]}])
    assert main(["import", str(lines), "--as", "langfuse", "--home", str(home)]) == 2
    assert "Nothing here comes from langfuse" in capsys.readouterr().err
    assert main(["import", str(lines), "--as", "openai", "--home", str(home)]) == 0
    assert main(["import", str(kiln_project(tmp_path / "k")), "http://127.0.0.1:9/", "--home", str(home)]) == 2
    assert "by itself" in capsys.readouterr().err
    db = open_database(home)
    assert traces.find(db, "default", -1) == []
    db.close()
