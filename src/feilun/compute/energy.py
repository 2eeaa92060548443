"""What work costs: seconds by the clock, and joules where the machine counts them.

Intel and AMD processors count the energy of each package in micro-joules (RAPL), which Linux shows below
``/sys/class/powercap``. The counters start again at zero now and then; virtual machines mostly have none, and some
systems let only root read them. This module knows those files. It does not know what the work is; whatever else the
machine does meanwhile is counted, too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds, and joules of all processor packages; None where the machine does not tell."""

    seconds: float
    joules: float | None


class Meter:
    """Measures from its making: ``Meter().spent()``."""

    def __init__(self, powercap: Path = POWERCAP) -> None:
        """Begin to measure."""
        self._zones = [zone for zone in sorted(powercap.glob("*-rapl:*")) if zone.name.count(":") == 1]
        self._before = {zone: _read(zone / "energy_uj") for zone in self._zones}
        self._began = time.monotonic()

    def spent(self) -> Spent:
        """Return what was spent since the meter was made."""
        seconds = time.monotonic() - self._began
        used = [self._used(zone) for zone in self._zones]
        known = [each for each in used if each is not None]
        return Spent(seconds, sum(known) / 1e6 if known and len(known) == len(used) else None)

    def _used(self, zone: Path) -> int | None:
        before, now = self._before[zone], _read(zone / "energy_uj")
        if before is None or now is None:
            return None
        if now >= before:
            return now - before
        around = _read(zone / "max_energy_range_uj")
        return None if around is None else around - before + now


def _read(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
