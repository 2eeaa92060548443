"""What hosts and pages ask of programs that collect, beyond robots.txt, and what that means for permissions.

This module knows meta robots and X-Robots-Tag (``noindex``, ``noai``, ``noimageai``, …), the TDM Reservation Protocol
(W3C TDMRep: header, meta, ``/.well-known/tdmrep.json``) and ``ai.txt``. It does not know how pages are fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from html.parser import HTMLParser

AGENT = "feilun"
_REFUSALS = frozenset({"noindex", "none", "noai", "noimageai", "noarchive"})


class Head(HTMLParser):
    """What a page says to programs, and where it leads."""

    def __init__(self) -> None:
        """Begin with nothing said."""
        super().__init__()
        self.signals: list[str] = []
        self.words: set[str] = set()
        self.links: list[str] = []
        self.base = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a meta element, a base or a link."""
        given = {key: value or "" for key, value in attrs}
        if tag == "meta":
            name, content = given.get("name", "").strip().casefold(), given.get("content", "")
            if name in {"robots", AGENT, "googlebot", "bingbot"}:
                words = directives(content)
                self.words.update(words)
                self.signals.extend(f"meta {name}: {word}" for word in words if word != "nofollow")
            elif name == "tdm-reservation" and content.strip() == "1":
                self.signals.append("meta tdm-reservation: 1")
        elif tag == "base" and not self.base:
            self.base = given.get("href", "")
        elif tag in {"a", "area"} and given.get("href") and "nofollow" not in given.get("rel", "").casefold().split():
            self.links.append(given["href"])


def directives(value: str) -> list[str]:
    """Return the words of a robots directive that ask not to be used; those for other agents by name are not ours."""
    found: list[str] = []
    agent = ""
    for part in value.split(","):
        word = part.strip().casefold()
        if ":" in word and not word.startswith(("max-", "unavailable_after")):
            agent, _, word = (piece.strip() for piece in word.partition(":"))
        if agent not in {"", "*", AGENT, "robots"}:
            continue
        if word in _REFUSALS | {"nofollow"}:
            found.append(word)
            if word == "none":
                found.append("nofollow")
    return found


def meant(signals: Iterable[str]) -> dict[str, bool]:
    """Return what signals mean for permissions: none of them lets a page be trained on, some no search either."""
    words = [signal.rpartition(": ")[2] for signal in signals]
    asked = [word for word in words if word != "nofollow"]
    said = {"train": False, "leave": False} if asked else {}
    return said | ({"retrieve": False} if {"noindex", "none"} & set(asked) else {})


def reservations(text: str) -> list[str]:
    """Return the path patterns that ``tdmrep.json`` reserves."""
    try:
        rules = json.loads(text)
    except (ValueError, RecursionError):
        return []
    found = rules if isinstance(rules, list) else [rules]
    return [
        str(rule.get("location", "/*")) for rule in found if isinstance(rule, dict) and rule.get("tdm-reservation") == 1
    ]


def disallowed(text: str) -> list[str]:
    """Return the patterns that ``ai.txt`` disallows for all agents or for us."""
    found: list[str] = []
    ours, naming = False, False
    for line in text.splitlines():
        key, _, value = (part.strip() for part in line.partition("#")[0].partition(":"))
        if key.casefold() == "user-agent":
            ours = (ours and naming) or value.casefold() in {"*", AGENT}
            naming = True
        elif key:
            naming = False
            if ours and key.casefold() == "disallow" and value:
                found.append(value)
    return found


def matches(path: str, pattern: str) -> bool:
    """Tell whether a pattern of ``ai.txt`` or ``tdmrep.json`` fits a path: ``*`` is anything, ``/x`` all below it."""
    pattern = pattern.removesuffix("$")
    if not pattern.startswith("/"):
        pattern = f"*{pattern.lstrip('*')}"
    # Brackets mean nothing in these patterns.
    plain = pattern.replace("[", "[[]")
    return fnmatchcase(path, plain) or fnmatchcase(path, f"{plain}*" if plain.startswith("/") else plain)
