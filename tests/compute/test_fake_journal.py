"""The journal in memory keeps the contract of a journal."""

from __future__ import annotations

import pytest
from journal_contract import JournalContract

from feilun.compute.fake import MemoryJournal
from feilun.compute.jobs import Journal


class TestMemoryJournal(JournalContract):
    """The contract, on the fake."""

    @pytest.fixture
    def journal(self) -> Journal:
        """Return an empty journal."""
        return MemoryJournal()
