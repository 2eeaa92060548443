"""What the command says and returns when something is wrong, expected or not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.cli.conftest import run

from feilun.cli import commands
from feilun.errors import FeilunError


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
        (("key", "create", "--expires", "soon"), 2, "is no time"),
        (("key", "create", "--expires", "2020-01-01"), 2, "expired already"),
        (("key", "create", "--member", "nobody"), 2, "no member nobody"),
        (("member", "remove", "nobody"), 2, "no member nobody"),
        (("provider", "add", "x", "--url", "http://169.254.169.254/v1", "--no-key"), 2, "never called"),
        (("provider", "add", "x", "--url", "http://x", "--key-from", "NO_SUCH"), 2, "no variable NO_SUCH"),
        (("model", "on", "model-none"), 2, "no model version model-none"),
        (("endpoint", "set", "task"), 2, "1 to 32 targets"),
        (("endpoint", "set", "task"), 2, "feilun endpoint set task --target own"),
        (("endpoint", "set", "task", "--target", "a=1.2.3"), 2, "such as gpt-5@cloud=0.5"),
        (("endpoint", "set", "task", "--target", "a", "--context", "big"), 2, "such as --context 128000"),
        (("endpoint", "set", "task", "--target", "a", "--images", "no", "--images", "no"), 2, "--images is there 2"),
        (("endpoint", "set", "task", "--target", "own=1.2.3"), 2, "is no target"),
        (("endpoint", "set", "task", "--target", "own", "--price-in", "0.0001"), 2, "finer than 0.001"),
        (("endpoint", "set", "task", "--target", "a", "--price-in", "1", "--price-in", "2"), 2, "2 times for 1"),
        (("endpoint", "set", "task", "--target", "a", "--timeout", "first"), 2, "is no timeout"),
        (("limit", "set", "planet", "--concurrent", "1"), 2, "cannot be limited"),
        (("limit", "set", "workspace"), 2, "limits nothing"),
        (("usage", "--by", "colour"), 2, "cannot be told by"),
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
