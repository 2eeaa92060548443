"""The tables that lie in a sheet: which cells belong together.

This module knows rows, columns and gaps between them. It does not know any file format.

A blank row does not end a table by itself: people leave one between groups of rows. It does where what follows lies
in other columns, far below, or begins with a header of its own. A blank column ends a table if at least two columns
lie on either side of it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from feilun.curation.documents import MAX_COLUMNS

GAP = 20  # blank rows that a table may hold
LABEL = 40  # characters of a column's name at most
_FIGURE = re.compile(r"[-+]?[$€£¥￥]?\d[\d.,:/ T-]*%?")
Line = dict[int, str]  # column -> text; no empty texts


@dataclass(frozen=True, slots=True)
class Region:
    """A table within a sheet: rows and columns are counted from 1, the last ones included."""

    top: int
    left: int
    bottom: int
    right: int
    rows: tuple[tuple[str, ...], ...]
    is_cut: bool = False  # there are more columns than are kept

    @property
    def range(self) -> str:
        """Return the place as people write it, such as ``B3:F12``."""
        first, last = f"{letters(self.left)}{self.top}", f"{letters(self.right)}{self.bottom}"
        return first if first == last else f"{first}:{last}"


def letters(column: int) -> str:
    """Return the name of a column: A is 1, AA is 27."""
    name = ""
    while column > 0:
        column, rest = divmod(column - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def regions(lines: Mapping[int, Line]) -> Iterator[Region]:
    """Yield the tables of a sheet, from top to bottom and then from left to right."""
    group: list[int] = []
    used: set[int] = set()
    for row in sorted(row for row, line in lines.items() if line):
        if group and row > group[-1] + 1 and not (row - group[-1] <= GAP and _goes_on(lines, used, row)):
            yield from _bands(lines, group, used)
            group, used = [], set()
        group.append(row)
        used.update(lines[row])
    if group:
        yield from _bands(lines, group, used)


def _goes_on(lines: Mapping[int, Line], used: Set[int], row: int) -> bool:
    """Tell whether a table that uses these columns goes on at ``row``, below a gap."""
    following = [lines[at] for at in itertools.takewhile(lines.get, itertools.count(row))]
    within = all(min(used) <= column <= max(used) for line in following for column in line)
    return len(used) > 1 and within and not _headed(following)


def _headed(block: Sequence[Line]) -> bool:
    """Tell whether the first line names columns: short names, none twice, over a column of figures."""
    names = block[0]
    if len(block) < 2 or len(names) < 2 or len(set(names.values())) < len(names):
        return False
    if any(len(name) > LABEL or name.endswith(("?", "？")) or _FIGURE.fullmatch(name) for name in names.values()):
        return False
    return any(
        column in block[1] and all(_FIGURE.fullmatch(line.get(column, "0")) for line in block[1:]) for column in names
    )


def _bands(lines: Mapping[int, Line], group: Sequence[int], used: Set[int]) -> Iterator[Region]:
    """Yield the tables that lie side by side in these rows; empty cells at the ends of rows are left out."""
    bands: list[list[int]] = []
    for column in sorted(used):
        if bands and column == bands[-1][-1] + 1:
            bands[-1].append(column)
        else:
            bands.append([column])
    if any(len(band) < 2 for band in bands):
        bands = [sorted(used)]
    for band in bands:
        first, last = band[0], band[-1]
        inside = [row for row in group if any(first <= column <= last for column in lines[row])]
        # Columns that nothing stands in keep their place in a table, but not in a sheet of scattered cells.
        columns = range(first, last + 1) if last - first < MAX_COLUMNS else band[:MAX_COLUMNS]
        rows = ([lines.get(row, {}).get(column, "") for column in columns] for row in range(inside[0], inside[-1] + 1))
        yield Region(inside[0], first, inside[-1], last, tuple(map(_trimmed, rows)), len(band) > MAX_COLUMNS)


def _trimmed(cells: list[str]) -> tuple[str, ...]:
    while cells and not cells[-1]:
        cells.pop()
    return tuple(cells)
