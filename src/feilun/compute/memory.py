"""How much memory a process and its children really use, and how freely it gives back what it has freed.

This module samples the operating system's counters and sets the C library's allocator. It does not know what the
processes do.
"""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil

# Numbers of malloc.h (mallopt(3), glibc's alone).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


def share_one_heap() -> None:
    """Have this process's threads share one heap: each of their own holds back megabytes that were free."""
    _mallopt(_ARENA_MAX, 1)


def keep_freed(most: int) -> None:
    """Have this process keep up to ``most`` freed bytes for what it asks for next: pages given back are zeroed anew."""
    _mallopt(_TRIM_THRESHOLD, most)
    _mallopt(_MMAP_THRESHOLD, min(most, 32 << 20))  # the most that glibc takes


def _mallopt(which: int, value: int) -> None:
    # Other C libraries have no such function, and do as they think best.
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(which, value)


def rss(pid: int) -> int:
    """Return the resident bytes of a process and all its descendants now; 0 if it is gone.

    Pages that several of them share count once for each, so the sum is an upper bound.
    """
    total = 0
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += process.memory_info().rss
    return total


class PeakMemory:
    """The largest ``rss`` seen while the block runs, sampled from a thread: ``with PeakMemory() as peak: …``."""

    def __init__(self, pid: int = 0, every: float = 0.5) -> None:
        """Watch ``pid`` (0: this process) and its descendants, ``every`` so many seconds."""
        self.bytes = 0
        self._pid = pid or os.getpid()
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="peak-memory", daemon=True)

    @property
    def mib(self) -> float:
        """The peak so far, in MiB."""
        return round(self.bytes / 2**20, 1)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.bytes = max(self.bytes, rss(self._pid))

    def _sample(self) -> None:
        while not self._stop.is_set():
            self.bytes = max(self.bytes, rss(self._pid))
            self._stop.wait(self._every)
