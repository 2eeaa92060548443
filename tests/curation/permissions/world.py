"""A small organisation whose permissions change at random, and an oracle that says who may see what of it.

The oracle is written after the documentation, not after the code: it keeps what was said on each level, and works out
by itself which fact may reach which purpose. Every fact is a sentence with a word that is nowhere else, so that it is
known wherever it turns up.
"""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feilun.curation import ingest
from feilun.curation.recipes import Recipe, parse
from feilun.errors import NothingUsable
from feilun.records import Source, text_digest
from feilun.store import Database, datasets, sources

WS = "harbour"
PLACES = ("desk.md", "hall.md", "north/gate.md", "north/pier/crane.md", "south/gate.md")
RULE_FOLDERS = ("", "north", "north/pier")
PATTERNS = ("**", "*.md", "gate.md", "north/", "north/gate.md", "pier/", "pier/*.md", "crane.md", "so*/")
PLAIN = {
    "train": True,
    "retrieve": True,
    "leave": False,
    "mask": "none",
    "until": None,
    "basis": "own",
    "encrypt": False,
}
GRANTS = {"train": "train", "evaluate": "train", "retrieve": "retrieve", "send_outside": "leave"}
Said = dict[str, Any]


def word(fact: int) -> str:
    """Return the word that only this fact has."""
    return f"zq{'abcdefghij'[fact]}{fact}xw"


def sentence(fact: int) -> str:
    """Return the fact's answer."""
    return f"The code of the {word(fact)} lock is kept by the keeper of the {word(fact)} tower."


def text_of(facts: tuple[int, ...]) -> str:
    """Return a file that holds these facts as questions and answers."""
    return "\n\n".join(f"Q: Who keeps the code of the {word(f)} lock?\nA: {sentence(f)}" for f in facts) + "\n"


def facts_in(text: str) -> set[int]:
    """Return the facts that a text tells."""
    return {fact for fact in range(10) if word(fact) in text}


def stricter(name: str, one: Any, other: Any) -> Any:
    """Return the stricter of two values of a permission."""
    if name in {"train", "retrieve", "leave"}:
        return one and other
    if name == "encrypt":
        return one or other
    if name == "mask":
        return "pseudonymise" if "pseudonymise" in {one, other} else "none"
    if name == "until":
        return min([day for day in (one, other) if day], default=None)
    order = ["own", "public", "contract", "consent"]
    return max(one, other, key=order.index)


def together(one: Said, other: Said) -> Said:
    """Return all that either says, the stricter where both do."""
    both = {name: stricter(name, one[name], other[name]) for name in one.keys() & other.keys()}
    return {**one, **other, **both}


@dataclass
class Kept:
    """A source as the oracle knows it."""

    facts: tuple[int, ...]
    content: str
    path: str = ""
    said: Said = field(default_factory=dict)
    rules: Said = field(default_factory=dict)
    deleted: bool = False


@dataclass
class World:
    """The folder, the store, and what the oracle remembers of everything that was done."""

    db: Database
    folder: Path
    files: dict[str, tuple[int, ...]] = field(default_factory=dict)
    rules: dict[str, list[tuple[str, Said]]] = field(default_factory=dict)
    default: Said = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)
    uploads: int = 0
    recipe: Recipe = field(default_factory=lambda: parse("make: chat\nrows: [exact_copies]\n", "plain.yaml"))

    def write(self, place: str, facts: tuple[int, ...]) -> None:
        """Write a file."""
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(facts), encoding="utf-8")
        self.files[place] = facts

    def rule(self, folder: str, rules: list[tuple[str, Said]]) -> None:
        """Write the rules of a folder in the place of those that it had."""
        path = self.folder / folder / "feilun.permissions.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            f'"{pattern}": {{{", ".join(f"{n}: {_yaml(v)}" for n, v in said.items())}}}' for pattern, said in rules
        ]
        path.unlink(missing_ok=True)
        if lines:
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.rules[folder] = rules

    def take_in(self) -> None:
        """Import the folder as it is now."""
        before = {source.id for source in sources.find(self.db, WS)}
        try:
            ingest(self.db, WS, [self.folder])
        except NothingUsable:
            return
        known = {place: [k for k in self.kept.values() if k.path == place and not k.deleted] for place in self.files}
        for source in sources.find(self.db, WS):
            if source.id not in before:
                place = str(Path(str(source.meta["path"])).relative_to(self.folder.resolve()))
                said: Said = {}
                for earlier in known[place]:
                    said = together(said, earlier.said)
                again = self.kept.get(source.id)
                if again is not None:
                    said = together(said, again.said)
                facts = self.files[place]
                self.kept[source.id] = Kept(facts, text_of(facts), place, said, self.ruled(place))
        for place, found in known.items():
            for kept in found:
                kept.rules = self.ruled(place)
                both = kept.said.keys() & kept.rules.keys()
                kept.said |= {name: stricter(name, kept.said[name], kept.rules[name]) for name in both}

    def upload(self, facts: tuple[int, ...], said: Said, like: str = "") -> None:
        """Take in a file from outside, perhaps with the very bytes of one that is here."""
        self.uploads += 1
        name = f"file-{self.uploads}"
        content = self.kept[like].content if like else text_of(facts)
        facts = self.kept[like].facts if like else facts
        sources.add(self.db, Source(name, WS, f"{name}.md", "", 0, "upload"), content.encode(), said)
        sources.note_digests(self.db, WS, name, [text_digest(sentence(fact)) for fact in facts])
        self.kept[name] = Kept(facts, content, said=dict(said))

    def grant(self, source: str, said: Said) -> None:
        """Say something about a source by name."""
        sources.grant(self.db, WS, source, said)
        for name, kept in self.kept.items():
            if name == source or (kept.deleted and kept.content == self.kept[source].content):
                kept.said = {**kept.said, **said}

    def set_default(self, said: Said) -> None:
        """Say what the workspace's sources inherit."""
        sources.set_default(self.db, WS, said)
        self.default = {**self.default, **said}

    def delete(self, source: str) -> None:
        """Delete a source."""
        sources.delete(self.db, WS, source)
        self.kept[source].deleted = True

    def living(self) -> list[str]:
        """Return the ids of the sources that are there."""
        return sorted(name for name, kept in self.kept.items() if not kept.deleted)

    def ruled(self, place: str) -> Said:
        """Return what the folders' rules say about a file: what is most specific, the stricter where two rules are."""
        found: list[tuple[tuple[int, ...], Said]] = []
        for folder in RULE_FOLDERS:
            if folder and not place.startswith(f"{folder}/"):
                continue
            below = place.removeprefix(f"{folder}/") if folder else place
            depth = folder.count("/") + bool(folder)
            for pattern, said in self.rules.get(folder, []):
                if fits(pattern, below):
                    told, _, name = pattern.rpartition("/")
                    around = below.split("/")[:-1]
                    reach = next((at for at, part in enumerate(around, 1) if told and fits_folder(told, part)), 0)
                    letters = len(folder) + len(told.replace("*", ""))
                    whole = name.replace("*", "")
                    found.append(((depth, depth + reach, letters, 2 * len(whole) + (whole == name != "")), said))
        values: Said = {}
        for weight, said in found:
            for name in said:
                others = [other for other, each in found if name in each and other != weight]
                if not any(all(a >= b for a, b in zip(other, weight, strict=True)) for other in others):
                    values = together(values, {name: said[name]})
        return values

    def own(self, kept: Kept) -> Said:
        """Return what holds for a source by itself."""
        return {**PLAIN, **self.default, **kept.rules, **kept.said}

    def allowed(self, source: str, purpose: str) -> bool:
        """Tell whether a source may be used for a purpose: all copies of its bytes have a say."""
        mine = self.kept[source]
        held = self.own(mine)
        if not mine.deleted:
            for other in self.kept.values():
                if other.content == mine.content:
                    held = together(held, self.own(other))
        if purpose == "inspect":
            return True
        today = dt.datetime.now(dt.UTC).date().isoformat()
        return bool(held[GRANTS[purpose]]) and (held["until"] is None or today <= held["until"])

    def open_facts(self, purpose: str) -> set[int]:
        """Return the facts that may reach a purpose: no source that holds or held one forbids it."""
        shut = {fact for name, kept in self.kept.items() if not self.allowed(name, purpose) for fact in kept.facts}
        return set(itertools.chain(*(kept.facts for kept in self.kept.values()))) - shut

    def remember(self, version: str) -> None:
        """Remember a dataset version, to be read again later."""
        assert datasets.get(self.db, WS, version)
        if version not in self.versions:
            self.versions.append(version)


def fits(pattern: str, place: str) -> bool:
    """Tell whether one of our patterns fits a place below its folder."""
    parts = place.split("/")
    if pattern == "**":
        return True
    if pattern == "*.md":
        return place.endswith(".md")
    if pattern in {"gate.md", "crane.md"}:
        return parts[-1] == pattern
    if pattern in {"north/", "pier/"}:
        return pattern[:-1] in parts[:-1]
    if pattern == "so*/":
        return any(part.startswith("so") for part in parts[:-1])
    if pattern == "pier/*.md":
        return len(parts) == 2 and parts[0] == "pier"
    return place == pattern


def fits_folder(told: str, part: str) -> bool:
    """Tell whether the folder that one of our patterns names is one called ``part``."""
    return part.startswith("so") if told == "so*" else part == told


def _yaml(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
