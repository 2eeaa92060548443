"""What a child may do, said to the kernel: no network, no other process, no file but its own, bounded memory and time.

Landlock bounds files and a seccomp filter system calls; both need no privilege and cannot be undone, not even by
native code. This module knows those two and the limits of resources. It does not know what runs within.

Sources: the Linux manual pages landlock(7), seccomp(2), setrlimit(2).
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_EPERM, _ENOSYS = 1, 38
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _FIRST = 0, 4, 16  # offsets in what a filter sees: the call, the machine, the first argument
_CLONE_THREAD = 0x10000
_READ, _READ_FILE = 0b1101, 0b0101  # execute, read a file, list a folder
_FILE_RIGHTS = 0b0111 | 1 << 14
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446

# Refused on every machine by these numbers: signals to others by descriptors, rings that go round the filter.
_COMMON = (424, 425, 434, 440)
# audit number of the machine, calls that are refused (sockets, other processes, exec, namespaces, keys, priorities,
# groups, shared memory), and the numbers of clone, clone3 and prlimit64
_MACHINES: dict[str, tuple[int, tuple[int, ...], int, int, int]] = {
    "x86_64": (
        0xC000003E,
        (
            *(29, 41, 42, 43, 49, 50, 53, 57, 58, 59, 62, 64, 68, 101, 109, 112, 129, 141, 161, 165, 200, 203, 234),
            *(240, 248, 249, 250, 272, 288, 297, 298, 308, 310, 311, 321, 322, 323),
        ),
        56,
        435,
        302,
    ),
    "aarch64": (
        0xC00000B7,
        (
            *(40, 51, 97, 117, 122, 129, 130, 131, 138, 140, 154, 157, 180, 186, 190, 194, 198, 199, 200, 201, 202),
            *(203, 217, 218, 219, 221, 240, 241, 242, 268, 270, 271, 280, 281, 282),
        ),
        220,
        435,
        261,
    ),
}


class _Filter(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("k", ctypes.c_uint)]


class _Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.POINTER(_Filter))]


def limit(memory: int, file_bytes: int) -> None:
    """Allow this process ``memory`` bytes beyond what it has, files of ``file_bytes``, and no core files."""
    with suppress(OSError):
        has = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        _set(resource.RLIMIT_AS, has + memory)
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_FSIZE, file_bytes)


def limit_time(seconds: float) -> None:
    """Allow this process ``seconds`` of the processor from now on; then the kernel ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _set(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 2)


def _set(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    with suppress(ValueError, OSError):
        resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def shut_in(readable: Sequence[Path], writable: Path) -> bool:
    """Leave this thread and all that it starts nothing but these folders; False where the kernel does not know how."""
    machine = _MACHINES.get(platform.machine())
    if platform.system() != "Linux" or machine is None:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS
        return False
    return _landlock(libc, readable, writable) and _seccomp(libc, machine)


def _landlock(libc: ctypes.CDLL, readable: Sequence[Path], writable: Path) -> bool:
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return False
    handled = (1 << 13) - 1 | (1 << 13 if version >= 2 else 0) | (1 << 14 if version >= 3 else 0)
    rules = libc.syscall(_LANDLOCK_CREATE, struct.pack("=Q", handled), 8, 0)
    if rules < 0:
        return False
    devices = [(Path("/dev/null"), 0b0110), (Path("/dev/urandom"), _READ_FILE)]
    for path, rights in [*((path, _READ) for path in readable), (writable, handled), *devices]:
        allowed = rights & handled if path.is_dir() else rights & handled & _FILE_RIGHTS
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        libc.syscall(_LANDLOCK_ADD, rules, 1, struct.pack("=Qi", allowed, place), 0)
        os.close(place)
    done = bool(libc.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0)
    os.close(rules)
    return done


def _seccomp(libc: ctypes.CDLL, machine: tuple[int, tuple[int, ...], int, int, int]) -> bool:
    arch, refused, clone, clone3, prlimit = machine
    no, unknown = _ERRNO | _EPERM, _ERRNO | _ENOSYS
    steps = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, no), (_LOAD, 0, 0, _NUMBER)]
    steps += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, no)]  # the second table of numbers that x86 has
    for number in sorted({*refused, *_COMMON}):
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, no)]
    # Threads are fine, processes are not; clone3 hides its flags from filters, and the C library then takes clone.
    steps += [(_EQUAL, 0, 1, clone3), (_RETURN, 0, 0, unknown)]
    steps += [(_EQUAL, 0, 4, clone), (_LOAD, 0, 0, _FIRST), (_ANY_BIT, 1, 0, _CLONE_THREAD), (_RETURN, 0, 0, no)]
    steps += [(_RETURN, 0, 0, _ALLOW)]
    # Its own limits only: those of others are named by a process id.
    steps += [(_EQUAL, 0, 3, prlimit), (_LOAD, 0, 0, _FIRST), (_EQUAL, 1, 0, 0), (_RETURN, 0, 0, no)]
    steps += [(_RETURN, 0, 0, _ALLOW)]
    program = (_Filter * len(steps))(*(_Filter(*step) for step in steps))
    # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    return bool(libc.prctl(22, 2, ctypes.byref(_Program(len(steps), program)), 0, 0) == 0)
