"""A lock has one holder, names it, and is free once the holder is dead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from feilun.compute import holder, lock
from feilun.errors import BadSetting, Busy

ME = str(Path(__file__).with_name("children.py"))


def test_lock_of_a_live_and_of_a_killed_process(tmp_path: Path) -> None:
    """While another process holds it: Busy, naming work, process and what to do. After ``kill -9``: free."""
    path = tmp_path / "locks" / "turn.lock"
    with subprocess.Popen([sys.executable, ME, "holder", str(path)], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            with pytest.raises(Busy) as caught, lock(path, "turn of workspace demo"):
                pass
            assert "turn of workspace demo has been running" in caught.value.message
            assert f"process {other.pid}" in caught.value.message
            assert f"kill {other.pid}" in caught.value.hint
            assert holder(path)["pid"] == other.pid
        finally:
            other.kill()
    with lock(path, "turn of workspace demo"):
        assert holder(path)["pid"] != other.pid


def test_lock_is_freed_by_an_error_and_not_re_entrant(tmp_path: Path) -> None:
    """One process cannot hold it twice; leaving the block by an error frees it."""
    path = tmp_path / "lock"
    with lock(path, "first"), pytest.raises(Busy), lock(path, "second"):
        pass
    with pytest.raises(ZeroDivisionError), lock(path, "second"):
        raise ZeroDivisionError
    with lock(path, "third"):
        assert holder(path)["what"] == "third"


def test_unreadable_note_is_still_busy(tmp_path: Path) -> None:
    """A holder that has not written its note yet is named by the file."""
    path = tmp_path / "lock"
    with lock(path, "first"):
        path.write_text("")
        with pytest.raises(Busy, match="another process holds"), lock(path, "second"):
            pass
    assert holder(tmp_path / "none") == {}


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A home that is a file is an error that names it."""
    (tmp_path / "home").write_text("")
    with pytest.raises(BadSetting, match="home"), lock(tmp_path / "home" / "locks" / "x", "x"):
        pass
