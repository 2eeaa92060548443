"""Opening, migrating, transactions, text that databases refuse."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from feilun.errors import BadRequest, BadSetting, Busy, FeilunError, NotFound, OutOfSpace
from feilun.records import Eval, EvalItem, Source
from feilun.store import Database, changes, evals, open_database, sources, workspaces
from feilun.store.schema import METADATA, clean

OPEN = """
import sys
from pathlib import Path
from feilun.store import open_database, workspaces
database = open_database(Path(sys.argv[1]), sys.argv[2])
workspaces.ensure(database, "bank")
print(workspaces.names(database))
database.close()
"""


def test_what_was_written_is_there_after_opening_again(db: Database, url: str) -> None:
    """A second opening finds the rows of the first and migrates nothing."""
    sources.add(db, Source("source-a", "bank", "a.txt", "", 0), b"content")
    again = open_database(db.root, url)
    assert sources.get(again, "bank", "source-a").name == "a.txt"
    assert sources.content(again, "bank", "source-a", "train") == b"content"
    again.close()


def test_several_processes_may_open_a_fresh_home_at_once(tmp_path: Path, empty_url: str) -> None:
    """Five processes that find no tables all end well, and the tables are made once."""
    command = [sys.executable, "-W", "error", "-c", OPEN, str(tmp_path / "home"), empty_url]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(5)]
    ends = [(*process.communicate(), process.returncode) for process in started]
    assert ends == [("['bank']\n", "", 0)] * 5


def test_a_newer_database_is_left_alone(db: Database, url: str) -> None:
    """A database of a later version is refused with the way out."""
    with db.writing() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(FeilunError, match="newer Feilun") as caught:
        open_database(db.root, url)
    assert "Upgrade" in caught.value.hint


def test_a_transaction_that_fails_leaves_nothing(db: Database) -> None:
    """An error in the middle undoes what was done before it, the change number too."""
    with pytest.raises(ZeroDivisionError):
        _bump(db, 1, then=lambda: 1 / 0)
    assert changes.number(db) == 0
    _bump(db, 2)
    assert changes.number(db) == 2


def test_a_nul_character_and_lone_surrogates_are_cleaned(db: Database) -> None:
    """Text and JSON that databases refuse come back without what they refuse; everything else comes back as it was."""
    dirty, cleaned = "账户\0 \ud800 and 😀", "账户 \ufffd and 😀"
    item = EvalItem("item-1", dirty, (dirty,), meta={"nested": [{dirty: dirty}], "share": float("nan")})
    evals.add(db, Eval("eval-1", "bank", "fees", (item,), meta={dirty: dirty}))
    found = evals.get(db, "bank", "eval-1")
    assert found.meta == {cleaned: cleaned}
    assert found.items[0] == EvalItem(
        "item-1", cleaned, (cleaned,), meta={"nested": [{cleaned: cleaned}], "share": None}
    )
    with pytest.raises(NotFound):
        evals.get(db, "bank", "eval-\0\ud800")


def test_clean_keeps_pairs_of_surrogates_together() -> None:
    """Two halves that belong together become the character that they stand for."""
    assert clean("\ud83d\ude00") == "😀"


@pytest.mark.parametrize("name", ["", "Bank", "-bank", "a b", "a" * 64, "bank\n", "银行"])
def test_workspaces_have_plain_names(db: Database, name: str) -> None:
    """A name that could not be part of a path or an address is refused."""
    with pytest.raises(BadRequest):
        workspaces.ensure(db, name)
    assert workspaces.names(db) == ["bank", "other"]


def test_nothing_is_kept_in_an_unknown_workspace(db: Database) -> None:
    """A mistyped workspace does not collect data."""
    with pytest.raises(NotFound, match="workspace"):
        sources.add(db, Source("source-a", "bnak", "a", "", 0), b"x")


@pytest.mark.parametrize("url", ["nonsense", "mysql://localhost/x", "postgresql+pg8000://127.0.0.1:1x/y"])
def test_unusable_urls_are_settings_errors(tmp_path: Path, url: str) -> None:
    """What is no URL, or names a database that is not supported, is a BadSetting."""
    with pytest.raises(BadSetting):
        open_database(tmp_path, url)


def test_an_unreachable_server_is_our_error_and_hides_the_password(tmp_path: Path) -> None:
    """Nobody listening is said in plain words, without the password."""
    with pytest.raises(FeilunError) as caught:
        open_database(tmp_path, "postgresql://feilun:geheim@127.0.0.1:1/feilun")
    assert "cannot be used" in caught.value.message
    assert "geheim" not in caught.value.message + caught.value.hint


def test_a_file_that_is_no_database_is_our_error(tmp_path: Path) -> None:
    """A damaged SQLite file is named."""
    (tmp_path / "feilun.db").write_bytes(b"not a database, but long enough to be looked at" * 50)
    with pytest.raises(FeilunError, match=r"feilun\.db"):
        open_database(tmp_path)


def test_a_home_that_is_a_file_is_a_settings_error(tmp_path: Path) -> None:
    """A home that cannot be a folder is refused."""
    (tmp_path / "home").write_text("a file")
    with pytest.raises(BadSetting, match="home"):
        open_database(tmp_path / "home")


def test_a_home_may_have_any_name(tmp_path: Path) -> None:
    """Characters that mean something in a URL mean nothing in a folder's name."""
    home = tmp_path / "100% 数据?#&"
    open_database(home).close()
    assert (home / "feilun.db").is_file()


def test_a_full_database_is_out_of_space(tmp_path: Path) -> None:
    """SQLite's own limit of pages reports like a full disk, and nothing of the transaction is left."""
    db = open_database(tmp_path)
    workspaces.ensure(db, "bank")
    sa.event.listen(db.engine, "connect", lambda raw, _: raw.execute("PRAGMA max_page_count = 1"))
    db.close()
    with pytest.raises(OutOfSpace):
        _fill(db)
    assert workspaces.names(db) == ["bank"]
    db.close()


def test_a_writer_that_waits_too_long_is_busy(tmp_path: Path) -> None:
    """A lock that another process keeps is reported as Busy; opening and reading need no lock."""
    db = open_database(tmp_path)
    with db.writing():
        other = open_database(tmp_path)
        sa.event.listen(other.engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout = 1"))
        assert changes.number(other) == 0
        with pytest.raises(Busy):
            _bump(other, 1)
        other.close()
    db.close()


def _bump(db: Database, times: int, then: Callable[[], object] = bool) -> None:
    with db.writing() as conn:
        for _ in range(times):
            changes.bump(conn)
        then()


def _fill(db: Database) -> None:
    with db.writing() as conn:
        for number in range(100):
            conn.execute(sa.insert(METADATA.tables["workspaces"]), {"name": f"w{number}-{'x' * 1000}", "created": 0.0})
