"""Rows of figures with what they must be: judged, printed, written for programs.

Knows numbers and bounds. Does not know how anything was measured.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from feilun.compute import machine
from feilun.records import JSON


def row(figure: str, value: float | None, must: float, reach: float, note: str = "", less: bool = False) -> JSON:
    """Return a judged row; without a value it is not met, and ``note`` says why."""
    met = value is not None and (value <= must if less else value >= must)
    value = None if value is None else round(value, 4)
    return {"figure": figure, "value": value, "must": must, "reach": reach, "less": less, "met": met, "note": note}


def told(figure: str, value: float | None, note: str = "") -> JSON:
    """Return a row that is only told."""
    return {"figure": figure, "value": None if value is None else round(value, 4), "met": True, "note": note}


def show(rows: Sequence[JSON]) -> str:
    """Return the table for people."""
    wide = max(len(each["figure"]) for each in rows)
    lines = []
    for each in rows:
        value = "-" if each["value"] is None else f"{each['value']:.3f}"
        bound = ""
        if "must" in each:
            sign = "<=" if each["less"] else ">="
            bound = f"{sign} {each['must']:<5g} {sign} {each['reach']:<5g} {'met' if each['met'] else 'NOT MET'}"
        lines.append(f"{each['figure']:<{wide}}  {value:>9}  {bound:<26}  {each['note']}".rstrip())
    return "\n".join([f"{'':<{wide}}  {'':>9}  {'must':<8} {'reach':<8}", *lines])


def write(path: Path, rows: Sequence[JSON]) -> None:
    """Write the rows and what the machine is, for programs."""
    path.parent.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), "rows": list(rows)}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
