"""Turns that cannot be: each says why, at once, and leaves nothing half done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.flywheel.organisation import WORKSPACE, run_turn, settings

from feilun.compute import lock
from feilun.errors import BadModel, BadSetting, Busy, NotFound, NothingUsable, TooFewSamples
from feilun.settings import Settings
from feilun.store import Database, Journal, open_database, verdicts, workspaces


@pytest.fixture
def made(tmp_path: Path) -> Settings:
    """Return settings of an empty home, with a model that is never reached."""
    return settings(tmp_path / "home", tmp_path / "base")


@pytest.fixture
def db(made: Settings) -> Iterator[Database]:
    """Give the home's database."""
    database = open_database(made.root)
    yield database
    database.close()


def few(folder: Path, pairs: int) -> Path:
    """Write a sheet of so many pairs, and an exam, so that nothing has to be held out."""
    folder.mkdir()
    rows = [f"What is the fee of box {number}?,Box {number} costs {number} crowns." for number in range(pairs)]
    (folder / "faq.csv").write_text("question,answer\n" + "\n".join(rows) + "\n")
    (folder / "exam.csv").write_text("question,accept\nHow much is the third box a year?,3 crowns\n")
    return folder


def test_a_second_turn_at_once_is_busy(db: Database, made: Settings, tmp_path: Path) -> None:
    """While one turn of a workspace runs, another one is told which process runs it; nothing is recorded."""
    with lock(made.root / "locks" / f"turn-{WORKSPACE}.lock", "the first turn"):
        with pytest.raises(Busy, match="the first turn has been running"):
            run_turn(db, made, few(tmp_path / "files", 30))
    assert not Journal(db).find(WORKSPACE)


def test_nothing_usable(db: Database, made: Settings, tmp_path: Path) -> None:
    """A folder of files that nobody can read: named, with the reason; the job has failed, and no verdict is there."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "empty.md").touch()
    (folder / "photo.png").write_bytes(b"\x89PNG")
    with pytest.raises(NothingUsable, match=r"empty\.md"):
        run_turn(db, made, folder)
    (job,) = Journal(db).find(WORKSPACE, "turn")
    assert (job.status, job.error["error"]["code"]) == ("failed", "nothing_usable")
    assert not verdicts.find(db, WORKSPACE)
    assert not (made.root / "last-turn.json").exists()


def test_too_few_pairs(db: Database, made: Settings, tmp_path: Path) -> None:
    """Fewer pairs than the minimum: both numbers are told."""
    with pytest.raises(TooFewSamples, match="hold 19 question/answer pairs; 20 are needed"):
        run_turn(db, made, few(tmp_path / "files", 19))


def test_a_model_that_is_not_there(db: Database, made: Settings, tmp_path: Path) -> None:
    """The model's path is told, after the data was made, which is kept."""
    with pytest.raises(BadModel, match="There is no model"):
        run_turn(db, made, few(tmp_path / "files", 20))
    (job,) = Journal(db).find(WORKSPACE, "turn")
    assert [name for name, _, _ in Journal(db).steps(job.id)] == ["ingest", "curate"]


def test_an_unknown_drill(db: Database, made: Settings, tmp_path: Path) -> None:
    """It is refused before anything begins."""
    with pytest.raises(BadSetting, match="no drill named sleep"):
        run_turn(db, made, tmp_path, "sleep")
    assert WORKSPACE not in workspaces.names(db)


def test_an_old_turn_that_fails_does_not_stop_a_new_one(db: Database, made: Settings, tmp_path: Path) -> None:
    """A turn over a folder that is gone, left unfinished by a kill, ends; the new one runs after it."""
    folder = few(tmp_path / "files", 19)
    gone = few(tmp_path / "gone", 30)
    journal, said = Journal(db), []
    with pytest.raises(BadModel):
        run_turn(db, made, gone)
    (old,) = journal.find(WORKSPACE, "turn")
    journal.start(old.id)
    assert [job.id for job in journal.unfinished("turn")] == [old.id]
    with pytest.raises(BadModel):
        run_turn(db, made, folder, say=said.append)
    assert {"step": "ingest"} in said
    assert [job.status for job in journal.find(WORKSPACE, "turn")] == ["failed", "failed"]
    assert any(old.id in message.get("note", "") and "no model" in message["note"] for message in said)


def test_an_unknown_guard_exam(db: Database, made: Settings, tmp_path: Path) -> None:
    """It is refused with the names that there are, before a file is read."""
    with pytest.raises(NotFound, match="no ready exam manners"):
        run_turn(db, replace(made, guards="idioms, manners"), few(tmp_path / "files", 20))
    assert WORKSPACE not in workspaces.names(db)
