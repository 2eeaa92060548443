"""How long the scheduler lets a thread go on before it lets others in: Linux 6.12 and later.

This module knows the kernel's call. It does not know what the thread does.

Source: sched_setattr(2); for threads without real-time rights ``sched_runtime`` is the slice (0.1 to 100 ms).
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

_NUMBERS = {"x86_64": 314, "aarch64": 274}  # of sched_setattr
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")  # size, policy, flags, nice, priority, runtime, deadline, period
_RESET_ON_FORK = 1


def let_others_in(seconds: float) -> bool:
    """Have this thread give way after ``seconds`` to whoever waits; say whether the kernel has noted it.

    What it wakes on its own core, such as the kernel's threads that write its files to the disk, else waits up to a
    tick of the scheduler (milliseconds). Threads and processes that it begins later are as ever.
    """
    if sys.platform != "linux" or platform.machine() not in _NUMBERS or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, _RESET_ON_FORK, nice, 0, round(seconds * 1e9), 0, 0)
    try:
        return int(ctypes.CDLL(None).syscall(_NUMBERS[platform.machine()], 0, wanted, 0)) == 0
    except (AttributeError, OSError):
        return False
