"""Where things lie on a page: lines of text that flow on into each other, and tables that are ruled.

This module knows places in points, with the origin at the lower left. It does not know any file format.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

HYPHEN = "\x02"  # at the end of a line: it parts a word
_NEAR = 3.0  # points that count as the same place
_THIN = 3.0  # a stroke is at most this thick
_MOST = 200  # columns or rows of a ruled table
_ITEM = re.compile(
    r"[-–—•·▪●○■□◆*]|\(?\d{1,3}[.)、]|[(（][一二三四五六七八九十\d]+[)）]|[一二三四五六七八九十]+、|第.{1,4}[条章节]"
)
_LABEL = re.compile(r"[^\W\d]{1,12}(?: [^\W\d]{1,10})?\s?[:：]")
_END = re.compile(r"[.。!！?？:：;；…][\"”’」』)）]?$")
_WIDE = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def height(self) -> float:
        """Return how high it is."""
        return self.top - self.bottom

    def holds(self, other: Box) -> bool:
        """Tell whether the middle of the beginning of ``other`` is inside."""
        y = (other.bottom + other.top) / 2
        return self.left - _NEAR <= other.left <= self.right and self.bottom - _NEAR <= y <= self.top + _NEAR


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text and where it lies."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Table:
    """A ruled table: its box, and the boxes of its cells from top to bottom."""

    box: Box
    cells: tuple[tuple[Box, ...], ...]

    def cell(self, x: float, y: float) -> Box | None:
        """Return the cell at a place."""
        row = next((row for row in self.cells if row[0].bottom <= y <= row[0].top), ())
        return next((cell for cell in row if cell.left <= x <= cell.right), None)


def flowed(lines: Sequence[Line], width: float) -> str:
    """Return the text of a page of this width: sentences in one line, an empty line where there is a gap.

    A line goes on in the next one if the next word would not have fitted into it.
    """
    pieces: list[str] = []
    for run in _runs(lines):
        pieces += ["\n\n"] if pieces else []
        # Two lines do not show where the margin is; a page's margins are alike as a rule.
        margin = max(line.box.right for line in run)
        if len(run) < 3:
            margin = max(margin, width - min(line.box.left for line in lines))
        for before, line in zip([None, *run], run, strict=False):
            pieces += [] if before is None else [_between(before, line, margin)]
            pieces.append(line.text)
    return "".join(pieces).replace(HYPHEN, "")


def _runs(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Yield lines that follow each other without a gap."""
    run: list[Line] = []
    for line in lines:
        if run:
            drop = _drop(run[-1], line)
            if drop < -0.5 * line.box.height or drop > 2.2 * max(run[-1].box.height, line.box.height):
                yield run
                run = []
        run.append(line)
    if run:
        yield run


def _drop(before: Line, line: Line) -> float:
    return (before.box.bottom + before.box.top - line.box.bottom - line.box.top) / 2


def _between(before: Line, line: Line, margin: float) -> str:
    """Return what stands between a line and the one before it: nothing, a space, or a new line."""
    one, two = before.box, line.box
    height = max(min(one.height, two.height), 1.0)
    if before.text.endswith(HYPHEN):
        return ""
    if abs(_drop(before, line)) < 0.5 * height:
        return " "
    if _ITEM.match(line.text) or _LABEL.match(line.text) or _END.search(before.text):
        return "\n"
    wide = _WIDE.match(before.text[-1]) is not None and _WIDE.match(line.text[0]) is not None
    word = 1 if wide else len(line.text.split()[0])
    full = one.right + 2 * height + word * (two.right - two.left) / len(line.text) > margin
    alike = abs(one.height - two.height) < 0.2 * height and -60 < two.left - one.left < 40
    if not (full and alike and one.right - one.left > 12 * height):
        return "\n"
    return "" if wide else " "


def ruled(strokes: Iterable[Box]) -> list[Table]:
    """Return the tables whose rows and columns are ruled, from top to bottom; two columns and two rows at least."""
    across: list[Box] = []
    down: list[Box] = []
    for box in strokes:
        wide, high = box.right - box.left, box.height
        if high <= _THIN < wide:
            across.append(box)
        elif wide <= _THIN < high:
            down.append(box)
    tables = [table for group in _connected(across, down) if (table := _table(*group)) is not None]
    return sorted(tables, key=lambda table: -table.box.top)


def _connected(across: list[Box], down: list[Box]) -> Iterator[tuple[list[Box], list[Box]]]:
    """Yield strokes that touch each other, those across and those down."""
    strokes = [(box, True) for box in across] + [(box, False) for box in down]
    group = list(range(len(strokes)))

    def root(at: int) -> int:
        while group[at] != at:
            group[at] = group[group[at]]
            at = group[at]
        return at

    order = sorted(range(len(strokes)), key=lambda at: strokes[at][0].left)
    reach: list[int] = []
    for at in order:
        box = strokes[at][0]
        reach = [other for other in reach if strokes[other][0].right >= box.left - _NEAR]
        for other in reach:
            near = strokes[other][0]
            if near.bottom <= box.top + _NEAR and box.bottom <= near.top + _NEAR:
                group[root(at)] = root(other)
        reach.append(at)
    found: dict[int, tuple[list[Box], list[Box]]] = {}
    for at, (box, is_across) in enumerate(strokes):
        found.setdefault(root(at), ([], []))[0 if is_across else 1].append(box)
    yield from found.values()


def _table(across: list[Box], down: list[Box]) -> Table | None:
    """Return the table that strokes rule, or None; cells whose border is missing are one."""
    ys, xs = _places(box.bottom for box in across)[::-1], _places(box.left for box in down)
    if not (3 <= len(ys) <= _MOST and 3 <= len(xs) <= _MOST):
        return None
    rows = []
    for top, bottom in itertools.pairwise(ys):
        middle = (top + bottom) / 2
        edges = [x for x in xs if any(abs(b.left - x) <= _NEAR and b.bottom <= middle <= b.top for b in down)]
        rows.append(tuple(Box(a, bottom, b, top) for a, b in itertools.pairwise(edges)))
    if sum(len(row) > 1 for row in rows) < 2:
        return None
    return Table(Box(xs[0], ys[-1], xs[-1], ys[0]), tuple(row for row in rows if row))


def _places(values: Iterable[float]) -> list[float]:
    """Return the different places among values, from small to large."""
    found: list[float] = []
    for number in sorted(values):
        if not found or number - found[-1] > _NEAR:
            found.append(number)
    return found
