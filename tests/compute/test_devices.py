"""What the machine has is read rightly, and a full disk is an error with a reason."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from feilun.compute import (
    PeakMemory,
    describe,
    disk_errors,
    ensure_space,
    has_amx,
    has_bf16,
    machine,
    revive,
    rss,
    threads,
)
from feilun.errors import BadSetting, Busy, EngineDown, FeilunError, IdentityMismatch, OutOfSpace


def test_threads() -> None:
    """A setting is obeyed; 0 gives the cores that we may use; a negative number is refused."""
    assert threads(3) == 3
    assert 1 <= threads() <= (os.cpu_count() or 1)
    with pytest.raises(BadSetting):
        threads(-1)


def test_threads_follow_the_affinity() -> None:
    """A process bound to one processor uses one thread."""
    bind = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    code = f"{bind}; import feilun.compute; print(feilun.compute.threads())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


def test_formats_agree_with_the_flags() -> None:
    """bf16 and AMX are said where, and only where, the processor's flags have them."""
    flags = Path("/proc/cpuinfo").read_text().split()
    assert has_bf16() == any(flag in flags for flag in ("avx512_bf16", "amx_bf16", "bf16"))
    assert has_amx() == ("amx_bf16" in flags and "amx_tile" in flags)


def test_machine_is_plain_data() -> None:
    """The description is JSON and names no host."""
    text = json.dumps(machine())
    assert machine()["cores"] == threads()
    assert os.uname().nodename not in json.loads(text).values()


def test_space(tmp_path: Path) -> None:
    """Asking for more than is free says how much is missing, also for a folder that is not there yet."""
    ensure_space(tmp_path / "not" / "yet", 1)
    with pytest.raises(OutOfSpace, match=r"The model needs 1048576.0 GiB"):
        ensure_space(tmp_path / "not" / "yet", 2**50, "The model")
    with pytest.raises(OutOfSpace, match=r"needs 64.0 MiB, but .* only 0.0 MiB free") as small:
        ensure_space(Path("/proc"), 64 << 20, "The export", "name another folder")
    assert small.value.hint == "Free some space, or name another folder."


def test_file_size_limit_is_out_of_space(tmp_path: Path) -> None:
    """A real write beyond a real limit becomes OutOfSpace; other errors of the system stay what they are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(OutOfSpace, match="no room left"), disk_errors(), (tmp_path / "big").open("wb") as file:
            file.write(bytes(5_000))
        for write in (
            lambda: save_file({"a": torch.zeros(5_000)}, tmp_path / "weights"),
            lambda: torch.zeros(5_000).numpy().tofile(tmp_path / "numbers"),
        ):
            with pytest.raises(OutOfSpace, match="no room left"), disk_errors():
                write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(FileNotFoundError), disk_errors():
        (tmp_path / "none").read_bytes()
    with pytest.raises(ValueError, match="another"), disk_errors():
        raise ValueError("another (os error 2)")


def test_peak_memory_counts_children() -> None:
    """A child that fills 64 MiB for a moment is seen in the parent's peak."""
    code = "x = bytearray(b'x') * (64 * 2**20); import sys; print('full', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        with PeakMemory() as peak:
            assert rss(child.pid) > 64 * 2**20
            child.stdin.flush()
        own = rss(child.pid)
        child.stdin.close()
    assert peak.bytes > own > 64 * 2**20
    assert peak.mib == round(peak.bytes / 2**20, 1)
    assert rss(child.pid) == 0


@pytest.mark.parametrize("error", [Busy("It runs.", "Wait."), EngineDown("down"), IdentityMismatch("other", param="x")])
def test_errors_travel_as_data(error: FeilunError) -> None:
    """A body becomes the error's own class again; an unknown or broken one becomes the root."""
    again = revive(json.loads(json.dumps(describe(error))))
    assert (type(again), again.body()) == (type(error), error.body())
    assert type(revive({"error": "boom"})) is FeilunError
    assert type(revive({"error": {"code": "no_such_code"}})) is FeilunError


def test_more_files_may_be_opened() -> None:
    """As many as the system permits a process that began with few; one that may open more keeps what it has."""
    program = (
        "import resource as r; from feilun.compute import permit_files\n"
        "most = min(r.getrlimit(r.RLIMIT_NOFILE)[1], 5000)\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (64, most)); assert permit_files() == most, permit_files()\n"
        "assert permit_files() == most == r.getrlimit(r.RLIMIT_NOFILE)[1]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
