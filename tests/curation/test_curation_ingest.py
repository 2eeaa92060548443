"""A folder into the store and out again, for a purpose."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.curation import curate, documents, exam_items, ingest
from feilun.errors import BadSource, NothingUsable
from feilun.records import Permissions, Purpose, Source
from feilun.store import Database, datasets, open_database, sources, workspaces

WS = "harbour"
SECRET = "Q: Who is the merger partner?\nA: The merger talks are held with Corbel Savings.\n"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Give an empty store with one workspace."""
    database = open_database(tmp_path / "home")
    workspaces.ensure(database, WS)
    yield database
    database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give an organisation's folder."""
    root = tmp_path / "org"
    (root / "policy").mkdir(parents=True)
    (root / "faq.csv").write_text("question,answer\nWhat is the fee?,The fee is 5 dollars.\n", encoding="utf-8")
    (root / "policy" / "minutes.md").write_text(SECRET, encoding="utf-8")
    (root / "exam.jsonl").write_text('{"question": "Fee?", "accept": ["5", "five"], "reject": "6"}\n', encoding="utf-8")
    (root / "empty.txt").write_text("")
    (root / "feilun.permissions.yaml").write_text('"policy/*": {train: no}\n')
    return root


def names(db: Database, purpose: Purpose = "train") -> list[str]:
    """Return the names of the documents for a purpose."""
    return [document.name for document in documents(db, WS, purpose)]


def test_folder_becomes_sources_once(db: Database, folder: Path) -> None:
    """A second run adds nothing; what was skipped is told each time."""
    first = ingest(db, WS, [folder])
    assert len(first.added) == 3
    assert [(item.name, item.reason) for item in first.skipped] == [("empty.txt", "empty")]
    again = ingest(db, WS, [folder])
    assert (again.added, sorted(again.unchanged)) == ([], sorted(first.added))
    assert names(db) == ["faq.csv"]
    assert names(db, "retrieve") == ["faq.csv", "policy/minutes.md"]
    (item,) = exam_items(db, WS)
    assert (item.question, item.accept, item.reject) == ("Fee?", ("5", "five"), ("6",))
    assert len(item.meta["sources"]) == 1


def test_forbidden_text_is_filtered_in_copies(db: Database, folder: Path) -> None:
    """A forbidden answer that was pasted into a permitted file does not reach a training dataset."""
    (folder / "pasted.csv").write_text(
        "question,answer\nWith whom do you merge?,the merger talks are held with CORBEL Savings!\nWhat?,It is open.\n",
        encoding="utf-8",
    )
    (folder / "renamed.md").write_text(SECRET, encoding="utf-8")
    ingest(db, WS, [folder])
    records = curate(documents(db, WS, "train")).chat
    version, left_out = datasets.write(db, WS, "chat", records, "train")
    kept = datasets.read(db, WS, version.id, "train")
    assert not any("corbel" in str(record.messages).casefold() for record in kept)
    assert len(kept) == 2
    assert len(left_out) == 1


def test_changed_files_count_by_their_newest_content(db: Database, folder: Path) -> None:
    """The newest content of a file counts, also when it goes back to an earlier one; permissions hold for all."""
    faq = folder / "faq.csv"
    before = faq.read_text(encoding="utf-8")
    ingest(db, WS, [folder])
    faq.write_text(before.replace("5", "6"), encoding="utf-8")
    assert len(ingest(db, WS, [folder]).added) == 1
    assert "6 dollars" in str(documents(db, WS, "train"))
    assert "5 dollars" not in str(documents(db, WS, "train"))
    faq.write_text(before, encoding="utf-8")
    assert len(ingest(db, WS, [folder]).added) == 1
    assert "5 dollars" in str(documents(db, WS, "train"))
    (folder / "feilun.permissions.yaml").write_text('"**": {train: no}\n')
    assert len(ingest(db, WS, [folder]).permissions_changed) >= 2
    assert names(db) == []
    faq.unlink()
    ingest(db, WS, [folder])
    assert "faq.csv" in names(db, "retrieve")


def test_broken_permissions_add_nothing(db: Database, folder: Path) -> None:
    """With a mistake in the permissions file no source is added at all."""
    (folder / "feilun.permissions.yaml").write_text("policy/*: {trian: no}\n")
    with pytest.raises(BadSource, match="trian"):
        ingest(db, WS, [folder])
    assert sources.find(db, WS) == []


def test_nothing_usable_is_said(db: Database, tmp_path: Path) -> None:
    """A folder without a readable file is an error that names the files and reasons."""
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.exe").write_bytes(b"MZ")
    with pytest.raises(NothingUsable, match=r"a\.exe"):
        ingest(db, WS, [tmp_path / "bad"])
    with pytest.raises(BadSource):
        ingest(db, WS, [tmp_path / "missing"])


def test_unreadable_uploads_are_reported(db: Database) -> None:
    """An upload that cannot be read is a document with a problem, and the report names it."""
    for number, (name, data) in enumerate([("a.pdf", b"not a pdf"), ("b.csv", b"question,answer\nFee?,5\n")]):
        source = Source(f"file-{number}", WS, name, "", len(data), "upload", permissions=Permissions())
        sources.add(db, source, data)
    result = curate(documents(db, WS, "train"))
    assert [entry["reason"] for entry in result.report.skipped] == ["wrong_name"]
    assert len(result.chat) == 1
    assert documents(db, WS, "train", origins=("file",)) == []


def test_masking_permission_reaches_the_documents(db: Database, folder: Path) -> None:
    """A source that must be masked is masked throughout when it is curated."""
    (folder / "list.md").write_text("Ann sits at ann@example.org every day.\n")
    (folder / "feilun.permissions.yaml").write_text("list.md: {mask: pseudonymise}\n")
    os.utime(folder / "list.md", (1_700_000_000, 1_700_000_000))
    ingest(db, WS, [folder])
    (document,) = (d for d in documents(db, WS, "retrieve") if d.name == "list.md")
    assert (document.mask, document.modified) == (True, "2023-11-14")
    assert curate([document]).passages[0].text == "Ann sits at [EMAIL] every day."
