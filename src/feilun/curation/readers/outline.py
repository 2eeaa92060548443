"""Where in a document's headings a block stands.

This module knows levels and titles. It does not know any format.
"""

from __future__ import annotations

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

    def place(self, where: str = "") -> str:
        """Return ``where`` and the path of headings, such as ``line 12 · Handbook › Loans``; at the top only that."""
        path = " › ".join(title for _, title in self._open)
        return " · ".join(part for part in (where, path) if part)
