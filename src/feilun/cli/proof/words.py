"""Sentences of the commands of proof, both languages side by side. Does not know what they are about."""

from __future__ import annotations

from typing import Any

from feilun.cli.words import Teller


def say(teller: Teller, english: str, chinese: str, *values: Any) -> None:
    """Print a line in the language of whoever reads it."""
    teller.say("{}", pick(teller, english, chinese).format(*values))


def pick(teller: Teller, english: str, chinese: str) -> str:
    """Return the text in the language of whoever reads it."""
    return chinese if teller.language == "zh" else english
