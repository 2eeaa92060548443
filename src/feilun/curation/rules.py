"""What the owners of a folder permit for its files: ``feilun.permissions.yaml``.

This module knows the rules and which of them decides. It does not know which files there are, nor what is kept.

Permission rules: a mapping from patterns to permissions, relative to the folder of the file that holds them::

    "policy/*.md": {train: no, retrieve: yes, leave: no, mask: none, until: 2027-01-01}
    "staff/":      {train: no}

``*`` and ``?`` stay within one folder, ``**`` crosses folders, a pattern without ``/`` fits names at any depth, and
one that ends in ``/`` (or names a folder) fits everything below it. The most specific rule that fits decides a key,
wherever it stands. A rule is more specific than another if it stands as far inside or further, and says as much or
more of the folders around the file, and of its name. Where neither of two is, the stricter holds: an inner folder's
``**`` undoes no outer rule that names a file.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from feilun.errors import BadSource
from feilun.records import Permissions
from feilun.store.access import permits

_KEYS = ("train", "retrieve", "leave", "mask", "until", "basis", "encrypt")
_MASKS = ("none", "pseudonymise")
_GROUNDS = ("own", "public", "contract", "consent")
_RULES_HINT = 'Write lines such as "policy/*.md": {train: no}, or remove the file.'
_LARGEST_RULES = 1 << 20
_WILD = re.compile(r"[*?]")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a permissions file: ``values`` apply to the files below ``folder`` that ``pattern`` fits."""

    folder: Path
    pattern: str
    values: dict[str, Any]

    def fits(self, path: Path) -> bool:
        """Tell whether the rule speaks about the file ``path``."""
        if not path.is_relative_to(self.folder):
            return False
        name = _plain(path.relative_to(self.folder).as_posix())
        return re.fullmatch(_regex(_plain(self.pattern)), name, re.DOTALL) is not None

    def weight(self, path: Path) -> tuple[int, ...]:
        """Return how specific the rule is about a file that it fits: in its place, the folders, the name."""
        folders, _, name = self.pattern.strip("/").rpartition("/")
        if self.pattern.endswith("/") or (not _WILD.search(name) and _plain(name) != _plain(path.name)):
            folders, name = self.pattern.strip("/"), ""  # it names a folder around the file
        said = _WILD.sub("", name)
        # A whole name says more than a pattern of the same letters.
        whole = 2 * len(said) + (said == name != "")
        inside = len(self.folder.parts)
        parents = [_plain(Path(*path.parts[inside:end]).as_posix()) for end in range(inside + 1, len(path.parts))]
        named = re.compile(_regex(_plain(folders)), re.DOTALL)
        deep = next((at for at, each in enumerate(["", *parents]) if named.fullmatch(each)), 0)
        return inside, inside + deep, len(self.folder.as_posix()) + len(_WILD.sub("", folders)), whole


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _regex(pattern: str) -> str:
    """Return the regular expression of a glob, as described at the top."""
    anchored = "/" in pattern.rstrip("/")
    body = ""
    for part in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", pattern.strip("/")):
        body += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part) or re.escape(part)
    below = "/.*" if pattern.endswith("/") else "(?:/.*)?"
    return ("" if anchored else "(?:.*/)?") + body + below


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key given twice: the second would silently replace a restriction."""


def _strict_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", node.start_mark)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _strict_mapping)


def read_rules(path: Path) -> list[Rule]:
    """Return the rules of a permissions file; raise BadSource that lists every mistake, never a lenient guess."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_RULES + 1)
    except OSError as error:
        raise BadSource(f"{path}: the permissions cannot be read: {error.strerror}", _RULES_HINT) from error
    return rules_in(data, path)


def rules_in(data: bytes, path: Path) -> list[Rule]:
    """Return the rules that the bytes of a permissions file at ``path`` give; raise BadSource as ``read_rules``."""
    hint = _RULES_HINT
    if len(data) > _LARGEST_RULES:
        raise BadSource(f"{path}: a permissions file cannot be larger than 1 MB.", hint)
    try:
        # The loader is a SafeLoader; PyYAML's one-call form cannot refuse doubled keys.
        loader = _StrictLoader(data.decode("utf-8-sig"))
        try:
            given = loader.get_single_data()
        finally:
            loader.dispose()
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise BadSource(f"{path}: the permissions cannot be read: {' '.join(str(error).split())}", hint) from error
    if not isinstance(given, dict) or not given:
        raise BadSource(f"{path}: expected a mapping from file patterns to permissions.", hint)
    mistakes: list[str] = []
    mistakes += [
        f'{pattern!r} is no text to YAML: put the name in quotes, as in "no/" or "010/"'
        for pattern in given
        if not isinstance(pattern, str)
    ]
    rules = [Rule(path.parent, str(pattern), _values(str(pattern), v, mistakes)) for pattern, v in given.items()]
    if mistakes:
        raise BadSource(f"{path}: " + "; ".join(mistakes), hint)
    return rules


def _values(pattern: str, given: Any, mistakes: list[str]) -> dict[str, Any]:
    """Return the checked values of one rule; what is wrong is added to ``mistakes``."""
    if not isinstance(given, dict) or not given:
        mistakes.append(f"{pattern}: expected keys among {', '.join(_KEYS)}")
        return {}
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key in {"train", "retrieve", "leave", "encrypt"}:
            word = str(value).strip().casefold()
            if word not in {"yes", "no", "true", "false"}:
                mistakes.append(f"{pattern}: {key} must be yes or no, not {value!r}")
            values[key] = word in {"yes", "true"}
        elif key == "mask":
            if value not in _MASKS:
                mistakes.append(f"{pattern}: mask must be none or pseudonymise, not {value!r}")
            values[key] = value
        elif key == "basis":
            if value not in _GROUNDS:
                mistakes.append(f"{pattern}: basis must be one of {', '.join(_GROUNDS)}, not {value!r}")
            values[key] = value
        elif key == "until":
            try:
                values[key] = dt.date.fromisoformat(str(value)).isoformat()
            except ValueError:
                mistakes.append(f"{pattern}: until must be a day such as 2027-01-31, not {value!r}")
        else:
            mistakes.append(f"{pattern}: unknown key {key!r} (choices: {', '.join(_KEYS)})")
    return values


def values_of(path: Path, rules: list[Rule]) -> dict[str, Any]:
    """Return what ``rules`` say about the file ``path``, key by key; nothing where they are silent."""
    fitting = [(rule.weight(path), rule.values) for rule in rules if rule.fits(path)]
    values: dict[str, Any] = {}
    for key in _KEYS:
        said = [(weight, each) for weight, each in fitting if key in each]
        top = [each for weight, each in said if not any(_beats(other, weight) for other, _ in said)]
        values |= permits.all_said([{key: each[key]} for each in top])
    return values


def _beats(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return one != other and all(mine >= theirs for mine, theirs in zip(one, other, strict=True))


def permissions_of(path: Path, rules: list[Rule]) -> Permissions:
    """Return what ``rules`` permit for the file ``path``."""
    return Permissions(**values_of(path, rules))
