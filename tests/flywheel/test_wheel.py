"""A wheel that turns by itself: what triggers it, what keeps it quiet, its budget, kills, and two turns at once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.flywheel.organisation import WORKSPACE, children, settings, write_base, write_organisation

from feilun.compute import lock
from feilun.errors import BadRequest, Busy
from feilun.flywheel import turn
from feilun.flywheel.alone import SETTINGS
from feilun.flywheel.triggers import drifted, due, inputs, seconds_left
from feilun.flywheel.wheel import look
from feilun.records import Feedback, Trace, Usage
from feilun.settings import Settings
from feilun.store import Database, Journal, audit, feedback, open_database, traces, verdicts, wheel, workspaces
from feilun.store.wheel import Spin

ROOT = Path(__file__).resolve().parent.parent.parent
NOW = 1_800_000_000.0


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """Give settings of a home whose base need not be there."""
    return Settings(home=str(tmp_path / "home"), model="somewhere")


@pytest.fixture
def db(home: Settings) -> Iterator[Database]:
    """Give the database of a home with a workspace."""
    found = open_database(home.root)
    workspaces.ensure(found, WORKSPACE)
    yield found
    found.close()


def call(db: Database, name: str, question: str = "What is the fee?", created: float = NOW) -> None:
    """Keep a call."""
    asked = ({"role": "user", "content": question},)
    traces.add(db, [Trace(name, WORKSPACE, "key", "own", "m", asked, "Four.", "stop", Usage(3, 1), created=created)])


def correct(db: Database, number: int) -> None:
    """Keep so many calls, each corrected."""
    known = len(feedback.find(db, WORKSPACE))
    for at in range(known, known + number):
        call(db, f"trace-{at}")
        feedback.add(db, Feedback(f"feedback-{at}", WORKSPACE, f"trace-{at}", None, None, f"Five {at}.", ""))


def turned(db: Database, home: Settings, at: float = NOW) -> None:
    """Note that the wheel has just turned on all that there is."""
    rules = wheel.get(db, WORKSPACE).rules
    wheel.keep(db, WORKSPACE, {"inputs": inputs(db, home, WORKSPACE, rules), "at": at})


def trigger(db: Database, home: Settings, now: float = NOW + 60) -> str:
    """Return what would turn the wheel now."""
    return due(db, home, wheel.get(db, WORKSPACE), now).trigger


def test_each_trigger_turns_it_and_nothing_new_never(db: Database, home: Settings, tmp_path: Path) -> None:
    """Corrections, sources, schedule, another base, somebody; and quiet whenever nothing is new, schedule or not."""
    assert trigger(db, home) == ""
    files = tmp_path / "files"
    files.mkdir()
    (files / "faq.md").write_text("Q: What?\nA: That.\n")
    wheel.put(db, WORKSPACE, rules={"paths": [str(files)], "corrections": 3, "every_hours": 24})
    assert trigger(db, home) == "first"
    turned(db, home)
    assert trigger(db, home) == ""
    assert trigger(db, home, NOW + 90_000) == ""
    correct(db, 2)
    assert trigger(db, home) == ""
    assert trigger(db, home, NOW + 90_000) == "schedule"
    correct(db, 1)
    assert trigger(db, home) == "corrections"
    turned(db, home)
    (files / "more.md").write_text("Q: Who?\nA: She.\n")
    assert trigger(db, home) == "source"
    wheel.put(db, WORKSPACE, rules={"source": False})
    assert trigger(db, home) == ""
    assert trigger(db, replace(home, model="another")) == "base"
    wheel.asked(db, WORKSPACE)
    assert trigger(db, home) == "asked"


def test_a_shift_in_what_is_asked_turns_it(db: Database, home: Settings) -> None:
    """Questions in another language or of another length; not more of the same."""
    for number in range(60):
        call(db, f"trace-old-{number}", created=NOW - 3600)
        call(db, f"trace-same-{number}", created=NOW + 10)
    assert not drifted(db, WORKSPACE, NOW)
    wheel.put(db, WORKSPACE, rules={"corrections": 0})
    turned(db, home)
    for number in range(120):
        call(db, f"trace-new-{number}", "会员的费用是多少？", created=NOW + 20)
    assert drifted(db, WORKSPACE, NOW)
    assert trigger(db, home) == ""  # there is nothing to learn from that was not there before
    feedback.add(db, Feedback("feedback-1", WORKSPACE, "trace-new-1", 1))
    assert trigger(db, home) == "drift"


def test_budgets_of_a_turn_and_of_a_day(db: Database, home: Settings) -> None:
    """In minutes and in money, whichever is less; what was spent yesterday counts no more."""
    wheel.put(db, WORKSPACE, rules={"turn_minutes": 60, "day_minutes": 90})
    now = time.time()
    midnight = now - now % 86400
    assert seconds_left(db, wheel.get(db, WORKSPACE), now) == 3600
    spin = Spin("spin-1", WORKSPACE, {"trigger": "first", "en": "", "zh": ""}, {}, began=midnight)
    wheel.begin(db, spin)
    wheel.end(db, spin, "failed", {"spent": 3000.0})
    today = min(3000.0, time.time() - midnight)
    assert seconds_left(db, wheel.get(db, WORKSPACE), now) == pytest.approx(min(3600.0, 5400 - today), abs=2)
    wheel.put(db, WORKSPACE, rules={"day_money": 5, "hour_price": 10000})
    assert seconds_left(db, wheel.get(db, WORKSPACE), now) == pytest.approx(max(0.0, 1.8 - today), abs=2)
    correct(db, 1)
    assert trigger(db, home, now) == ""
    wheel.put(db, WORKSPACE, rules={"day_money": 0})
    assert trigger(db, home, now + 86400) == "first"


@pytest.mark.parametrize(
    "rules",
    [{"corrections": -1}, {"corrections": "many"}, {"unknown": 1}, {"source": 1}, {"paths": [""]}, {"day_money": 3}],
)
def test_rules_that_cannot_be_are_refused(db: Database, rules: dict[str, Any]) -> None:
    """And nothing is changed."""
    before = wheel.get(db, WORKSPACE)
    with pytest.raises(BadRequest):
        wheel.put(db, WORKSPACE, rules=rules)
    assert wheel.get(db, WORKSPACE) == before


def test_two_turns_at_once(db: Database, home: Settings, tmp_path: Path) -> None:
    """The second one is told who is busy, and nothing is lost: the wheel tries again later."""
    wheel.put(db, WORKSPACE, rules={"paths": [str(tmp_path)]})
    with lock(home.root / "locks" / f"turn-{WORKSPACE}.lock", "a turn of the workspace"):
        with pytest.raises(Busy, match="has been running since"):
            asyncio.run(turn(db, home, WORKSPACE, [tmp_path]))
        _, spin = asyncio.run(look(db, home, WORKSPACE))
    assert spin is not None
    assert (spin.status, spin.outcome["code"]) == ("failed", "busy")
    assert wheel.get(db, WORKSPACE).state["not_before"] > time.time()
    with lock(home.root / "locks" / f"wheel-{WORKSPACE}.lock", "the wheel"), pytest.raises(Busy):
        asyncio.run(look(db, home, WORKSPACE))


def test_a_base_model_that_is_gone(db: Database, home: Settings, tmp_path: Path) -> None:
    """The turn fails with what to do, is not tried again over the same inputs, and goes once they are others."""
    files = write_organisation(tmp_path / "files")
    wheel.put(db, WORKSPACE, rules={"paths": [str(files)]})
    gone = replace(settings(home.root, tmp_path / "no-base"), home=home.home)
    _, spin = asyncio.run(look(db, gone, WORKSPACE))
    assert spin is not None
    assert (spin.status, spin.outcome["code"]) == ("failed", "bad_model")
    assert "no-base" in spin.outcome["message"]
    assert asyncio.run(look(db, gone, WORKSPACE))[1] is None
    assert trigger(db, replace(gone, model=str(write_base(tmp_path / "base")))) == "base"
    assert verdicts.current(db, WORKSPACE) is None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_process_beside_the_gateway(tmp_path: Path) -> None:
    """It turns what is on, is killed in the middle of training, goes on, says what triggered it, and is quiet then."""
    made = settings(tmp_path / "home", write_base(tmp_path / "base"))
    files = write_organisation(tmp_path / "files")
    db = open_database(made.root)
    workspaces.ensure(db, WORKSPACE)
    wheel.put(db, WORKSPACE, on=True, rules={"paths": [str(files)]})
    environment = {**os.environ, "PYTHONPATH": str(ROOT), SETTINGS: json.dumps(asdict_of(made))}
    kill_when(environment, lambda: any(step[0].endswith(":samples") for step in steps(db)))
    (left,) = wheel.spins(db, WORKSPACE)
    assert (left.status, left.why["trigger"]) == ("running", "first")
    kill_when(environment, lambda: wheel.spins(db, WORKSPACE)[0].status != "running")
    (spin,) = wheel.spins(db, WORKSPACE)
    assert (spin.id, spin.status) == (left.id, "succeeded")
    (job,) = Journal(db).find(WORKSPACE, "turn")
    assert (job.id, job.status) == (spin.outcome["turn"], "succeeded")
    assert asyncio.run(look(db, made, WORKSPACE))[1] is None
    assert any(each.action == "wheel.turned" for each in audit.entries(db, WORKSPACE, limit=10_000))
    db.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_budget_stops_a_turn(tmp_path: Path) -> None:
    """At its end, with what was done so far thrown away and nothing left running."""
    made = replace(settings(tmp_path / "home", write_base(tmp_path / "base")), epochs=500)
    files = write_organisation(tmp_path / "files")
    db = open_database(made.root)
    workspaces.ensure(db, WORKSPACE)
    wheel.put(db, WORKSPACE, rules={"paths": [str(files)], "turn_minutes": 61 / 60})
    wheel.put(db, WORKSPACE, rules={"hour_price": 360, "turn_money": 1})  # ten seconds
    rules = wheel.get(db, WORKSPACE)
    assert seconds_left(db, rules, time.time()) == pytest.approx(10)
    spin = asyncio.run(look(db, made, WORKSPACE, anyway=True))[1]
    assert spin is not None
    assert (spin.status, spin.outcome["code"]) == ("stopped", "budget")
    (job,) = Journal(db).find(WORKSPACE, "turn")
    assert job.status == "cancelled"
    assert verdicts.current(db, WORKSPACE) is None
    assert children() == []
    db.close()


def asdict_of(made: Settings) -> dict[str, Any]:
    """Return settings as plain data."""
    return {name: getattr(made, name) for name in Settings.__dataclass_fields__}


def steps(db: Database) -> list[tuple[str, float, Any]]:
    """Return the steps of the latest turn."""
    jobs = Journal(db).find(WORKSPACE, "turn")
    return Journal(db).steps(jobs[0].id) if jobs else []


def kill_when(environment: dict[str, str], so: Callable[[], bool]) -> None:
    """Run the process until something is so; kill it and all that it started."""
    command = [sys.executable, "-m", "feilun.flywheel.alone"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True) as child:
        while not so():
            assert child.poll() is None, "the process ended by itself"
            time.sleep(0.05)
        every = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
        for process in every:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(every[1:], timeout=30)
