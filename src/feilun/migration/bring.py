"""Which system some files come from, and bringing them in: read all, then write all.

This module knows the homes that there are, by the look of what they give away. It does not know any of their forms,
nor how anything is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from feilun.errors import BadRequest, NothingUsable
from feilun.migration import kiln, langfuse, openai, tensorzero
from feilun.migration.rows import ENDINGS, files_in, rows_of
from feilun.migration.seam import Report
from feilun.migration.writing import write
from feilun.store import Database

HOMES = ("openai", "tensorzero", "langfuse", "kiln")
_ROOMS: dict[str, ModuleType] = {"openai": openai, "tensorzero": tensorzero, "langfuse": langfuse, "kiln": kiln}
PERMISSION_FILES = ("feilun.permissions.yaml", "feilun.permissions.yml")
_LOOK = 20  # rows of a file that are looked at to tell what it is
_PEEK = 4 << 20  # bytes: what is larger is told by its beginning
_BY_ROWS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    name: _ROOMS[name].recognises for name in ("openai", "tensorzero", "langfuse")
}


def home_of(paths: Sequence[Path]) -> str:
    """Return the system that files come from, by their content; empty where some of them are ordinary files.

    A project of Kiln, or a folder with a configuration of TensorZero, may hold other files too; so may an export of
    OpenAI lines to train on. Raises BadRequest for files of several systems, BadSource for what is not there.
    """
    told = [(path, _told(path)) for _, path in files_in(paths)]
    found = {name for _, name in told if name}
    if not found:
        return ""
    if len(found) > 1:
        hint = "Import one after the other, or say which with --as (files: none of them)."
        raise BadRequest(f"These files come from several systems: {', '.join(sorted(found))}.", hint)
    whole = "kiln" in found or any(name and path.suffix.casefold() == ".toml" for path, name in told)
    rest = [path for path, name in told if not name]
    if rest and not whole and not (found == {"openai"} and all(_trains(path) for path in rest)):
        return ""
    return found.pop()


def bring(db: Database, ws: str, home: str, paths: Sequence[Path], said: Mapping[str, Any] | None = None) -> Report:
    """Bring files of a system into a workspace; doing it again adds nothing twice.

    ``said`` are permissions of what comes in (train yes, leave no, where nothing is said). Everything is read before
    anything is written, and rows are written all or none. Raises BadRequest for an unknown system, NothingUsable,
    BadSource, OutOfSpace.
    """
    if home not in _ROOMS:
        raise BadRequest(f"{home!r} is no system that is known.", f"Choices: {', '.join(HOMES)}.")
    files = files_in(paths)
    if rules := [name for name, path in files if path.name.casefold() in PERMISSION_FILES]:
        hint = "Say it with --train, --retrieve and --leave, and import without that file."
        raise BadRequest(f"The rules of {rules[0]} are for ordinary files.", hint)
    found = _ROOMS[home].read(files)
    made = (found.calls, found.judged, found.examples, found.definitions, found.sat, found.uploads)
    if not any(made):
        reasons = "; ".join(f"{place}: {reason}" for place, reason in found.left_out[:3])
        raise NothingUsable(f"Nothing here comes from {home}. {reasons}".strip(), "Say which system with --as.")
    return write(db, ws, home, found, dict(files), said or {})


def _told(path: Path) -> str:
    """Return the system that one file comes from; a file that is only lines to train on tells nothing."""
    ending = path.suffix.casefold()
    if kiln.recognises(path):
        return "kiln"
    if ending == ".toml":
        return "tensorzero" if tensorzero.configures(path) else ""
    if ending not in ENDINGS:
        return ""
    rows = [row.value for row in rows_of(path.name, path, None, _PEEK)[:_LOOK]]
    for name, recognises in _BY_ROWS.items():
        if rows and all(recognises(row) for row in rows):
            return name
    return ""


def _trains(path: Path) -> bool:
    rows = rows_of(path.name, path, None, _PEEK)[:_LOOK] if path.suffix.casefold() in ENDINGS else []
    return bool(rows) and all(openai.trains(row.value) for row in rows)
