"""Having the disk keep what was written, and being told once it does.

Linux syncs files in the background and counts in an eventfd what is done; elsewhere, and where a kernel or a file
system refuses, a thread of its own waits. A thread takes the interpreter from whoever works when it wakes, at every
sync, which the way of a call can spare least. Knows file handles and an event loop. Does not know what is written.

Source: io_submit(2), eventfd(2) and linux/aio_abi.h (IOCB_CMD_FDSYNC is there since Linux 4.18).
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Told = Callable[[OSError | None], None]

_FDSYNC, _COUNT_IT = 3, 1  # IOCB_CMD_FDSYNC, IOCB_FLAG_RESFD
# The numbers of io_setup, io_destroy, io_getevents and io_submit.
_NUMBERS = {"x86_64": (206, 207, 208, 209), "aarch64": (0, 1, 4, 2)}
_log = logging.getLogger(__name__)


class Disk:
    """Syncs one file at a time; belongs to the event loop that runs when it is made."""

    def __init__(self, kernel: bool = True) -> None:
        """Use what the kernel offers; without ``kernel``, a thread."""
        self._loop = asyncio.get_running_loop()
        self._kernel: _Kernel | None = None
        self._threads: ThreadPoolExecutor | None = None
        if kernel and sys.platform == "linux" and platform.machine() in _NUMBERS:
            try:
                self._kernel = _Kernel(self._loop, _NUMBERS[platform.machine()])
            except OSError as error:
                _log.info("a thread waits for the disk: the kernel does not (%s)", error)

    def sync(self, handle: int, told: Told) -> None:
        """Make durable what was written to ``handle``; then the loop calls ``told``, with the error if it failed."""
        if self._kernel is not None:
            try:
                self._kernel.sync(handle, told)
            except OSError as error:
                _log.info("a thread waits for the disk: its file system does not (%s)", error)
                self._kernel.close()
                self._kernel = None
            else:
                return
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, "disk")

        self._threads.submit(self._wait, handle, told)

    def _wait(self, handle: int, told: Told) -> None:
        failure: OSError | None = None
        try:
            os.fdatasync(handle)
        except OSError as error:
            failure = error
        self._loop.call_soon_threadsafe(told, failure)

    def close(self) -> None:
        """Let go of kernel and thread, once nothing is under way."""
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None
        if self._threads is not None:
            self._threads.shutdown()


class _Request(ctypes.LittleEndianStructure):
    """The kernel's ``struct iocb``."""

    _fields_ = (
        *(("data", ctypes.c_uint64), ("key", ctypes.c_uint32), ("rw_flags", ctypes.c_uint32)),
        *(("opcode", ctypes.c_uint16), ("priority", ctypes.c_int16), ("handle", ctypes.c_uint32)),
        *(("buffer", ctypes.c_uint64), ("size", ctypes.c_uint64), ("offset", ctypes.c_int64)),
        *(("reserved", ctypes.c_uint64), ("flags", ctypes.c_uint32), ("eventfd", ctypes.c_uint32)),
    )


class _Result(ctypes.LittleEndianStructure):
    """The kernel's ``struct io_event``."""

    _fields_ = (
        *(("data", ctypes.c_uint64), ("request", ctypes.c_uint64)),
        *(("result", ctypes.c_int64), ("result2", ctypes.c_int64)),
    )


class _Kernel:
    """Syncs in the background of the kernel, one at a time. Raises OSError where it cannot."""

    def __init__(self, loop: asyncio.AbstractEventLoop, numbers: tuple[int, int, int, int]) -> None:
        self._setup, self._destroy, self._events, self._submit = numbers
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.argtypes, self._syscall.restype = [ctypes.c_long] * 6, ctypes.c_long
        self._context = ctypes.c_ulong(0)
        self._call(self._setup, 1, ctypes.addressof(self._context))
        self._loop = loop
        self._told: Told | None = None
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._request = _Request(opcode=_FDSYNC, flags=_COUNT_IT, eventfd=self._eventfd)
        self._requests = ctypes.c_uint64(ctypes.addressof(self._request))
        self._result = _Result()
        loop.add_reader(self._eventfd, self._ended)

    def sync(self, handle: int, told: Told) -> None:
        self._request.handle = handle
        self._call(self._submit, self._context.value, 1, ctypes.addressof(self._requests))
        self._told = told

    def close(self) -> None:
        self._loop.remove_reader(self._eventfd)
        self._call(self._destroy, self._context.value)
        os.close(self._eventfd)

    def _ended(self) -> None:
        os.eventfd_read(self._eventfd)
        self._call(self._events, self._context.value, 1, 1, ctypes.addressof(self._result), 0)
        told, self._told = self._told, None
        failed = -self._result.result
        if told is not None:
            told(OSError(failed, os.strerror(failed)) if failed else None)

    def _call(self, number: int, *given: int) -> None:
        if self._syscall(number, *given, *(0,) * (5 - len(given))) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
