"""Name → lazy factory. Refuses duplicates; a miss lists the choices. Knows nothing about what is registered."""

from __future__ import annotations

import importlib
from typing import Any

from feilun.errors import BadSetting, Conflict, MissingDependency


class Registry:
    """A set of named factories, each given as ``package.module:attribute`` and imported at first use."""

    def __init__(self, what: str, extra: str = "") -> None:
        """Name what is registered (``engine``) and the extra that installs what its factories need (``local``)."""
        self.what = what
        self.extra = extra
        self._targets: dict[str, str] = {}

    def add(self, name: str, target: str) -> None:
        """Register ``target`` under ``name``; raise Conflict if the name is taken."""
        if name in self._targets:
            raise Conflict(f"There is already a {self.what} named {name}.")
        self._targets[name] = target

    def names(self) -> list[str]:
        """Return the registered names, sorted."""
        return sorted(self._targets)

    def check(self, name: str) -> None:
        """Raise BadSetting for an unknown name."""
        if name not in self._targets:
            raise BadSetting(f"There is no {self.what} named {name}.", f"Choices: {', '.join(self.names())}.")

    def load(self, name: str) -> Any:
        """Import and return the factory; raise BadSetting for an unknown name, MissingDependency for its libraries."""
        self.check(name)
        module, _, attribute = self._targets[name].partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            extra = f"feilun[{self.extra}]" if self.extra else str(error.name)
            raise MissingDependency(f"The {self.what} {name} needs {error.name}.", f"pip install '{extra}'") from error
