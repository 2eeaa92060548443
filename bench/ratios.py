"""Rows of single values with what they must be: judged, printed, written for programs.

Knows numbers and bounds. Does not know how anything was measured, or figures of several rounds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from feilun.compute import machine
from feilun.records import JSON


def row(
    figure: str, value: float, must: float | None = None, reach: float | None = None, *, less: bool = False
) -> JSON:
    """Return one judged row; ``must`` and ``reach`` are lower bounds, or upper ones if ``less``."""
    value = round(value, 3)
    met = must is None or (value <= must if less else value >= must)
    return {"figure": figure, "value": value, "must": must, "reach": reach, "less": less, "met": met}


def report(path: Path, rows: Sequence[JSON]) -> None:
    """Print the table for people; write the rows, and what the machine is, for programs."""
    wide = max(len(one["figure"]) for one in rows)
    for one in rows:
        sign = "<=" if one["less"] else ">="
        known = [f"{name} {sign} {one[name]:g}" for name in ("must", "reach") if one[name] is not None]
        bound = ", ".join(known)
        print(f"{one['figure']:<{wide}} {one['value']:>9.2f}  {bound}  {'' if one['met'] else 'NOT MET'}".rstrip())
    path.parent.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), "rows": list(rows)}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
