"""Secrets at rest: who has only the database has nothing."""

from __future__ import annotations

import base64
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from feilun.errors import BadSetting, FeilunError
from feilun.settings import load
from feilun.store.access.sealing import VARIABLE, seal, unseal

KEY = base64.b64encode(bytes(range(250, 256)) * 5 + b"ab").decode()
_SEAL = """
import sys
from pathlib import Path
from feilun.store.access.sealing import seal
sys.stdin.read(1)
print(seal(Path(sys.argv[1]), "geheim", {}))
"""


def test_a_secret_comes_back_with_the_file_that_was_made(tmp_path: Path) -> None:
    """The key file is its owner's only, is made once, and never holds the secret."""
    sealed = seal(tmp_path, "sk-秘密", {})
    assert unseal(tmp_path, sealed, {}) == "sk-秘密"
    assert sealed != seal(tmp_path, "sk-秘密", {})
    (file,) = (tmp_path / "secrets").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert unseal(tmp_path, sealed, {}) == "sk-秘密"


def test_processes_that_begin_at_once_share_one_key(tmp_path: Path) -> None:
    """Whoever makes it first has made it for all."""
    command = [sys.executable, "-c", _SEAL, str(tmp_path)]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for each in running:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    found = [each.communicate()[0].strip() for each in running]
    assert [unseal(tmp_path, sealed, {}) for sealed in found] == ["geheim"] * 2
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["master.key"]


def test_the_environments_key_goes_first_and_is_no_setting(tmp_path: Path) -> None:
    """In either alphabet of base64; no file is made, and settings neither refuse nor show it."""
    sealed = seal(tmp_path, "geheim", {VARIABLE: KEY})
    assert "+" in KEY or "/" in KEY
    assert unseal(tmp_path, sealed, {VARIABLE: f" {KEY.replace('+', '-').replace('/', '_')}\n"}) == "geheim"
    assert list(tmp_path.iterdir()) == []
    assert KEY not in repr(load(environment={VARIABLE: KEY}))


def test_a_wrong_or_lost_key_is_said(tmp_path: Path) -> None:
    """In plain words, with what to do; a damaged one is named."""
    sealed = seal(tmp_path, "geheim", {})
    with pytest.raises(FeilunError, match="not the one") as caught:
        unseal(tmp_path, sealed, {VARIABLE: KEY})
    assert VARIABLE in caught.value.hint
    with pytest.raises(FeilunError, match="not the one"):
        unseal(tmp_path, sealed[:-9] + "A" * 9, {})
    file = tmp_path / "secrets" / "master.key"
    for damaged in (b"", b"short\n", b"\xff\xfe"):
        file.write_bytes(damaged)
        with pytest.raises(BadSetting, match=r"master\.key"):
            unseal(tmp_path, sealed, {})
    file.unlink()
    with pytest.raises(FeilunError, match="not there"):
        unseal(tmp_path, sealed, {})
    assert not file.exists()
    with pytest.raises(BadSetting, match=VARIABLE):
        seal(tmp_path, "x", {VARIABLE: "no key"})


def test_a_home_that_cannot_hold_a_key_is_our_error(tmp_path: Path) -> None:
    """A file in the place of the folder."""
    (tmp_path / "secrets").write_text("a file")
    with pytest.raises(FeilunError, match="secrets"):
        seal(tmp_path, "x", {})
