"""Memory that was freed stays or goes as a process says; measured in processes of their own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told")

FAULTS = """
import resource, sys
from feilun.compute.memory import keep_freed
if sys.argv[1] == "keep":
    keep_freed(64 << 20)
pages = -resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    held = [bytearray(100_000) for _ in range(100)]  # 10 MB, in pieces of the heap
    del held
print(pages + resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""
HEAPS = """
import ctypes, sys, threading
from feilun.compute.memory import share_one_heap
if sys.argv[1] == "share":
    share_one_heap()
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
found, together = [], threading.Barrier(8)
def take():
    together.wait()
    found.append(library.malloc(64))
    together.wait()
threads = [threading.Thread(target=take) for _ in range(8)]
for each in threads: each.start()
for each in threads: each.join()
print(len({place >> 26 for place in found}))  # a thread's heap is at most 64 MiB, and begins at a whole number of them
"""


def told(script: str, how: str) -> int:
    """Return the number that a script prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", script, how], capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout)


def test_freed_memory_is_kept() -> None:
    """Who keeps what was freed has it zeroed once; who does not, each time."""
    assert told(FAULTS, "keep") * 5 < told(FAULTS, "give")


def test_threads_share_a_heap() -> None:
    """Threads that ask at the same time have heaps of their own, unless they are told to share one."""
    assert told(HEAPS, "share") == 1
    assert told(HEAPS, "own") > 1
