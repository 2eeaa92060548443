"""Where in a document's headings a block stands, and the blocks that a document of headings falls into.

This module knows levels and titles. It does not know any format.
"""

from __future__ import annotations

from collections.abc import Iterator

from feilun.curation.documents import Block

LONGEST = 80  # characters of a title that are kept in a path
DEEPEST = 9


class Outline:
    """The headings that are open while a document is read from its beginning to its end."""

    def __init__(self) -> None:
        """Begin before the first heading."""
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, title: str) -> None:
        """Go on below a heading: it closes those of its own level and of lower ones."""
        self._open = [item for item in self._open if item[0] < level][-DEEPEST:]
        if title:
            self._open.append((level, " ".join(title.split())[:LONGEST]))

    def leave(self, level: int) -> str:
        """Go on after what stood below headings of a level; return the title that is still open."""
        self.enter(level, "")
        return self._open[-1][1] if self._open else ""

    def place(self, where: str = "") -> str:
        """Return ``where`` and the path of headings, such as ``line 12 · Handbook › Loans``; at the top only that."""
        path = " › ".join(title for _, title in self._open)
        return " · ".join(part for part in (where, path) if part)


class Sections:
    """Paragraphs and tables that become blocks: a text for what stands together under a heading, a table for each."""

    def __init__(self, where: str = "") -> None:
        """Begin; ``where`` goes before the headings in every place."""
        self._outline, self._where = Outline(), where
        self._heading, self._new = "", False
        self._parts: list[str] = []
        self._listed = False

    def add(self, text: str, listed: bool = False) -> None:
        """Go on with a paragraph; the items of a list stand together."""
        if text:
            self._parts += ["\n" if listed and self._listed else "\n\n", text]
            self._listed = listed

    def head(self, level: int, title: str) -> Iterator[Block]:
        """Begin a section; yield what stood before it."""
        yield from self.close()
        self._outline.enter(level, title)
        self._heading, self._new = title, True

    def leave(self, level: int) -> Iterator[Block]:
        """End a section; yield what stood in it."""
        yield from self.close()
        self._heading = self._outline.leave(level)

    def table(self, rows: tuple[tuple[str, ...], ...]) -> Iterator[Block]:
        """Yield what stood before a table, and the table."""
        yield from self.close()
        yield Block("table", self._outline.place(self._where), self._heading, rows=rows)

    def close(self) -> Iterator[Block]:
        """Yield what stands under the heading so far; a heading is not said twice for nothing."""
        if self._parts or self._new:
            yield Block("text", self._outline.place(self._where), self._heading, "".join(self._parts[1:]))
        self._parts, self._listed, self._new = [], False, False
