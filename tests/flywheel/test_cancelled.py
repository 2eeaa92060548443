"""A turn that is cancelled at any step: it says so, leaves nothing running, and the next one is as if it never was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.flywheel.organisation import (
    WORKSPACE,
    children,
    run_turn,
    settings,
    snapshot,
    write_base,
    write_organisation,
)

from feilun.errors import Cancelled
from feilun.store import Journal, open_database, verdicts

STEPS = ("ingest", "curate", "incumbent", "train", "candidate")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_cancelled_at_every_step(tmp_path: Path) -> None:
    """Each time the job ends as cancelled and no verdict is reached; then a whole turn finds what it would have."""
    folder, base = write_organisation(tmp_path / "files"), write_base(tmp_path / "base")
    calm = settings(tmp_path / "calm", base)
    database = open_database(calm.root)
    run_turn(database, calm, folder)
    expected = snapshot(database)
    database.close()

    made = settings(tmp_path / "home", base)
    database = open_database(made.root)
    journal = Journal(database)
    for step in STEPS:

        def cancel(message: dict[str, Any], step: str = step) -> None:
            if message.get("step") == step:
                (job,) = [job for job in journal.unfinished("turn") if job.workspace == WORKSPACE]
                journal.request_cancel(job.id)

        with pytest.raises(Cancelled, match="was cancelled"):
            run_turn(database, made, folder, say=cancel)
        assert journal.find(WORKSPACE, "turn")[0].status == "cancelled"
        assert verdicts.find(database, WORKSPACE) == []
        assert verdicts.current(database, WORKSPACE) is None
        assert children() == []
    run_turn(database, made, folder)
    assert snapshot(database)["verdicts"] == expected["verdicts"]
    assert snapshot(database)["exams"] == expected["exams"]
    database.close()
