"""What this machine has: cores, number formats, room on the disk.

This module asks the operating system. It does not know what the answers are used for.
"""

from __future__ import annotations

import math
import os
import platform
import resource
import shutil
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

from feilun.errors import BadSetting, OutOfSpace
from feilun.records import JSON

_CPUINFO = Path("/proc/cpuinfo")
_CPUS = Path("/sys/devices/system/cpu")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_MOST = Path("/sys/fs/cgroup/memory.max")
_GIB = 2**30
FILES = 65_536


def threads(setting: int = 0) -> int:
    """Return how many threads heavy work should use: ``setting``, or for 0 the physical cores that we may use.

    Two hyper-threads count as one core; processor affinity and a container's quota (cgroup 2) are respected. Raises
    BadSetting for a negative number.
    """
    if setting < 0:
        raise BadSetting(f"threads: {setting} is negative.", "Use 0 for all cores.")
    return setting or max(1, min(_cores(), _quota()))


def permit_files() -> int:
    """Let this process open 65,536 files and connections, or as many as the system permits; return how many.

    Many systems begin with 1024, which five hundred streams through a gateway need: each has two connections.
    """
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        with suppress(ValueError, OSError):  # a system that does not keep what it says stays as it is
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def has_bf16() -> bool:
    """Say whether the processor multiplies bfloat16 in hardware (AVX-512 BF16, AMX, or Arm BF16)."""
    return bool(_flags() & {"avx512_bf16", "amx_bf16", "bf16"})


def has_amx() -> bool:
    """Say whether the processor has matrix tiles for bfloat16 (Intel AMX)."""
    return {"amx_tile", "amx_bf16"} <= _flags()


def memory_limit() -> int:
    """Return the bytes of memory that we may use: the machine's, or less in a container that has a limit."""
    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(_MOST.read_text()))
    except (OSError, ValueError):  # no cgroup, or the limit is the word "max"
        return total


def size_of(size: float) -> str:
    """Return bytes in words: GiB, or MiB for less than a tenth of one."""
    return f"{size / _GIB:.1f} GiB" if size >= _GIB / 10 else f"{size / (1 << 20):.1f} MiB"


def ensure_space(path: Path, needed: int, what: str = "This", instead: str = "choose another home folder") -> None:
    """Raise OutOfSpace unless the disk that holds ``path`` (which need not exist yet) has ``needed`` bytes free."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise OutOfSpace(
            f"{what} needs {size_of(needed)}, but the disk of {place} has only {size_of(free)} free.",
            f"Free some space, or {instead}.",
        )


def machine() -> JSON:
    """Describe the machine for reports and benches: processor, cores, memory (GiB), formats. No names, no addresses."""
    return {
        "processor": _model(),
        "architecture": platform.machine(),
        "cores": threads(),
        "memory_gib": round(memory_limit() / _GIB, 1),
        "bf16": has_bf16(),
        "amx": has_amx(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _usable() -> set[int]:
    """Return the numbers of the logical processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _cores() -> int:
    siblings = [_CPUS / f"cpu{number}" / "topology" / "thread_siblings_list" for number in sorted(_usable())]
    try:
        return len({path.read_text() for path in siblings})
    except OSError:
        return min(psutil.cpu_count(logical=False) or len(siblings), len(siblings))


def _quota() -> int:
    try:
        quota, period = _QUOTA.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no cgroup, or the quota is the word "max"
        return os.cpu_count() or 1


@cache
def _cpuinfo() -> dict[str, str]:
    """Return the first processor's lines of /proc/cpuinfo; empty where there is no such file."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _flags() -> frozenset[str]:
    info = _cpuinfo()
    return frozenset((info.get("flags") or info.get("Features") or "").split())


def _model() -> str:
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()
