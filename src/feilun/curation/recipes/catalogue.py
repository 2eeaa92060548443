"""Every operator by its name.

This module knows which rooms bring operators. It does not know what any of them does.
"""

from __future__ import annotations

import difflib

from feilun.curation.seam import Operator
from feilun.registry import Registry

FAMILIES = Registry("family of operators")
for _family in ("repair", "personal", "copies", "quality"):
    FAMILIES.add(_family, f"feilun.curation.{_family}.operators:OPERATORS")

_found: dict[str, Operator] = {}


def operators() -> dict[str, Operator]:
    """Return all operators by name, in the order of their families."""
    if not _found:
        for family in ("repair", "personal", "copies", "quality"):
            for operator in FAMILIES.load(family):
                if operator.name in _found:
                    raise ValueError(f"two operators are named {operator.name}")
                _found[operator.name] = operator
    return _found


def nearest(name: str) -> str:
    """Return what to say about a name that no operator has."""
    close = difflib.get_close_matches(name, operators(), n=1)
    return f"did you mean {close[0]}?" if close else f"choices: {', '.join(operators())}"
