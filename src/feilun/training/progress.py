"""How the training process tells what it does. It knows one callable; it does not know who listens."""

from __future__ import annotations

from typing import Protocol


class Say(Protocol):
    """Send one message: keyword arguments that JSON can hold."""

    def __call__(self, **message: object) -> None:
        """Send it."""
