"""The journal in memory and the store's keep the contract of a journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_contract import JournalContract

from feilun.compute import Journal
from feilun.compute.fake import MemoryJournal
from feilun.store import Journal as StoreJournal
from feilun.store import open_database, workspaces


class TestMemoryJournal(JournalContract):
    """The contract, on the fake."""

    @pytest.fixture
    def journal(self) -> Journal:
        """Return an empty journal."""
        return MemoryJournal()


class TestStoreJournal(JournalContract):
    """The contract, on the store's own journal."""

    @pytest.fixture
    def journal(self, tmp_path: Path) -> Iterator[Journal]:
        """Give the journal of an empty database."""
        database = open_database(tmp_path)
        for name in ("demo", "other"):
            workspaces.ensure(database, name)
        yield StoreJournal(database)
        database.close()
