"""A thread that lets others in: the kernel is asked what it has noted, in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

NUMBERS = {"x86_64": 315, "aarch64": 275}  # of sched_getattr
CHILD = """
import ctypes, os, struct, subprocess, sys, threading
from feilun.compute.slices import let_others_in
def slice():
    found = ctypes.create_string_buffer(48)
    ctypes.CDLL(None).syscall(int(sys.argv[1]), 0, found, 48, 0)
    return struct.unpack("=IIQiIQQQ", found.raw)[5]
os.nice(3)
before, taken = slice(), let_others_in(0.0001)
later = []
thread = threading.Thread(target=lambda: later.append(slice()))
thread.start()
thread.join()
print(before, taken, slice(), later[0], os.getpriority(os.PRIO_PROCESS, 0))
"""


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() not in NUMBERS, reason="another kernel's calls")
def test_a_thread_has_short_slices_and_what_it_begins_has_not() -> None:
    """Its priority stays as it was."""
    argv = [sys.executable, "-c", CHILD, str(NUMBERS[platform.machine()])]
    before, taken, after, later, nice = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    if taken == "False" or before == "0":
        pytest.skip("this kernel has no slices to be asked for, or a sandbox forbids it")
    assert (int(after), later, nice) == (100_000, before, "3")
