"""Rows of figures with what they must be: judged, printed, written for programs.

Knows numbers and bounds. Does not know how anything was measured.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from feilun.compute import machine
from feilun.records import JSON


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the table: its name, and the bounds of its median (lower ones, or upper ones if ``less``)."""

    name: str
    must: float
    reach: float
    less: bool = False

    def row(self, values: Sequence[float], why_not: str = "") -> JSON:
        """Return the judged row of one value a round; without values it is not met, and ``why_not`` says why."""
        if not values:
            reason = {"note": f"not measured: {why_not}"}
            return {"figure": self.name, "value": None, "must": self.must, "reach": self.reach, "met": False, **reason}
        value = round(median(values), 3)
        met = value <= self.must if self.less else value >= self.must
        spread = [round(min(values), 3), round(max(values), 3)]
        bounds = {"must": self.must, "reach": self.reach, "less": self.less}
        return {"figure": self.name, "value": value, **bounds, "met": met, "spread": spread}


def show(rows: Sequence[JSON]) -> str:
    """Return the table for people."""
    wide = max(len(row["figure"]) for row in rows)
    lines = [f"{'':<{wide}}  {'median':>8}  {'rounds':<17}  {'must':>7}  {'reach':>7}"]
    for row in rows:
        sign = "<=" if row.get("less") else ">="
        bounds = f"{sign} {row['must']:<4g}  {sign} {row['reach']:<4g}  {'met' if row['met'] else 'NOT MET'}"
        value = "-" if row["value"] is None else f"{row['value']:.3f}"
        spread = "{:.3f} - {:.3f}".format(*row["spread"]) if "spread" in row else ""
        lines.append(f"{row['figure']:<{wide}}  {value:>8}  {spread:<17}  {bounds}  {row.get('note', '')}".rstrip())
    return "\n".join(lines)


def write(path: Path, rows: Sequence[JSON]) -> None:
    """Write the rows and what the machine is, for programs."""
    path.parent.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), "rows": list(rows)}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
