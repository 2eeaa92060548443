"""Every test of the store runs on both databases: it gets a new, empty one of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from feilun.records import Permissions, Record, Source
from feilun.store import Database, open_database, sources, workspaces


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of a database without tables; an empty text is SQLite in the home folder."""
    if request.param == "sqlite":
        yield ""
    else:
        with request.getfixturevalue("postgres_server").new_database() as url:
            yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of a database without rows; an empty text is SQLite in the home folder."""
    if request.param == "sqlite":
        yield ""
    else:
        template = request.getfixturevalue("template")
        with request.getfixturevalue("postgres_server").new_database(template) as url:
            yield url


@pytest.fixture(scope="session")
def template(postgres_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the name of a PostgreSQL database with tables, so that not every test has to make them."""
    with postgres_server.new_database() as url:
        database = open_database(tmp_path_factory.mktemp("template"), url)
        database.close()
        yield str(database.engine.url.database)


@pytest.fixture
def db(tmp_path: Path, url: str) -> Iterator[Database]:
    """Give a database with the workspaces ``bank`` and ``other``."""
    database = open_database(tmp_path / "home", url)
    workspaces.ensure(database, "bank")
    workspaces.ensure(database, "other")
    yield database
    database.close()


@pytest.fixture
def add_source(db: Database) -> Callable[..., Source]:
    """Add a source ``source-NAME`` with the given permissions to the workspace ``bank``."""

    def add(name: str, content: bytes = b"", ws: str = "bank", **permissions: Any) -> Source:
        source = Source(f"source-{name}", ws, f"{name}.txt", "", 0, permissions=Permissions(**permissions))
        return sources.add(db, source, content or name.encode())

    return add


@pytest.fixture
def chat() -> Callable[..., Record]:
    """Make a question/answer record of the given sources."""

    def make(number: int, *names: str, question: str = "", answer: str = "") -> Record:
        said = (
            {"role": "user", "content": question or f"What is the fee of account number {number}?"},
            {"role": "assistant", "content": answer or f"The fee of account {number} is {number} crowns."},
        )
        return Record(f"record-{number}", "chat", tuple(f"source-{name}" for name in names), said)

    return make
