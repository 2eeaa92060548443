"""Exams from an organisation's own documents: grounded drafts, accepted by a person, sealed as an exam."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.cli import main
from feilun.curation import ingest
from feilun.curation.authoring import authored_exam, draft_exam, gap_drafts, review_items
from feilun.curation.sealing import seal_training
from feilun.errors import NothingUsable
from feilun.evaluation import contains
from feilun.feedback.review import add, decide, following
from feilun.records import Record
from feilun.store import Database, evals, open_database, sources, workspaces
from feilun.store.review import Annotation, Decision

WS = "harbour"
RULES = """# House rules

The reading room opens at 9.30 on every weekday. Lost keys cost 45 crowns to replace.
The night porter is called Odo Marwick. Visitors may not stay longer than 3 hours in the map room.

# 阅览室规定

每位读者最多可以借阅7本图书。逾期图书每天收费2角，节假日不收费。
"""


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Give a workspace with a document, and one that may not be used."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "rules.md").write_text(RULES, encoding="utf-8")
    asked = [f"{ask} the ferry to Tarn?,The ferry to Tarn costs 18 crowns." for ask in
             ("What does it cost to take", "How much is", "Please tell me the price of")]  # fmt: skip
    (folder / "faq.csv").write_text("\n".join(["question,answer", *asked]) + "\n", encoding="utf-8")
    database = open_database(tmp_path / "home")
    workspaces.ensure(database, WS)
    ingest(database, WS, [folder])
    yield database
    database.close()


def _accept(db: Database, name: str, wanted: int, action: str = "accept") -> None:
    """Decide about so many rows of an exam's queue, as one person."""
    for _ in range(wanted):
        given = following(db, WS, "ann", f"exam {name}", share=0.0)
        assert given is not None
        reason = "says nothing" if action == "reject" else ""
        decision = Decision("reject" if action == "reject" else "accept")
        decide(db, WS, Annotation(given[0].id, "ann", "decided", given[1], decision, reason))


def test_gaps_are_grounded() -> None:
    """The gap's answer completes the sentence as it stands in the passage; others are out."""
    passages = [
        Record("p-1", "passage", ("s",), (), "The old mill has 14 wheels in two rows. Page 3 of 9 follows here now.",
               {"file": "mill.md"}),
        Record("p-2", "passage", ("s",), (), "The tower clock was built by Edda Vane long ago. It is very old.",
               {"file": "tower.md"}),
        Record("p-3", "passage", ("s",), (), "There are 5 boats in the harbour today.", {"file": "same"}),
        Record("p-4", "passage", ("s",), (), "There are 6 boats in the harbour today.", {"file": "same"}),
        Record("p-5", "passage", ("s",), (), "The Quiet Hour begins at noon everywhere.", {"topic": "The Quiet Hour"}),
    ]  # fmt: skip
    found = {gap.record.id: gap for gap in gap_drafts(passages)}
    assert {key: gap.answer for key, gap in found.items()} == {"p-1": "14", "p-2": "Edda Vane"}
    for gap in found.values():
        assert gap.question.split(": ", 1)[1].replace("____", gap.answer) == gap.sentence
        assert gap.sentence in gap.record.text


def test_only_what_a_person_accepts_becomes_an_exam(db: Database) -> None:
    """Drafts in both languages with place and difficulty wait; one accepted, one rejected; the rest are not in it."""
    drafts = draft_exam(db, WS)
    assert {draft.lang for draft in drafts} == {"en", "zh"}
    assert {"gap", "asked"} <= {draft.how for draft in drafts}
    assert all(draft.sources and draft.file and draft.difficulty in {1, 2, 3} for draft in drafts)
    assert all(contains(draft.quote, draft.accept) == 1.0 for draft in drafts)
    porter = next(draft for draft in drafts if draft.answer == "Odo Marwick")
    assert (porter.file, "House rules" in porter.place) == ("rules.md", True)
    assert next(draft for draft in drafts if "map room" in draft.question).difficulty == 3
    kept = add(db, WS, review_items(WS, "house", drafts))
    assert add(db, WS, review_items(WS, "house", draft_exam(db, WS)))[0].id == kept[0].id
    with pytest.raises(NothingUsable, match="has been accepted yet"):
        authored_exam(db, WS, "house")
    _accept(db, "house", 2)
    _accept(db, "house", 1, "reject")
    made = authored_exam(db, WS, "house")
    assert (len(made.exam.items), made.rejected, made.waiting) == (2, 1, len(drafts) - 3)
    assert made.exam.meta["sealed"]
    assert authored_exam(db, WS, "house").exam.id == made.exam.id
    assert evals.get(db, WS, made.exam.id).items == made.exam.items
    _accept(db, "house", 1)
    assert authored_exam(db, WS, "house").exam.id != made.exam.id
    leak = Record("row", "chat", (), ({"role": "user", "content": made.exam.items[0].question},))
    assert [one.item.question for one in seal_training(db, WS, [leak]).removed] == [made.exam.items[0].question]


def test_revoked_sources_leave_drafts_and_exams(db: Database) -> None:
    """What a source no longer permits is neither drafted nor asked."""
    add(db, WS, review_items(WS, "house", draft_exam(db, WS)))
    _accept(db, "house", 3)
    for source in sources.find(db, WS):
        sources.grant(db, WS, source.id, {"until": "2020-01-01"})
    with pytest.raises(NothingUsable):
        authored_exam(db, WS, "house")
    with pytest.raises(NothingUsable):
        draft_exam(db, WS)


def test_the_command(db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Drafting and making by command; a wrong word is answered with how it is written."""
    home = ["--home", str(db.root), "--workspace", WS]
    assert main(["exam", "author", "draft", "house", "--json", *home]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["queue"] == "exam house"
    assert main(["exam", "author", "make", "house", *home]) != 0
    assert "accepted yet" in capsys.readouterr().err
    _accept(db, "house", 1)
    assert main(["exam", "author", "make", "house", "--language", "zh", *home]) == 0
    assert "1 题" in capsys.readouterr().out
    assert main(["exam", "author", "guess", "house", *home]) != 0
    assert "feilun exam author draft NAME" in capsys.readouterr().err
