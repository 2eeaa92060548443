"""The command ``feilun insights``, and ``/api/insights``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.feedback.insights.test_deciding import ASKED

from feilun.cli import main
from feilun.records import Trace
from feilun.store import Database, feedback


@pytest.fixture
def home(
    db: Database, call: Callable[..., Trace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Give a way to run the command on a home whose calls have one theme, without an embedding model."""
    for question in ASKED:
        call(question)
    call("the dog of Mary Johnson, mary@example.org, is allowed inside?")
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("FEILUN_EMBEDDING", "")
    monkeypatch.chdir(tmp_path)
    where = ["--home", str(db.root), "--workspace", "bank"]
    return lambda *words: main(["insights", *words, *where])


def test_from_finding_to_deciding(home: Callable[..., int], db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Look, show, accept with an answer, see it listed; once decided it cannot be dismissed."""
    assert home() == 0
    said = capsys.readouterr().out
    key = next(word for word in said.split() if word.startswith("insight-"))
    assert "1 insights" in said
    assert "mary@example.org" not in said
    assert home("show", key) == 0
    shown = capsys.readouterr().out
    assert "dog allowed inside" in shown
    assert "mary@example.org" not in shown
    assert home("accept", key, "--answer", "On a leash.") == 0
    assert "4 corrections" in capsys.readouterr().out
    assert len(feedback.find(db, "bank")) == 4
    assert home("dismiss", key, "--reason", "no") == 4
    assert home("list", "--status", "accepted", "--json") == 0
    out = capsys.readouterr().out
    assert json.loads(out[out.index("[") :])[0]["id"] == key


def test_mistakes_are_told(home: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """No id, an unknown one, an acceptance of nothing: code 2 with a hint, no traceback."""
    assert home("accept") == 2
    assert home("show", "insight-none") == 2
    assert home() == 0
    key = next(word for word in capsys.readouterr().out.split() if word.startswith("insight-"))
    assert home("accept", key, "--as", "samples") == 2
    assert "--answer" in capsys.readouterr().err
    assert home("dismiss", key) == 2


def test_in_chinese(home: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """The same in Chinese."""
    assert home("--language", "zh") == 0
    assert "建议：补充知识" in capsys.readouterr().out
