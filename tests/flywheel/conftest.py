"""What every file of tests of the flywheel begins with."""

from __future__ import annotations

import pytest
from tests.flywheel.organisation import note_others


@pytest.fixture(scope="module", autouse=True)
def _others() -> None:
    """Tell what runs before a file's first test from what is of its making."""
    note_others()
