"""``feilun review``: rows from a file, decided by people on the command line, made into a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from feilun.cli import main
from feilun.cli.review import PARTS
from feilun.records import Record
from feilun.store import Database, datasets, open_database, sources
from feilun.store.access import members
from feilun.store.review import queue

ROWS = [
    {"text": "I am glad.", "gold": "good"},
    {"text": "天气真糟糕。", "suggestion": {"value": "bad", "by": "model-1"}},
    {"messages": [{"role": "user", "content": "Hooray!"}]},
]


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Speak English, away from any settings file."""
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.chdir(tmp_path)


def feilun(*words: str) -> int:
    """Run the command on the home of the test."""
    return main(["review", *words, "--home", "home"])


def rows(*given: Any) -> str:
    """Write rows into a file; return its name."""
    Path("rows.jsonl").write_text("\n".join(json.dumps(row) for row in given), encoding="utf-8")
    return "rows.jsonl"


def opened() -> Database:
    """Open the home of the test."""
    return open_database(Path("home").absolute())


def test_who_suggests_stands_beside_the_suggestion() -> None:
    """``by`` beside a suggestion says whose it is, and is not shown; without a suggestion it belongs to the row."""
    given = [{"text": "One.", "suggestion": "bad", "by": "own-model"}, {"text": "Two.", "by": "Ann"}]
    assert feilun("add", rows(*given, ROWS[1]), "--kind", "label", "--options", "good,bad") == 0
    db = opened()
    found = {item.row["text"]: item for item in queue.find(db, "default")}
    db.close()
    assert [one.suggestion and one.suggestion.by for one in found.values()].count("own-model") == 1
    assert (found["One."].row, found["Two."].row) == ({"text": "One."}, {"text": "Two.", "by": "Ann"})
    assert found["天气真糟糕。"].suggestion == PARTS.load("suggestion")(
        PARTS.load("decision")("label", "bad"), "model-1"
    )


def test_from_a_file_to_a_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    """Two people label, disagree, and a third decides; figures and dataset follow."""
    assert feilun("add", rows(*ROWS), "--kind", "label", "--options", "good,bad", "--needed", "2") == 0
    assert feilun("add", "rows.jsonl", "--kind", "label", "--options", "good,bad", "--needed", "2") == 0
    db = opened()
    assert len(queue.find(db, "default")) == 3
    for name in ("Ann", "Ben", "Cat"):
        members.add(db, "default", name, "annotator")
    capsys.readouterr()
    for who, label in (("Ann", "good"), ("Ben", "bad"), ("Cat", "bad")):
        while True:
            assert feilun("next", "--as", who) == 0
            said = capsys.readouterr().out
            if not said.startswith("{"):
                break
            told = json.loads(said)
            assert "gold" not in told
            assert feilun("decide", told["id"], "label", label, "--as", who) == 0
            capsys.readouterr()
    assert said == "No row waits for you.\n"
    assert feilun("agreement", "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert [(one["rows"], one["people"]) for one in figures["agreement"]] == [(2, 2)]
    assert figures["agreement"][0]["alpha"] < 0
    assert sorted(one["right"] for one in figures["annotators"]) == [0, 0, 1]
    assert feilun("export", "moods") == 0
    version = datasets.latest(db, "default", "moods")
    found = datasets.read(db, "default", version.id, "train")
    assert [record.meta["label"] for record in found] == ["bad", "bad"]
    db.close()
    assert feilun("list", "--status", "done") == 0
    assert capsys.readouterr().out.count(" done ") == 2


def test_the_folders_permissions_hold(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of a file that must not be trained on become no training data."""
    Path("feilun.permissions.yaml").write_text("'*.jsonl':\n  train: no\n", encoding="utf-8")
    assert feilun("add", rows({"text": "x"})) == 0
    capsys.readouterr()
    db = opened()
    (source,) = sources.find(db, "default")
    db.close()
    assert not source.permissions.train
    assert feilun("next") == 0
    item = json.loads(capsys.readouterr().out)["id"]
    assert feilun("decide", item, "accept") == 0
    assert feilun("export", "rows") == 2
    assert "may not be used for train" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([1], "Line 2: this is not a JSON object."),
        ({"text": ""}, "Line 2: row: it has neither"),
        ({"text": "x", "gold": "sad"}, "Line 2: gold: 'sad' is none of the labels."),
    ],
)
def test_a_wrong_line_is_named(capsys: pytest.CaptureFixture[str], row: Any, said: str) -> None:
    """And nothing of the file is kept."""
    assert feilun("add", rows(ROWS[0], row), "--kind", "label", "--options", "good,bad") == 2
    assert said in capsys.readouterr().err
    db = opened()
    assert (queue.find(db, "default"), sources.find(db, "default")) == ([], [])
    db.close()


@pytest.mark.parametrize("words", [("add",), ("add", "gone.jsonl"), ("add", "."), ("decide", "x"), ("export",)])
def test_what_is_missing_is_said(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    """A message, a hint, and the code of wrong input."""
    assert feilun(*words) == 2
    assert "error: " in capsys.readouterr().err


def test_skipping_and_chinese(capsys: pytest.CaptureFixture[str]) -> None:
    """A row that is skipped does not come back; the words are Chinese where they are asked for."""
    assert feilun("add", rows({"text": "x"})) == 0
    assert feilun("next") == 0
    item = json.loads(capsys.readouterr().out.split("\n", 1)[1])["id"]
    assert feilun("decide", item, "skip", "--language", "zh") == 0
    assert feilun("next", "--language", "zh") == 0
    assert capsys.readouterr().out == f"已跳过 {item}。\n没有等待您处理的数据。\n"


def test_what_operators_flagged_can_be_added(capsys: pytest.CaptureFixture[str]) -> None:
    """A dataset version's flagged records, with the operator's code where it has no words."""
    assert feilun("add", rows({"text": "x"})) == 0
    db = opened()
    (source,) = sources.find(db, "default")
    flags = [{"by": "odd", "why": "spun", "detail": "y"}]
    record = Record("record-1", "passage", (source.id,), text="A longer text.", meta={"flags": flags})
    version, _ = datasets.write(db, "default", "texts", [record], "train")
    db.close()
    capsys.readouterr()
    assert feilun("add", "--dataset", version.id) == 0
    assert capsys.readouterr().out == "1 rows in the queue, 0 left out\n"
    assert feilun("next", "--queue", "flagged") == 0
    assert json.loads(capsys.readouterr().out)["why"] == "spun: y"


def test_every_part_is_there() -> None:
    """What the command imports when it runs can be imported."""
    assert all(callable(PARTS.load(name)) for name in PARTS.names())
