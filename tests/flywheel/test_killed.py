"""A turn whose every process is killed, again and again, ends as one that was left in peace."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.flywheel.organisation import WORKSPACE, run_turn, settings, snapshot, write_base, write_organisation

from feilun.store import Journal, evals, models, open_database, verdicts

ROOT = Path(__file__).resolve().parent.parent.parent
POINTS = 10


def until(home: Path, base: Path, folder: Path, after: int, pause: float) -> dict[str, Any] | None:
    """Run a turn; kill it with all its children after so many messages and a pause; return its result if it ended."""
    command = [sys.executable, str(Path(__file__).with_name("turn_child.py")), str(home), str(base), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment) as child:
        assert child.stdout is not None
        for number, line in enumerate(child.stdout, 1):
            message = json.loads(line)
            if "result" in message:
                found: dict[str, Any] = message["result"]
                return found
            if number == after:
                time.sleep(pause)
                kill(child.pid)
                return None
    pytest.fail("the turn ended without a result")


def kill(pid: int) -> None:
    """Kill a process and everything below it; wait until all are gone."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        every = [parent, *parent.children(recursive=True)]
        for process in every:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(every[1:], timeout=30)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_random_points(tmp_path: Path) -> None:
    """The same data, exams, answers, model and verdict, nothing twice, nothing half written, nobody left running."""
    folder, base = write_organisation(tmp_path / "files"), write_base(tmp_path / "base")
    calm = settings(tmp_path / "calm", base)
    database = open_database(calm.root)
    run_turn(database, calm, folder)
    expected = snapshot(database)
    database.close()

    draw = random.Random(11)
    home, result, kills = tmp_path / "killed", None, 0
    while result is None and kills < POINTS:
        result = until(home, base, folder, draw.randint(1, 4 + kills), draw.random())  # never after its end
        kills += result is None
    if result is None:
        result = until(home, base, folder, 0, 0)
    assert result is not None
    assert kills == POINTS, "the turn was over before it was disturbed enough"

    database = open_database(home)
    try:
        assert snapshot(database) == expected
        assert len(verdicts.find(database, WORKSPACE)) == 1
        (job,) = Journal(database).find(WORKSPACE, "turn")
        assert (job.id, job.status) == (result["turn"], "succeeded")
        for exam in evals.find(database, WORKSPACE):
            for run in evals.find_runs(database, WORKSPACE, exam.id):
                answered = [answer.item for answer in evals.answers(database, WORKSPACE, run.id)]
                assert answered == [item.id for item in exam.items]
        known = {Path(version.folder).name for version in models.find(database, WORKSPACE)}
    finally:
        database.close()
    left = [
        path.name for path in (home / "models").iterdir() if path.name not in {*known, "base", "replay", "speed.json"}
    ]
    assert left == []
    assert not [path for path in home.rglob("*") if path.name.endswith(".part") or path.name.startswith(".convert-")]
    assert json.loads((home / "last-turn.json").read_text())["turn"] == result["turn"]
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(home) in " ".join(p.info["cmdline"] or [])]
