"""A home to move into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.store import Database, open_database, workspaces


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Give a database with the workspaces ``harbour`` and ``other``."""
    database = open_database(tmp_path / "home")
    workspaces.ensure(database, "harbour")
    workspaces.ensure(database, "other")
    yield database
    database.close()
