"""A cell of the leaderboard once more, by the real engine: the same answers in words and by likelihood."""

import json

import pytest
from tests.models import tiny_model

from feilun.cli import main
from feilun.store import open_database, workspaces

pytestmark = pytest.mark.slow


def test_a_cell_reruns_to_the_same_answers(tmp_path, capsys, monkeypatch):
    """The commands alone: an exam is brought in, sat in words and by likelihood, shown, and both are rerun."""
    monkeypatch.chdir(tmp_path)
    base = tiny_model(tmp_path / "tiny")
    monkeypatch.setenv("FEILUN_MODEL", str(base))
    monkeypatch.setenv("FEILUN_THREADS", "1")
    home = ("--home", str(tmp_path / "home"), "--language", "en")
    db = open_database(tmp_path / "home")
    workspaces.ensure(db, "default")
    db.close()
    rows = [
        {"question": f"Which number comes after {n}?", "choices": [str(n + 1), str(n + 5)], "answer": 0}
        for n in range(12)
    ]
    (tmp_path / "numbers.json").write_text(json.dumps(rows))
    assert main(["exam", "import", "numbers.json", *home]) == 0
    for how in ("words", "likelihood"):
        assert main(["exam", "run", "numbers", "--by", how, *home]) == 0
    capsys.readouterr()
    assert main(["leaderboard", "--json", *home]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert len({cell["exam"] for cell in cells}) == 2
    for cell in cells:
        assert (cell["answered"], cell["questions"]) == (12, 12)
        assert len(cell["identity"]) == 64
        assert cell["seconds"] > 0
        assert main(["leaderboard", "rerun", cell["model"], cell["exam"], *home]) == 0
        assert "12 of 12 answers are the same" in capsys.readouterr().out
    assert main(["leaderboard", "rerun", cell["model"], "numbers (likelihood)", *home]) == 0
