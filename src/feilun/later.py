"""Libraries that are imported when something of them is first used: many a process never does, and need not hold them.

Knows how a module is found by its name. Does not know what is in it.
"""

from __future__ import annotations

import importlib
from typing import Any


class Later:
    """Stands for a module: ``pa = Later("pyarrow")``."""

    def __init__(self, name: str) -> None:
        """Keep the module's full name; nothing is imported yet."""
        self._name = name

    def __getattr__(self, name: str) -> Any:
        """Return what the module has under a name; raise ImportError or AttributeError."""
        found = getattr(importlib.import_module(self._name), name)
        setattr(self, name, found)
        return found
