"""The command ``feilun``: help, errors, exit codes, and what it says about the wheel."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from feilun.cli import commands, main
from feilun.errors import FeilunError
from feilun.records import Deployment, ModelVersion, Permissions, Record, Source, Trace, Usage
from feilun.store import datasets, feedback, keys, lineage, models, open_database, sources, traces, verdicts, workspaces

COMMANDS = (
    *("up", "turn", "pull", "key", "lineage", "impact", "records", "permissions", "feedback", "status", "settings"),
)


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


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` ends with exit code 0 and shows how."""
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"example: feilun {command}" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    """Help is quick because it needs none of the libraries."""
    heavy = "torch transformers fastapi pyarrow sqlalchemy alembic httpx numpy"
    code = f"import sys, feilun.cli; print([name for name in {heavy.split()!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_part_is_there() -> None:
    """What commands import by name exists."""
    for name in commands.PARTS:
        assert callable(commands.part(name)), name


def test_lineage_and_impact_name_everything(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From an answer down to the file, and from the file up to the answer, by any of its names."""
    assert run("lineage", "trace-a", home=home) == 0
    said = capsys.readouterr().out
    for part in ("deployment-a", "model-a", "record-c", "What is the fee?", "policy/fees.md"):
        assert part in said
    for name in ("fees.md", "policy/fees.md", "source-a"):
        assert run("impact", name, home=home) == 0
        said = capsys.readouterr().out
        assert "1 datasets, 1 models, 1 deployments, 1 answers" in said.replace("2 datasets", "1 datasets")
        assert "费用是多少？" in said
    assert run("impact", "fees.md", "--json", home=home) == 0
    assert json.loads(capsys.readouterr().out)["answers"][0]["id"] == "trace-a"


def test_permissions_rule_what_records_there_are(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After ``--train no`` nothing is there to train on, and the passage can still be found."""
    assert run("records", "--purpose", "train", home=home) == 0
    assert "record-c" in capsys.readouterr().out
    assert run("permissions", "fees.md", "--train", "no", "--until", "2999-01-01", home=home) == 0
    assert run("records", "--purpose", "train", home=home) == 0
    assert "record-c" not in capsys.readouterr().out
    assert run("records", "--purpose", "retrieve", "--find", "about", home=home) == 0
    assert "record-p" in capsys.readouterr().out
    assert run("permissions", "fees.md", "--train", "yes", "--until", "none", home=home) == 0
    db = open_database(home)
    assert sources.get(db, "default", "source-a").permissions == Permissions()
    db.close()


def test_feedback_is_kept(home: Path) -> None:
    """A correction from the command line is there for the next turn."""
    assert run("feedback", "trace-a", "--correction", "四克朗。", "--thumb", "down", home=home) == 0
    db = open_database(home)
    (kept,) = feedback.find(db, "default")
    db.close()
    assert (kept.thumb, kept.correction, kept.trace) == (-1, "四克朗。", "trace-a")


def test_keys_are_made_listed_and_revoked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The secret is shown once, when the key is made."""
    assert run("key", "create", "--role", "viewer", "--name", "web", home=home) == 0
    secret = capsys.readouterr().out.split()[-1]
    assert secret.startswith("fl-")
    db = open_database(home)
    (key,) = keys.find(db, "default")
    db.close()
    assert run("key", "list", home=home) == 0
    listed = capsys.readouterr().out
    assert key.id in listed
    assert secret not in listed
    assert run("key", "revoke", key.id, home=home) == 0
    assert run("key", "list", home=home) == 0
    assert "revoked" in capsys.readouterr().out


def test_status_and_settings_say_what_there_is(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is served, and every setting with its help; Chinese where asked for."""
    assert run("status", home=home) == 0
    assert "serves model-a as own" in capsys.readouterr().out
    assert run("status", "--language", "zh", home=home) == 0
    assert "工作区 default" in capsys.readouterr().out
    assert run("settings", home=home) == 0
    assert "port = 8600" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("lineage", "trace-none"), 2, "There is no trace-none"),
        (("impact", "none.md"), 2, "There is no source"),
        (("feedback", "trace-a"), 2, "says nothing"),
        (("feedback", "trace-none", "--thumb", "up"), 2, "no trace trace-none"),
        (("feedback", "trace-a", "--score", "2"), 2, "not between 0 and 1"),
        (("key", "revoke", "key-none"), 2, "no key key-none"),
        (("permissions", "fees.md", "--until", "soon"), 2, "is no date"),
        (("turn", "--workspace", "Bad Name", "."), 2, "cannot name a workspace"),
        (("turn", "--drill", "fire", "."), 2, "no drill named fire"),
        (("up", "--port", "99999"), 2, "not between 0 and 65535"),
        (("up", "--host", "203.0.113.9"), 8, "Cannot listen"),
    ],
)
def test_errors_are_a_message_a_hint_and_a_code(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, says: str
) -> None:
    """On stderr, without a traceback, in Chinese with Chinese marks."""
    assert run(*arguments, home=home) == code
    caught = capsys.readouterr()
    assert caught.err.startswith("error: ")
    assert says in caught.err
    assert "Traceback" not in caught.err
    assert run(*arguments, "--language", "zh", home=home) == code
    if "port" not in arguments[-2]:
        assert capsys.readouterr().err.startswith("错误：")


@pytest.mark.parametrize(
    ("name", "value"), [("margin", "10"), ("margin", "0"), ("pass_mark", "30"), ("pass_mark", "nan")]
)
def test_shares_out_of_bounds_are_refused_before_a_turn(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
) -> None:
    """Points or percent where a share is meant: told at once, not after minutes of training."""
    monkeypatch.setenv(f"FEILUN_{name.upper()}", value)
    assert run("turn", home=home) == 2
    assert f"{name}: " in capsys.readouterr().err


def test_the_unexpected_is_one_line_and_a_log(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 70; the traceback is in the home's logs only."""
    monkeypatch.setitem(commands.PARTS, "workspaces", "builtins:len")
    assert run("status", home=home) == 70
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "cli.log" in said
    assert "Traceback" in (home / "logs" / "cli.log").read_text(encoding="utf-8")


def test_ctrl_c_is_130(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted command says nothing more."""
    monkeypatch.setitem(commands.PARTS, "workspaces", f"{__name__}:interrupt")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[interrupt.__module__])
    assert run("status", home=home) == 130


def interrupt(_db: object) -> None:
    """Do what Ctrl-C does."""
    raise KeyboardInterrupt


def test_exit_codes_are_those_of_the_errors() -> None:
    """Every error class has a code of its own kind, never 0."""
    waiting = [FeilunError]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        assert 0 < kind.exit_code < 64
