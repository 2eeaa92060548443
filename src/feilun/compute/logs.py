"""A log file that several processes append to and that never grows without end.

This module knows one file and its predecessor (``name.log.1``). It does not know what the lines mean.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from feilun.compute.failures import disk_errors

LARGEST = 10_000_000


class LogFile:
    """A file opened for appending. Others may hold ``descriptor`` too, so it is emptied in place, never renamed."""

    def __init__(self, path: Path, largest: int = LARGEST) -> None:
        """Open ``path``, making its folder; beyond ``largest`` bytes its content moves to ``path.1``."""
        self.path = path
        self._largest = largest
        with disk_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        with disk_errors():
            os.write(self.descriptor, data)
        self.rotate()

    def rotate(self) -> None:
        """Move the content to ``path.1`` if there is too much. A line written just then may be lost."""
        if os.fstat(self.descriptor).st_size > self._largest:
            with disk_errors():
                shutil.copyfile(self.path, self.path.with_name(f"{self.path.name}.1"))
            os.ftruncate(self.descriptor, 0)

    def tail(self, lines: int = 8, most: int = 4_000) -> str:
        """Return the last lines, at most ``most`` bytes of them."""
        with self.path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            text = file.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

    def close(self) -> None:
        """Close our descriptor; holders of their own go on."""
        os.close(self.descriptor)
