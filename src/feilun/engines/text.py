"""Token ids to text as it grows: whole characters only, and nothing of a stop text.

It knows one answer. It does not know where the ids come from.
"""

from __future__ import annotations

from feilun.engines.prompts import Prompter

_UNFINISHED = "\ufffd"  # what a decoder shows for a character of which some bytes are still to come


class TextStream:
    """The text of one answer, given out piece by piece."""

    def __init__(self, prompter: Prompter, stop: tuple[str, ...]) -> None:
        """Decode with ``prompter``; hold back what might turn out to begin one of the ``stop`` texts."""
        self.prompter = prompter
        self.stop = tuple(text for text in stop if text)
        self.ids: list[int] = []
        self.given = 0
        self.ended = False

    def push(self, token: int) -> tuple[str, bool]:
        """Add a token; return the text that is now certain, and whether a stop text was met."""
        self.ids.append(token)
        text = self.prompter.decode(self.ids)
        found = [place for place in (text.find(stop, max(0, self.given)) for stop in self.stop) if place >= 0]
        if found:
            self.ended = True
            piece = text[self.given : min(found)]
            return piece, True
        end = len(text.rstrip(_UNFINISHED))
        end -= max((_overlap(text[self.given : end], stop) for stop in self.stop), default=0)
        piece = text[self.given : end]
        self.given += len(piece)
        return piece, False

    def close(self) -> str:
        """Return what was held back; nothing after a stop text."""
        if self.ended:
            return ""
        self.ended = True
        return self.prompter.decode(self.ids)[self.given :]


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of ``text`` could begin ``stop``."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
