"""What a turn learns is sealed against every exam of the workspace, and the report says what was removed and how."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opencc import OpenCC

from feilun.curation import ingest
from feilun.flywheel.data import make_data
from feilun.flywheel.result import _health
from feilun.records import Eval, EvalItem, Job
from feilun.settings import Settings
from feilun.store import Database, datasets, evals, open_database, workspaces

WS = "harbour"
LEAKS: dict[str, Callable[[str], str]] = {
    "Which of the two ferries that leave the harbour before noon carries bicycles without a ticket?": str.upper,
    "图书馆的阅览室在每个月的第一个星期日几点向本镇居民开放？": OpenCC("s2t").convert,
    "How many lanterns hang above the third bridge in the weeks before midwinter?": lambda text: " ".join(
        sorted(text.rstrip("?").split())
    ),
    "老磨坊的水轮是哪一年由造船厂的木匠换掉的？": "\u200b".join,
}


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Give a workspace with facts in three wordings, four leaked exam questions among them, and the exam."""
    folder = tmp_path / "files"
    folder.mkdir()
    rows = ["question,answer"]
    for door in range(1, 26):
        answer = f"The colour of door {door} is hue {door * 7}."
        rows += [
            f"{ask} door {door}?,{answer}" for ask in ("What colour is", "Please name the colour of", "Tell me about")
        ]
    rows += [
        f'"{hide(question)}","The answer to leak {n} is number {n}."'
        for n, (question, hide) in enumerate(LEAKS.items())
    ]
    (folder / "faq.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    asked = [f"In which colour has door {door} been painted?,hue {door * 7}" for door in range(1, 26)]
    (folder / "exam.csv").write_text("\n".join(["question,accept", *asked]) + "\n", encoding="utf-8")
    database = open_database(tmp_path / "home")
    workspaces.ensure(database, WS)
    ingest(database, WS, [folder])
    items = tuple(EvalItem(f"item-{n}", question, ("x",)) for n, question in enumerate(LEAKS))
    evals.add(database, Eval("eval-1", WS, "imported", items, meta={"kind": "imported", "sealed": True}))
    yield database
    database.close()


def _data(db: Database, tmp_path: Path) -> tuple[list[str], Path]:
    """Make a turn's data; return what it would learn, and its report."""
    job = Job("turn-1", WS, "turn", {"drill": "", "paths": [], "settings": {}})
    (tmp_path / "home" / "turns" / job.id).mkdir(parents=True, exist_ok=True)
    made = make_data(db, Settings(home=str(tmp_path / "home"), embedding="", general=20), job, [])
    records = datasets.read(db, WS, made["dataset"], "train")
    report = tmp_path / "home" / "turns" / job.id / "curation.json"
    return [str(record.messages[0]["content"]) for record in records], report


def test_leaked_questions_are_not_learnt(db: Database, tmp_path: Path) -> None:
    """In capitals, in the other script, reordered, with signs that nobody sees: none is learnt, each is reported."""
    learnt, report = _data(db, tmp_path)
    assert len(learnt) >= 45
    assert not any(
        word in question.casefold() for question in learnt for word in ("ferries", "lanterns", "閱覽室", "水")
    )
    sealed = json.loads(report.read_text(encoding="utf-8"))["sealed"]
    assert sealed["removed"] == 4
    assert {leak["exam"] for leak in sealed["leaks"]} == {"imported"}
    assert {leak["how"] for leak in sealed["leaks"]} >= {"exam_item", "exam_shuffled"}
    words = [dropped.reason["zh"] for dropped in _health(report).dropped]
    assert any(word.startswith("考题：") for word in words)


def test_an_exam_that_may_be_trained_on_takes_nothing(db: Database, tmp_path: Path) -> None:
    """Sealing follows what somebody said about the exam."""
    evals.update(db, WS, "eval-1", "imported", {"sealed": False})
    learnt, report = _data(db, tmp_path)
    assert any("FERRIES" in question for question in learnt)
    assert json.loads(report.read_text(encoding="utf-8"))["sealed"]["removed"] == 0


def test_exam_questions_that_differ_by_their_signs_are_all_asked(db: Database, tmp_path: Path) -> None:
    """Sums, differences and names with signs, among them one that the training has in another sign; copies once."""
    asked = ["What is 7 + 5?,12", "What is 7 - 5?,2", "What is 7 × 5?,35", "什么是C++？,语言", "什么是C#？,另一种语言"]
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "exam_signs.csv").write_text("\n".join(["question,accept", *asked, asked[0].upper()]), encoding="utf-8")
    ingest(db, WS, [folder])
    _data(db, tmp_path)
    (own,) = [exam for exam in evals.find(db, WS) if exam.name == "own exam"]
    assert len(own.items) == 25 + len(asked)
    assert {row.split(",")[0] for row in asked} <= {item.question for item in own.items}
