"""A home in which the wheel has turned once, and commands on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from feilun.cli import main
from feilun.records import Deployment, ModelVersion, Record, Source, Trace, Usage
from feilun.store import datasets, lineage, models, open_database, sources, traces, verdicts, workspaces


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Speak English, away from any settings file."""
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a home in which the wheel has turned once."""
    root = tmp_path / "home"
    db = open_database(root)
    workspaces.ensure(db, "default")
    source = sources.add(db, Source("source-a", "default", "policy/fees.md", "", 0), b"fees")
    said = ({"role": "user", "content": "What is the fee?"}, {"role": "assistant", "content": "The fee is 4 crowns."})
    passage = Record("record-p", "passage", (source.id,), text="All about the fee.")
    data, _ = datasets.write(db, "default", "chat", [Record("record-c", "chat", (source.id,), said)], "train")
    datasets.write(db, "default", "passages", [passage], "retrieve")
    model = models.add(db, ModelVersion("model-a", "default", "own", "adapter", "model-base", "", {}))
    lineage.link(db, "default", [(data.id, model.id, "trained on")])
    verdicts.promote(db, Deployment("deployment-a", "default", "own", model.id))
    asked = ({"role": "user", "content": "费用是多少？"},)
    trace = Trace("trace-a", "default", "key-a", "own", model.id, asked, "4", "stop", Usage(3, 1), "deployment-a")
    traces.add(db, [trace])
    db.close()
    return root


def run(*arguments: str, home: Path) -> int:
    """Run a command on a home."""
    return main([*arguments, "--home", str(home)])
