"""Tables of a database as sources: read only, quoted, capped, each row with its place."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from feilun.curation import documents
from feilun.curation.gather import ingest_tables
from feilun.curation.readers.database import dump, opened, read_table, table_names
from feilun.errors import BadRequest, BadSource, NotFound
from feilun.store import Database, open_database, sources, workspaces

WS = "harbour"
ODD = 'odd "name"; drop table faq'


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Give an empty store with one workspace."""
    database = open_database(tmp_path / "home")
    workspaces.ensure(database, WS)
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of a database with some tables, of both kinds."""
    if request.param == "sqlite":
        made = f"sqlite:///{tmp_path / 'desk 7%.db'}"
        fill(made)
        yield made
        return
    with request.getfixturevalue("postgres_server").new_database() as made:
        fill(made)
        yield made


def fill(url: str) -> None:
    """Make the tables of the tests."""
    engine = sa.create_engine(url)
    meta = sa.MetaData()
    faq = sa.Table("faq", meta, sa.Column("id", sa.Integer, primary_key=True), sa.Column("question", sa.Text))
    faq.append_column(sa.Column("answer", sa.Text))
    faq.append_column(sa.Column("since", sa.Date))
    odd = sa.Table(
        ODD, meta, sa.Column('a "b"', sa.Text), sa.Column("order", sa.Numeric(8, 2)), sa.Column("raw", sa.LargeBinary)
    )
    talk = sa.Table("talk", meta, sa.Column("id", sa.Integer, primary_key=True), sa.Column("messages", sa.Text))
    meta.create_all(engine)
    day = sa.func.date("2024-01-05") if engine.dialect.name == "sqlite" else sa.cast("2024-01-05", sa.Date)
    with engine.begin() as conn:
        for number in (2, 1, 3):
            conn.execute(
                faq.insert().values(id=number, question=f"第{number}项费用是多少？", answer="五元。", since=day)
            )
        conn.execute(odd.insert().values({'a "b"': "x", "order": 2.5, "raw": b"\0\1"}))
        said = '[{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}]'
        conn.execute(talk.insert().values(id=1, messages=said))
        conn.execute(sa.text("CREATE VIEW named AS SELECT question FROM faq"))
    engine.dispose()


def test_tables_become_sources(db: Database, url: str) -> None:
    """Every table is a source whose rows have their places; a second run adds nothing, permissions hold."""
    report = ingest_tables(db, WS, url, said={"train": False})
    assert not report.skipped
    assert len(report.added) == 4
    again = ingest_tables(db, WS, url, said={"train": False})
    assert (again.added, sorted(again.unchanged)) == ([], sorted(report.added))
    assert documents(db, WS, "train") == []
    found = {document.name.rpartition("/")[2]: document.blocks for document in documents(db, WS, "retrieve")}
    assert sorted(found) == sorted(f"{name}.dbtable" for name in ("faq", ODD, "talk", "named"))
    (faq,) = found["faq.dbtable"]
    assert (faq.place, faq.rows[0]) == ("faq!1:3", ("id", "question", "answer", "since"))
    assert faq.rows[1] == ("1", "第1项费用是多少？", "五元。", "2024-01-05")
    assert found[f"{ODD}.dbtable"][0].rows == (('a "b"', "order", "raw"), ("x", "2.50", "(2 bytes)"))
    (talk,) = found["talk.dbtable"]
    assert (talk.place, talk.turns) == ("talk!1", (("user", "Q?"), ("assistant", "A.")))
    assert not any("feilun:" in str(source.meta) for source in sources.find(db, WS))


def test_tables_are_named_and_capped(db: Database, url: str) -> None:
    """Only named tables are read, only so many rows; the document says so; unknown ones are named."""
    report = ingest_tables(db, WS, url, ["faq"], most=2)
    assert len(report.added) == 1
    assert report.notes == [f"{documents(db, WS, 'train')[0].name}: only the first 2 rows of the table faq were read"]
    assert [row[0] for row in documents(db, WS, "train")[0].blocks[0].rows[1:]] == ["1", "2"]
    with pytest.raises(NotFound) as caught:
        dump(url, "nothing")
    assert "faq" in caught.value.hint
    with pytest.raises(NotFound):
        dump(url, "faq; DROP TABLE faq")
    assert "faq" in table_names(url)


def test_nothing_can_be_written(url: str) -> None:
    """The connection refuses every change, and the same rows give the same bytes."""
    before = dump(url, "faq")
    for statement in (
        "DELETE FROM faq",
        "INSERT INTO faq (id) VALUES (9)",
        "DROP TABLE faq",
        "CREATE TABLE x (id INTEGER)",
    ):
        with pytest.raises(BadSource, match=r"read.?only"):
            execute(url, lambda conn, statement=statement: conn.exec_driver_sql(statement))
    assert dump(url, "faq") == before


def execute(url: str, work: Callable[[Any], object]) -> None:
    """Do something with a connection as the reader has it."""
    with opened(url) as conn:
        work(conn)


def test_databases_that_cannot_be_used(tmp_path: Path) -> None:
    """What is no URL, no driver, no file or no database is said, without the password; no file is made."""
    (tmp_path / "no.db").write_bytes(b"no database at all" * 99)
    for url, error in (
        ("nonsense", BadRequest),
        ("nosuchthing://host/name", BadRequest),
        (f"sqlite:///{tmp_path / 'missing.db'}", BadSource),
        ("sqlite://", BadSource),
        (f"sqlite:///{tmp_path / 'no.db'}", BadSource),
        ("postgresql+pg8000://ann:secret@127.0.0.1:9/name", BadSource),
    ):
        with pytest.raises(error) as caught:
            table_names(url)
        assert "secret" not in str(caught.value)
    assert not (tmp_path / "missing.db").exists()


def test_sizes_beyond_the_cap(tmp_path: Path) -> None:
    """A table of very long texts is cut where it would be too large to keep, and says so."""
    with sqlite3.connect(tmp_path / "a.db") as conn:
        conn.execute("CREATE TABLE big (t TEXT)")
        conn.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) "
                     "INSERT INTO big SELECT hex(zeroblob(10000)) FROM n")  # fmt: skip
    conn.close()
    notes: list[str] = []
    (block,) = read_table(dump(f"sqlite:///{tmp_path / 'a.db'}", "big"), notes)
    assert 900 <= len(block.rows) <= 1_001
    assert any("only the first" in note for note in notes)


def test_values_that_do_not_fit_their_column_are_kept_as_they_are(tmp_path: Path) -> None:
    """SQLite lets a column hold anything: days, times and numbers come as they stand, and no digit is lost."""
    rows = [
        ("", "05/01/2024", "9:30", 1704412800, "12,5", 6217000010001234567, 0.00001, 1),
        ("2024-02-29", "?", "", "x", 2.5, -5, 100, 0),
        (None, 0, None, "2024-01-05 10:00:00", 1e-12, 1e30, 0.1, "maybe"),
    ]
    with sqlite3.connect(tmp_path / "a.db") as conn:
        conn.execute(
            "CREATE TABLE t (a DATE, b DATE, c TIME, d DATETIME, e DECIMAL(10, 2), f DECIMAL(20, 0), g DECIMAL(10, 4),"
            " h BOOLEAN)"
        )
        conn.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    notes: list[str] = []
    (block,) = read_table(dump(f"sqlite:///{tmp_path}/a.db", "t"), notes)
    assert sorted(block.rows[1:]) == sorted(
        [
            ("", "05/01/2024", "9:30", "1704412800", "12,5", "6217000010001234567", "0.00001", "True"),
            ("2024-02-29", "?", "", "x", "2.50", "-5", "100.0000", "False"),
            ("", "0", "", "2024-01-05 10:00:00", "0.000000000001", "1" + "0" * 30, "0.1000", "maybe"),
        ]
    )
